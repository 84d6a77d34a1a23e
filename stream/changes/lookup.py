"""What a batch meets in its shard: everything that is read before it is merged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import compress
from typing import NamedTuple, Self

import numpy as np

from protos.text import text_key
from stream.actions import Action
from stream.changes.acceptance import Acceptance, Lateness
from stream.dtypes import Bools
from stream.events.columns import NO_KEY, EventColumns, Keys, ShardBatch, Texts, texts_of
from stream.events.types import CatalogItem, Rejection, SourcePartition
from stream.graph.facts import MIN_HYPEREDGE_ITEMS, FactColumns, stamps
from stream.graph.keysets import distinct
from stream.graph.sessions import RenamedFacts, SessionCut, cut_sessions, rename_facts
from stream.shard import codec
from stream.shard.codec import PartitionProgress, ShardState, StoredSession
from stream.shard.names import Hashes, hashes_of
from stream.shard.rocksdb import store_error
from stream.shard.shard import Shard


class Names(NamedTuple):
    """The names of queries, or of items, that a batch brings.

    Attributes:
        kind: `codec.QUERY_NAME` or `codec.ITEM_NAME`.
        new: ``uint64 [num_new]`` keys that are not stored yet, ascending.
        new_texts: the texts behind them.
        taken: ``uint64 [num_taken]`` keys that the shard has for another text.
        learnt: ``uint64 [num_learnt]`` keys to be known once the batch is written.
        learnt_hashes: ``uint32 [num_learnt]`` of their texts.
        is_found: ``bool [num_learnt]`` which of them were known as they are before.
    """

    kind: bytes
    new: Keys
    new_texts: list[str]
    taken: Keys
    learnt: Keys
    learnt_hashes: Hashes
    is_found: Bools

    def of(self, keys: Keys) -> Self:
        """Return those of the names that are of some keys."""
        is_new, is_learnt = np.isin(self.new, keys), np.isin(self.learnt, keys)
        return self._replace(
            new=self.new[is_new],
            new_texts=list(compress(self.new_texts, is_new.tolist())),
            learnt=self.learnt[is_learnt],
            learnt_hashes=self.learnt_hashes[is_learnt],
            is_found=self.is_found[is_learnt],
        )


class Sessions(NamedTuple):
    """The sessions of a batch, as they are stored.

    Attributes:
        records: by key, those that are stored.
        wide: those of them whose facts and users are entries of their own; `records`
            has the users that the batch meets of these.
        facts: theirs, by whether their session has another name now; of wide ones those
            that the batch meets, with other actions on the same.
        searched: pairs of a wide session and a query of the batch that has a fact there
            that makes an edge.
        gone_keys: entries of facts and users of wide sessions that are renamed.
        rows_left: for runs behind queries or items that hold facts of renamed sessions:
            the rows that stay in each, by its entry key.
        bare_queries: ``uint64 [num_queries]`` that had such runs, ascending.
        bare_items: ``uint64 [num_items]`` that had, ascending.
    """

    records: Mapping[int, StoredSession]
    wide: Mapping[int, StoredSession]
    facts: RenamedFacts
    searched: frozenset[tuple[int, int]]
    gone_keys: Sequence[bytes]
    rows_left: Mapping[bytes, bytes]
    bare_queries: Keys
    bare_items: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Lookup:
    """A batch beside what the shard holds of its sessions, names and partitions.

    Attributes:
        batch: as it came.
        events: its events; those that came without a session have one now.
        accepted: which of them are accepted, as far as stored keys tell.
        late: which of them are late.
        items: accepted states of catalogue items with their keys, in order.
        catalog: the stored states of these items, by key.
        queries: the names of its queries.
        item_names: the names of its items.
        cut: the sessions that were cut for events without one.
        sessions: what is stored of its sessions.
        state: of the shard, before the batch.
        progress: how far each partition was, before the batch.
    """

    batch: ShardBatch
    events: EventColumns
    accepted: Acceptance
    late: Lateness
    items: list[tuple[int, CatalogItem]]
    catalog: Mapping[int, CatalogItem]
    queries: Names
    item_names: Names
    cut: SessionCut
    sessions: Sessions
    state: ShardState
    progress: Mapping[SourcePartition, PartitionProgress]


def look_up(
    shard: Shard, batch: ShardBatch, late: Lateness, visits: EventColumns, texts: Texts
) -> Lookup:
    """Read what a batch meets in a shard, and cut its events without a session.

    Events are refused whose texts have the key of another text in the shard.

    Args:
        shard: where the batch goes.
        batch: without what is erased.
        late: which of its events are late.
        visits: events that are no part of the batch, and say when users were there.
        texts: what is behind the keys of the batch; ids of sessions that are cut are
            added.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    state, progress = shard.state(), shard.progress()

    # Names come first: an event whose text has another's key must cut no session.
    item_keys = [text_key(item.item_id) for item, _, _ in batch.items]
    for (item, _, _), key in zip(batch.items, item_keys, strict=True):
        texts.items.setdefault(key, item.item_id)
    query_keys = distinct(batch.events.query)
    queries = _names(shard, codec.QUERY_NAME, query_keys[query_keys != NO_KEY], texts)
    named = distinct(np.append(batch.events.item, np.array(item_keys, dtype=np.uint64)))
    item_names = _names(shard, codec.ITEM_NAME, named, texts)
    accepted = _with_free_keys(batch, queries.taken, item_names.taken)
    items, accepted = _accepted_items(batch, item_keys, item_names.taken, texts, accepted)

    is_cut = accepted.mask & (batch.events.session == NO_KEY)
    events, cut = _cut(shard, batch.events, is_cut, ~late.is_late, visits, texts)

    # Which sessions are met follows from the cut, renamed ones under both names.
    keys = distinct(
        np.concatenate([events.session[accepted.mask], cut.renames.old, cut.renames.new])
    )
    records = shard.get_session_entries(keys.tolist())
    others = [key for key, record in records.items() if texts.sessions[key] != record.session_id]
    if others:
        is_other = np.isin(events.session, np.array(others, dtype=np.uint64))
        unchanged_users = distinct(events.user[is_other & is_cut])
        is_other |= is_cut & np.isin(events.user, unchanged_users)
        detail = "a session with the 64-bit key of another"
        accepted = accepted.without(batch, is_other, "key_collision", detail)
        records = {key: record for key, record in records.items() if key not in others}
        cut = cut.without_users(unchanged_users)  # a refused event changes no window of its user
    return Lookup(
        batch=batch,
        events=events,
        accepted=accepted,
        late=late,
        items=items,
        catalog=shard.get_catalog(sorted({key for key, _ in items})),
        queries=queries,
        item_names=item_names,
        cut=cut,
        sessions=_sessions(shard, records, cut, events.take(accepted.mask)),
        state=state,
        progress=progress,
    )


def _names(shard: Shard, kind: bytes, keys: Keys, texts: Texts) -> Names:
    """Tell which names are new, and which keys another text has."""
    cache = shard.name_caches[kind]
    keys = keys[~cache.recall(keys, texts.generation)]
    text_of = texts.queries if kind == codec.QUERY_NAME else texts.items
    hashes = hashes_of(text_of, keys)
    is_stored, is_unsure = cache.find(keys, hashes)
    is_new, is_taken = ~(is_stored | is_unsure), np.zeros(len(keys), dtype=np.bool_)
    stored = shard.get_values(codec.one_keys(kind, keys[is_unsure]))
    unsure = texts_of(text_of, keys[is_unsure])
    places = np.flatnonzero(is_unsure).tolist()
    for place, value, text in zip(places, stored, unsure, strict=True):
        is_new[place] = value is None
        is_taken[place] = value is not None and value != codec.pack_name(text)
    return Names(
        kind=kind,
        new=keys[is_new],
        new_texts=texts_of(text_of, keys[is_new]),
        taken=keys[is_taken],
        learnt=keys[~is_taken],
        learnt_hashes=hashes[~is_taken],
        is_found=is_stored[~is_taken],
    )


def _with_free_keys(batch: ShardBatch, taken_queries: Keys, taken_items: Keys) -> Acceptance:
    """Refuse events whose query or item has the key of another."""
    accepted = Acceptance(np.ones(len(batch.events), dtype=np.bool_))
    detail = "a text with the 64-bit key of another"
    for column, taken in ((batch.events.query, taken_queries), (batch.events.item, taken_items)):
        if len(taken):
            accepted = accepted.without(batch, np.isin(column, taken), "key_collision", detail)
    return accepted


def _accepted_items(
    batch: ShardBatch, keys: list[int], taken: Keys, texts: Texts, accepted: Acceptance
) -> tuple[list[tuple[int, CatalogItem]], Acceptance]:
    """Return the catalogue items by key; refuse those that have the key of another."""
    others = set(taken.tolist())
    items = []
    for (item, place, row), key in zip(batch.items, keys, strict=True):
        if key not in others and texts.items[key] == item.item_id:
            items.append((key, item))
            continue
        record = batch.batches[place].record(row)
        detail = f"{item.item_id!r} has the 64-bit key of another item"
        refusal = Rejection(record=record, reason="key_collision", detail=detail)
        accepted = accepted.with_refusal(refusal)
    return items, accepted


def _cut(
    shard: Shard,
    events: EventColumns,
    is_cut: Bools,
    extends_windows: Bools,
    visits: EventColumns,
    texts: Texts,
) -> tuple[EventColumns, SessionCut]:
    """Give each event without a session one of its user's sessions."""
    loose = events.take(is_cut)
    moments = EventColumns.concatenate([part for part in (loose, visits) if len(part)] or [loose])
    if not len(moments):
        return events, SessionCut.empty()
    known, gap_ms = shard.get_windows(distinct(moments.user)), shard.session_gap_ms
    extends = np.append(extends_windows[is_cut], np.ones(len(visits), dtype=np.bool_))
    cut = cut_sessions(known, moments.user, moments.ts_ms, extends, texts.users, gap_ms)
    texts.sessions.update(cut.session_ids)
    session = events.session.copy()
    session[is_cut] = cut.session[: len(loose)]
    return replace(events, session=session), cut


def _sessions(
    shard: Shard, records: dict[int, StoredSession], cut: SessionCut, events: EventColumns
) -> Sessions:
    """Return what is stored of sessions, and what is left where renamed ones were."""
    wides, gone_keys = _wide_sessions(shard, records, cut, events)
    try:
        keys = np.array(list(records), dtype=np.uint64)
        stored = codec.facts_of_sessions(keys, list(records.values()))
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error
    searched: frozenset[tuple[int, int]] = frozenset()
    if wides:
        is_wide = np.isin(events.session, np.array(list(wides), dtype=np.uint64))
        met = FactColumns.of_events(events.take(is_wide))
        searched = _searched(shard, met)
        stored = FactColumns.concatenate([stored, shard.get_wide_facts(_all_actions(met))])
    none = np.empty(0, dtype=np.uint64)
    if not len(cut.renames.old):
        unchanged = RenamedFacts(stored, FactColumns.empty(), FactColumns.empty())
        return Sessions(records, wides, unchanged, searched, gone_keys, {}, none, none)
    facts = rename_facts(stored, cut.renames)
    queries = distinct(facts.gone.query[facts.gone.query != NO_KEY])
    items = distinct(facts.gone.item)
    rows_left: dict[bytes, bytes] = {}
    for kind, majors in ((codec.BY_QUERY, queries), (codec.BY_ITEM, items)):
        for key in majors.tolist():
            rows_left.update(shard.runs_without(kind, key, cut.renames.old))
    return Sessions(records, wides, facts, searched, gone_keys, rows_left, queries, items)


def _all_actions(met: FactColumns) -> FactColumns:
    """Return facts with every action on what they are on."""
    actions = np.tile(np.array(list(Action), dtype=np.uint8), len(met))
    each = np.repeat(np.arange(len(met)), len(Action))
    times = np.zeros(len(actions), dtype=np.int64)
    return FactColumns(met.session[each], met.query[each], met.item[each], stamps(times, actions))


def _searched(shard: Shard, met: FactColumns) -> frozenset[tuple[int, int]]:
    """Return those pairs of a wide session and a query, of some facts, that have a
    stored fact that makes an edge.
    """
    met = met.take(met.makes_edge)
    pairs = set(zip(met.session.tolist(), met.query.tolist(), strict=True))
    return frozenset(pair for pair in sorted(pairs) if shard.has_wide_edge(*pair))


def _may_become_hyperedges(wides: Mapping[int, StoredSession], events: EventColumns) -> list[int]:
    """Return the wide sessions with too few items for a hyperedge that a batch may
    bring more: what is in one became a member of nothing before.
    """
    few = {key: record.items or () for key, record in wides.items()}
    few = {key: items for key, items in few.items() if len(items) < MIN_HYPEREDGE_ITEMS}
    if not few:
        return []
    is_met = np.isin(events.session, np.array(list(few), dtype=np.uint64))
    met = set(zip(events.session[is_met].tolist(), events.item[is_met].tolist(), strict=True))
    return [*{session for session, item in met if item not in few[session]}]


def _wide_sessions(
    shard: Shard, records: dict[int, StoredSession], cut: SessionCut, events: EventColumns
) -> tuple[dict[int, StoredSession], list[bytes]]:
    """Complete the wide sessions among `records`: those that renaming moves or moves
    into, or that may become hyperedges now, with all that is in them; the others with
    the users that a batch meets.

    Return these others as they are stored, and the entries of what is moved.
    """
    wides = {key: record for key, record in records.items() if record.items is not None}
    if not wides:
        return {}, []
    old, new = cut.renames.old.tolist(), cut.renames.new.tolist()
    gone_keys: list[bytes] = []
    for key in wides.keys() & {*old, *new, *_may_become_hyperedges(wides, events)}:
        whole = records[key] = shard.whole_session(key, wides.pop(key))
        if key in old:
            facts = codec.facts_of_sessions(np.array([key], dtype=np.uint64), [whole])
            gone_keys += codec.wide_fact_keys(facts)
            gone_keys += [codec.seen_key(key, user) for user in whole.user_keys]
    is_met = np.isin(events.session, np.array(list(wides), dtype=np.uint64))
    is_met &= events.user != NO_KEY
    session, user = events.session[is_met].tolist(), events.user[is_met].tolist()
    pairs = sorted(set(zip(session, user, strict=True)))
    known: dict[int, list[int]] = {}
    values = shard.get_values([codec.seen_key(*pair) for pair in pairs])
    for (session_key, user_key), value in zip(pairs, values, strict=True):
        if value is not None:
            known.setdefault(session_key, []).append(user_key)
    for key, users in known.items():
        records[key] = records[key]._replace(user_keys=tuple(users))
    return wides, gone_keys
