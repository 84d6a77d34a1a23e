"""Pure: what was clicked for queries since the generation, as a segment tells it."""

import json
from collections.abc import Callable

import numpy as np

from model.fresh.active.feedback import ClickedItems

# Items that are named for a query, most sessions first: what explains its vector. Twice
# as many: a tenth more of a busy query's row.
MOST_CLICKED = 10


def clicked_as_json(
    clicked: ClickedItems, num_queries: int, item_id: Callable[[int], str]
) -> list[str]:
    """Return a JSON object a query, its items with their sessions; empty: it has none.

    Args:
        clicked: of the queries, by their places.
        num_queries: how many there are.
        item_id: names the item of a slot; empty: it has no name, and is left out.
    """
    order = np.lexsort((-clicked.sessions, clicked.place))
    place = clicked.place[order]
    # Places are in order: a click's rank is how far it is from the first of its query.
    first = order[np.arange(len(place)) - np.searchsorted(place, place) < MOST_CLICKED]
    # Few items are clicked for many queries: each is named and quoted once.
    slots, which = np.unique(clicked.item[first], return_inverse=True)
    names = [name and json.dumps(name, ensure_ascii=False) for name in map(item_id, slots.tolist())]
    told: list[list[str]] = [[] for _ in range(num_queries)]
    for query, item, sessions in zip(
        clicked.place[first].tolist(),
        which.tolist(),
        clicked.sessions[first].tolist(),
        strict=True,
    ):
        if name := names[item]:
            told[query].append(f"{name}: {sessions}")
    return [f"{{{', '.join(each)}}}" if each else "" for each in told]
