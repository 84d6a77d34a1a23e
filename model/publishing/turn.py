"""Whose turn it is to make a generation: one training at a time for a folder."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model.artifact.process_lock import ProcessLock
from model.errors import TrainingCancelled, TrainingLocked

logger = logging.getLogger(__name__)


@contextmanager
def training_turn(artifacts: Path, waits: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """Be the one who trains for an artifacts folder within the block.

    Two at once would go on from the same parent, write over each other's saved state,
    and the last to end would be live, whatever the other had learned.

    Args:
        artifacts: the folder, whose ``LOCK`` says who trains.
        waits: called while another process does: waits a moment and returns True, or
            False to wait no longer.

    Raises:
        TrainingLocked: another process trains, and is not waited for; the message says
            which.
        TrainingCancelled: it was, and then no longer.
        OSError: the lock cannot be made.
    """
    lock = _lock(artifacts / "LOCK", waits)
    try:
        yield
    finally:
        lock.release()


def _lock(path: Path, waits: Callable[[], bool]) -> ProcessLock:
    is_told = False
    while True:
        try:
            return ProcessLock(path, _refused)
        except TrainingLocked as error:
            if waits():
                if not is_told:
                    logger.warning("waiting for another training error=%s", error)
                is_told = True
                continue
            if is_told:
                raise TrainingCancelled("stopped while another training had its turn") from error
            raise


def _refused(holder: str, path: Path) -> TrainingLocked:
    return TrainingLocked(
        f"another training ({holder}) makes a generation in {path.parent}: wait for its end, or "
        "stop it"
    )
