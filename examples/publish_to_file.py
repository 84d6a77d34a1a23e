r"""Writes the clicks and the catalogue of a tiny shop as JSON lines.

Run it, make a graph of what it wrote, and train on the graph::

    python examples/publish_to_file.py shop
    freshet stream --source file:shop/events.jsonl \
        --catalog file:shop/items.jsonl --store shop/store
    freshet train --store shop/store --artifacts shop/artifacts

`examples/read_generation.py` and `examples/retrieve.py` go on from there.
"""

import json
import random
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

COLOURS = ("red", "blue", "green", "amber", "violet")
KINDS = ("mug", "lamp", "scarf", "kettle", "notebook", "backpack")


def items() -> Iterator[dict[str, object]]:
    """Yield a product of each kind in each colour."""
    for kind in KINDS:
        for colour in COLOURS:
            # Only `item_id` must be there. Text under any other name is searched, too.
            yield {"item_id": f"{kind}-{colour}", "title": f"{colour} {kind}".title()}


def clicks(num_sessions: int, now_ms: int) -> Iterator[dict[str, object]]:
    """Yield sessions in which somebody searches for a product and clicks what fits."""
    chance = random.Random(7)
    for number in range(num_sessions):
        colour, kind = chance.choice(COLOURS), chance.choice(KINDS)
        # First any product of the kind, then the right one: sessions link products.
        searches = [(kind, chance.choice(COLOURS)), (f"{colour} {kind}", colour)]
        for step, (query, clicked) in enumerate(searches):
            yield {
                # When it happened, UTC epoch milliseconds: never when it was sent.
                "ts_ms": now_ms - (num_sessions - number) * 10_000 + step * 2_000,
                "type": "search_click",
                "session_id": f"session-{number}",
                # Only the user makes it possible to forget somebody (`freshet erase`).
                "user_id": f"user-{number % 50}",
                "query": query,
                "item_id": f"{kind}-{clicked}",
            }


def write_lines(path: Path, records: Iterable[dict[str, object]]) -> int:
    """Write one JSON object a line and return how many."""
    lines = [json.dumps(record) for record in records]
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return len(lines)


def main(folder: str) -> None:
    """Write the shop into a folder."""
    shop = Path(folder)
    shop.mkdir(parents=True, exist_ok=True)
    num_items = write_lines(shop / "items.jsonl", items())
    num_clicks = write_lines(shop / "events.jsonl", clicks(300, time.time_ns() // 1_000_000))
    print(f"wrote {num_clicks} clicks and {num_items} items to {shop}")


if __name__ == "__main__":
    main(*sys.argv[1:])
