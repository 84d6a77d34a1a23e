"""What the stream understands.

The frozen types between decoding, the graph and its sources.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from stream.actions import Action


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One accepted event.

    `query` is normalised; empty: the action did not come from a search. Where
    `session_id` is empty, `user_id` is not: the user's events are cut into sessions by
    inactivity.

    Attributes:
        query_id: names the search whose text is in a `SearchRecord`; empty where
            `query` is the text, or there was no search.
        alias_id: another id of the same visitor, who can be erased by either; empty:
            none.
    """

    ts_ms: int
    session_id: str
    user_id: str
    query: str
    item_id: str
    action: Action
    query_id: str = ""
    alias_id: str = ""

    @property
    def key(self) -> str:
        """What it is keyed by: the id that decides which partition and shard it belongs
        to.
        """
        return self.session_id or self.user_id


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogItem:
    """One state of one item, whole: it replaces the item's older state.

    Attributes:
        attributes: what a filter may ask for.
        available: False: keep learning from it, do not show it.
        deleted: True: forget it.
        ts_ms: event time of this state, UTC epoch milliseconds; 0: not said.
    """

    item_id: str
    title: str = ""
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    available: bool = True
    deleted: bool = False
    ts_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchRecord:
    """What was searched for, under the id by which later actions name the search.

    Attributes:
        query_id: the id.
        query: the normalised text; empty: it had none, such as a page of a category.
        user_ids: who searched: no, one or two ids of one visitor.
        ts_ms: event time, UTC epoch milliseconds.
    """

    query_id: str
    query: str
    user_ids: tuple[str, ...]
    ts_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """Forget somebody or something, for good.

    What is derived from it goes, and replays do not bring it back.

    Attributes:
        kind: what `id` names.
        id: a user, session or item id.
        ts_ms: when it was asked for; 0: not said, or not to be believed. It then counts
            as asked for when it is read.
    """

    kind: Literal["user", "session", "item"]
    id: str
    ts_ms: int


@dataclass(frozen=True, slots=True)
class SourcePartition:
    """One partition of a source: of a topic, or a file (partition 0)."""

    source: str
    partition: int


Headers = Sequence[tuple[str, str]]
"""Record headers that say what a record is, beside its content-type: the attributes of
a CloudEvent in binary mode, ``ce_type`` and the like.
"""

RawHeaders = Sequence[tuple[str, bytes | None]] | None
"""All headers of a record of Kafka, names and values in order, as both client libraries
hand them out. None: it has none.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message as it came: a Kafka record or a line of a file, not yet decoded.

    Attributes:
        position: where it was read.
        offset: its Kafka offset, or for a file the byte at which its line starts in the
            unpacked content.
        next_offset: where reading resumes after it.
        content_type: the announced encoding; empty: none was announced.
        key: the record's key; None for files.
        value: the bytes; None is a Kafka tombstone.
        time_ms: the record's own time, UTC epoch milliseconds: when the broker appended
            it or its producer made it, as the topic is set. None: not known.
        headers: what else says what it is; mostly none.
        raw_headers: all that it carries, to be kept with it; None for files.
    """

    position: SourcePartition
    offset: int
    next_offset: int
    content_type: str
    key: bytes | None
    value: bytes | None
    time_ms: int | None = None
    headers: Headers = ()
    raw_headers: RawHeaders = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordBatch:
    """Records of one place, in order, as columns of equal length.

    `Record` says what each holds.

    Attributes:
        shard: the shard that they are for; None: their partition's, or what their
            session or item says.
        times_ms: as `Record.time_ms`, of each; empty: none is known, as in files.
        headers: of each record; empty: none has any.
        raw_headers: of each record; empty: none is known to carry any, as in files.
        goes_on_at: where reading resumes though there is no record before it, as behind
            a gap; None: behind the last record.
    """

    position: SourcePartition
    offsets: Sequence[int]
    next_offsets: Sequence[int]
    content_types: Sequence[str]
    keys: Sequence[bytes | None]
    values: Sequence[bytes | None]
    shard: int | None = None
    times_ms: Sequence[int] = ()
    headers: Sequence[Headers] = ()
    raw_headers: Sequence[RawHeaders] = ()
    goes_on_at: int | None = None

    def __len__(self) -> int:
        return len(self.offsets)

    @classmethod
    def gap(
        cls, position: SourcePartition, goes_on_at: int, shard: int | None = None
    ) -> "RecordBatch":
        """Return no records, with where reading resumes."""
        return cls(
            position=position,
            offsets=(),
            next_offsets=(),
            content_types=(),
            keys=(),
            values=(),
            shard=shard,
            goes_on_at=goes_on_at,
        )

    @property
    def next_offset(self) -> int:
        """Where reading resumes after all of them."""
        return self.next_offsets[-1] if self.goes_on_at is None else self.goes_on_at

    def rows(self, begin: int, end: int) -> "RecordBatch":
        """Return the records from one row to before another."""
        return replace(
            self,
            offsets=self.offsets[begin:end],
            next_offsets=self.next_offsets[begin:end],
            content_types=self.content_types[begin:end],
            keys=self.keys[begin:end],
            values=self.values[begin:end],
            times_ms=self.times_ms[begin:end],
            headers=self.headers[begin:end],
            raw_headers=self.raw_headers[begin:end],
        )

    def before(self, offset: int) -> "RecordBatch":
        """Return the records before an offset."""
        return self.rows(0, bisect_left(self.offsets, offset))

    def record(self, row: int) -> Record:
        """Return one record."""
        return Record(
            position=self.position,
            offset=self.offsets[row],
            next_offset=self.next_offsets[row],
            content_type=self.content_types[row],
            key=self.keys[row],
            value=self.values[row],
            time_ms=self.times_ms[row] if self.times_ms else None,
            headers=self.headers[row] if self.headers else (),
            raw_headers=self.raw_headers[row] if self.raw_headers else None,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A record that cannot be used, with the reason for machines and the detail for
    people.
    """

    record: Record
    reason: str
    detail: str


class Rejected(Exception):
    """Decoding found something wrong with a record. `reason` is one of `REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
