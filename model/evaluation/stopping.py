"""How an evaluation is told to stop: a function that is asked between steps."""

from collections.abc import Callable

from model.errors import TrainingStopped


def never() -> bool:
    """Go on to the end."""
    return False


def end_if(stop: Callable[[], bool]) -> None:
    """Raise where `stop` says so.

    Raises:
        TrainingStopped: it does.
    """
    if stop():
        raise TrainingStopped("the evaluation was asked to stop before it was done")
