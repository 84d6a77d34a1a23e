"""Why a generation is not taken, and when it is worth another try."""

import errno
import logging
import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from model.errors import (
    ArtifactError,
    GenerationCorrupt,
    GenerationMissing,
    PretrainedTextUnusable,
)
from server.errors import CanaryFailed, GenerationShrunk, LoadStuck, WorkerFailed
from stream.errors import described

logger = logging.getLogger(__name__)

FIRST_RETRY_SECONDS = 1.0
"""Seconds before a generation that failed for a transient reason is retried.

Each further wait is twice as long, up to `retry_seconds`. A try reads every file of the
generation: shorter, and a server with a sick disk would do little else; twice as long,
and a copy that is nearly there goes live two seconds late instead of one.
"""

POINTER_NAME = "CURRENT"
"""Stands for the refused generation where the pointer itself is what is wrong."""

Files = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file of a folder."""


class RefusalReason(StrEnum):
    """Why a generation failed to load; values of the label `reason`."""

    POINTER = "pointer"
    MISSING = "missing"
    CORRUPT = "corrupt"
    ENCODER = "encoder"
    CANARY = "canary"
    SHRUNK = "shrunk"
    STUCK = "stuck"
    WORKER = "worker"
    MEMORY = "memory"
    IO = "io"
    UNEXPECTED = "unexpected"


_TRANSIENT_REASONS = {
    RefusalReason.MISSING,
    RefusalReason.STUCK,
    RefusalReason.WORKER,
    RefusalReason.MEMORY,
    RefusalReason.IO,
    RefusalReason.UNEXPECTED,
}

_OF_THIS_MACHINE = {
    RefusalReason.STUCK,
    RefusalReason.WORKER,
    RefusalReason.MEMORY,
    RefusalReason.IO,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """A generation that failed to load.

    Attributes:
        generation_id: what `CURRENT` named; empty where it named nothing that is an id.
        reason: the kind of failure.
        message: what was wrong, where, and what to do.
        files: names, sizes and times of its files before it was tried: another state is
            worth another try.
        next_try: when to try again though nothing has changed, on the monotonic clock;
            infinity: never.
        wait_seconds: how long that wait is.
    """

    generation_id: str
    reason: RefusalReason
    message: str
    files: Files
    next_try: float
    wait_seconds: float

    @property
    def is_of_this_machine(self) -> bool:
        """Whether the generation may be good, and the server cannot read it now."""
        return self.reason in _OF_THIS_MACHINE

    def is_same(self, generation_id: str, reason: RefusalReason) -> bool:
        """Whether this is of the same generation, for the same reason."""
        return (self.generation_id, self.reason) == (generation_id, reason)


def refusal_of(
    generation_id: str,
    files: Files,
    error: Exception,
    before: Refusal | None,
    now: float,
    retry_seconds: float,
) -> Refusal:
    """Return what an error of a load means.

    Args:
        generation_id: what was tried; empty: the pointer.
        files: its files before it was tried.
        error: what the load raised.
        before: the refusal that stood until now.
        now: seconds on the monotonic clock.
        retry_seconds: the longest wait before another try.
    """
    reason = reason_of(error)
    again = before if before is not None and before.is_same(generation_id, reason) else None
    wait_seconds = FIRST_RETRY_SECONDS if again is None else 2 * again.wait_seconds
    wait_seconds = min(wait_seconds, retry_seconds)
    return Refusal(
        generation_id=generation_id,
        reason=reason,
        message=described(error),
        files=files,
        next_try=now + wait_seconds if reason in _TRANSIENT_REASONS else float("inf"),
        wait_seconds=wait_seconds,
    )


def reason_of(error: Exception) -> RefusalReason:
    """Return the kind of failure that an error of a load is."""
    kinds: tuple[tuple[type[Exception], RefusalReason], ...] = (
        (GenerationMissing, RefusalReason.MISSING),
        (GenerationCorrupt, RefusalReason.CORRUPT),
        (PretrainedTextUnusable, RefusalReason.ENCODER),
        (ArtifactError, RefusalReason.POINTER),
        (CanaryFailed, RefusalReason.CANARY),
        (GenerationShrunk, RefusalReason.SHRUNK),
        (LoadStuck, RefusalReason.STUCK),
        (WorkerFailed, RefusalReason.WORKER),
        (MemoryError, RefusalReason.MEMORY),
        (OSError, RefusalReason.IO),
    )
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return RefusalReason.MEMORY
    return next(
        (reason for kind, reason in kinds if isinstance(error, kind)), RefusalReason.UNEXPECTED
    )


def log_refusal(refusal: Refusal, error: Exception) -> None:
    """Log a refusal in one line; with the traceback where it is nothing expected."""
    unexpected = error if refusal.reason is RefusalReason.UNEXPECTED else None
    logger.error(
        "generation_refused generation=%s reason=%s why=%s",
        refusal.generation_id,
        refusal.reason,
        refusal.message,
        exc_info=unexpected,
    )


def files_of(path: Path) -> Files:
    """Return name, size and modification time of each file in a folder.

    Empty where it cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            stats = [(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
