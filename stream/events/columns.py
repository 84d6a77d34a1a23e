"""Accepted events as columns of 64-bit keys, and the texts behind the keys.

What the graph is fed with.
"""

from collections.abc import Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from protos.text import text_key
from stream.events.native import LearntTexts
from stream.events.types import (
    CatalogItem,
    Erasure,
    Interaction,
    Record,
    RecordBatch,
    Rejection,
    SearchRecord,
    SourcePartition,
)

NO_KEY = 0
"""The key that stands for "none": no query, no user, no session. No text has it."""

# The largest time there is: what has no time of its own bounds nothing.
_NEVER_MS = np.iinfo(np.int64).max
# The year 2000: a record's time before it was not set, or is in another unit.
_FIRST_RECORD_MS = 946_684_800_000

Keys = NDArray[np.uint64]


@dataclass(frozen=True, slots=True, kw_only=True)
class EventColumns:
    """Interactions as columns; texts are given by their 64-bit keys
    (`protos.text.text_key`).

    Attributes:
        ts_ms: ``int64 [num_events]`` event time.
        session: ``uint64 [num_events]``; `NO_KEY`: the platform has no session ids, the
            user's events are cut into sessions by inactivity.
        user: ``uint64 [num_events]``; `NO_KEY`: not known. Never `NO_KEY` where
            `session` is.
        query: ``uint64 [num_events]`` of the normalised text; `NO_KEY`: not out of a
            search.
        item: ``uint64 [num_events]``.
        action: ``uint8 [num_events]`` `stream.events.types.Action`.
        row: ``int32 [num_events]`` which record of its `RecordBatch` an event came in.
    """

    ts_ms: NDArray[np.int64]
    session: Keys
    user: Keys
    query: Keys
    item: Keys
    action: NDArray[np.uint8]
    row: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.ts_ms)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the events of all parts, one after the other."""
        if len(parts) == 1:
            return parts[0]
        return cls(
            **{name: np.concatenate([getattr(part, name) for part in parts]) for name in _DTYPES}
        )

    def take(self, index: NDArray[np.int64] | NDArray[np.bool_]) -> Self:
        """Return the events at these indexes, or where a mask is true."""
        return type(self)(**{name: getattr(self, name)[index] for name in _DTYPES})


_DTYPES = {
    "ts_ms": np.int64,
    "session": np.uint64,
    "user": np.uint64,
    "query": np.uint64,
    "item": np.uint64,
    "action": np.uint8,
    "row": np.int32,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class References:
    """What some events say beside their columns; most say nothing of it.

    Attributes:
        event: ``int64 [num_references]`` index of the event, ascending.
        query_id: ``uint64 [num_references]`` key of the id of the search that it came
            from, whose text it does not have; `NO_KEY`: none.
        alias: ``uint64 [num_references]`` key of another id of its user; `NO_KEY`:
            none.
    """

    event: NDArray[np.int64]
    query_id: Keys
    alias: Keys

    def __len__(self) -> int:
        return len(self.event)

    @classmethod
    def empty(cls) -> Self:
        """Return no references."""
        keys = np.empty(0, dtype=np.uint64)
        return cls(event=np.empty(0, dtype=np.int64), query_id=keys, alias=keys)

    @classmethod
    def of(cls, events: Sequence[Interaction]) -> Self:
        """Return what events that are at hand as objects say beside their columns."""
        rows = [row for row, event in enumerate(events) if event.query_id or event.alias_id]
        return cls.of_texts(
            rows,
            [events[row].query_id for row in rows],
            [events[row].alias_id for row in rows],
        )

    @classmethod
    def of_texts(
        cls, rows: Sequence[int], query_ids: Sequence[str], alias_ids: Sequence[str]
    ) -> Self:
        """Return what the events of some rows say: ids of searches and of their users,
        "" for none.
        """
        return cls(
            event=np.array(rows, dtype=np.int64),
            query_id=_keys(query_ids, {}),
            alias=_keys(alias_ids, {}),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Self], sizes: Sequence[int]) -> Self:
        """Return the references of parts whose events, so many each, stand one after
        the other.
        """
        if not any(len(part) for part in parts):
            return cls.empty()
        starts = np.cumsum([0, *sizes[:-1]])
        return cls(
            event=np.concatenate(
                [part.event + start for part, start in zip(parts, starts, strict=True)]
            ),
            query_id=np.concatenate([part.query_id for part in parts]),
            alias=np.concatenate([part.alias for part in parts]),
        )

    def take(self, mask: NDArray[np.bool_]) -> Self:
        """Return the references of the events that stay if those of a mask do."""
        if not len(self):
            return self
        stays = mask[self.event]
        place = np.cumsum(mask) - 1
        return type(self)(
            event=place[self.event[stays]],
            query_id=self.query_id[stays],
            alias=self.alias[stays],
        )


@dataclass(slots=True)
class Texts:
    """The texts behind the keys in columns, by key.

    One object a process; what decodes fills it.

    Attributes:
        generation: another object once texts were forgotten. Within one, a key stands
            for one text.
    """

    sessions: MutableMapping[int, str] = field(default_factory=dict)
    users: MutableMapping[int, str] = field(default_factory=dict)
    queries: MutableMapping[int, str] = field(default_factory=dict)
    items: MutableMapping[int, str] = field(default_factory=dict)
    generation: object = field(default_factory=object)


def texts_of(known: Mapping[int, str], keys: Keys) -> list[str]:
    """Return the text of each key; many at once cost a fraction.

    Args:
        known: some of a `Texts`.
        keys: ``uint64 [num_keys]``.
    """
    if isinstance(known, LearntTexts):
        return known.of(keys)
    return [known[key] for key in keys.tolist()]


@dataclass(slots=True)
class ShardBatch:
    """What one shard gets in one write.

    Attributes:
        events: interactions, in the order in which they were read.
        place: ``int32 [num_events]`` index into `batches` of each event's records.
        batches: the records that events, items and erasures came in.
        read_ms: the clock when each of `batches` was read, in milliseconds; empty: not
            known.
        items: catalogue items in order, each with its place and row.
        erasures: what to forget, in order.
        positions: where to go on reading in every partition that was read from.
        retention_ms: events that are older than the newest of their partition by more
            are too late; None: the batch is history, and nothing is.
        reflected_ms: every record that had reached the shard's partitions by then, in
            their time, is applied once the batch is; 0: not known.
        references: what some events say beside their columns.
        searches: the texts of searches that events may name, in order.
    """

    events: EventColumns
    place: NDArray[np.int32]
    batches: list[RecordBatch] = field(default_factory=list)
    read_ms: list[int] = field(default_factory=list)
    items: list[tuple[CatalogItem, int, int]] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    positions: dict[SourcePartition, int] = field(default_factory=dict)
    retention_ms: int | None = None
    reflected_ms: int = 0
    references: References = field(default_factory=References.empty)
    searches: list[SearchRecord] = field(default_factory=list)

    def seen_ms(self) -> NDArray[np.int64]:
        """Return the time up to which each event shows that events were seen, ``int64
        [num_events]``: its own, but no later than its record's and than the clock.
        """
        own = self.events.ts_ms
        if not self.read_ms or not len(own):
            return own
        # What was held back until now came in records of before.
        held = [max(self.read_ms)] * (len(self.batches) - len(self.read_ms))
        bound = np.array([*self.read_ms, *held], dtype=np.int64)[self.place]
        if any(records.times_ms for records in self.batches):
            starts = np.cumsum([0, *(len(records) for records in self.batches[:-1])])
            times = np.concatenate([_record_times(records) for records in self.batches])
            bound = np.minimum(bound, times[starts[self.place] + self.events.row])
        return np.where(own < bound, own, bound)

    def stage_seconds(
        self, durable_ms: int, ahead_ms: int
    ) -> dict[str, tuple[NDArray[np.float64], NDArray[np.int64] | None]]:
        """Return how many seconds events and records took from stage to stage, and how
        often each counts (None: once), by the stage that they reached
        (`stream.metrics.STAGES`).

        Args:
            durable_ms: the clock when they were applied.
            ahead_ms: how far the records' own times are ahead of the clock.
        """
        batches = self.batches[: len(self.read_ms)]
        sizes = np.array([len(records) for records in batches], dtype=np.int64)
        read_ms = np.array(self.read_ms, dtype=np.int64)
        found: dict[str, tuple[NDArray[np.float64], NDArray[np.int64] | None]] = {
            "durable": ((durable_ms - read_ms) / 1000, sizes)
        }
        if not any(records.times_ms for records in batches):
            return found
        times = np.concatenate([_record_times(records) for records in batches])
        has_time = times != _NEVER_MS
        consumed = (np.repeat(read_ms, sizes) + ahead_ms - times)[has_time]
        row = (np.cumsum(sizes) - sizes)[self.place] + self.events.row
        waited = (times[row] - self.events.ts_ms)[has_time[row]]
        return {**found, "consumed": (consumed / 1000, None), "broker": (waited / 1000, None)}

    def num_ahead(self, tolerance_ms: int) -> int:
        """Return how many events are further ahead of `seen_ms` than that."""
        return int(np.count_nonzero(self.events.ts_ms - self.seen_ms() > tolerance_ms))

    def record_of(self, event_index: int) -> Record:
        """Return the record that an event came in."""
        batch = self.batches[int(self.place[event_index])]
        return batch.record(int(self.events.row[event_index]))

    def rejection(self, event_index: int, reason: str, detail: str) -> Rejection:
        """Return what puts an event's record into quarantine."""
        return Rejection(record=self.record_of(event_index), reason=reason, detail=detail)


def _record_times(records: RecordBatch) -> NDArray[np.int64]:
    """Return the records' own times; those that have none, the end of time."""
    if not records.times_ms:
        return np.full(len(records), _NEVER_MS)
    times = np.array(records.times_ms, dtype=np.int64)
    return np.where(times < _FIRST_RECORD_MS, _NEVER_MS, times)


def no_events() -> EventColumns:
    """Return columns of length 0."""
    return EventColumns(**{name: np.empty(0, dtype=dtype) for name, dtype in _DTYPES.items()})


def columns_of(events: Iterable[Interaction], texts: Texts) -> EventColumns:
    """Return interactions as columns, and remember their texts; row n is event n."""
    listed = list(events)
    return EventColumns(
        ts_ms=np.array([event.ts_ms for event in listed], dtype=np.int64),
        session=_keys([event.session_id for event in listed], texts.sessions),
        user=_keys([event.user_id for event in listed], texts.users),
        query=_keys([event.query for event in listed], texts.queries),
        item=_keys([event.item_id for event in listed], texts.items),
        action=np.array([event.action for event in listed], dtype=np.uint8),
        row=np.arange(len(listed), dtype=np.int32),
    )


def batch_of(
    events: Sequence[Interaction],
    texts: Texts,
    *,
    items: Sequence[CatalogItem] = (),
    erasures: Sequence[Erasure] = (),
    searches: Sequence[SearchRecord] = (),
    positions: Mapping[SourcePartition, int] | None = None,
    source: SourcePartition = SourcePartition("memory", 0),  # noqa: B008  # frozen
) -> ShardBatch:
    """Return a batch of events that are at hand as objects.

    Record n of its one `RecordBatch` is event n.
    """
    columns = columns_of(events, texts)
    count = len(events) + len(items)
    records = RecordBatch(
        position=source,
        offsets=range(count),
        next_offsets=range(1, count + 1),
        content_types=[""] * count,
        keys=[None] * count,
        values=[b""] * count,
    )
    return ShardBatch(
        events=columns,
        place=np.zeros(len(events), dtype=np.int32),
        batches=[records],
        items=[(item, 0, len(events) + number) for number, item in enumerate(items)],
        erasures=list(erasures),
        positions=dict(positions or {}),
        references=References.of(events),
        searches=list(searches),
    )


def _keys(texts: Sequence[str], known: MutableMapping[int, str]) -> Keys:
    keys = [text_key(text) if text else NO_KEY for text in texts]
    known.update((key, text) for key, text in zip(keys, texts, strict=True) if key != NO_KEY)
    return np.array(keys, dtype=np.uint64)
