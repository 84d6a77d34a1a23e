"""Pairs of whole numbers, found by the first."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.fresh.active.runs import MultiMap, NewestValues, spans

PAIRS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 99)), max_size=20)


@given(st.lists(PAIRS, max_size=12), st.lists(st.integers(0, 12), max_size=8))
def test_it_finds_what_a_list_finds(added: list[list[tuple[int, int]]], asked: list[int]) -> None:
    """In the order of adding, however often pairs are added and keys asked."""
    found = MultiMap()
    for pairs in added:
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        found.add(columns[:, 0], columns[:, 1])

    place, value = found.find(np.array(asked, dtype=np.int64))

    for number, key in enumerate(asked):
        expected = [value for pairs in added for each, value in pairs if each == key]
        assert sorted(value[place == number].tolist()) == sorted(expected)


@given(st.lists(PAIRS, max_size=12), st.lists(st.integers(0, 12), max_size=8))
def test_the_newest_values_are_the_end_of_a_list(
    added: list[list[tuple[int, int]]], asked: list[int]
) -> None:
    """Of each key, whatever came at once and what came before."""
    found = NewestValues(3)
    for pairs in added:
        columns = np.array(pairs, dtype=np.int64).reshape(-1, 2)
        found.add(columns[:, 0], columns[:, 1])

    place, value = found.find(np.array(asked, dtype=np.int64))

    for number, key in enumerate(asked):
        expected = [value for pairs in added for each, value in pairs if each == key][-3:]
        assert sorted(value[place == number].tolist()) == sorted(expected)


def test_spans_are_the_numbers_of_each() -> None:
    """One after the other, empty ones among them."""
    first, count = np.array([5, 0, 9]), np.array([2, 0, 3])

    assert spans(first, count).tolist() == [5, 6, 9, 10, 11]
