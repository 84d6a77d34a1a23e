"""The queries of the demo, and the product that it launches."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgspec
import numpy as np

from freshet.process import CommandError
from freshet.shop.searches import misspell
from freshet.shop.shop import Shop
from stream.clock import now_ms
from stream.reading.reader import open_graph
from stream.settings import StreamSettings

NUM_CLICKS = 30
"""Clicks on the new product. With five it came first already (seed 7); thirty suffice
for other shops, and for a log with less telling words. Twice as many change nothing.
"""


@dataclass(frozen=True, kw_only=True)
class Queries:
    """The three queries of the demo: a frequent, a rare and an unseen one."""

    frequent: str
    rare: str
    unseen: str
    like: str


@dataclass(frozen=True, kw_only=True)
class NewProduct:
    """The product that is launched, what is typed for it, and the lines to append to
    the log.
    """

    item_id: str
    title: str
    query: str
    lines: Sequence[dict[str, object]]


def choose_queries(store: Path, random: Random) -> Queries:
    """Return the most frequent query of a store, a rare one, and a misspelling that is
    not in the log.

    Raises:
        CommandError: there is no query in the graph.
    """
    with open_graph(store, StreamSettings()) as graph:
        arrays = graph.arrays()
    if not len(arrays.edge_query):
        raise CommandError("the log has no click with a query, so there is nothing to ask for")
    num_sessions = np.bincount(
        arrays.edge_query, arrays.edge_sessions, minlength=arrays.num_queries
    )
    order = [
        int(index) for index in np.argsort(-num_sessions, kind="stable") if num_sessions[index] > 0
    ]
    texts = arrays.query_texts
    rare = [texts[index] for index in order if num_sessions[index] == num_sessions[order[-1]]]
    like = random.choice([texts[index] for index in order[1:20]] or [texts[order[0]]])
    known = set(texts)
    slips = (misspell(like, random) for _ in range(100))
    unseen = next((slip for slip in slips if slip not in known), f"{like} {like}")
    long_enough = [text for text in rare if " " in text] or rare
    return Queries(
        frequent=texts[order[0]], rare=random.choice(long_enough), unseen=unseen, like=like
    )


def append_lines(path: Path, lines: Sequence[dict[str, object]]) -> None:
    """Append JSON lines to a file in one write, so that a reader sees them together."""
    with path.open("ab", buffering=0) as file:
        file.write(msgspec.json.Encoder().encode_lines(lines))


def simulated_product(shop: Shop, number: int) -> NewProduct:
    """Return a product of a simulated shop, with clicks of just now."""
    launch = shop.launch_product(number)
    clicks = shop.launch_events(launch, [now_ms() - click for click in range(NUM_CLICKS)])
    lines: list[dict[str, object]] = [{**launch.product.record()}, *clicks]
    return NewProduct(
        item_id=launch.product.item_id, title=launch.product.title, query=launch.query, lines=lines
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
        item_id=item_id, title=str(item["title"]), query=wanted, lines=[item, *clicks]
    )
