"""Sorting rows by words, beside what numpy does in one go."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from stream.graph.keysets import order_by

# Keys that agree in all but their lowest bits, or in none: neighbours of 0, of 2^63 and
# of the last key.
_KEYS = st.builds(
    lambda near, by: (near + by) % 2**64, st.sampled_from([0, 2**63, 2**64 - 4]), st.integers(0, 7)
)
_ROWS = st.lists(st.tuples(_KEYS, _KEYS, _KEYS, st.booleans()), max_size=40)


def _column(rows: list[tuple[int, int, int, bool]], place: int) -> NDArray[np.uint64]:
    return np.array([row[place] for row in rows], dtype=np.uint64)


@given(_ROWS, st.integers(0, 2))
def test_order_is_that_of_a_stable_sort_by_all_columns(
    rows: list[tuple[int, int, int, bool]], num_others: int
) -> None:
    """Whatever ties, in however many columns."""
    first, second = _column(rows, 0), _column(rows, 1)
    others = [_column(rows, 2), np.array([row[3] for row in rows], dtype=np.bool_)][:num_others]

    order = order_by(first, second, *others)

    assert order.tolist() == np.lexsort([*reversed(others), second, first]).tolist()
