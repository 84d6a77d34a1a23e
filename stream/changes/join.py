"""Joins actions that name their search by an id with the text of that search, in any
order of arrival.

An action counts without a query at once, and for each text of its id also as an action
of that query: both are facts for good, so the order of arrival leaves no trace. What is
held of an id are its texts and the actions that named it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np

from protos.text import text_key
from stream.changes.acceptance import Lateness
from stream.events.columns import NO_KEY, EventColumns, Keys, ShardBatch, Texts
from stream.events.types import RecordBatch, SearchRecord, SourcePartition
from stream.shard.query_ids import (
    NamedAction,
    QueryIdEntry,
    SearchText,
    pack_query_id,
    query_id_key,
)
from stream.shard.rocksdb import Puts
from stream.shard.shard import Shard

MAX_TEXTS = 16
"""Texts held of one id, and who searched: an id should have one.

An id that is used for everything makes an edge of each action for each of its texts:
twice as many would double what it costs.
"""

MAX_ACTIONS = 1024
"""Actions held of one id, far more than people do about one search.

Bounds what is read and written again for an id that is used for everything: twice as
many would double it.
"""

_HELD = SourcePartition("actions held for their search", 0)


class Joined(NamedTuple):
    """What joining adds to a batch.

    Attributes:
        batch: with the actions as actions of the queries that they name, at its end.
        late: which of its events are late.
        puts: what is held of its ids now.
        named: actions that name a search, late ones left out.
        joined: those of them, and of actions held, that found that search now.
        overused: actions and texts that are not held, because their id has too many.
    """

    batch: ShardBatch
    late: Lateness
    puts: Puts
    named: int = 0
    joined: int = 0
    overused: int = 0


def join(shard: Shard, batch: ShardBatch, late: Lateness, texts: Texts, now_ms: int) -> Joined:
    """Return a batch with what its actions, and those held for it, are of by the texts
    of the searches that they name.

    Args:
        shard: read, not written.
        batch: without what is erased.
        late: which of its events are late: whatever these named is held already.
        texts: what is behind the keys of the batch; what is added is added here.
        now_ms: the clock.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    references = batch.references
    if not len(references) and not batch.searches:
        return Joined(batch, late, Puts())
    is_named = ~late.is_late[references.event] & (references.query_id != NO_KEY)
    named = list(
        zip(
            references.query_id[is_named].tolist(),
            references.event[is_named].tolist(),
            _actions(batch.events.take(references.event[is_named]), texts),
            strict=True,
        )
    )
    searched = [(text_key(search.query_id), search) for search in batch.searches]
    keys = sorted({key for key, _, _ in named} | {key for key, _ in searched})
    stored = shard.get_query_ids(keys)
    ids = {key: _Id(stored.get(key, QueryIdEntry())) for key in keys}
    for key, search in searched:
        ids[key].add_text(search)
    for key, event, action in named:
        ids[key].add_action(action, event)
    puts = Puts()
    for key, found in ids.items():
        if found.has_changed:
            puts.put(query_id_key(key), pack_query_id(found.entry(), now_ms))
    bounds_ms = shard.query_join_ms, late.fold_bound_ms
    pairs = [pair for found in ids.values() for pair in found.pairs(*bounds_ms)]
    return Joined(
        batch=_with_queries(batch, pairs, texts) if pairs else batch,
        late=late.with_more_in_time(len(pairs)),
        puts=puts,
        named=len(named),
        joined=sum(found.num_joined(shard.query_join_ms) for found in ids.values()),
        overused=sum(found.overused for found in ids.values()),
    )


def has_text(action: NamedAction, found: Iterable[SearchText], join_ms: int) -> bool:
    """Return whether an action is near enough in time to one of some texts."""
    return any(_is_near(action, text, join_ms) for text in found)


class _Pair(NamedTuple):
    """An action and a query that it names.

    Attributes:
        query: the text.
        event: index of the action in the batch; None: it was held.
        action: the same.
    """

    query: str
    event: int | None
    action: NamedAction


@dataclass(slots=True)
class _Id:
    """What is held of an id, and what a batch brings of it.

    Attributes:
        held: before the batch.
        texts: by text and who searched.
        actions: those held, in order.
        arrived: the batch's actions with their indexes.
        changed: which texts are new, or new at their times.
        overused: actions and texts that are not held.
    """

    held: QueryIdEntry
    texts: dict[tuple[str, tuple[int, ...]], SearchText] = field(init=False)
    actions: dict[NamedAction, None] = field(init=False)
    arrived: list[tuple[NamedAction, int]] = field(default_factory=list)
    changed: dict[tuple[str, tuple[int, ...]], None] = field(default_factory=dict)
    overused: int = 0

    def __post_init__(self) -> None:
        self.texts = {(text.query, text.user_keys): text for text in self.held.texts}
        self.actions = dict.fromkeys(self.held.actions)

    def add_text(self, search: SearchRecord) -> None:
        """Add a text, or the time of one that is known."""
        users = tuple(sorted(map(text_key, search.user_ids)))
        place, ts_ms = (search.query, users), search.ts_ms
        known = self.texts.get(place)
        if known is None and len(self.texts) >= MAX_TEXTS:
            self.overused += 1
            return
        first_ms, last_ms = (known.first_ms, known.last_ms) if known else (ts_ms, ts_ms)
        text = SearchText(search.query, users, min(first_ms, ts_ms), max(last_ms, ts_ms))
        if text != known:
            self.texts[place] = text
            self.changed[place] = None

    def add_action(self, action: NamedAction, event: int) -> None:
        """Add an action of the batch."""
        self.arrived.append((action, event))
        if action not in self.actions:
            if len(self.actions) >= MAX_ACTIONS:
                self.overused += 1
            else:
                self.actions[action] = None

    @property
    def has_changed(self) -> bool:
        """Whether more is held than before."""
        return bool(self.changed) or len(self.actions) > len(self.held.actions)

    def entry(self) -> QueryIdEntry:
        """Return what is held now."""
        return QueryIdEntry(tuple(self.texts.values()), tuple(self.actions))

    def pairs(self, join_ms: int, fold_bound_ms: int) -> Iterator[_Pair]:
        """Yield each action with each query that it names and may not have yet.

        An action that is held is taken with what changed; one that may have been folded
        is not taken any more.
        """
        for action, event in self.arrived:
            for query in _queries(action, self.texts.values(), join_ms):
                yield _Pair(query, event, action)
        changed = [self.texts[place] for place in self.changed]
        for action in self.held.actions if changed else ():
            if action.ts_ms >= fold_bound_ms:
                for query in _queries(action, changed, join_ms):
                    yield _Pair(query, None, action)

    def num_joined(self, join_ms: int) -> int:
        """Return how many of the actions, and of those held, found their search now."""
        num_arrived = sum(has_text(one, self.texts.values(), join_ms) for one, _ in self.arrived)
        if not self.changed:
            return num_arrived
        return num_arrived + sum(
            has_text(action, self.texts.values(), join_ms)
            and not has_text(action, self.held.texts, join_ms)
            for action in self.held.actions
        )


def _queries(action: NamedAction, found: Iterable[SearchText], join_ms: int) -> list[str]:
    near = (text.query for text in found if _is_near(action, text, join_ms))
    return [query for query in dict.fromkeys(near) if query]


def _is_near(action: NamedAction, text: SearchText, join_ms: int) -> bool:
    return text.first_ms - join_ms <= action.ts_ms <= text.last_ms + join_ms


def _actions(events: EventColumns, texts: Texts) -> Iterator[NamedAction]:
    columns = events.session, events.user, events.item, events.action, events.ts_ms
    for session, user, item, action, ts_ms in zip(
        *(column.tolist() for column in columns), strict=True
    ):
        yield NamedAction(
            session_id="" if session == NO_KEY else texts.sessions[session],
            user_id="" if user == NO_KEY else texts.users[user],
            item_id=texts.items[item],
            action=action,
            ts_ms=ts_ms,
            session=session,
            user=user,
            item=item,
        )


def _with_queries(batch: ShardBatch, pairs: Sequence[_Pair], texts: Texts) -> ShardBatch:
    """Add actions as actions of queries at the end of a batch.

    Those of the batch stay of their records. Those that were held are of no partition,
    so that none of its bounds holds for them again.
    """
    arrived = [(pair.query, pair.event) for pair in pairs if pair.event is not None]
    held = [pair for pair in pairs if pair.event is None]
    index = np.array([event for _, event in arrived], dtype=np.int64)
    of_batch = replace(
        batch.events.take(index), query=_query_keys([query for query, _ in arrived], texts)
    )
    return replace(
        batch,
        events=EventColumns.concatenate([batch.events, of_batch, _held_events(held, texts)]),
        place=np.concatenate(
            [
                batch.place,
                batch.place[index],
                np.full(len(held), len(batch.batches), dtype=np.int32),
            ]
        ),
        batches=[*batch.batches, _held_records(len(held))],
    )


def _held_events(pairs: Sequence[_Pair], texts: Texts) -> EventColumns:
    actions = [pair.action for pair in pairs]
    for action in actions:
        if action.session_id:
            texts.sessions.setdefault(action.session, action.session_id)
        if action.user_id:
            texts.users.setdefault(action.user, action.user_id)
        texts.items.setdefault(action.item, action.item_id)
    return EventColumns(
        ts_ms=np.array([action.ts_ms for action in actions], dtype=np.int64),
        session=np.array([action.session for action in actions], dtype=np.uint64),
        user=np.array([action.user for action in actions], dtype=np.uint64),
        query=_query_keys([pair.query for pair in pairs], texts),
        item=np.array([action.item for action in actions], dtype=np.uint64),
        action=np.array([action.action for action in actions], dtype=np.uint8),
        row=np.arange(len(actions), dtype=np.int32),
    )


def _held_records(count: int) -> RecordBatch:
    """Return what stands for the records of actions that were held: these are gone."""
    return RecordBatch(
        position=_HELD,
        offsets=range(count),
        next_offsets=range(1, count + 1),
        content_types=[""] * count,
        keys=[None] * count,
        values=[b""] * count,
    )


def _query_keys(queries: Sequence[str], texts: Texts) -> Keys:
    keys = [text_key(query) for query in queries]
    for key, query in zip(keys, queries, strict=True):
        texts.queries.setdefault(key, query)
    return np.array(keys, dtype=np.uint64)
