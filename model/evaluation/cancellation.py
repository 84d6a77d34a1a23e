"""How an evaluation is cancelled: it asks a function between its steps."""

from collections.abc import Callable

from model.errors import TrainingStopped


def never() -> bool:
    """Run to the end."""
    return False


def refuse_if_cancelled(stop: Callable[[], bool]) -> None:
    """Raise once `stop` returns True.

    Raises:
        TrainingStopped: it did.
    """
    if stop():
        raise TrainingStopped("the evaluation was asked to stop before it was done")
