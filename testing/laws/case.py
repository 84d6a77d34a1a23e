"""One random case of ``python -m bench laws``.

Events, searches, catalogue items and erasures, and the logs that deliver them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from zlib import crc32

from protos.text import normalize_query
from stream.actions import Action
from stream.events.types import (
    CatalogItem,
    Erasure,
    Interaction,
    SearchRecord,
    SourcePartition,
)
from stream.kafka.partitioner import shard_of
from testing.laws.encodings import Encoding, Entry, encodings_of

NOON_MS = 1_700_000_000_000  # any time; times of events are drawn around it
CLICKS, VIEWS, CATALOG, ERASURES = "clicks", "views", "catalog", "erasures"
"""The topics of cases; `testing.laws.stores.SETTINGS` names them."""

_DAY_MS = 86_400_000
_HALF_GAP_MS = 900_000  # half of the default of stream.session_gap_seconds
_MAX_SHARDS = 3  # enough for a shard that moves beside two that stay
_QUERY_IDS = 5  # ids of searches: so few that some mean two texts, and some none
_WORDS = ("tv", "red shoes", "クエリ", "größe 42", "c++")

Partitioner = Callable[[str, int], int]


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """How many different texts and times events are drawn from, and how many events, at
    least and at most.
    """

    sessions: int
    queries: int
    items: int
    times: int
    users: int
    events: tuple[int, int]


_VOCABULARIES = (
    Vocabulary(sessions=3, queries=3, items=4, times=4, users=2, events=(0, 30)),
    Vocabulary(sessions=6, queries=4, items=8, times=60, users=3, events=(0, 60)),
    Vocabulary(sessions=15, queries=10, items=25, times=1000, users=6, events=(10, 60)),
    Vocabulary(
        sessions=1, queries=3, items=300, times=3, users=1, events=(45, 70)
    ),  # over a hyperedge's bound
)


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One record of a log.

    Attributes:
        entries: what it holds.
        encoding: how it is written.
        time_ms: its own time; None: a line of a file has none.
    """

    entries: Sequence[Entry]
    encoding: Encoding
    time_ms: int | None

    @property
    def key(self) -> bytes:
        """Return what a producer keys it by."""
        entry = self.entries[0]
        if isinstance(entry, SearchRecord):
            return entry.query_id.encode()
        if isinstance(entry, Interaction):
            return entry.key.encode()
        return (entry.item_id if isinstance(entry, CatalogItem) else entry.id).encode()


@dataclass(frozen=True, slots=True)
class Log:
    """What a source holds of one partition, in order.

    Attributes:
        position: its name.
        records: what is in it.
        shards: the shards that it goes to: one for a topic, all for a file. A partition
            of erasures is a log of each shard's.
    """

    position: SourcePartition
    records: Sequence[LogRecord]
    shards: Sequence[int]

    def entries(self) -> Iterator[Entry]:
        """Yield what its records hold, in order; an item's state that says no time is
        of its record's.
        """
        for record in self.records:
            for entry in record.entries:
                is_untimed = isinstance(entry, CatalogItem) and not entry.ts_ms
                yield replace(entry, ts_ms=record.time_ms or 0) if is_untimed else entry


@dataclass(frozen=True, slots=True)
class Case:
    """Events, items and erasures, and the logs that deliver them, with repeats.

    Attributes:
        number: which case of its seed.
        num_shards: of the store.
        num_workers: processes that the shards are spread over.
        logs: files, or partitions of topics.
        retention_ms: how late an event may be; None: the logs are files.
    """

    number: int
    num_shards: int
    num_workers: int
    logs: list[Log]
    retention_ms: int | None

    @property
    def by_partition(self) -> bool:
        """Whether a record's partition is its shard."""
        return self.retention_ms is not None

    @property
    def num_events(self) -> int:
        """How many interactions are delivered, repeats among them."""
        entries = (entry for log in self.logs for entry in log.entries())
        return sum(isinstance(entry, Interaction) for entry in entries)


def random_case(seed: int, number: int) -> tuple[Case, Random]:
    """Return a case by its seed and number, and the random numbers that its delivery
    draws next.
    """
    draw = Random(f"{seed}/{number}")
    vocabulary = draw.choice(_VOCABULARIES)
    events = [_event(draw, vocabulary) for _ in range(draw.randint(*vocabulary.events))]
    events += [_visit(draw, vocabulary) for _ in range(draw.choice((0, 0, 8, 20)))]
    searches = [_search(draw, vocabulary) for _ in range(draw.choice((0, 0, 4, 8)))]
    if searches:
        events = [_named(draw, event) for event in events]
    repeats = draw.choices(events, k=draw.randint(0, len(events) // 3)) if events else []
    items = [_item(draw, vocabulary) for _ in range(draw.choice((0, 0, 5, 20)))]
    items += draw.sample(timed := [item for item in items if item.ts_ms], len(timed) // 3)
    erasures = [_erasure(draw, vocabulary) for _ in range(draw.choice((0, 0, 0, 1, 3)))]
    if searches:
        # What an erased user searched for is gone for the others that name it from then
        # on: there the order of arrival counts.
        erasures = [erasure for erasure in erasures if erasure.kind != "user"]
    arriving: list[Entry] = [*events, *repeats, *items, *erasures, *searches, *searches[:2]]
    draw.shuffle(arriving)
    num_shards = draw.randint(1, _MAX_SHARDS)
    if draw.random() < 0.5:  # half of the cases read files
        return Case(number, num_shards, 1, _files(arriving, num_shards, draw), None), draw
    if draw.random() < 0.5:  # of those that read topics, half are in order, about
        arriving.sort(key=lambda entry: entry.ts_ms + draw.randint(0, 20 * _DAY_MS))
    num_workers = draw.randint(1, min(2, num_shards))
    logs = _topics(arriving, num_shards, draw)
    return Case(number, num_shards, num_workers, logs, _retention_ms(logs, draw)), draw


def _event(draw: Random, vocabulary: Vocabulary) -> Interaction:
    user = draw.randrange(vocabulary.users + 1)
    time = draw.randrange(vocabulary.times)
    return Interaction(
        ts_ms=NOON_MS + time * (_DAY_MS * 60 // vocabulary.times) + time % 7,
        session_id=f"s-{draw.randrange(vocabulary.sessions)}",
        user_id=f"u-{user}" if user else "",
        query=_query(draw, vocabulary),
        item_id=f"i-{draw.randrange(vocabulary.items)}",
        action=draw.choice(_ACTIONS),
    )


def _visit(draw: Random, vocabulary: Vocabulary) -> Interaction:
    """Return an event without a session, a few gaps from the others of its user."""
    return replace(
        _event(draw, vocabulary),
        session_id="",
        user_id=f"v-{draw.randrange(2)}",
        ts_ms=NOON_MS + draw.randrange(16) * _HALF_GAP_MS + draw.randrange(2),
    )


def _query(draw: Random, vocabulary: Vocabulary) -> str:
    query = draw.randrange(vocabulary.queries + 1)
    return normalize_query(f"{_WORDS[query % len(_WORDS)]} {query}") if query else ""


def _named(draw: Random, event: Interaction) -> Interaction:
    """Return an event without a query as one that may name a search."""
    if event.query or draw.random() < 0.3:
        return event
    return replace(event, query_id=f"q-{draw.randrange(_QUERY_IDS)}")


def _search(draw: Random, vocabulary: Vocabulary) -> SearchRecord:
    user = draw.randrange(2)
    return SearchRecord(
        query_id=f"q-{draw.randrange(_QUERY_IDS)}",
        query=_query(draw, vocabulary),
        user_ids=(f"u-{user}",) if user else (),
        ts_ms=NOON_MS + draw.randrange(8) * (_DAY_MS * 60 // 8),
    )


def _item(draw: Random, vocabulary: Vocabulary) -> CatalogItem:
    """Return a state of an item.

    Every third item has states without a time alone, deletions among them. Of the
    others a deletion has a time: in a file one without would count when it arrives.
    """
    item = draw.randrange(vocabulary.items + 2)
    is_timed = item % 3 > 0 and draw.random() < 0.7
    is_deleted = (is_timed or item % 3 == 0) and draw.random() < 0.2
    return CatalogItem(
        item_id=f"i-{item}",
        title="" if is_deleted else f"title {draw.randrange(9)}",
        available=is_deleted or draw.random() < 0.9,
        deleted=is_deleted,
        ts_ms=NOON_MS + draw.randrange(4) if is_timed else 0,
    )


def _erasure(draw: Random, vocabulary: Vocabulary) -> Erasure:
    """Return an erasure, most often of an item: that cuts into what lives on."""
    kind, text = draw.choice(
        (
            ("item", f"i-{draw.randrange(vocabulary.items)}"),
            ("item", f"i-{draw.randrange(vocabulary.items)}"),
            ("session", f"s-{draw.randrange(vocabulary.sessions)}"),
            ("user", f"u-{1 + draw.randrange(vocabulary.users)}"),
            ("user", f"v-{draw.randrange(2)}"),
        )
    )
    return Erasure(kind=kind, id=text, ts_ms=NOON_MS + draw.randrange(_DAY_MS))  # type: ignore[arg-type]


# Logs


def _files(arriving: Sequence[Entry], num_shards: int, draw: Random) -> list[Log]:
    """Cut what arrives into one file, or two; catalogue items without a time are in the
    last.
    """
    cut = draw.choice((0, draw.randint(0, len(arriving))))
    early = [entry for entry in arriving[:cut] if entry.ts_ms]
    moved = [entry for entry in arriving[:cut] if not entry.ts_ms]
    parts: list[list[Entry]] = [[*early], [*moved, *arriving[cut:]]]
    return [
        Log(
            SourcePartition(f"file {number}", 0),
            list(_records(part, draw, on_topic=False)),
            range(num_shards),
        )
        for number, part in enumerate(parts)
        if part
    ]


def _topics(arriving: Sequence[Entry], num_shards: int, draw: Random) -> list[Log]:
    """Spread what arrives over the partitions of four topics, as if each topic's
    producers had a partitioner of their own, and those of the catalogue several.

    A search is in all partitions of a topic, for any may have actions that name it.
    """
    partitioners = {topic: draw.choice(_PARTITIONERS) for topic in (CLICKS, VIEWS)}
    partitions: dict[SourcePartition, list[Entry]] = {}
    for entry in arriving:
        if isinstance(entry, SearchRecord):
            topic = draw.choice((CLICKS, VIEWS))
            for number in range(num_shards):
                partitions.setdefault(SourcePartition(topic, number), []).append(entry)
        else:
            position = _position_of(entry, partitioners, num_shards, draw)
            partitions.setdefault(position, []).append(entry)
    logs = []
    for position, entries in partitions.items():
        records = list(_records(entries, draw, on_topic=True))
        if position.source == ERASURES:
            logs += [Log(position, records, [shard]) for shard in range(num_shards)]
        else:
            logs.append(Log(position, records, [position.partition]))
    return logs


def _position_of(
    entry: Interaction | CatalogItem | Erasure,
    partitioners: dict[str, Partitioner],
    num_shards: int,
    draw: Random,
) -> SourcePartition:
    if isinstance(entry, Erasure):
        return SourcePartition(ERASURES, draw.randrange(2))
    if isinstance(entry, CatalogItem):
        return SourcePartition(CATALOG, draw.choice(_PARTITIONERS)(entry.item_id, num_shards))
    topic = CLICKS if entry.query else VIEWS
    return SourcePartition(topic, partitioners[topic](entry.key, num_shards))


def _records(entries: Sequence[Entry], draw: Random, *, on_topic: bool) -> Iterator[LogRecord]:
    """Yield records that hold the entries in order, each in an encoding of its own.

    Times of records are after all events; those of items are like the times of states
    that say one, so that they meet.
    """
    at = 0
    while at < len(entries):
        encoding = draw.choice(encodings_of(entries[at], on_topic=on_topic))
        end = at + 1
        while (
            end < len(entries)
            and end - at < encoding.num_entries
            and encoding in encodings_of(entries[end], on_topic=on_topic)
        ):
            end += 1
        is_item = isinstance(entries[at], CatalogItem)
        time_ms = NOON_MS + (draw.randrange(4) if is_item else 90 * _DAY_MS)
        yield LogRecord(entries[at:end], encoding, time_ms if on_topic else None)
        at = end


def _retention_ms(logs: Sequence[Log], draw: Random) -> int:
    """Return a bound that nothing is over; or one that some later event of its
    partition is at, or over by a millisecond.
    """
    delays = [0]
    for log in logs:
        newest_ms = 0
        for entry in log.entries():
            if isinstance(entry, Interaction):
                delays.append(max(newest_ms - entry.ts_ms, 0))
                newest_ms = max(newest_ms, entry.ts_ms)
    if draw.random() < 0.4:
        return max(delays)
    return max(draw.choice(delays) - draw.randrange(2), 0)


def shard_index_of(entry: Interaction | CatalogItem, num_shards: int) -> int:
    """Return the shard that an interaction or a catalogue item of a file belongs to."""
    return shard_of(entry.key if isinstance(entry, Interaction) else entry.item_id, num_shards)


def _by_crc32(key: str, num_shards: int) -> int:
    """Return the partition that librdkafka's `consistent` takes."""
    return crc32(key.encode()) % num_shards


_PARTITIONERS: tuple[Partitioner, ...] = (shard_of, _by_crc32)
_ACTIONS = tuple(Action)
