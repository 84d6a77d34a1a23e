"""Tests of how output reads."""

from freshet.terminal.output import table


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
