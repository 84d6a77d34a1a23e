"""What is asked most is known, in bounded memory."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from server.asked import AskedQueries, Summary


class Clock:
    """A clock that a test moves."""

    seconds = 0.0

    def __call__(self) -> float:
        """Return the time."""
        return self.seconds


@given(texts=st.lists(st.sampled_from("abcdefgh"), max_size=200), capacity=st.integers(1, 10))
def test_a_count_is_at_most_too_high_by_a_share_of_all(texts: list[str], capacity: int) -> None:
    """What is asked more often than one in `capacity` is there, and no count is too
    low: the bounds of space-saving.
    """
    summary = Summary(capacity)
    for text in texts:
        summary.add(text)

    found, truth = summary.counts(), Counter(texts)
    assert len(found) <= capacity
    error = len(texts) / capacity
    assert all(truth[text] <= count <= truth[text] + error for text, count in found.items())
    assert all(text in found for text, count in truth.items() if count > error)


def test_the_most_asked_come_first() -> None:
    """As many as are wanted, equals in the order of their texts."""
    asked = AskedQueries(10)
    for query in ("b", "a", "c", "c"):
        asked.add(query)

    assert asked.most() == [("c", 2), ("a", 1), ("b", 1)]
    assert asked.most(1) == [("c", 2)]


def test_what_was_asked_long_ago_is_forgotten() -> None:
    """Counts reach back over the window and no further."""
    clock = Clock()
    asked = AskedQueries(10, monotonic=clock)
    asked.add("old")
    clock.seconds += asked.window_seconds / 2
    asked.add("new")
    assert asked.most() == [("new", 1), ("old", 1)]

    clock.seconds += asked.window_seconds / 2
    assert asked.most() == [("new", 1)]
    clock.seconds += asked.window_seconds
    assert asked.most() == []
