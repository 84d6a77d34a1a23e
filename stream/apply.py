"""A micro-batch of events becomes one write to one shard: sessions, edges, names, catalogue and positions."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain
from struct import Struct
from typing import Literal

from protos.text import text_key
from stream import codec
from stream.codec import ShardState
from stream.events import CatalogItem, Interaction, Position
from stream.facts import (
    NO_QUERY,
    EdgeChange,
    EdgeKey,
    FactKey,
    SessionMerge,
    SessionState,
    merge_edge,
    merge_session,
)
from stream.shard import Shard

_MURMUR2_SEED = 0x9747B28C
_MURMUR2_FACTOR = 0x5BD1E995
_MASK = 0xFFFFFFFF
_WORD = Struct("<I")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """An interaction or catalogue item that could not be applied.

    Attributes:
        kind: which of the two sequences given to `apply_batch` it is in.
        index: where in that sequence.
        reason: one of `stream.events.REASONS`.
        detail: for people.
    """

    kind: Literal["interaction", "item"]
    index: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a batch did.

    Attributes:
        new_facts: facts not known before.
        duplicates: interactions that were accepted and made no new fact.
        refusals: what was left out, with reasons.
        sequence: batches applied to the shard since it was made, this one included.
        watermark_ms: the largest event time applied to the shard; None: no event was applied yet.
    """

    new_facts: int
    duplicates: int
    refusals: tuple[Refusal, ...]
    sequence: int
    watermark_ms: int | None


def shard_of(session_id: str, num_shards: int) -> int:
    """Return the shard of a session: what Kafka's default partitioner makes of its id as a record's key."""
    if num_shards == 1:
        return 0
    return (_murmur2(session_id.encode("utf-8", "surrogatepass")) & 0x7FFFFFFF) % num_shards


def apply_batch(
    shard: Shard,
    interactions: Sequence[Interaction],
    items: Sequence[CatalogItem],
    positions: Mapping[Position, int],
    *,
    on_refused: Callable[[Sequence[Refusal]], None] | None = None,
) -> Applied:
    """Apply events, catalogue items and the positions behind them in one write: all of it or none.

    Args:
        shard: where to.
        interactions: events of sessions that live in this shard, in any order.
        items: catalogue items; of several states of an item the last one stays.
        positions: the next offset of every partition that the batch was read from.
        on_refused: called with the refusals, if any, before the write; what it raises stops the write.

    Raises:
        StoreWriteFailed: the disk refused; nothing was applied.
        StoreUnreadable: the shard's files are damaged; nothing was applied.
    """
    batch = _Batch(shard)
    sightings = batch.resolve(interactions, items)
    merges = batch.merge_sessions(sightings)
    batch.merge_edges(merges)
    batch.put_items(items)
    if batch.refusals and on_refused is not None:
        on_refused(batch.refusals)
    new_facts = sum(merge.num_new_facts for merge in merges.values())
    state = batch.finish(new_facts, positions)
    return Applied(
        new_facts=new_facts,
        duplicates=batch.num_accepted - new_facts,
        refusals=tuple(batch.refusals),
        sequence=state.sequence,
        watermark_ms=state.watermark_ms,
    )


@dataclass(slots=True)
class _Sighting:
    """What a batch saw of one session: the earliest time of each fact, and the users."""

    session_id: str
    facts: dict[FactKey, int] = field(default_factory=dict)
    user_ids: set[str] = field(default_factory=set)


class _Batch:
    """The puts of one batch, as they come together."""

    def __init__(self, shard: Shard) -> None:
        self.refusals: list[Refusal] = []
        self.num_accepted = 0
        self._shard = shard
        self._puts: dict[bytes, bytes] = {}
        self._new_names: dict[bytes, dict[str, int]] = {codec.QUERY_NAME: {}, codec.ITEM_NAME: {}}
        self._item_keys: dict[str, int | None] = {}
        self._stored: dict[int, SessionState] = {}
        self._latest_ms: int | None = None

    def resolve(
        self, interactions: Sequence[Interaction], items: Sequence[CatalogItem]
    ) -> dict[int, _Sighting]:
        """Replace texts by 64-bit keys and group what was seen by session; refuse keys held by others."""
        query_keys = self._name_keys(codec.QUERY_NAME, (event.query for event in interactions if event.query))
        query_keys[""] = NO_QUERY
        item_ids = chain((event.item_id for event in interactions), (item.item_id for item in items))
        self._item_keys = item_keys = self._name_keys(codec.ITEM_NAME, item_ids)
        session_keys = self._session_keys(event.session_id for event in interactions)
        sightings: dict[int, _Sighting] = {}
        for index, event in enumerate(interactions):
            query_key, item_key = query_keys[event.query], item_keys[event.item_id]
            session_key = session_keys[event.session_id]
            if query_key is None or item_key is None or session_key is None:
                self._refuse("interaction", index, event.query, event.item_id, event.session_id)
                continue
            sighting = sightings.get(session_key)
            if sighting is None:
                sighting = sightings[session_key] = _Sighting(event.session_id)
            fact = (query_key, item_key, int(event.action))
            ts_ms = event.ts_ms
            if ts_ms < sighting.facts.get(fact, ts_ms + 1):
                sighting.facts[fact] = ts_ms
            sighting.user_ids.add(event.user_id)
            if self._latest_ms is None or ts_ms > self._latest_ms:
                self._latest_ms = ts_ms
            self.num_accepted += 1
        return sightings

    def merge_sessions(self, sightings: Mapping[int, _Sighting]) -> dict[int, SessionMerge]:
        """Merge what was seen into the stored sessions."""
        merges = {}
        for key, sighting in sightings.items():
            state = self._stored.get(key) or SessionState(sighting.session_id)
            merge = merge_session(state, sighting.facts, sighting.user_ids)
            if merge.state is not None:
                self._puts[codec.session_key(key)] = codec.pack_session(merge.state)
                merges[key] = merge
        return merges

    def merge_edges(self, merges: Mapping[int, SessionMerge]) -> None:
        """Carry the sessions' changes over to the edges, with their postings."""
        changes: dict[EdgeKey, dict[int, EdgeChange]] = {}
        for session_key, merge in merges.items():
            for key, change in merge.edges.items():
                changes.setdefault(key, {})[session_key] = change
                posting = codec.posting_key(*key, session_key)
                self._puts[posting] = codec.pack_posting(change.latest_ms)
        stored = self._shard.get_edges(list(changes))
        for key, by_session in changes.items():
            edge = stored.get(key)
            find_last_ms = partial(self._last_ms, key, by_session)
            merged = merge_edge(edge, list(by_session.values()), self._shard.half_life_ms, find_last_ms)
            self._puts[codec.edge_key(*key)] = codec.pack_edge(merged)
            if edge is None:
                self._puts[codec.reverse_edge_key(key[1], key[0])] = codec.PRESENT

    def put_items(self, items: Sequence[CatalogItem]) -> None:
        """Store catalogue items; the last state of an item wins."""
        for index, item in enumerate(items):
            key = self._item_keys[item.item_id]
            if key is None:
                self._refuse("item", index, item.item_id)
            else:
                self._puts[codec.catalog_key(key)] = codec.pack_catalog(item)

    def finish(self, new_facts: int, positions: Mapping[Position, int]) -> ShardState:
        """Write everything with the positions, and return how far the shard is now."""
        before = self._shard.state()
        times = [time for time in (before.watermark_ms, self._latest_ms) if time is not None]
        state = ShardState(before.sequence + 1, max(times, default=None), before.num_facts + new_facts)
        self._puts[codec.STATE_KEY] = codec.pack_state(state)
        self._puts.update(codec.pack_position(position, offset) for position, offset in positions.items())
        self._shard.write(self._puts)
        for kind, names in self._new_names.items():
            self._shard.known_names[kind].learn(names)
        return state

    def _name_keys(self, kind: bytes, texts: Iterable[str]) -> dict[str, int | None]:
        """Return the key of each text, None where another text has it already; new names are put."""
        known = self._shard.known_names[kind]
        keys: dict[str, int | None] = {text: known.get(text) for text in texts}
        unknown = {text: text_key(text) for text, key in keys.items() if key is None}
        stored = self._shard.get_names(kind, list(unknown.values()))
        owners = dict(stored)
        for text, key in unknown.items():
            if key == NO_QUERY or owners.setdefault(key, text) != text:
                continue
            keys[text] = self._new_names[kind][text] = key
            if key not in stored:
                self._puts[codec.name_key(kind, key)] = codec.pack_name(text)
        return keys

    def _session_keys(self, session_ids: Iterable[str]) -> dict[str, int | None]:
        """Return the key of each session id, None where another has it; fetch the stored sessions."""
        keys: dict[str, int | None] = {text: text_key(text) for text in dict.fromkeys(session_ids)}
        self._stored = self._shard.get_sessions([key for key in keys.values() if key is not None])
        owners = {key: state.session_id for key, state in self._stored.items()}
        for session_id, key in keys.items():
            if key is not None and owners.setdefault(key, session_id) != session_id:
                keys[session_id] = None
        return keys

    def _last_ms(self, key: EdgeKey, changes: Mapping[int, EdgeChange]) -> int:
        """Return the time of an edge's latest fact, this batch's changes included."""
        others = (latest_ms for session, latest_ms in self._shard.postings(*key) if session not in changes)
        return max(chain(others, (change.latest_ms for change in changes.values())))

    def _refuse(self, kind: Literal["interaction", "item"], index: int, *texts: str) -> None:
        detail = f"one of {', '.join(map(repr, texts))} has the 64-bit key of another text"
        self.refusals.append(Refusal(kind=kind, index=index, reason="key_collision", detail=detail))


def _murmur2(data: bytes) -> int:
    """Return Kafka's 32-bit murmur2 hash (Appleby, public domain), as `DefaultPartitioner` uses it."""
    length = len(data)
    value = _MURMUR2_SEED ^ length
    whole = length & ~3
    for (word,) in _WORD.iter_unpack(data[:whole]):
        mixed = (word * _MURMUR2_FACTOR) & _MASK
        mixed = ((mixed ^ (mixed >> 24)) * _MURMUR2_FACTOR) & _MASK
        value = ((value * _MURMUR2_FACTOR) & _MASK) ^ mixed
    if length > whole:
        value = ((value ^ int.from_bytes(data[whole:], "little")) * _MURMUR2_FACTOR) & _MASK
    value = ((value ^ (value >> 13)) * _MURMUR2_FACTOR) & _MASK
    return value ^ (value >> 15)
