"""Tests of how output reads."""

import pytest

from freshet.terminal.output import duration, shortened, table


def test_a_table_shows_no_control_characters() -> None:
    """A title may come from anybody.

    What a terminal would act on is replaced, every script is kept.
    """
    shown = table(("title",), [("\x1b[2Jred\x07\nshoes\x9b",), ("日本語\u3000👩\u200d🔬",)])

    assert shown.splitlines() == [
        "title",
        "\ufffd[2Jred\ufffd\ufffdshoes\ufffd",
        "日本語\u3000👩\u200d🔬",
    ]


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0 s"),
        (-0.4, "0 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (3725, "1 h 02 min"),
        (47 * 3600, "47 h 00 min"),
        (51 * 3600, "2 d 3 h"),
        (-3599, "-59 min 59 s"),
        (-12, "-12 s"),
    ],
)
def test_a_duration_has_two_units(seconds: float, said: str) -> None:
    """A clock that is slow is as easy to read as one that is fast."""
    assert duration(seconds) == said


def test_a_title_without_end_is_told_in_part() -> None:
    """And any usual one whole."""
    assert shortened("Desk lamp") == "Desk lamp"
    assert shortened("x" * 160) == "x" * 160
    assert shortened("x" * 161) == "x" * 159 + "…"
