"""Loads a generation in a thread of its own, which a deadline abandons."""

import logging
import os
from collections.abc import Callable
from pathlib import Path
from threading import Event, Lock, Thread, get_native_id

from server.errors import LoadStuck
from server.live import LiveGeneration
from server.settings import ServerSettings
from stream.clock import now_ms

logger = logging.getLogger(__name__)

# A thread that hangs in a read of a dead network disk cannot be ended, only left
# behind, with what it holds. Twice as many would let a dead disk hold twice the memory.
_MOST_ABANDONED = 2


class Loader:
    """Loads generations, one at a time, each within `load_seconds`.

    A load that takes longer is told to end, which it does after the file that it is at;
    one that hangs in the operating system is left behind.

    Args:
        settings: the server's settings.
        clock_ms: the time now, UTC epoch milliseconds.
        keeps_files: see `LiveGeneration.load`.
        niceness: of the thread that loads, on Linux: 0 as the process has it, 19 after
            all others.
    """

    def __init__(
        self,
        settings: ServerSettings,
        *,
        clock_ms: Callable[[], int] = now_ms,
        keeps_files: bool = False,
        niceness: int = 0,
    ) -> None:
        self._settings = settings
        self._clock_ms = clock_ms
        self._keeps_files = keeps_files
        self._niceness = niceness
        self._lock = Lock()
        self.abandoned = 0
        """Loads that were given up and have not ended."""

    def load(self, path: Path) -> LiveGeneration:
        """Load the generation in a folder; see `LiveGeneration.load`.

        Raises:
            LoadStuck: it took longer than `load_seconds`, or loads that hang hold as
                much as they may.
        """
        if self.abandoned >= _MOST_ABANDONED:
            raise LoadStuck(
                f"{self.abandoned} loads hang, so {path} is not tried; "
                "see whether its disk answers, then restart the server"
            )
        attempt = _Attempt(path, self._loaded)
        if not attempt.done.wait(self._settings.load_seconds):
            self._abandon(attempt)
            raise LoadStuck(
                f"{path} took longer than server.load_seconds ({self._settings.load_seconds:g}) to "
                "load; see whether its disk answers, or raise the setting"
            )
        return attempt.result()

    def _loaded(self, path: Path, on_file: Callable[[Path], None]) -> LiveGeneration:
        if self._niceness:
            # Of this thread alone: Linux has a priority for each.
            os.setpriority(os.PRIO_PROCESS, get_native_id(), self._niceness)
        return LiveGeneration.load(
            path,
            self._settings,
            clock_ms=self._clock_ms,
            on_file=on_file,
            keeps_files=self._keeps_files,
        )

    def _abandon(self, attempt: "_Attempt") -> None:
        with self._lock:
            self.abandoned += 1
        attempt.give_up(self._ended)

    def _ended(self) -> None:
        with self._lock:
            self.abandoned -= 1


class _Attempt:
    """One load, in a thread that ends with it.

    Attributes:
        done: set once it has ended.
    """

    def __init__(self, path: Path, load: Callable[..., LiveGeneration]) -> None:
        self.done = Event()
        self._loaded: LiveGeneration | None = None
        self._error: BaseException | None = None
        self._given_up = Event()
        self._thread = Thread(
            target=self._run, args=(path, load), name="generation-load", daemon=True
        )
        self._thread.start()

    def result(self) -> LiveGeneration:
        """Return what was loaded, or raise what went wrong; once `done` is set."""
        if self._loaded is None:
            raise self._error or LoadStuck("given up")
        return self._loaded

    def give_up(self, on_end: Callable[[], None]) -> None:
        """Tell the load to end, and say when it has."""
        self._given_up.set()

        def wait() -> None:
            self.done.wait()
            on_end()

        Thread(target=wait, name="generation-load-end", daemon=True).start()

    def _run(self, path: Path, load: Callable[..., LiveGeneration]) -> None:
        try:
            self._loaded = load(path, self._check_time)
        except BaseException as error:  # noqa: BLE001  # it is raised where the load was asked for
            self._error = error
        if self._given_up.is_set():
            self._loaded = None
        self.done.set()

    def _check_time(self, path: Path) -> None:
        if self._given_up.is_set():
            raise LoadStuck(f"given up before {path}")
