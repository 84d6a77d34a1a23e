"""The product that the demo launches, and the clicks that it gets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from freshet.shop.shop import Shop
from stream.clock import now_ms

NUM_CLICKS = 30
"""Clicks on the new product. With five it came first already (seed 7); thirty suffice
for other shops, and for a log with less telling words. Twice as many change nothing.
"""


@dataclass(frozen=True, kw_only=True)
class NewProduct:
    """The product that is launched, what is typed for it, and the lines to append to
    the catalogue and to the log.
    """

    item_id: str
    title: str
    query: str
    item: Mapping[str, object]
    clicks: Sequence[Mapping[str, object]]


def append_lines(path: Path, lines: Sequence[Mapping[str, object]]) -> None:
    """Append JSON lines to a file in one write, so that a reader sees them together."""
    with path.open("ab", buffering=0) as file:
        file.write(msgspec.json.Encoder().encode_lines(lines))


def simulated_product(shop: Shop, number: int) -> NewProduct:
    """Return a product of a simulated shop, with clicks of just now."""
    launch = shop.launch_product(number)
    clicks = shop.launch_events(launch, [now_ms() - click for click in range(NUM_CLICKS)])
    return NewProduct(
        item_id=launch.product.item_id,
        title=launch.product.title,
        query=launch.query,
        item=launch.product.record(),
        clicks=list(clicks),
    )


def labelled_product(query: str, number: int, time_ms: int) -> NewProduct:
    """Return a product for the user's own log, labelled as one of the demo."""
    item_id, wanted = f"freshet-demo-{number}", f"demo product {number} {query}"
    item: dict[str, object] = {"item_id": item_id, "title": f"Demo product {number}: {query}"}
    clicks: list[dict[str, object]] = [
        {
            "ts_ms": time_ms,
            "type": "search_click",
            "session_id": f"{item_id}-session-{click}",
            "user_id": f"{item_id}-user-{click}",
            "query": wanted,
            "item_id": item_id,
        }
        for click in range(NUM_CLICKS)
    ]
    return NewProduct(
        item_id=item_id, title=str(item["title"]), query=wanted, item=item, clicks=clicks
    )
