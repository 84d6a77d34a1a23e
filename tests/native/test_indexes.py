"""Keys among others in ascending order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import freshet_native
from stream.events import native
from stream.events.columns import Keys
from stream.graph.keysets import indexes_of

numbers = st.lists(st.integers(0, 40) | st.integers(0, 2**64 - 1), max_size=60)


@given(numbers, numbers)
def test_keys_are_found_where_numpy_finds_them(ordered: list[int], asked: list[int]) -> None:
    """In ascending order and in any other, repeats among them."""
    among: Keys = np.array(sorted(set(ordered)), dtype=np.uint64)
    for order in (sorted(asked), asked):
        keys: Keys = np.array(order, dtype=np.uint64)
        assert native.indexes_of(among, keys).tolist() == indexes_of(among, keys).tolist()


@given(numbers, numbers)
def test_columns_are_united(one: list[int], other: list[int]) -> None:
    """In ascending order, each key once, from where it is first."""
    first, second = (np.array(sorted(set(each)), dtype=np.uint64) for each in (one, other))
    keys, places = native.united(first, second)

    assert keys.tolist() == sorted({*one, *other})
    assert np.concatenate([first, second])[places].tolist() == keys.tolist()
    assert all(place < len(first) for place, key in zip(places, keys, strict=True) if key in first)


def test_columns_must_have_room() -> None:
    """A column of another length is refused, not written beyond."""
    keys: Keys = np.arange(3, dtype=np.uint64)
    with pytest.raises(ValueError, match="room beside them"):
        freshet_native.indexes_of(keys, keys, np.zeros(2, dtype=np.int64))
