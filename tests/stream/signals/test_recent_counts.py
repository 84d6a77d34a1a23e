"""Counts that fade."""

from stream.signals.recent_counts import WINDOW_SECONDS, RecentCounts


class _Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_what_is_older_than_the_window_does_not_count() -> None:
    """A burst is there for five minutes, and gone a moment later."""
    clock = _Clock()
    counts = RecentCounts(clock)
    counts.add("malformed", 5)
    clock.now += WINDOW_SECONDS - 10
    counts.add("malformed", 2)
    counts.add("too_late", 1)

    assert (counts.of("malformed"), counts.of("too_late"), counts.of("none")) == (7, 1, 0)
    clock.now += 21
    assert counts.of("malformed") == 2
    clock.now += WINDOW_SECONDS
    assert counts.of("malformed") == counts.of("too_late") == 0
