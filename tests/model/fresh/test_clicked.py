"""What was clicked for queries since the generation, as a segment tells it."""

import json

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.fresh.active.feedback import ClickedItems
from model.fresh.clicked import MOST_CLICKED, clicked_as_json

NUM_QUERIES, NUM_ITEMS = 4, 30
NAMES = [f'item {number} "\\{chr(0x4E00 + number)}' for number in range(NUM_ITEMS)]
NAMES[3] = ""  # it is erased


@given(
    st.dictionaries(
        st.tuples(st.integers(0, NUM_QUERIES - 1), st.integers(0, NUM_ITEMS - 1)),
        st.integers(1, 5),
    )
)
def test_a_query_names_what_was_clicked_most(clicks: dict[tuple[int, int], int]) -> None:
    """The first ten of each, by sessions, then in their order; what has no name is left
    out, and texts are as they are.
    """
    clicked = ClickedItems(
        np.array([query for query, _ in clicks], dtype=np.int64),
        np.array(list(clicks.values()), dtype=np.int64),
        np.array([item for _, item in clicks], dtype=np.int64),
    )
    wanted = []
    for query in range(NUM_QUERIES):
        own = [(item, count) for (each, item), count in clicks.items() if each == query]
        most = sorted(own, key=lambda pair: -pair[1])[:MOST_CLICKED]
        named = {NAMES[item]: count for item, count in most if NAMES[item]}
        wanted.append(json.dumps(named, ensure_ascii=False) if named else "")

    assert clicked_as_json(clicked, NUM_QUERIES, NAMES.__getitem__) == wanted
