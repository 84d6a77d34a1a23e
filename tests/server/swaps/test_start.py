"""What a server starts from instead."""

from server.swaps.start import fallbacks


def test_what_served_last_comes_first() -> None:
    """Older ones, the newest first; then those that somebody went back from."""
    assert fallbacks("c", ["a", "b", "c", "d", "e"]) == ["b", "a", "e", "d"]


def test_without_a_pointer_the_newest_comes_first() -> None:
    """Nothing says which one was wanted."""
    assert fallbacks(None, ["a", "b"]) == ["b", "a"]
