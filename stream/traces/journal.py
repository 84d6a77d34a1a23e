"""The file in which one stage tells the next which records are followed, and since when
they wait.

It is kept small, replaced in one step, and not synced: what a crash takes of it is a
trace that ends early.
"""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import msgspec

from stream.clock import now_ms
from stream.files import read_plain
from stream.traces.context import TraceContext, parse

logger = logging.getLogger(__name__)

FOLDER = "traces"
"""Of the journals of the streams, in their store."""

ENDING = ".json"

_FORMAT_VERSION = 1  # docs/formats.md
# Records of a journal, the newest: at five a second, as shipped, half a minute of them.
# Twice as many: a reader that was away for twice as long misses none.
_MOST_TRACED = 256
# Of a record in a journal and before the last stage: answers that do not come within
# that are no trace that anybody waits for. Twice as long keeps spans of hours.
MOST_AGE_MS = 600_000
_MOST_BYTES = 1 << 20


class Traced(msgspec.Struct, frozen=True, kw_only=True):
    """A record that is followed.

    Attributes:
        traceparent: the header that it came with.
        record_ms: when the broker had it, in the broker's time.
        since_ms: when the last stage had done with it, by that machine's clock.
    """

    traceparent: str
    record_ms: int
    since_ms: int

    @property
    def context(self) -> TraceContext | None:
        """The span of its producer."""
        return parse(self.traceparent)


class _Content(msgspec.Struct, frozen=True, kw_only=True):
    format_version: int = _FORMAT_VERSION
    traced: tuple[Traced, ...] = ()


_decoder = msgspec.json.Decoder(_Content)


class Journal:
    """Written by one process.

    Args:
        path: of the file; its folder is made.
        clock_ms: UTC epoch milliseconds.
    """

    def __init__(self, path: Path, clock_ms: Callable[[], int] = now_ms) -> None:
        self._path = path
        self._clock_ms = clock_ms
        self._traced: tuple[Traced, ...] = ()

    def add(self, traced: Sequence[Traced]) -> None:
        """Tell of more records; a disk that refuses is logged, and costs their
        traces.
        """
        oldest = self._clock_ms() - MOST_AGE_MS
        kept = [each for each in (*self._traced, *traced) if each.since_ms > oldest]
        self._traced = tuple(kept[-_MOST_TRACED:])
        content = msgspec.json.encode(_Content(traced=self._traced))
        temporary = self._path.with_name(f".{self._path.name}.{uuid4().hex}.tmp")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_bytes(content)
            temporary.replace(self._path)
        except OSError as error:
            logger.warning("traces_not_written path=%s error=%s", self._path, error)
            with suppress(OSError):
                temporary.unlink()


class JournalReader:
    """Reads what is new in journals.

    Args:
        place: a file, or a folder of files.
    """

    def __init__(self, place: Path) -> None:
        self._place = place
        self._stamps: dict[Path, tuple[int, int]] = {}
        self._known: dict[Path, frozenset[Traced]] = {}
        self._began_ms = time.time_ns() // 1_000_000

    def new(self) -> list[Traced]:
        """Return the records that no call has returned yet, and that were told of since
        this reader began.

        A file that is missing or damaged has none.
        """
        found: list[Traced] = []
        for path in self._paths():
            try:
                stat = path.stat()
                stamp = (stat.st_mtime_ns, stat.st_ino)
                if self._stamps.get(path) == stamp:
                    continue
                content = _decoder.decode(read_plain(path, _MOST_BYTES))
            except (OSError, msgspec.DecodeError):
                continue
            self._stamps[path] = stamp
            if content.format_version != _FORMAT_VERSION:
                continue
            traced = frozenset(content.traced)
            known = self._known.get(path, frozenset())
            found += [each for each in content.traced if each not in known]
            self._known[path] = traced
        return [each for each in found if each.since_ms >= self._began_ms]

    def _paths(self) -> list[Path]:
        if self._place.suffix == ENDING:
            return [self._place]
        try:
            return sorted(self._place.glob(f"[!.]*{ENDING}"))
        except OSError:
            return []
