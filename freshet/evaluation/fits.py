"""How far an evaluation is: said before each fit, with what is about left."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import click

from freshet.terminal.output import duration
from freshet.terminal.progress import LINE_EVERY_SECONDS


@dataclass(frozen=True, kw_only=True)
class Shown:
    """How an evaluation is shown.

    Attributes:
        as_json: one JSON object a line instead of tables.
        quiet: nothing about how far it is.
    """

    as_json: bool
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class PlannedFit:
    """A fit of an evaluation.

    Attributes:
        model: its name.
        seed: of it.
        is_trained: whether it takes as long as a training, else moments.
    """

    model: str
    seed: int
    is_trained: bool


class FitLines:
    """Says what is fitted next, on a terminal before each fit, in a log no more often
    than other progress.

    Args:
        plan: all fits, in their order.
        budget_seconds: the longest that one may take.
        say: takes a line.
        clock: monotonic, in seconds.
    """

    def __init__(
        self,
        plan: Sequence[PlannedFit],
        budget_seconds: float,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._plan = plan
        self._budget_seconds = budget_seconds
        self._say = say
        self._clock = clock
        self._starts: list[float] = []

    def before(self) -> None:
        """Note that the next fit begins."""
        self._starts.append(self._clock())
        place = len(self._starts) - 1
        fit = self._plan[place]
        seed = f", seed {fit.seed}" if fit.is_trained else ""
        said = f"fit {place + 1} of {len(self._plan)}: {fit.model}{seed}; {self._left(place)}"
        self._say(said)

    def _left(self, place: int) -> str:
        so_far = duration(self._starts[-1] - self._starts[0])
        done = [after - began for began, after in zip(self._starts, self._starts[1:], strict=False)]
        left = seconds_left(self._plan, done)
        if left is not None:
            return f"{so_far} so far, about {duration(left)} left"
        trainings = sum(each.is_trained for each in self._plan[place:])
        longest = duration(self._budget_seconds)
        if trainings <= 1:
            return f"takes at most {longest} (--budget)" if trainings else "takes moments"
        return f"{trainings} trainings of at most {longest} each are left (--budget)"


def seconds_left(plan: Sequence[PlannedFit], done: Sequence[float]) -> float | None:
    """Return about how long the rest of a plan takes; None: no training was done yet by
    which to tell.

    A fit takes as long as those of its model did; one of a model that was not fitted
    yet as long as trainings did, or no time where it is none.

    Args:
        plan: all fits, in their order.
        done: seconds of those that are over.
    """
    by_model: dict[str, list[float]] = {}
    trainings: list[float] = []
    for fit, seconds in zip(plan, done, strict=False):
        by_model.setdefault(fit.model, []).append(seconds)
        if fit.is_trained:
            trainings.append(seconds)
    left = 0.0
    for fit in plan[len(done) :]:
        known = by_model.get(fit.model, trainings if fit.is_trained else [0.0])
        if not known:
            return None
        left += sum(known) / len(known)
    return left


def say_on_stderr(shown: Shown) -> Callable[[str], None]:
    """Return what prints lines on stderr: all on a terminal, else one every few seconds
    at most, none where it is to be quiet.
    """
    last: list[float] = []

    def say(line: str) -> None:
        now = time.monotonic()
        is_due = sys.stderr.isatty() or not last or now - last[-1] >= LINE_EVERY_SECONDS
        if shown.quiet or not is_due:
            return
        last.append(now)
        click.echo(line, err=True)

    return say
