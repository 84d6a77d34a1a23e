"""Cancellation of an evaluation, checked between its steps."""

from collections.abc import Callable

from model.errors import TrainingCancelled


def never() -> bool:
    """Run to the end."""
    return False


def refuse_if_cancelled(is_cancelled: Callable[[], bool]) -> None:
    """Raise once `is_cancelled` returns True.

    Raises:
        TrainingCancelled: it did.
    """
    if is_cancelled():
        raise TrainingCancelled("the evaluation was cancelled before it was done")
