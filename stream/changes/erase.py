"""Erasing users, sessions and items.

All that is derived from them goes, and what comes later is dropped.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from protos.text import text_key
from stream.changes.acceptance import Lateness
from stream.changes.aliases import alias_pairs, users_of
from stream.changes.forget import forget_erased
from stream.changes.removables import Removable, SeenSessions, removable_of
from stream.changes.removal.plan import Removal, Removed, plan_removal, write_removal
from stream.changes.removal.users import user_notes
from stream.dtypes import Bools
from stream.events.columns import NO_KEY, EventColumns, Keys, ShardBatch, no_events
from stream.events.types import CatalogItem, Erasure, SearchRecord
from stream.graph.facts import FactColumns
from stream.graph.keysets import distinct
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import AuditEntry, ErasureKind, ErasureTombstone, ShardState
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard

FACTS_A_WRITE = 50_000  # facts; bounds memory and how long a batch waits: both double with it


_Value = TypeVar("_Value")


class ErasureOutcome(NamedTuple):
    """What erasing leaves of a batch.

    Attributes:
        batch: without the events of erased ids.
        late: which of its events are late.
        visits: events without a session that are dropped for their item alone: they
            still say when their user was there.
        erased_facts: facts that erasures removed.
        dropped: interactions that were left out.
    """

    batch: ShardBatch
    late: Lateness
    visits: EventColumns
    erased_facts: int
    dropped: int


def drop_erased(shard: Shard, batch: ShardBatch, late: Lateness, now_ms: int) -> ErasureOutcome:
    """Apply a batch's erasures and return its other events, without those of
    erased ids.

    An event of an erased user erases its session as well, and one that is seen with an
    erased alias its user: it makes no difference which of the two came first. A late
    event erases no session: had it come first, it would have been refused.

    Args:
        shard: written to.
        batch: events and erasures, of this shard or of none.
        late: which of the events are late.
        now_ms: the time, for the audit.

    Raises:
        StoreWriteFailed: the disk refused; what was written is finished by the next
            call.
        StoreUnreadable: the shard's files are damaged.
    """
    erased_facts = 0
    if batch.erasures or shard.erased.pending:
        erased_facts = erase(shard, batch.erasures, now_ms)
    if shard.erased.is_empty:
        return ErasureOutcome(batch, late, no_events(), erased_facts, 0)
    if found := _users_of_erased_aliases(shard, batch):
        erased_facts += _erase_all(shard, found, now_ms)
    if found := _sessions_of_erased_users(shard, batch.events.take(~late.is_late)):
        erased_facts += _erase_all(shard, found, now_ms)
    return _masked(shard, batch, late, erased_facts)


def erase(shard: Shard, erasures: Sequence[Erasure], now_ms: int) -> int:
    """Carry out erasures, and finish those that were broken off.

    Return how many facts that took away.

    The first write marks what is erased, so that nothing of it comes in again; each
    write takes at most about `FACTS_A_WRITE` facts and leaves the shard consistent; the
    last one of an erasure writes its audit entry.

    Raises:
        StoreWriteFailed: the disk refused; what was written is finished by the next
            call.
        StoreUnreadable: the shard's files are damaged.
    """
    orders = {**shard.erased.pending, **_requested(shard, erasures, now_ms)}
    for _, alias in [place for place in orders if place[0] == "user"]:
        for user in users_of(shard, alias):
            if _tombstone(shard, "user", user) is None:
                follower = ErasureTombstone("user", user, orders["user", alias].asked_ms)
                orders.setdefault(("user", user), follower._replace(cause=alias))
    return _erase_all(shard, list(dict(sorted(orders.items())).values()), now_ms)


def lift(shard: Shard, kind: ErasureKind, text: str, now_ms: int) -> bool:
    """Lift an erasure: later events of the id count again, repeated ones included.

    Lifting a user lifts the sessions and the users that were erased for that user, too.
    What was removed stays removed.

    Returns:
        Whether it was erased.
    """
    erase(shard, [], now_ms)
    key = text_key(text)
    found = _tombstone(shard, kind, key)
    if found is None:
        return False
    users = _followers(shard, "user", {key}) if kind == "user" else []
    followers = _followers(shard, "session", {key, *users}) if kind == "user" else []
    state = _state_of_next_write(shard)
    record = AuditEntry("lifted", kind, key, found.asked_ms, now_ms, 0, 0)
    puts = {
        codec.audit_key(state.sequence, 0): codec.pack_audit(record),
        codec.STATE_KEY: codec.pack_state(state),
    }
    deletes = [codec.tombstone_key(kind, key)]
    deletes += [codec.tombstone_key("session", session) for session in followers]
    deletes += [codec.tombstone_key("user", user) for user in users]
    shard.write(ShardWrite.of(puts, deletes))
    shard.erased.remove("session", np.array(followers, dtype=np.uint64))
    shard.erased.remove("user", np.array(users, dtype=np.uint64))
    shard.erased.remove(kind, np.array([key], dtype=np.uint64))
    return True


def audit_entries(shard: ShardReader) -> Iterator[AuditEntry]:
    """Yield what was erased and lifted in a shard, oldest first.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    return (_unpacked(shard, codec.unpack_audit, value) for _, value in shard.entries(codec.AUDIT))


# What is to be erased


def _requested(
    shard: Shard, erasures: Sequence[Erasure], now_ms: int
) -> dict[tuple[ErasureKind, int], ErasureTombstone]:
    """Return the erasures that were not requested before, by key.

    Users are looked up fastest in that order.
    """
    asked: dict[tuple[ErasureKind, int], ErasureTombstone] = {}
    for erasure in erasures:
        place = erasure.kind, text_key(erasure.id)
        known = _tombstone(shard, *place)
        if known is None or known.cause != NO_KEY:
            asked_ms = erasure.ts_ms or now_ms
            begun = shard.erased.pending.get(place, ErasureTombstone(*place, asked_ms))
            asked.setdefault(place, begun._replace(asked_ms=asked_ms, cause=NO_KEY))
    return dict(sorted(asked.items()))


def _users_of_erased_aliases(shard: Shard, batch: ShardBatch) -> list[ErasureTombstone]:
    """Return the users that are not erased yet, and that an erased
    alias is seen with.
    """
    pairs = alias_pairs(batch)
    if not pairs:
        return []
    alias, user = np.array(pairs, dtype=np.uint64).T
    is_met = shard.erased.contains("user", alias) & ~shard.erased.contains("user", user)
    asked = [_tombstone(shard, "user", key) for key in alias[is_met].tolist()]
    orders = {
        key: ErasureTombstone("user", key, known.asked_ms, cause=known.key)
        for key, known in zip(user[is_met].tolist(), asked, strict=True)
        if known is not None
    }
    return [orders[key] for key in sorted(orders)]


def _sessions_of_erased_users(shard: Shard, events: EventColumns) -> list[ErasureTombstone]:
    """Return the sessions that are not erased yet, and that an erased
    user is seen in.
    """
    is_seen = shard.erased.contains("user", events.user) & (events.session != NO_KEY)
    if not is_seen.any():
        return []
    is_seen &= ~shard.erased.contains("session", events.session)
    sessions, first = np.unique(events.session[is_seen], return_index=True)
    users = events.user[is_seen][first].tolist()
    asked_ms = {
        user: tombstone.asked_ms
        for user in set(users)
        if (tombstone := _tombstone(shard, "user", user))
    }
    return [
        ErasureTombstone("session", session, asked_ms[user], cause=user)
        for session, user in zip(sessions.tolist(), users, strict=True)
    ]


def _tombstone(shard: Shard, kind: ErasureKind, key: int) -> ErasureTombstone | None:
    entry_key = codec.tombstone_key(kind, key)
    (value,) = shard.get_values([entry_key])
    return None if value is None else _unpacked(shard, codec.unpack_tombstone, entry_key, value)


def _tombstones(shard: Shard, kind: ErasureKind) -> Iterator[ErasureTombstone]:
    for key, value in shard.entries(codec.ERASED + codec.ERASURE_KINDS[kind]):
        yield _unpacked(shard, codec.unpack_tombstone, key, value)


def _followers(shard: Shard, kind: ErasureKind, causes: set[int]) -> list[int]:
    """Return what was erased for some users."""
    return [tombstone.key for tombstone in _tombstones(shard, kind) if tombstone.cause in causes]


def _unpacked(shard: ShardReader, unpack: Callable[..., _Value], *packed: bytes) -> _Value:
    try:
        return unpack(*packed)
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error


# Erasing


def _erase_all(shard: Shard, orders: Sequence[ErasureTombstone], now_ms: int) -> int:
    """Carry erasures out, a write at a time; return how many facts that took away."""
    num_facts = 0
    if orders:
        forget_erased(shard, orders)
    while orders:
        parts = _parts(shard, orders)
        removed = plan_removal(shard, _removal(parts))
        tombstones = _counted(parts, removed)
        changed = _changed(shard, parts, tombstones)
        write_removal(
            shard, removed, _tombstone_entries(changed, tombstones, removed.sequence, now_ms)
        )
        shard.erased.add(changed)
        num_facts += sum(len(part.facts) for part in parts) + sum(removed.folded.values())
        orders = [tombstone for tombstone in tombstones if not tombstone.is_finished]
    return num_facts


class _Part(NamedTuple):
    """One erasure's part in a write.

    Attributes:
        order: the erasure as it was.
        facts: that no other erasure of the write takes.
        removable: all that it would take; None: there was no budget left.
    """

    order: ErasureTombstone
    facts: FactColumns
    removable: Removable | None


def _parts(shard: Shard, orders: Sequence[ErasureTombstone]) -> list[_Part]:
    """Add as much of each erasure as fits into one write."""
    seen, budget = SeenSessions(shard), FACTS_A_WRITE
    taken: set[tuple[int, int]] = set()
    parts = []
    for order in orders:
        if not budget:
            parts.append(_Part(order, FactColumns.empty(), None))
            continue
        removable = removable_of(seen, order.kind, order.key, budget, 0 if taken else 1)
        pairs = list(
            zip(removable.facts.session.tolist(), removable.facts.item.tolist(), strict=True)
        )
        facts = removable.facts.take(
            np.array([pair not in taken for pair in pairs], dtype=np.bool_)
        )
        taken.update(pairs)
        budget = max(budget - len(facts), 0) if removable.is_all else 0
        parts.append(_Part(order, facts, removable))
    return parts


def _removal(parts: Sequence[_Part]) -> Removal:
    """Return what all parts take out together."""
    removables = [part.removable for part in parts if part.removable is not None]
    finished = [
        part.order for part in parts if part.removable is not None and part.removable.is_all
    ]
    none = np.empty(0, dtype=np.uint64)
    return Removal(
        facts=FactColumns.concatenate([FactColumns.empty(), *(part.facts for part in parts)]),
        rows=FactColumns.concatenate(
            [FactColumns.empty(), *(removable.rows for removable in removables)]
        ),
        sessions=distinct(
            np.concatenate([none, *(removable.sessions for removable in removables)])
        ),
        seen=_seen(parts),
        items=_keys_of("item", finished),
        users=_keys_of("user", finished),
    )


def _seen(parts: Sequence[_Part]) -> dict[int, list[int]]:
    """Return which erased users were seen in which of their sessions."""
    seen: dict[int, list[int]] = {}
    for part in parts:
        if part.order.kind == "user" and part.removable is not None:
            for session in part.removable.sessions.tolist():
                seen.setdefault(session, []).append(part.order.key)
    return seen


def _keys_of(kind: ErasureKind, orders: Sequence[ErasureTombstone]) -> Keys:
    keys = [order.key for order in orders if order.kind == kind]
    return np.array(sorted(keys), dtype=np.uint64)


def _counted(parts: Sequence[_Part], removed: Removed) -> list[ErasureTombstone]:
    """Return the erasures as they stand after the write, with what it took away."""
    last_part: dict[int, int] = {}
    for number, part in enumerate(parts):
        last_part.update(dict.fromkeys(part.facts.session.tolist(), number))
    num_emptied = Counter(last_part[session] for session in removed.emptied)
    tombstones = []
    for number, (order, facts, removable) in enumerate(parts):
        is_finished = order.is_finished if removable is None else removable.is_all
        num_folded = removed.folded.get(order.key, 0) if order.kind == "item" else 0
        tombstones.append(
            order._replace(
                is_finished=is_finished,
                facts=order.facts + len(facts) + num_folded,
                sessions=order.sessions + num_emptied[number],
            )
        )
    return tombstones


def _changed(
    shard: Shard, parts: Sequence[_Part], tombstones: Sequence[ErasureTombstone]
) -> list[ErasureTombstone]:
    """Return the tombstones that the write changes or adds.

    A user's sessions are erased for good, too, those that nobody asked for themselves.
    """
    after: dict[tuple[ErasureKind, int], ErasureTombstone] = {}
    for order, _, removable in parts:
        if order.kind == "user" and removable is not None:
            is_marked = shard.erased.contains("session", removable.sessions)
            for session in removable.sessions[~is_marked].tolist():
                after["session", session] = ErasureTombstone(
                    "session", session, order.asked_ms, is_finished=True, cause=order.key
                )
    after.update({(tombstone.kind, tombstone.key): tombstone for tombstone in tombstones})
    before = shard.erased.pending
    return [tombstone for place, tombstone in after.items() if before.get(place) != tombstone]


def _tombstone_entries(
    changed: Sequence[ErasureTombstone],
    tombstones: Sequence[ErasureTombstone],
    sequence: int,
    now_ms: int,
) -> ShardWrite:
    """Return the entries of tombstones, and of the audit of finished erasures."""
    puts = Puts()
    for tombstone in changed:
        puts.put(
            codec.tombstone_key(tombstone.kind, tombstone.key), codec.pack_tombstone(tombstone)
        )
    for number, record in enumerate(_audit(tombstones, now_ms)):
        puts.put(codec.audit_key(sequence, number), codec.pack_audit(record))
    return ShardWrite(puts)


def _audit(tombstones: Sequence[ErasureTombstone], now_ms: int) -> Iterator[AuditEntry]:
    """Yield the records of the erasures that are finished."""
    for tombstone in tombstones:
        if not tombstone.is_finished:
            continue
        counts = tombstone.facts, tombstone.sessions
        if tombstone.cause == NO_KEY:
            yield AuditEntry(
                "erased", tombstone.kind, tombstone.key, tombstone.asked_ms, now_ms, *counts
            )
        elif any(counts):
            yield AuditEntry("erased", "user", tombstone.cause, tombstone.asked_ms, now_ms, *counts)


# What comes later


def _masked(shard: Shard, batch: ShardBatch, late: Lateness, erased_facts: int) -> ErasureOutcome:
    events, erased = batch.events, shard.erased
    is_gone = erased.contains("user", events.user) | erased.contains("session", events.session)
    is_on_item = erased.contains("item", events.item) & ~is_gone
    on_item = events.take(is_on_item & ~late.is_late)
    _note_users(shard, on_item)
    is_kept = ~(is_gone | is_on_item)
    items = _kept_items(shard, batch.items)
    searches = _kept_searches(shard, batch.searches)
    if is_kept.all() and len(items) == len(batch.items) and len(searches) == len(batch.searches):
        return ErasureOutcome(batch, late, no_events(), erased_facts, 0)
    rest = replace(
        batch,
        events=events.take(is_kept),
        place=batch.place[is_kept],
        items=items,
        references=batch.references.take(is_kept),
        searches=searches,
    )
    return ErasureOutcome(
        batch=rest,
        late=late.take(is_kept),
        visits=on_item.take(on_item.session == NO_KEY),
        erased_facts=erased_facts,
        dropped=len(events) - len(rest.events),
    )


def _kept_items(
    shard: Shard, items: list[tuple[CatalogItem, int, int]]
) -> list[tuple[CatalogItem, int, int]]:
    keys = np.array([text_key(item.item_id) for item, _, _ in items], dtype=np.uint64)
    is_erased: Bools = shard.erased.contains("item", keys)
    return [entry for entry, erased in zip(items, is_erased.tolist(), strict=True) if not erased]


def _kept_searches(shard: Shard, searches: list[SearchRecord]) -> list[SearchRecord]:
    def is_kept(search: SearchRecord) -> bool:
        users = np.array([text_key(user) for user in search.user_ids], dtype=np.uint64)
        return not shard.erased.contains("user", users).any()

    return [search for search in searches if is_kept(search)]


def _note_users(shard: Shard, events: EventColumns) -> None:
    """Keep who was seen in which session by events that are dropped for their item
    alone.

    The session lives on, and an erasure of the user must reach it, as if the event had
    come first.
    """
    events = events.take((events.user != NO_KEY) & (events.session != NO_KEY))
    pairs = sorted(set(zip(events.session.tolist(), events.user.tolist(), strict=True)))
    keys = [codec.seen_key(session, user) for session, user in pairs]
    known = shard.get_values(keys)
    new = [pair for pair, value in zip(pairs, known, strict=True) if value is None]
    if new:
        state = _state_of_next_write(shard)
        session, user = np.array(new, dtype=np.uint64).T
        notes = user_notes(session, user, state.sequence)
        own = ShardWrite.of({codec.STATE_KEY: codec.pack_state(state)})
        shard.write(ShardWrite.joined([notes, own]))


def _state_of_next_write(shard: Shard) -> ShardState:
    state = shard.state()
    return state._replace(sequence=state.sequence + 1)
