"""Event files in, records and positions out: read once, or followed as they grow."""

import glob
import logging
import math
import select
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from stream.clock import now_ms
from stream.errors import SourceUnreadable
from stream.events.formats.catalog import JSON_ITEM
from stream.events.types import RecordBatch, SourcePartition
from stream.settings import StreamSettings
from stream.signals.lag import Lag
from stream.sources.arrivals import Arrivals
from stream.sources.content import proof_of
from stream.sources.lines import LineReader, Lines
from stream.store.store import Store

logger = logging.getLogger(__name__)

# What the lag of all files together is called in the metrics.
_ALL_FILES = ("files", 0)
# In the place of a fingerprint in a pipe's position, which nothing is resumed from.
_PIPE = "pipe"
# Chunks of a file read between two looks at whether to stop, of 128 KiB or what they
# unpack to: some hundredths of a second. Twice as many: a stop waits twice as long for
# a line that does not end.
_CHUNKS_AT_ONCE = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class FileRead:
    """What was read of a file.

    Attributes:
        path: absolute.
        position: what its records come from.
        num_lines: that were read, blank ones left out; 0 where all was applied before.
        from_start: it was not resumed.
        head: its first bytes, unpacked; empty where it was resumed.
        is_pipe: it can be read only once.
        is_catalog: its lines were to be catalogue items.
    """

    path: Path
    position: SourcePartition
    num_lines: int
    from_start: bool
    head: bytes
    is_pipe: bool
    is_catalog: bool


class FileSource:
    """Reads the lines of event and catalogue files as records.

    A position is named by the file's absolute path and a fingerprint, so that a file
    that was replaced or rotated is read from its start; facts seen twice change
    nothing. A pipe cannot be read again, so there is no going on in it: whatever comes
    out of it is read.

    Args:
        paths: event files, or glob patterns of them.
        settings: sizes of batches and lines, and how often followed files are looked
            at.
        catalog_paths: files of catalogue items, or glob patterns of them; read before
            the events.
        follow: keep watching the files, and the patterns for new ones, instead of
            ending.
        own_shards: shards whose positions count; None: all. Others are read for by
            other processes.

    Raises:
        SourceUnreadable: a path names no readable file (when following, what is missing
            is waited for).
    """

    shards_by_partition = False

    def __init__(
        self,
        paths: Sequence[str],
        settings: StreamSettings,
        *,
        catalog_paths: Sequence[str] = (),
        follow: bool = False,
        own_shards: Collection[int] | None = None,
    ) -> None:
        self._own_shards = own_shards
        self._patterns = [(pattern, JSON_ITEM) for pattern in catalog_paths]
        self._patterns += [(pattern, "") for pattern in paths]
        self._settings = settings
        self._follow = follow
        self._files: dict[Path, _File] = {}
        self._shards: list[int] = []
        self._handed_out = _HandedOut()
        self._stored: Mapping[SourcePartition, int] = {}
        self._awaited: set[str] = set()
        self._failure: SourceUnreadable | None = None
        self._find_files()

    def start(self, store: Store) -> None:
        """Resume from the positions of a store.

        Of each file, the least that all its shards have applied.
        """
        own = self._own_shards
        self._shards = list(range(store.num_shards)) if own is None else sorted(own)
        self._stored = _least([store.shard(number).positions() for number in self._shards])

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:
        """Return the next records, file after file; none when there are none now.

        Raises:
            SourceUnreadable: a file is damaged or cut short; everything readable was
                returned before.
        """
        records = self._read()
        if not records and self._follow:
            self._find_files()
            records = self._read()
        if not records and self._failure:
            raise self._failure
        if not records and not self.exhausted and not self._has_paused:
            self._wait(min(self._settings.follow_poll_seconds, max_wait_seconds))
            records = self._read()
        self._handed_out.is_unapplied |= bool(records)
        return records

    def idle(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    @property
    def rebalances(self) -> int:
        """Never: a file is read by whoever opened it."""
        return 0

    @property
    def exhausted(self) -> bool:
        """Whether everything was read and nothing more is awaited."""
        return (
            not self._follow
            and not self._failure
            and all(file.ended for file in self._files.values())
        )

    def lag(self) -> Lag:
        """Return how long content has waited that is there and was not handed out yet.

        A file does not say how many records wait in it, nor when they came: what is
        there at the start counts from the first look.
        """
        now, at_ms = time.monotonic(), now_ms()
        oldest = 0.0
        for path, file in self._files.items():
            arrivals, size = file.arrivals, _size_bytes(path)
            arrivals.see_end(size, heard=now, now=now)
            done = size if file.ended else file.bytes_done
            oldest = max(oldest, arrivals.age_seconds(done, now=now, now_ms=at_ms))
        return Lag(seconds={_ALL_FILES: oldest})

    @property
    def files_read(self) -> list[FileRead]:
        """What was read so far of each file that was opened."""
        return [file.so_far for file in self._files.values() if file.so_far is not None]

    @property
    def bytes_total(self) -> int:
        """Size of all files as they are on disk."""
        return sum(_size_bytes(path) for path in self._files)

    @property
    def bytes_done(self) -> int:
        """How much of `bytes_total` was read."""
        return sum(min(file.bytes_done, _size_bytes(path)) for path, file in self._files.items())

    def reflected_ms(
        self, once_applied: Mapping[SourcePartition, int] | None = None
    ) -> dict[int, int]:
        """Return, for every shard, the time up to which all that had come into the
        files is applied.

        While what was handed out is not applied, what was said last; nothing yet: no
        end of the files was reached.

        Args:
            once_applied: what can be said once all that was handed out is applied;
                None: now.
        """
        if self._handed_out.is_unapplied or once_applied is not None:
            told = self._handed_out
            claimed_ms = told.claimed_ms if once_applied is None else told.complete_ms
            return dict.fromkeys(self._shards, claimed_ms) if claimed_ms else {}
        at_ms = now_ms()
        waited = max(self.lag().seconds.values())
        told_ms = at_ms - math.ceil(waited * 1000) - 1 if waited else at_ms
        return dict.fromkeys(self._shards, told_ms)

    @property
    def clock_offset_ms(self) -> int:
        """Nothing is known: a line has no time but its event's."""
        return 0

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:  # noqa: ARG002  # all that was handed out is
        """Record that what was handed out is in the store, which alone remembers how
        far files were applied.
        """
        self._handed_out.apply()

    def close(self) -> None:
        """Close all files."""
        for file in self._files.values():
            file.close()

    @property
    def _has_paused(self) -> bool:
        """Whether more can be read at once, though no line was complete."""
        return any(file.paused for file in self._files.values())

    def _wait(self, seconds: float) -> None:
        """Wait, but not after something came out of a pipe."""
        waiting = select.poll()
        for file in self._files.values():
            if file.pipe_descriptor is not None:
                waiting.register(file.pipe_descriptor, select.POLLIN)
        waiting.poll(seconds * 1000)

    def _find_files(self) -> None:
        for pattern, content_type in self._patterns:
            paths = matching_files(pattern)
            if not paths:
                self._await(pattern)
            for path in paths:
                if path not in self._files:
                    self._files[path] = _File(path, content_type, self._settings.max_record_bytes)

    def _await(self, pattern: str) -> None:
        if not self._follow:
            raise SourceUnreadable(f"no file matches {pattern}: check the path")
        if pattern not in self._awaited:
            logger.info("waiting for file pattern=%s", pattern)
            self._awaited.add(pattern)

    def _read(self) -> list[RecordBatch]:
        batches: list[RecordBatch] = []
        wanted, asked_ms = self._settings.batch_records, now_ms()
        for file in self._files.values():
            if wanted and not file.ended:
                batch = self._read_file(file, wanted)
                if batch is not None:
                    batches.append(batch)
                    wanted -= len(batch)
        if wanted and not self._has_paused:
            self._handed_out.complete_ms = asked_ms
        return batches

    def _read_file(self, file: "_File", wanted: int) -> RecordBatch | None:
        try:
            return file.read(wanted, self._stored, follow=self._follow)
        except SourceUnreadable as error:
            logger.warning("file unreadable error=%s", error)
            self._failure = self._failure or error
            file.end()
            return None


@dataclass(slots=True)
class _HandedOut:
    """What a source has handed out to be applied. Times are epoch milliseconds, 0: not
    yet.

    Attributes:
        complete_ms: all that had come by then was handed out.
        claimed_ms: and all that had come by then is applied.
        is_unapplied: something is not.
    """

    complete_ms: int = 0
    claimed_ms: int = 0
    is_unapplied: bool = False

    def apply(self) -> None:
        """Take all that was handed out for applied."""
        self.claimed_ms, self.is_unapplied = self.complete_ms, False


class _File:
    """One file of the source: not open yet, being read, or ended."""

    def __init__(self, path: Path, content_type: str, max_line_bytes: int) -> None:
        self._path = path
        self._content_type = content_type
        self._max_line_bytes = max_line_bytes
        self._reader: LineReader | None = None
        self._position = SourcePartition("", 0)
        self._was_replaced = False
        self._before: Iterator[None] = iter(())
        self._is_before = False
        self.arrivals = Arrivals()
        self.so_far: FileRead | None = None
        self.ended = False

    @property
    def bytes_done(self) -> int:
        if self.ended:
            return _size_bytes(self._path)
        return self._reader.bytes_done if self._reader else 0

    @property
    def paused(self) -> bool:
        """Whether the last read stopped before what there is was read."""
        return self._reader is not None and (self._reader.paused or self._is_before)

    @property
    def pipe_descriptor(self) -> int | None:
        """The open pipe; None: it is a file, or not open."""
        return self._reader.descriptor if self._reader and self._reader.is_pipe else None

    def read(
        self, wanted: int, stored: Mapping[SourcePartition, int], *, follow: bool
    ) -> RecordBatch | None:
        if self._reader is None:
            self._reader = self._opened(stored, follow=follow)
        if self._reader is None:
            self.ended = not follow
            return None
        num_chunks = sum(1 for _ in islice(self._before, _CHUNKS_AT_ONCE))
        self._is_before = num_chunks == _CHUNKS_AT_ONCE
        if self._is_before:
            return None
        reader = self._reader
        read = partial(reader.read_columns, wanted, max_chunks=_CHUNKS_AT_ONCE)
        lines = read(final=not follow or reader.is_pipe)
        if not lines and follow and reader.was_replaced():
            lines = read(final=True)
        if not lines and reader.was_rewritten and not follow:
            raise SourceUnreadable(f"{self._path} was rewritten while it was read; run it again")
        if not lines and reader.ended:
            self._was_replaced = follow
            self.ended = not follow or _is_inherited(self._path)
            self.close()
        return self._batch(reader, lines) if lines else None

    def end(self) -> None:
        self.ended = True
        self.close()

    def close(self) -> None:
        if self._reader:
            self._reader.close()
            self._reader = None

    def _opened(self, stored: Mapping[SourcePartition, int], *, follow: bool) -> LineReader | None:
        if follow and not self._path.exists():
            return None
        reader = LineReader(self._path, self._max_line_bytes)
        try:
            is_ready = self._go_on(reader, stored, follow=follow)
        except SourceUnreadable:
            reader.close()
            raise
        if is_ready:
            return reader
        reader.close()
        return None

    def _go_on(
        self, reader: LineReader, stored: Mapping[SourcePartition, int], *, follow: bool
    ) -> bool:
        if reader.is_pipe:
            self._position = SourcePartition(_position_name(self._path, _PIPE), 0)
            self.so_far = self._nothing_read(from_start=True, is_pipe=True)
            return True
        fingerprint = reader.fingerprint(whole_line=follow)
        if fingerprint is None:
            return False
        self._position = SourcePartition(_position_name(self._path, fingerprint), 0)
        start = 0 if self._was_replaced else stored.get(self._position, 0)
        self._before = self._prepared(reader, start, follow=follow)
        return True

    def _prepared(self, reader: LineReader, start: int, *, follow: bool) -> Iterator[None]:
        """Go to where reading begins, and prove what is left of a file that does not
        grow; yield after each chunk, for many gigabytes may be unpacked first.
        """
        if not (yield from reader.skip_to(start)):
            logger.warning("file shrunk path=%s stored_offset=%d", self._path, start)
            start = 0
        self.so_far = self._nothing_read(from_start=not start, is_pipe=False)
        if not follow and not (start and reader.is_read_up):
            yield from proof_of(self._path)

    def _nothing_read(self, *, from_start: bool, is_pipe: bool) -> FileRead:
        return FileRead(
            path=self._path,
            position=self._position,
            num_lines=0,
            from_start=from_start,
            head=b"",
            is_pipe=is_pipe,
            is_catalog=bool(self._content_type),
        )

    def _batch(self, reader: LineReader, lines: Lines) -> RecordBatch:
        assert self.so_far is not None  # noqa: S101  # set when it was opened
        self.so_far = replace(
            self.so_far, num_lines=self.so_far.num_lines + len(lines), head=reader.head
        )
        return RecordBatch(
            position=self._position,
            offsets=lines.offsets,
            next_offsets=lines.next_offsets,
            content_types=[self._content_type] * len(lines),
            keys=[None] * len(lines),
            values=lines.contents,
        )


def matching_files(pattern: str) -> list[Path]:
    """Return the files that a path or pattern names now, sorted.

    A name that exists is taken literally, and so is a folder before the pattern.

    Raises:
        SourceUnreadable: it names a folder.
    """
    whole = Path(pattern)
    folder = next((each for each in whole.parents if each.is_dir()), Path())
    rest = str(whole.relative_to(folder))
    found = glob.glob(rest, root_dir=folder, recursive=True)  # noqa: PTH207  # it has a root
    named = [whole] if whole.exists() else [folder / name for name in sorted(found)]
    paths = [path.absolute() for path in named]
    if len(paths) == 1 and paths[0].is_dir():
        raise SourceUnreadable(
            f"{paths[0]} is a folder: name its files, as in '{pattern.rstrip('/')}/*.jsonl'"
        )
    return [path for path in paths if not path.is_dir()]


def _least(
    positions_of_shards: Sequence[Mapping[SourcePartition, int]],
) -> dict[SourcePartition, int]:
    """What every shard has applied.

    A position that a shard does not know starts from 0.
    """
    first, *others = positions_of_shards
    return {
        position: min([offset, *(other.get(position, 0) for other in others)])
        for position, offset in first.items()
    }


def _is_inherited(path: Path) -> bool:
    """Whether a path names what the parent process opened, which nobody opens anew."""
    return path.resolve().is_relative_to("/proc")


def _position_name(path: Path, fingerprint: str) -> str:
    return f"{str(path).encode('utf-8', 'backslashreplace').decode()}#{fingerprint}"


def _size_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
