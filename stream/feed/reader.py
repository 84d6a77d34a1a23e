"""Reads what the shards of a store changed, from their feeds."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from stream.errors import FeedUnreadable, refusal
from stream.feed.changes import ShardChanges, WriterMark
from stream.feed.codec import BAD_RECORD_ERRORS, unpack_changes
from stream.feed.folder import FeedFiles, FeedFolder, feed_root
from stream.feed.log import (
    HEAD_BYTES,
    Frame,
    LogHead,
    LogName,
    NoPath,
    Span,
    frames,
    path_between,
    unpack_head,
)
from stream.feed.status import Status

__all__ = ["Feed", "FeedRead", "open_feed"]

# Bytes of records that one read returns, about; bounds memory, some ten times as much.
# Twice as many double it, and a reader that was away catches up in half as many reads.
_MOST_BYTES = 64 * 1024 * 1024
# Tries of a shard whose logs are removed or rewritten while they are read.
_ATTEMPTS = 3
_SHARD_PREFIX = "shard-"


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedRead:
    """What a read found.

    Attributes:
        changes: in order of the writes of each shard.
        marks: the place that each shard's changes reach; of a shard with a gap, the
            place that was given.
        reflected_ms: every record that had reached the topics by then, in broker time,
            is in the changes up to `marks`; 0: nothing can be said.
        watermark_ms: the least over shards of the largest event time applied, of those
            that have applied any; 0: none has.
        gaps: why the changes of a shard since the given place are not all known, by its
            index; none of them are returned, and `reflected_ms` leaves it out.
        rewound: a shard went back behind the given place, such as to a checkpoint: what
            it had changed since is not so any more, and comes again.
        has_more: there is more to read; `reflected_ms` is 0.
    """

    changes: list[ShardChanges]
    marks: dict[int, WriterMark]
    reflected_ms: int
    watermark_ms: int
    gaps: dict[int, str]
    rewound: bool
    has_more: bool


class _Cursor(NamedTuple):
    """Where in a log a place is."""

    mark: WriterMark
    name: LogName
    end: int


class _ShardRead(NamedTuple):
    """What was read of one shard."""

    changes: list[ShardChanges]
    mark: WriterMark
    num_bytes: int
    gap: str = ""
    rewound: bool = False


def open_feed(store: Path) -> "Feed":
    """Open the feeds of a store's shards; any number may read them, and the store need
    not be there yet.

    Args:
        store: its folder.
    """
    return Feed(feed_root(store))


class Feed:
    """The feeds of a store's shards.

    Args:
        root: the folder of the feeds.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._heads: dict[LogName, LogHead] = {}
        self._cursors: dict[int, _Cursor] = {}

    def read(self, since: Mapping[int, WriterMark]) -> FeedRead:
        """Return what changed since a place in the history of each shard.

        Costs a look at a small folder and a small file a shard where nothing did.

        Args:
            since: the place by shard, such as of a snapshot; of a shard that is not
                named: its begin.

        Raises:
            FeedUnreadable: the files cannot be read.
        """
        files = self._shards()
        changes: list[ShardChanges] = []
        marks, gaps = dict(since), dict[int, str]()
        reflected, watermarks = list[int](), list[int]()
        left, rewound, has_more = _MOST_BYTES, False, False
        for index in sorted(files.keys() | since.keys()):
            status = self._status(files, index)
            if status is None:
                gaps[index] = "no feed of it is kept"
                continue
            found = self._read_shard(files[index], index, since, status, left)
            marks[index] = found.mark
            changes += found.changes
            left -= found.num_bytes
            rewound |= found.rewound
            if found.gap:
                gaps[index] = found.gap
                continue
            has_more |= found.mark != status.mark
            reflected.append(status.reflected_ms)
            if status.watermark_ms:
                watermarks.append(status.watermark_ms)
        return FeedRead(
            changes=changes,
            marks=marks,
            reflected_ms=0 if has_more else min(reflected, default=0),
            watermark_ms=min(watermarks, default=0),
            gaps=gaps,
            rewound=rewound,
            has_more=has_more,
        )

    def close(self) -> None:
        """Forget what is known of the files."""
        self._heads.clear()
        self._cursors.clear()

    def _shards(self) -> dict[int, FeedFiles]:
        try:
            names = [path.name for path in self._root.iterdir()]
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise _unreadable(self._root, error) from error
        numbers = {name.removeprefix(_SHARD_PREFIX): name for name in names}
        return {
            int(number): FeedFolder(self._root / name)
            for number, name in numbers.items()
            if number.isdigit()
        }

    def _status(self, files: Mapping[int, FeedFiles], index: int) -> Status | None:
        if index not in files:
            return None
        try:
            return files[index].status()
        except (OSError, ValueError) as error:
            raise _unreadable(self._root, error) from error

    def _read_shard(
        self,
        files: FeedFiles,
        index: int,
        since: Mapping[int, WriterMark],
        status: Status,
        most_bytes: int,
    ) -> _ShardRead:
        mark = since.get(index, WriterMark())
        if mark == status.mark or most_bytes <= 0:
            return _ShardRead([], mark, 0)
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._read_path(files, index, mark, status, most_bytes)
            except NoPath as gap:
                return _ShardRead([], mark, 0, str(gap), gap.rewound)
            except FileNotFoundError:
                if attempt == _ATTEMPTS:
                    break
            except (OSError, *BAD_RECORD_ERRORS) as error:
                raise _unreadable(self._root, error) from error
        return _ShardRead([], mark, 0, "its logs go faster than they can be read")

    def _read_path(
        self, files: FeedFiles, index: int, since: WriterMark, status: Status, most_bytes: int
    ) -> _ShardRead:
        changes: list[ShardChanges] = []
        mark, num_bytes = since, 0
        for span, start in self._spans(files, index, since, status.mark):
            is_newest = str(span.name) == status.file
            content = files.read(span.name, start, status.offset if is_newest else None)
            for each in _records(frames(content, start), mark.sequence, span.last):
                changes.append(unpack_changes(each.record))
                mark = WriterMark(span.name.writer, each.sequence)
                self._cursors[index] = _Cursor(mark, span.name, each.end)
                num_bytes += len(each.record)
                if num_bytes >= most_bytes:
                    return _ShardRead(changes, mark, num_bytes)
        return _ShardRead(changes, status.mark, num_bytes)

    def _spans(
        self, files: FeedFiles, index: int, since: WriterMark, until: WriterMark
    ) -> Iterator[tuple[Span, int]]:
        """Yield the parts of logs from one place to another, and where to begin in
        each.
        """
        known = self._cursors.get(index)
        if known and known.mark == since and since.writer == until.writer:
            names = [name for name in files.logs() if name.writer == until.writer]
        else:
            known, names = None, files.logs()

        def head_of(name: LogName) -> LogHead:
            if name not in self._heads:
                self._heads[name] = unpack_head(files.read(name, 0, HEAD_BYTES))
            return self._heads[name]

        for span in path_between(names, head_of, since, until):
            is_known = known is not None and known.name == span.name
            yield span, known.end if known and is_known else HEAD_BYTES


def _records(found: Iterator[Frame], since: int, last: int) -> Iterator[Frame]:
    """Yield the records after a sequence up to another.

    Raises:
        NoPath: one of them is missing.
    """
    expected = since + 1
    for each in found:
        if each.sequence > last:
            break
        if each.sequence < expected:
            continue
        if each.sequence > expected:
            break
        yield each
        expected += 1
    if expected <= last:
        raise NoPath(f"the record of write {expected} is missing")


def _unreadable(root: Path, error: Exception) -> FeedUnreadable:
    advice = refusal(error) or "it is tried again; take a new snapshot if that does not help"
    return FeedUnreadable(f"the feed at {root} cannot be read ({error}); {advice}")
