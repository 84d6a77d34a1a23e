"""How far an evaluation is: before each fit, with what is about left."""

import pytest

from freshet.evaluation.fits import FitLines, PlannedFit, Shown, say_on_stderr, seconds_left


def plan() -> list[PlannedFit]:
    """Return a quick fit, and two models that are trained twice each."""
    return [
        PlannedFit(model="bm25", seed=0, is_trained=False),
        *(
            PlannedFit(model=model, seed=seed, is_trained=True)
            for model in ("text", "full")
            for seed in (0, 1)
        ),
    ]


@pytest.mark.parametrize(
    ("done", "left"),
    [
        ([], None),
        ([2.0], None),  # by a quick fit nothing can be told of a training
        ([2.0, 30.0], 90.0),
        ([2.0, 30.0, 40.0], 70.0),
        ([2.0, 30.0, 40.0, 100.0], 100.0),
        ([2.0, 30.0, 40.0, 100.0, 90.0], 0.0),
    ],
)
def test_what_is_left_is_told_by_fits_of_its_kind(done: list[float], left: float | None) -> None:
    """A model's own, where it was fitted before, else all trainings."""
    assert seconds_left(plan(), done) == left


def test_each_fit_is_told_before_it_begins() -> None:
    """First with what each training may take; after one with an estimate."""
    said: list[str] = []
    times = iter([0.0, 2.0, 32.0, 72.0, 172.0])
    lines = FitLines(plan(), 600.0, said.append, clock=lambda: next(times))

    for _ in plan():
        lines.before()

    assert said == [
        "fit 1 of 5: bm25; 4 trainings of at most 10 min 00 s each are left (--budget)",
        "fit 2 of 5: text, seed 0; 4 trainings of at most 10 min 00 s each are left (--budget)",
        "fit 3 of 5: text, seed 1; 32 s so far, about 1 min 30 s left",
        "fit 4 of 5: full, seed 0; 1 min 12 s so far, about 1 min 10 s left",
        "fit 5 of 5: full, seed 1; 2 min 52 s so far, about 1 min 40 s left",
    ]


def test_lines_of_a_log_are_seconds_apart_and_quiet_is_quiet(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What is no terminal gets the first, and none at once after it."""
    for quiet in (False, True):
        say = say_on_stderr(Shown(as_json=False, quiet=quiet))
        say(f"first, quiet {quiet}")
        say("second")

    assert capsys.readouterr().err == "first, quiet False\n"
