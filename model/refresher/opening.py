"""Opens generations beside the work, in a thread of its own."""

from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

from model.artifact.generation import Generation, open_generation
from model.refresher.parts import Parts, Vectors
from model.refresher.reasons import Trouble

# Seconds before a generation that could not be opened is tried again; each further wait
# is twice as long, up to the other. A try reads every file of it: shorter, and a sick
# disk would have nothing else to do; twice as long, and one that is mended waits so.
_FIRST_PAUSE_SECONDS = 1.0
_LONGEST_PAUSE_SECONDS = 60.0


class Opened(NamedTuple):
    """A generation, verified, and its vectors."""

    generation: Generation
    vectors: Vectors


class GenerationOpener:
    """Opens one generation at a time, and again where that failed.

    Args:
        parts: what the refresher works with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._threads = ThreadPoolExecutor(1, "generation-opener")
        self._opening: tuple[str, Future[Opened]] | None = None
        self._verified = ""
        self._failure = _NO_FAILURE

    @property
    def trouble(self) -> Trouble | None:
        """Why what is wanted was not of use the last time it was tried."""
        return self._failure.trouble

    def close(self) -> None:
        """Wait for what is being opened, and open no more."""
        self._threads.shutdown(cancel_futures=True)

    def failed(self, generation_id: str, trouble: Trouble) -> Trouble:
        """What was opened is of no use: the next try waits.

        Returns:
            `trouble`.
        """
        before = self._failure
        again = before.generation_id == generation_id
        pause = 2 * before.pause_seconds if again else _FIRST_PAUSE_SECONDS
        pause = min(pause, _LONGEST_PAUSE_SECONDS)
        self._failure = _Failure(generation_id, trouble, pause, self._parts.monotonic() + pause)
        return trouble

    def succeeded(self, generation_id: str) -> None:
        """What was opened is of use: a later failure begins with a short pause."""
        if self._failure.generation_id == generation_id:
            self._failure = _NO_FAILURE

    def open(self, generation_id: str) -> Opened | None:
        """Return a generation once it is open; None: not yet.

        Raises:
            Exception: it cannot be used; the caller says so to `failed`.
        """
        if self._failure.generation_id not in ("", generation_id):
            self._failure = _NO_FAILURE
        if self._opening is not None and self._opening[0] != generation_id:
            self._opening[1].cancel()
            self._opening = None
        if self._opening is None:
            if self._parts.monotonic() >= self._failure.next_try:
                self._opening = (generation_id, self._threads.submit(self._open, generation_id))
            return None
        opening = self._opening[1]
        if not opening.done():
            return None
        self._opening = None
        opened = opening.result()
        self._verified = generation_id
        return opened

    def _open(self, generation_id: str) -> Opened:
        path = self._parts.artifacts.generation_path(generation_id)
        generation = open_generation(path, verify=generation_id != self._verified)
        return Opened(generation, self._parts.vectors_of(generation))


class _Failure(NamedTuple):
    """A generation that was of no use, and when to try it again."""

    generation_id: str
    trouble: Trouble | None
    pause_seconds: float
    next_try: float


_NO_FAILURE = _Failure("", None, 0.0, 0.0)
