"""Progress in a log: lines seconds apart, with what is about left."""

from types import SimpleNamespace

import pytest

from freshet.terminal import progress as progress_module
from freshet.terminal.progress import progress


def test_a_line_says_what_is_about_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By what is done so far; not where nothing is, or the whole is unknown."""
    times = iter([0.0, 10.0, 20.0, 30.0])
    clock = SimpleNamespace(monotonic=lambda: next(times))
    monkeypatch.setattr(progress_module, "time", clock)

    with progress("replaying", "trainings") as advance:
        advance(0, 8)
        advance(2, 8)
        advance(3, None)

    assert capsys.readouterr().err == (
        "replaying: 0 of 8 (0%) trainings after 10 s\n"
        "replaying: 2 of 8 (25%) trainings after 20 s, about 1 min 00 s left\n"
        "replaying: 3 trainings after 30 s\n"
    )


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """On no terminal either."""
    with progress("replaying", "trainings", quiet=True) as advance:
        advance(1, 2)

    assert capsys.readouterr().err == ""
