"""Watches `CURRENT`, and loads a new generation beside the live one.

A generation that fails to load changes nothing.
"""

import errno
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Event, Thread

from model.artifact.store import ArtifactStore
from model.errors import ArtifactError, GenerationCorrupt, GenerationMissing, ModelError
from server.errors import CanaryFailed, ServerError
from server.live import LiveGeneration
from server.metrics import ServerMetrics
from server.settings import ServerSettings
from server.views import LiveViews
from stream.clock import now_ms

logger = logging.getLogger(__name__)

_FIRST_RETRY_SECONDS = 1.0
"""Seconds before a generation that failed for a transient reason is retried.

Each further wait is twice as long, up to `retry_seconds`. A try reads every file of the
generation: shorter, and a server with a sick disk would do little else; twice as long,
and a copy that is nearly there goes live two seconds late instead of one.
"""

Files = tuple[tuple[str, int, int], ...]
"""Name, size and modification time of each file of a folder."""


class RefusalReason(StrEnum):
    """Why a generation failed to load; values of the label `reason`."""

    POINTER = "pointer"
    MISSING = "missing"
    CORRUPT = "corrupt"
    CANARY = "canary"
    MEMORY = "memory"
    IO = "io"
    UNEXPECTED = "unexpected"


_TRANSIENT_REASONS = {
    RefusalReason.MISSING,
    RefusalReason.MEMORY,
    RefusalReason.IO,
    RefusalReason.UNEXPECTED,
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


class GenerationWatcher:
    """Loads what `CURRENT` names and offers it to the live views.

    Args:
        store: the artifacts folder.
        views: what a loaded generation is offered to.
        settings: the server's settings.
        metrics: where refusals are counted.
        clock_ms: the time now, UTC epoch milliseconds.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        store: ArtifactStore,
        views: LiveViews,
        settings: ServerSettings,
        metrics: ServerMetrics,
        *,
        clock_ms: Callable[[], int] = now_ms,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._views = views
        self._settings = settings
        self._metrics = metrics
        self._clock_ms = clock_ms
        self._monotonic = monotonic
        self._refusal: Refusal | None = None
        self._stop = Event()
        self._thread: Thread | None = None

    @property
    def last_refusal(self) -> str:
        """Why the newest generation failed to load; empty: it did not."""
        refusal = self._refusal
        return "" if refusal is None else refusal.message

    @property
    def stopped(self) -> bool:
        """Whether the watching thread does not run."""
        return self._thread is None or not self._thread.is_alive()

    def load_first(self) -> bool:
        """Load what `CURRENT` names, before watching; return False if there is no
        `CURRENT` yet.

        Raises:
            ModelError: it is missing or corrupt, or `CURRENT` is.
            ServerError: it failed its canary queries.
            OSError: it cannot be read.
            MemoryError: it does not fit into memory.
        """
        wanted = self._store.current_id()
        if wanted is not None and self._loaded_fresher(wanted):
            return True
        while wanted is not None:
            try:
                self._take(self._load(wanted))
                return True
            except (ModelError, ServerError, OSError) as error:
                # A tuner may have published another one and pruned this one meanwhile.
                newer = self._store.current_id()
                if newer == wanted and isinstance(error, GenerationMissing | GenerationCorrupt):
                    advice = "go back with `freshet generations use ID`, or train again"
                    raise type(error)(f"{error}; {advice}") from error
                if newer == wanted:
                    raise
                wanted = newer
        logger.info("waiting_for_first_generation artifacts=%s", self._store.root)
        return False

    def _loaded_fresher(self, wanted: str) -> bool:
        """Load the generation before the wanted one, where its overlay is ahead.

        A server that ran on would still answer from it: the refresher has not caught up
        on the wanted one yet, which is loaded next, and waits for that.
        """
        fresher = self._views.fresher_than(wanted, self._store.generation_ids())
        if not fresher:
            return False
        try:
            self._take(self._load(fresher))
        except (ModelError, ServerError, OSError) as error:
            logger.warning("fresher_generation_refused generation=%s why=%s", fresher, error)
            return False
        return True

    def start(self) -> None:
        """Begin to watch, in a thread of its own."""
        self._thread = Thread(target=self._run, name="generation-watcher", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End watching; a running load gets `grace_seconds` to finish, then it is
        abandoned.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join(self._settings.grace_seconds)

    def poll(self) -> None:
        """Poll `CURRENT` once, and load the generation it names if that is a new one.

        A generation that fails to load is counted and logged, never raised.
        """
        try:
            wanted = self._store.current_id()
        except (ArtifactError, OSError) as error:
            self._refuse("", (), error)
            return
        live = self._views.live
        if wanted is None:
            return
        if live is not None and wanted == live.generation_id:
            self._views.withdraw()
            self._refusal = None
            return
        if wanted == self._views.pending_id:
            return
        files = _files_of(self._store.generation_path(wanted))
        if self._worth_trying(wanted, files):
            self._try(wanted, files)

    def _run(self) -> None:
        while not self._stop.wait(self._settings.watch_every_seconds):
            self.poll()

    def _worth_trying(self, wanted: str, files: Files) -> bool:
        refusal = self._refusal
        return (
            refusal is None
            or refusal.generation_id != wanted
            or self._monotonic() >= refusal.next_try
            or files != refusal.files
        )

    def _try(self, wanted: str, files: Files) -> None:
        try:
            self._take(self._load(wanted))
        except Exception as error:  # noqa: BLE001  # whatever is wrong with the new one, the old one must stay live
            self._refuse(wanted, files, error)

    def _load(self, generation_id: str) -> LiveGeneration:
        path = self._store.generation_path(generation_id)
        return LiveGeneration.load(path, self._settings, clock_ms=self._clock_ms)

    def _take(self, new: LiveGeneration) -> None:
        self._refusal = None
        self._views.offer(new)

    def _refuse(self, generation_id: str, files: Files, error: Exception) -> None:
        """Record a refusal: count each try, but log the same refusal once."""
        reason = _reason_of(error)
        before = self._refusal
        again = before is not None and (before.generation_id, before.reason) == (
            generation_id,
            reason,
        )
        if again and reason is RefusalReason.POINTER:
            return
        wait_seconds = self._next_wait(before if again else None)
        self._refusal = Refusal(
            generation_id=generation_id,
            reason=reason,
            message=str(error) or type(error).__name__,
            files=files,
            next_try=self._monotonic() + wait_seconds
            if reason in _TRANSIENT_REASONS
            else float("inf"),
            wait_seconds=wait_seconds,
        )
        self._metrics.refused(reason)
        if not again:
            _log_refusal(self._refusal, error)

    def _next_wait(self, before: Refusal | None) -> float:
        wait_seconds = _FIRST_RETRY_SECONDS if before is None else 2 * before.wait_seconds
        return min(wait_seconds, self._settings.retry_seconds)


def _log_refusal(refusal: Refusal, error: Exception) -> None:
    unexpected = error if refusal.reason is RefusalReason.UNEXPECTED else None
    logger.error(
        "generation_refused generation=%s reason=%s why=%s",
        refusal.generation_id,
        refusal.reason,
        refusal.message,
        exc_info=unexpected,
    )


def _reason_of(error: Exception) -> RefusalReason:
    kinds: tuple[tuple[type[Exception], RefusalReason], ...] = (
        (GenerationMissing, RefusalReason.MISSING),
        (GenerationCorrupt, RefusalReason.CORRUPT),
        (ArtifactError, RefusalReason.POINTER),
        (CanaryFailed, RefusalReason.CANARY),
        (MemoryError, RefusalReason.MEMORY),
        (OSError, RefusalReason.IO),
    )
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return RefusalReason.MEMORY
    return next(
        (reason for kind, reason in kinds if isinstance(error, kind)), RefusalReason.UNEXPECTED
    )


def _files_of(path: Path) -> Files:
    """Return name, size and modification time of each file in a folder.

    Empty where it cannot be read.
    """
    try:
        with os.scandir(path) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats))
