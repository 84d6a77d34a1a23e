"""Pure: what a batch changes in its shard, merged with what the shard holds."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.changes.acceptance import Acceptance, without_late
from stream.changes.lookup import Lookup, Names
from stream.dtypes import Bools, Int64s
from stream.events.columns import NO_KEY, EventColumns, Keys
from stream.events.types import CatalogItem, SourcePartition
from stream.graph.catalog import is_older, newest
from stream.graph.facts import (
    MIN_HYPEREDGE_ITEMS,
    Digest,
    FactColumns,
    MergedFacts,
    hyperedge_sizes,
    merge_facts,
)
from stream.graph.keysets import order_by, run_starts
from stream.graph.sessions import Renames
from stream.shard import codec
from stream.shard.codec import PartitionProgress, ShardState, StoredSession


class OlderState(NamedTuple):
    """A state of an item that changes nothing, because a newer one is known.

    Attributes:
        item_id: of the item.
        stays_deleted: whether the newer one is a deletion.
    """

    item_id: str
    stays_deleted: bool


class SeenUsers(NamedTuple):
    """Who was seen in which session.

    Attributes:
        user: ``uint64 [num_new]`` users that are new in a session, ascending.
        session: ``uint64 [num_new]`` the session of each.
        by_session: all users of a session, ascending, where it has any.
    """

    user: Keys
    session: Keys
    by_session: Mapping[int, tuple[int, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a batch changes.

    Attributes:
        lookup: the batch, and what it met.
        accepted: which of its events are accepted.
        queries: the names of queries that these bring.
        item_names: the names of items that these and catalogue items bring.
        facts: all facts of its sessions, in ascending order of (session, query, item,
            action).
        is_changed: ``bool [num_facts]`` which of them are new or moved.
        is_new: ``bool [num_facts]`` which of them their session did not have.
        replaced: the stored facts that moved, as they were.
        by_item: ``int64 [num_facts]`` the facts in order of (session, item).
        num_new: how many are new, those of renamed sessions not among them.
        users: who was seen in its sessions.
        wide: the sessions that are wide after the write, with the items of their
            entries (`stream.shard.codec.first_items`).
        items: the catalogue items that have another state now, by key.
        older: the states that change nothing, because a newer one is known.
        state: of the shard, after the batch.
        progress: how far each partition is, after the batch.
    """

    lookup: Lookup
    accepted: Acceptance
    queries: Names
    item_names: Names
    facts: FactColumns
    is_changed: Bools
    is_new: Bools
    replaced: FactColumns
    by_item: Int64s
    num_new: int
    users: SeenUsers
    wide: Mapping[int, tuple[int, ...]]
    items: Mapping[int, CatalogItem]
    older: Sequence[OlderState]
    state: ShardState
    progress: Mapping[SourcePartition, PartitionProgress]

    @property
    def widened(self) -> list[int]:
        """The sessions that were not wide before, by key."""
        records = self.lookup.sessions.records
        return [key for key in self.wide if key not in records or records[key].items is None]


def merge(lookup: Lookup) -> Plan:
    """Merge what a batch saw into what its sessions hold."""
    seen = lookup.events.take(lookup.accepted.mask & ~lookup.late.is_late)
    stored = lookup.sessions.facts
    merged = merge_facts(stored.kept, _together(stored.arrived, FactColumns.of_events(seen)))
    replaced = _together(merged.replaced, stored.gone)
    num_new = int(merged.is_new.sum())
    if len(stored.arrived):
        num_new -= int(merge_facts(stored.kept, stored.arrived).is_new.sum())
    accepted = lookup.accepted
    if lookup.late.is_late.any():
        accepted = without_late(accepted, lookup.batch, lookup.events, lookup.late, merged.facts)
    queries, item_names = _names(lookup, accepted)
    users = _seen_users(seen, lookup.cut.renames, lookup.sessions.records)
    wides = _wide_after(lookup, merged.facts, users)
    by_item = order_by(merged.facts.session, merged.facts.item)
    items, older = _changed_items(lookup)
    return Plan(
        lookup=lookup,
        accepted=accepted,
        queries=queries,
        item_names=item_names,
        facts=merged.facts,
        is_changed=merged.is_new | merged.is_moved,
        is_new=merged.is_new,
        replaced=merged.replaced,
        by_item=by_item,
        num_new=num_new,
        users=users,
        wide=wides,
        items=items,
        older=older,
        state=_state_after(lookup, merged, by_item, replaced, wides),
        progress=_progress_after(lookup),
    )


def _names(lookup: Lookup, accepted: Acceptance) -> tuple[Names, Names]:
    """Return the names that are needed: a refused event leaves no text."""
    if accepted.mask.all():
        return lookup.queries, lookup.item_names
    events = lookup.events.take(accepted.mask)
    listed = np.array([key for key, _ in lookup.items], dtype=np.uint64)
    return lookup.queries.of(events.query), lookup.item_names.of(np.append(events.item, listed))


def _together(one: FactColumns, other: FactColumns) -> FactColumns:
    return FactColumns.concatenate([part for part in (one, other) if len(part)])


def _seen_users(
    seen: EventColumns, renames: Renames, records: Mapping[int, StoredSession]
) -> SeenUsers:
    """Tell which users are new in which sessions, and who all were seen there: of a
    renamed session its user, in the new one.
    """
    known = {key: record.user_keys for key, record in records.items() if record.user_keys}
    has_user = seen.user != NO_KEY
    session = np.append(seen.session[has_user], renames.new)
    user = np.append(seen.user[has_user], renames.user)
    # By (user, session), each pair once: user runs are written in that order.
    order = order_by(user, session)
    order = order[run_starts(user[order], session[order])]
    session, user = session[order], user[order]
    if known:
        seen_in = {key: frozenset(users) for key, users in known.items()}
        pairs = zip(session.tolist(), user.tolist(), strict=True)
        is_new = np.array([u not in seen_in.get(s, ()) for s, u in pairs], dtype=np.bool_)
        session, user = session[is_new], user[is_new]
    by_session = dict(known)
    arrived: dict[int, list[int]] = {}
    for session_key, user_key in zip(session.tolist(), user.tolist(), strict=True):
        arrived.setdefault(session_key, []).append(user_key)
    for session_key, keys in arrived.items():  # each session's in ascending order
        others = by_session.get(session_key)
        users = tuple(keys) if others is None else tuple(sorted((*others, *keys)))
        by_session[session_key] = users
    return SeenUsers(user, session, by_session)


def _changed_items(lookup: Lookup) -> tuple[dict[int, CatalogItem], list[OlderState]]:
    """Return the states that are newer than the stored ones, by item key, ascending,
    and those that are older.
    """
    after, older = dict(lookup.catalog), []
    for key, item in lookup.items:
        before = after.get(key, item)
        if is_older(before, item):
            older.append(OlderState(item.item_id, before.deleted))
        after[key] = item if before is item else newest(before, item)
    changed = {key for key in after if after[key] is not lookup.catalog.get(key)}
    return {key: after[key] for key in sorted(changed)}, older


def _wide_after(lookup: Lookup, facts: FactColumns, users: SeenUsers) -> dict[int, tuple[int, ...]]:
    """Return the sessions that are wide, or become it, with the items of their
    entries.
    """
    records, stored = lookup.sessions.records, lookup.sessions.wide
    firsts = np.flatnonzero(run_starts(facts.session))
    sizes = np.diff(np.append(firsts, len(facts)))
    large = [key for key, own in users.by_session.items() if len(own) > codec.WIDE_ROWS]
    large += [key for key, record in records.items() if record.items is not None]
    is_wide = (sizes > codec.WIDE_ROWS) | np.isin(facts.session[firsts], _keys_of(large))
    found = {}
    for first, size in zip(firsts[is_wide].tolist(), sizes[is_wide].tolist(), strict=True):
        key = int(facts.session[first])
        known = stored[key].items if key in stored else None
        found[key] = codec.first_items(known or (), facts.item[first : first + size])
    return found


def _state_after(
    lookup: Lookup,
    merged: MergedFacts,
    by_item: Int64s,
    replaced: FactColumns,
    wides: Mapping[int, tuple[int, ...]],
) -> ShardState:
    before, stored = lookup.state, lookup.sessions.facts
    changed = merged.facts.take(merged.is_new | merged.is_moved)
    times_ms = (before.watermark_ms, lookup.late.seen_ms)
    known_ms = [time_ms for time_ms in times_ms if time_ms is not None]
    # Of sessions that were wide only a part is here: their entries tell the rest.
    known = lookup.sessions.wide
    num_others = len(lookup.sessions.records) - len(known)
    sessions, sizes = (
        hyperedge_sizes(_outside(merged.facts, known))
        if known
        else hyperedge_sizes(merged.facts, by_item)
    )
    _, old_sizes = hyperedge_sizes(_outside(_together(stored.kept, stored.gone), known))
    if known:
        old_items = {key: record.items or () for key, record in known.items()}
        items = [wides.get(key, old_items[key]) for key in known]
        sizes = np.append(sizes, _sizes(items))
        old_sizes = np.append(old_sizes, _sizes(list(old_items.values())))
    return before._replace(
        sequence=before.sequence + 1,
        watermark_ms=max(known_ms, default=None),
        facts=before.facts + changed.digest() - replaced.digest(),
        edge_facts=before.edge_facts + _edge_digest(changed) - _edge_digest(replaced),
        num_sessions=before.num_sessions + len(sessions) - num_others,
        num_hyperedges=before.num_hyperedges + int((sizes > 0).sum()) - int((old_sizes > 0).sum()),
        num_incidences=before.num_incidences + int(sizes.sum()) - int(old_sizes.sum()),
    )


def _keys_of(sessions: Iterable[int]) -> Keys:
    return np.array(list(sessions), dtype=np.uint64)


def _outside(facts: FactColumns, sessions: Mapping[int, object]) -> FactColumns:
    """Return the facts of other sessions than these."""
    return facts.take(~np.isin(facts.session, _keys_of(sessions))) if sessions else facts


def _sizes(items: Sequence[tuple[int, ...]]) -> Int64s:
    """Return how many items the hyperedges of wide sessions keep, ``int64
    [num_sessions]``; 0: it has none.
    """
    sizes = np.array([len(own) for own in items], dtype=np.int64)
    return np.where(sizes < MIN_HYPEREDGE_ITEMS, 0, sizes)


def _progress_after(lookup: Lookup) -> dict[SourcePartition, PartitionProgress]:
    """Return how far each partition is, with the largest event time read of it."""
    after = {}
    for position, next_offset in lookup.batch.positions.items():
        known = lookup.progress.get(position)
        known_ms = None if known is None else known.watermark_ms
        newest_ms = lookup.late.newest_ms.get(position, known_ms)
        after[position] = PartitionProgress(next_offset, newest_ms)
    return after


def _edge_digest(facts: FactColumns) -> Digest:
    return facts.take(facts.makes_edge).digest()
