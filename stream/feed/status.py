"""The status of a shard's feed: up to where its newest log counts, and up to when every
record that had arrived is applied.

One small file an epoch of the shard, replaced in one step. It is the commit pointer of
the logs: what is behind it in a log was never applied, as far as anybody may know.
"""

from collections.abc import Iterable

import msgspec

from stream.feed.changes import WriterMark

_FORMAT_VERSION = 1  # of the status, docs/formats.md
_SUFFIX = ".status"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """What a status says.

    Attributes:
        format_version: of the status.
        shard: whose it is.
        writer: of the newest write, in hexadecimal.
        sequence: of the newest write.
        file: the log that it is in; empty: no log is open.
        offset: where in the log the record of the newest write ends.
        reflected_ms: every record that had reached the topics by then, in broker time,
            is applied; 0: nothing can be said.
        watermark_ms: the largest event time applied; 0: none was.
        written_ms: when this was written, by the clock of its machine.
    """

    format_version: int = _FORMAT_VERSION
    shard: int
    writer: str
    sequence: int
    file: str = ""
    offset: int = 0
    reflected_ms: int = 0
    watermark_ms: int = 0
    written_ms: int = 0

    @property
    def mark(self) -> WriterMark:
        """The place in the shard's history that the feed has reached."""
        return WriterMark(self.writer, self.sequence)


_decoder = msgspec.json.Decoder(Status)


def status_name(epoch: int) -> str:
    """Return the name of the status of an epoch; the highest counts."""
    return f"{epoch:06d}{_SUFFIX}"


def newest_status(names: Iterable[str]) -> str | None:
    """Return the name of the status that counts; None: there is none."""
    found = [name for name in names if name.endswith(_SUFFIX) and name[0] != "."]
    return max(found, key=term_of, default=None)


def term_of(name: str) -> int:
    """Return the epoch, or the term, that a status is of by its name."""
    return int(name.removesuffix(_SUFFIX))


def pack_status(status: Status) -> bytes:
    """Pack a status."""
    return msgspec.json.encode(status) + b"\n"


def unpack_status(content: bytes) -> Status:
    """Unpack a status.

    Raises:
        ValueError: it is damaged, or of another version.
    """
    status = _decoder.decode(content)
    if status.format_version != _FORMAT_VERSION:
        raise ValueError(f"its status has format version {status.format_version}")
    return status
