"""Sets of members that sessions made and took."""

import numpy as np
import pytest

from model.fresh.active import changed_sets
from model.fresh.active.changed_sets import ChangedSets, Sets


def sets_of(*members: list[int]) -> Sets:
    """Return sets of these members."""
    sizes = np.array([len(each) for each in members])
    return Sets(np.cumsum(sizes) - sizes, sizes, np.concatenate(members).astype(np.int64))


@pytest.fixture
def changed(monkeypatch: pytest.MonkeyPatch) -> ChangedSets:
    """Return sets of which the newest three of a node are found."""
    monkeypatch.setattr(changed_sets, "_NEWEST_SETS", 3)
    return ChangedSets()


def test_a_click_on_what_is_in_many_sets_finds_the_newest_alone(changed: ChangedSets) -> None:
    """However many there were: a node costs no more each day."""
    for other in range(1, 101):
        changed.add(sets_of([0, other]), 1)

    touched = changed.of(np.array([0]))

    assert len(touched.share) == 3
    assert sorted(touched.member.tolist()) == [0, 0, 0, 98, 99, 100]


def test_how_many_sets_there_were_is_known_all_the_same(changed: ChangedSets) -> None:
    """Each as often as it was added, less how often it was taken, and never below 0."""
    for other in range(1, 101):
        changed.add(sets_of([0, other]), 1)
    changed.add(sets_of([0, 1], [0, 1], [0, 2]), 1)
    changed.add(sets_of([0, 5], [6, 7]), -1)

    assert changed.num_of(np.array([0, 1, 5, 6, 1000])).tolist() == [102, 3, 0, 0, 0]


def test_a_set_that_was_taken_again_is_not_found(changed: ChangedSets) -> None:
    """And one that was added twice counts twice."""
    changed.add(sets_of([0, 1], [0, 2], [0, 2]), 1)
    changed.add(sets_of([0, 1]), -1)

    touched = changed.of(np.array([0]))

    assert touched.member.tolist() == [0, 2]
    assert touched.share.tolist() == [1.0]
