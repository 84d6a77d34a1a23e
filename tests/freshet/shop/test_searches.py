"""Tests of what shoppers type."""

from random import Random

from freshet.shop.searches import misspell


def test_a_slip_of_the_fingers_changes_a_text_a_little() -> None:
    """One letter more, one less, or two in the other order."""
    random = Random(1)

    for _ in range(200):
        slip = misspell("running shoes", random)
        assert abs(len(slip) - len("running shoes")) <= 1
        assert slip != "running shoes"
    assert misspell("a", random) == "aa"
