"""The logs of a shard's feed: names, heads, frames, and how logs follow each other.

A log is a head and framed records, one a write of the shard. Its head says which place
in the shard's history it goes on from, so that from the newest log the history of the
shard can be followed back, over all who wrote it. Pure.
"""

import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import NamedTuple

from stream.feed.changes import WriterMark
from stream.feed.codec import unpack_sequence

HEAD_BYTES = 64  # of a log, docs/formats.md
FRAME_BYTES = 8  # before each record, docs/formats.md

_MAGIC = b"FRESHETF"
_VERSION = 1  # of a log, docs/formats.md
_HEAD = Struct("<8sII16sQ16sQ")
_FRAME = Struct("<II")
_NAME = re.compile(r"(\d{12,})-([0-9a-f]{32})(?:-(\d{12,}))?\.log")
_NO_WRITER = bytes(16)


class LogName(NamedTuple):
    """What the name of a log says.

    Attributes:
        first: the sequence of the first write that it may have.
        writer: who wrote it, in hexadecimal.
        last: the sequence of its last write; None: it may grow.
    """

    first: int
    writer: str
    last: int | None = None

    @classmethod
    def parse(cls, name: str) -> "LogName | None":
        """Return what a file's name says; None: it is no log's."""
        found = _NAME.fullmatch(name)
        if not found:
            return None
        last = None if found[3] is None else int(found[3])
        return cls(int(found[1]), found[2], last)

    def __str__(self) -> str:
        last = "" if self.last is None else f"-{self.last:012d}"
        return f"{self.first:012d}-{self.writer}{last}.log"


class LogHead(NamedTuple):
    """The head of a log.

    Attributes:
        shard: whose it is.
        writer: who wrote it, in hexadecimal.
        first: the sequence of the first write that it may have.
        previous: the place that it goes on from.
    """

    shard: int
    writer: str
    first: int
    previous: WriterMark


class Span(NamedTuple):
    """A part of the shard's history: the writes in one log up to a sequence."""

    name: LogName
    last: int


class Frame(NamedTuple):
    """A record in a log.

    Attributes:
        sequence: of the write.
        record: what it changed, packed.
        end: where the record ends in the log.
    """

    sequence: int
    record: bytes
    end: int


class NoPath(Exception):  # says where a path ends, which is no fault
    """The logs do not lead from one place to another; the message says why.

    Attributes:
        rewound: the shard went back behind that place.
    """

    def __init__(self, reason: str, *, rewound: bool = False) -> None:
        super().__init__(reason)
        self.rewound = rewound


def pack_head(head: LogHead) -> bytes:
    """Pack the head of a log."""
    return _HEAD.pack(
        _MAGIC,
        _VERSION,
        head.shard,
        bytes.fromhex(head.writer),
        head.first,
        bytes.fromhex(head.previous.writer) or _NO_WRITER,
        head.previous.sequence,
    )


def unpack_head(packed: bytes) -> LogHead:
    """Unpack the head of a log.

    Raises:
        ValueError: it is none, or of another version.
    """
    if len(packed) < _HEAD.size:
        raise ValueError("a log of the feed is cut short in its head")
    magic, version, shard, writer, first, before, sequence = _HEAD.unpack_from(packed)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ValueError(f"a log of the feed begins with {magic!r}, version {version}")
    previous = WriterMark("" if before == _NO_WRITER else before.hex(), sequence)
    return LogHead(shard, writer.hex(), first, previous)


def frame(record: bytes) -> bytes:
    """Return what stands before a record in a log: its size and its crc32."""
    return _FRAME.pack(len(record), zlib.crc32(record))


def frames(content: bytes, start: int) -> Iterator[Frame]:
    """Yield the records in a part of a log, up to the first that is cut short or
    damaged.

    Args:
        content: of the log, from a record's begin on.
        start: where in the log `content` begins.
    """
    at = 0
    while at + FRAME_BYTES <= len(content):
        size, crc = _FRAME.unpack_from(content, at)
        end = at + FRAME_BYTES + size
        record = content[at + FRAME_BYTES : end]
        if not size or len(record) < size or zlib.crc32(record) != crc:
            return
        yield Frame(unpack_sequence(record), record, start + end)
        at = end


def path_between(
    names: Sequence[LogName],
    head_of: Callable[[LogName], LogHead],
    since: WriterMark,
    until: WriterMark,
) -> list[Span]:
    """Return the parts of logs that have the writes after one place up to another, in
    order.

    Args:
        names: all logs.
        head_of: reads the head of one.
        since: the earlier place, which may be any.
        until: the later one.

    Raises:
        NoPath: the logs do not reach back to `since`, or the shard's history does not
            lead over it.
    """
    if since.sequence and not since.writer:
        raise NoPath("nothing says who wrote it by then")
    spans: list[Span] = []
    left, place = list(names), until
    while place != since:
        if place == WriterMark():
            raise NoPath("its history does not lead over what was read", rewound=True)
        if place.writer == since.writer and place.sequence < since.sequence:
            raise NoPath(
                f"it went back to write {place.sequence}, and {since.sequence} was read",
                rewound=True,
            )
        name = _log_of(left, place)
        if name is None:
            raise NoPath(f"its log does not reach back to write {since.sequence}")
        left.remove(name)
        if place.sequence >= name.first:
            spans.append(Span(name, place.sequence))
        if name.writer == since.writer and since.sequence >= name.first - 1:
            break
        place = head_of(name).previous
    return spans[::-1]


def _log_of(names: Sequence[LogName], place: WriterMark) -> LogName | None:
    """Return the log that has a write, or else the one that begins right after it."""
    own = [name for name in names if name.writer == place.writer]
    begun = [name for name in own if name.first <= place.sequence]
    if begun:
        found = max(begun)
        is_there = found.last is None or place.sequence <= found.last
        return found if is_there else None
    return next((name for name in own if name.first == place.sequence + 1), None)
