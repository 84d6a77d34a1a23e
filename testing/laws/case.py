"""One random case of ``python -m bench laws``.

Events, and the logs that they are delivered from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

from stream.actions import Action
from stream.events.types import CatalogItem, Interaction, SearchRecord, SourcePartition
from stream.kafka.partitioner import shard_of
from stream.settings import StreamSettings
from testing.oracle import newest_states, with_searches

NOON_MS = 1_700_000_000_000  # any time; times of events are drawn around it

_DAY_MS = 86_400_000
_MAX_SHARDS = 3  # enough for a shard that moves beside two that stay
_JOIN_MS = StreamSettings().query_join_ms
_QUERY_IDS = 5  # ids of searches: so few that some mean two texts, and some none
_WORDS = ("tv", "red shoes", "クエリ", "größe 42", "c++")


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


Entry = Interaction | CatalogItem | SearchRecord

_VOCABULARIES = (
    Vocabulary(sessions=3, queries=3, items=4, times=4, users=2, events=(0, 30)),
    Vocabulary(sessions=6, queries=4, items=8, times=60, users=3, events=(0, 60)),
    Vocabulary(sessions=15, queries=10, items=25, times=1000, users=6, events=(10, 60)),
    Vocabulary(
        sessions=1, queries=3, items=300, times=3, users=1, events=(45, 70)
    ),  # over a hyperedge's bound
)


@dataclass(frozen=True, slots=True)
class Log:
    """What a source holds of one partition, in order.

    Attributes:
        position: its name.
        entries: interactions, catalogue items and searches.
        shards: the shards that its entries go to: one for a topic, all for a file.
    """

    position: SourcePartition
    entries: Sequence[Entry]
    shards: Sequence[int]


@dataclass(frozen=True, slots=True)
class Case:
    """A set of events and the logs that deliver it, with repeats.

    Attributes:
        number: which case of its seed.
        events: the set, some of it repeated; what names a search is here once more with
            each text of it.
        num_shards: of the store.
        num_workers: processes that the shards are spread over.
        logs: files, or partitions of topics.
    """

    number: int
    events: list[Interaction]
    num_shards: int
    num_workers: int
    logs: list[Log]

    def items(self) -> dict[str, CatalogItem]:
        """Return the newest state of each catalogue item, by its id.

        An item's states without a time are in one log only.
        """
        entries = (entry for log in self.logs for entry in log.entries)
        return newest_states(entry for entry in entries if isinstance(entry, CatalogItem))


def random_case(seed: int, number: int) -> tuple[Case, Random]:
    """Return a case by its seed and number, and the random numbers that its delivery
    draws next.
    """
    draw = Random(f"{seed}/{number}")
    vocabulary = draw.choice(_VOCABULARIES)
    events = [_event(draw, vocabulary) for _ in range(draw.randint(*vocabulary.events))]
    searches = [_search(draw, vocabulary) for _ in range(draw.choice((0, 0, 4, 8)))]
    if searches:
        events = [_named(draw, event) for event in events]
    repeats = draw.choices(events, k=draw.randint(0, len(events) // 3)) if events else []
    items = [_item(draw, vocabulary) for _ in range(draw.choice((0, 0, 0, 5, 20)))]
    items += draw.sample(timed := [item for item in items if item.ts_ms], len(timed) // 3)
    arriving: list[Entry] = [*events, *repeats, *items, *searches, *searches[:2]]
    draw.shuffle(arriving)
    events = with_searches(events, searches, _JOIN_MS)
    num_shards = draw.randint(1, _MAX_SHARDS)
    if draw.random() < 0.5:  # half of the cases read files
        return Case(number, events, num_shards, 1, _files(arriving, num_shards, draw)), draw
    num_workers = draw.randint(1, min(2, num_shards))
    return Case(number, events, num_shards, num_workers, _topics(arriving, num_shards, draw)), draw


def _event(draw: Random, vocabulary: Vocabulary) -> Interaction:
    query = draw.randrange(vocabulary.queries + 1)
    user = draw.randrange(vocabulary.users + 1)
    time = draw.randrange(vocabulary.times)
    return Interaction(
        ts_ms=NOON_MS + time * (_DAY_MS * 60 // vocabulary.times) + time % 7,
        session_id=f"s-{draw.randrange(vocabulary.sessions)}",
        user_id=f"u-{user}" if user else "",
        query=f"{_WORDS[query % len(_WORDS)]} {query}" if query else "",
        item_id=f"i-{draw.randrange(vocabulary.items)}",
        action=draw.choice(_ACTIONS),
    )


def _item(draw: Random, vocabulary: Vocabulary) -> CatalogItem:
    """Return a state of an item.

    Every third item has states without a time alone, deletions among them. Of the
    others a deletion has a time: without one it would count when it arrives.
    """
    item = draw.randrange(vocabulary.items + 2)
    is_timed = item % 3 > 0 and draw.random() < 0.7
    return CatalogItem(
        item_id=f"i-{item}",
        title=f"title {draw.randrange(9)}",
        available=draw.random() < 0.9,
        deleted=(is_timed or item % 3 == 0) and draw.random() < 0.2,
        ts_ms=NOON_MS + draw.randrange(4) if is_timed else 0,
    )


def _named(draw: Random, event: Interaction) -> Interaction:
    """Return an event without a query as one that may name a search."""
    if event.query or draw.random() < 0.3:
        return event
    return replace(event, query_id=f"q-{draw.randrange(_QUERY_IDS)}")


def _search(draw: Random, vocabulary: Vocabulary) -> SearchRecord:
    query, user = draw.randrange(vocabulary.queries), draw.randrange(2)
    return SearchRecord(
        query_id=f"q-{draw.randrange(_QUERY_IDS)}",
        query=f"{_WORDS[query % len(_WORDS)]} {query}" if query else "",
        user_ids=(f"u-{user}",) if user else (),
        ts_ms=NOON_MS + draw.randrange(8) * (_DAY_MS * 60 // 8),
    )


def _files(arriving: Sequence[Entry], num_shards: int, draw: Random) -> list[Log]:
    """Cut what arrives into one file, or two; catalogue items without a time are in the
    last.
    """
    cut = draw.choice((0, draw.randint(0, len(arriving))))
    early = [entry for entry in arriving[:cut] if entry.ts_ms]
    moved = [entry for entry in arriving[:cut] if not entry.ts_ms]
    parts: list[list[Entry]] = [[*early], [*moved, *arriving[cut:]]]
    shards = range(num_shards)
    return [
        Log(SourcePartition(f"file {n}", 0), part, shards) for n, part in enumerate(parts) if part
    ]


def _topics(arriving: Sequence[Entry], num_shards: int, draw: Random) -> list[Log]:
    """Spread what arrives over the partitions of three topics.

    Catalogue items with a time are in any partition, as if producers disagreed. A
    search is in all partitions of a topic, for any may have actions that name it.
    """
    partitions: dict[SourcePartition, list[Entry]] = {}
    for entry in arriving:
        if isinstance(entry, SearchRecord):
            topic = draw.choice(("clicks", "sessions"))
            for number in range(num_shards):
                partitions.setdefault(SourcePartition(topic, number), []).append(entry)
            continue
        position = _position_of(entry, num_shards)
        if isinstance(entry, CatalogItem) and entry.ts_ms:
            position = SourcePartition(position.source, draw.randrange(num_shards))
        partitions.setdefault(position, []).append(entry)
    return [
        Log(position, entries, [position.partition]) for position, entries in partitions.items()
    ]


def _position_of(entry: Interaction | CatalogItem, num_shards: int) -> SourcePartition:
    if isinstance(entry, CatalogItem):
        return SourcePartition("catalog", shard_index_of(entry, num_shards))
    return SourcePartition(
        "clicks" if entry.query else "sessions", shard_index_of(entry, num_shards)
    )


def shard_index_of(entry: Interaction | CatalogItem, num_shards: int) -> int:
    """Return the shard that an interaction or a catalogue item belongs to."""
    return shard_of(
        entry.session_id if isinstance(entry, Interaction) else entry.item_id, num_shards
    )


_ACTIONS = tuple(Action)
