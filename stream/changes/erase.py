"""Erasing users, sessions and items.

All that is derived from them goes, and what comes later is dropped.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple, TypeVar

import numpy as np

from protos.text import text_key
from stream.changes.fold import finish_folding, settle_returning
from stream.changes.removal import Removal, facts_of
from stream.dtypes import Bools, Int64s
from stream.events.columns import NO_KEY, EventColumns, Keys, ShardBatch
from stream.events.types import CatalogItem, Erasure
from stream.graph.facts import FactColumns
from stream.graph.keysets import distinct, starts_of
from stream.shard import codec
from stream.shard.codec import AuditRecord, ErasureKind, Marker
from stream.shard.rocksdb import store_error
from stream.shard.shard import Shard, ShardReader

FACTS_A_WRITE = 50_000

_Record = TypeVar("_Record")


class Survivors(NamedTuple):
    """What is left of a batch to be applied.

    Attributes:
        batch: without what is erased.
        erased_facts: facts that erasures took away.
        dropped: interactions that were left out.
    """

    batch: ShardBatch
    erased_facts: int
    dropped: int


def without_erased(shard: Shard, batch: ShardBatch, now_ms: int) -> Survivors:
    """Carry out the erasures of a batch, and return the rest of it without what is
    erased.

    An event of an erased user erases its session as well: it makes no difference which
    of the two came first.

    Args:
        shard: where to.
        batch: events and erasures, of this shard or of none.
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
        return Survivors(batch, erased_facts, 0)
    found = _sessions_of_erased_users(shard, batch.events)
    if found:
        erased_facts += _carry_out(shard, found, now_ms)
    return _masked(shard, batch, erased_facts)


def erase(shard: Shard, erasures: Sequence[Erasure], now_ms: int) -> int:
    """Carry out erasures, and finish those that were broken off.

    Return how many facts that took away.

    The first write marks what is erased, so that nothing of it comes in again; each
    write takes at most about `FACTS_A_WRITE` facts and leaves the shard consistent; the
    last one of an erasure writes its audit record.

    Raises:
        StoreWriteFailed: the disk refused; what was written is finished by the next
            call.
        StoreUnreadable: the shard's files are damaged.
    """
    orders = {**shard.erased.pending, **_asked_for(shard, erasures)}
    return _carry_out(shard, list(orders.values()), now_ms)


def lift(shard: Shard, kind: ErasureKind, text: str, now_ms: int) -> bool:
    """Let events of a user, a session or an item count again, those that come from now
    on, or come again.

    Lifting a user lifts the sessions that were erased for that user, too. What was
    removed stays removed.

    Returns:
        Whether it was erased.
    """
    erase(shard, [], now_ms)
    key = text_key(text)
    found = _marker(shard, kind, key)
    if found is None:
        return False
    followers = [marker.key for marker in _markers(shard, "session") if marker.cause == key]
    followers = followers if kind == "user" else []
    removal = Removal(shard)
    record = AuditRecord("lifted", kind, key, found.asked_ms, now_ms, 0, 0)
    removal.puts.put(codec.audit_key(removal.sequence, 0), codec.pack_audit(record))
    removal.deletes.append(codec.marker_key(kind, key))
    removal.deletes += [codec.marker_key("session", session) for session in followers]
    removal.write()
    shard.erased.remove("session", np.array(followers, dtype=np.uint64))
    shard.erased.remove(kind, np.array([key], dtype=np.uint64))
    return True


def audit_records(shard: ShardReader) -> Iterator[AuditRecord]:
    """Yield what was erased and lifted in a shard, oldest first.

    Raises:
        StoreUnreadable: a record is damaged.
    """
    return (_unpacked(shard, codec.unpack_audit, value) for _, value in shard.records(codec.AUDIT))


# What is to be erased


def _asked_for(shard: Shard, erasures: Sequence[Erasure]) -> dict[tuple[ErasureKind, int], Marker]:
    """Return the erasures that nobody asked for before, by key.

    Users are looked up fastest in that order.
    """
    asked: dict[tuple[ErasureKind, int], Marker] = {}
    for erasure in erasures:
        place = erasure.kind, text_key(erasure.id)
        known = _marker(shard, *place)
        if known is None or known.cause != NO_KEY:
            begun = shard.erased.pending.get(place, Marker(*place, erasure.ts_ms))
            asked.setdefault(place, begun._replace(asked_ms=erasure.ts_ms, cause=NO_KEY))
    return dict(sorted(asked.items()))


def _sessions_of_erased_users(shard: Shard, events: EventColumns) -> list[Marker]:
    """Return the sessions that are not erased yet, and that an erased
    user is seen in.
    """
    is_seen = shard.erased.holds("user", events.user) & (events.session != NO_KEY)
    if not is_seen.any():
        return []
    is_seen &= ~shard.erased.holds("session", events.session)
    sessions, first = np.unique(events.session[is_seen], return_index=True)
    users = events.user[is_seen][first].tolist()
    asked_ms = {
        user: marker.asked_ms for user in set(users) if (marker := _marker(shard, "user", user))
    }
    return [
        Marker("session", session, asked_ms[user], cause=user)
        for session, user in zip(sessions.tolist(), users, strict=True)
    ]


def _marker(shard: Shard, kind: ErasureKind, key: int) -> Marker | None:
    record_key = codec.marker_key(kind, key)
    (value,) = shard.get_values([record_key])
    return None if value is None else _unpacked(shard, codec.unpack_marker, record_key, value)


def _markers(shard: Shard, kind: ErasureKind) -> Iterator[Marker]:
    for key, value in shard.records(codec.ERASED + codec.ERASURE_KINDS[kind]):
        yield _unpacked(shard, codec.unpack_marker, key, value)


def _unpacked(shard: ShardReader, unpack: Callable[..., _Record], *packed: bytes) -> _Record:
    try:
        return unpack(*packed)
    except codec.BAD_RECORD_ERRORS as error:
        raise store_error(shard.path, error) from error


# Erasing


def _carry_out(shard: Shard, orders: Sequence[Marker], now_ms: int) -> int:
    num_facts = 0
    while orders:
        piece = _Piece(shard)
        for order in orders:
            piece.take(order)
        num_facts += piece.write(now_ms)
        orders = [marker for marker in piece.orders.values() if not marker.is_finished]
    return num_facts


class _Share(NamedTuple):
    """What one erasure takes out in one write.

    Attributes:
        facts: as the sessions hold them.
        rows: what stands for them in runs, where that may be more.
        sessions: ``uint64 [num_sessions]`` that are erased, whole or in part.
        is_all: whether nothing is left to be taken.
    """

    facts: FactColumns
    rows: FactColumns
    sessions: Keys
    is_all: bool


class _Lookup:
    """A shard, and the users whose keys share the first byte of the one who was looked
    up last.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._prefix = b""
        self._users = self._sessions = np.empty(0, dtype=np.uint64)

    def sessions_of_user(self, user: int) -> Keys:
        """Return the keys of the sessions that a user was seen in, ascending."""
        prefix = codec.user_prefix(user)
        if prefix != self._prefix:
            packed = b"".join(value for _, value in self.shard.records(prefix))
            self._users, self._sessions = _unpacked(self.shard, codec.unpack_users, packed)
            self._prefix = prefix
        return distinct(self._sessions[self._users == np.uint64(user)])


class _Piece:
    """One write of one or several erasures, as it comes together.

    Attributes:
        orders: the erasures as they stand after it.
    """

    def __init__(self, shard: Shard) -> None:
        self.orders: dict[tuple[ErasureKind, int], Marker] = {}
        self._shard = shard
        self._lookup = _Lookup(shard)
        self._room = FACTS_A_WRITE
        self._facts = [FactColumns.none()]
        self._rows = [FactColumns.none()]
        self._sessions = [np.empty(0, dtype=np.uint64)]
        self._pairs: set[tuple[int, int]] = set()
        self._last_order: dict[int, tuple[ErasureKind, int]] = {}
        self._followers: list[Marker] = []
        self._seen: dict[int, list[int]] = {}

    def take(self, order: Marker) -> None:
        """Take in as much of an erasure as there is room for."""
        place = order.kind, order.key
        if not self._room:
            self.orders[place] = order
            return
        share = _SHARES[order.kind](self._lookup, order.key, self._room, 0 if self._pairs else 1)
        facts = self._new(share.facts)
        self._last_order.update(dict.fromkeys(facts.session.tolist(), place))
        self._facts.append(facts)
        self._rows.append(share.rows)
        self._sessions.append(share.sessions)
        self._room = max(self._room - len(facts), 0) if share.is_all else 0
        self.orders[place] = order._replace(
            is_finished=share.is_all, facts=order.facts + len(facts)
        )
        if order.kind == "user":
            self._follow(order, share.sessions)

    def write(self, now_ms: int) -> int:
        """Write it; return how many facts it took away."""
        removal = Removal(self._shard)
        facts = FactColumns.concatenate(self._facts)
        removal.take_facts(facts, FactColumns.concatenate(self._rows))
        removal.forget_users(distinct(np.concatenate(self._sessions)), self._seen)
        removal.forget_items(self._finished("item"))
        removal.forget_visitors(self._finished("user"))
        for item, num_folded in removal.folded.items():
            self._count("item", item, facts=num_folded)
        for session in removal.emptied:
            self._count(*self._last_order[session], sessions=1)
        markers = self._changed_markers()
        for marker in markers:
            removal.puts.put(codec.marker_key(marker.kind, marker.key), codec.pack_marker(marker))
        for number, record in enumerate(self._audit(now_ms)):
            removal.puts.put(codec.audit_key(removal.sequence, number), codec.pack_audit(record))
        removal.write()
        self._shard.erased.add(markers)
        return len(facts) + sum(removal.folded.values())

    def _new(self, facts: FactColumns) -> FactColumns:
        """Return the facts that no other erasure of the write takes."""
        pairs = list(zip(facts.session.tolist(), facts.item.tolist(), strict=True))
        is_new = np.array([pair not in self._pairs for pair in pairs], dtype=np.bool_)
        self._pairs.update(pairs)
        return facts.take(is_new)

    def _follow(self, order: Marker, sessions: Keys) -> None:
        """Erase a user's sessions for good, too, those that nobody asked for
        themselves.
        """
        for session in sessions.tolist():
            self._seen.setdefault(session, []).append(order.key)
        unmarked = sessions[~self._shard.erased.holds("session", sessions)].tolist()
        self._followers += [
            Marker("session", session, order.asked_ms, is_finished=True, cause=order.key)
            for session in unmarked
        ]

    def _count(self, kind: ErasureKind, key: int, facts: int = 0, sessions: int = 0) -> None:
        order = self.orders[kind, key]
        self.orders[kind, key] = order._replace(
            facts=order.facts + facts, sessions=order.sessions + sessions
        )

    def _finished(self, kind: ErasureKind) -> Keys:
        finished = [
            order.key for order in self.orders.values() if order.kind == kind and order.is_finished
        ]
        return np.array(sorted(finished), dtype=np.uint64)

    def _changed_markers(self) -> list[Marker]:
        before = self._shard.erased.pending
        followers = {(marker.kind, marker.key): marker for marker in self._followers}
        return [
            marker
            for place, marker in {**followers, **self.orders}.items()
            if before.get(place) != marker
        ]

    def _audit(self, now_ms: int) -> Iterator[AuditRecord]:
        """Yield the records of the erasures that are finished with this write."""
        for marker in self.orders.values():
            if not marker.is_finished:
                continue
            counts = marker.facts, marker.sessions
            if marker.cause == NO_KEY:
                yield AuditRecord(
                    "erased", marker.kind, marker.key, marker.asked_ms, now_ms, *counts
                )
            elif any(counts):
                yield AuditRecord("erased", "user", marker.cause, marker.asked_ms, now_ms, *counts)


def _share_of_session(lookup: _Lookup, session: int, room: int, least: int) -> _Share:
    return _share_of_sessions(lookup.shard, np.array([session], dtype=np.uint64), room, least)


def _share_of_user(lookup: _Lookup, user: int, room: int, least: int) -> _Share:
    return _share_of_sessions(lookup.shard, lookup.sessions_of_user(user), room, least)


def _share_of_sessions(shard: Shard, sessions: Keys, room: int, least: int) -> _Share:
    """Take as many sessions as there is room for.

    A part of one that must be taken and does not fit.
    """
    listed = sessions[:room]
    settle_returning(shard, listed)
    facts = _stored_facts(shard, listed)
    sizes = np.searchsorted(facts.session, listed, "right") - np.searchsorted(facts.session, listed)
    num_taken = _num_fitting(np.maximum(sizes, 1), room)
    if num_taken < least and len(listed):
        part = _items_fitting(facts.slice(0, int(sizes[0])), room)
        return _Share(
            part, FactColumns.none(), listed[:1], len(sessions) == 1 and len(part) == sizes[0]
        )
    facts = facts.slice(0, int(sizes[:num_taken].sum()))
    return _Share(facts, FactColumns.none(), listed[:num_taken], num_taken == len(sessions))


def _share_of_item(lookup: _Lookup, item: int, room: int, least: int) -> _Share:
    """Take an item out of as many sessions as there is room for, query by query.

    So runs are read seldom.
    """
    finish_folding(lookup.shard)
    rows = lookup.shard.facts_of_item(item)
    rows = rows.take(np.lexsort((rows.session, rows.query)))
    sessions, first, sizes = np.unique(rows.session, return_index=True, return_counts=True)
    order = np.argsort(first)
    num_taken = max(_num_fitting(sizes[order], room), least)
    taken = np.sort(sessions[order[:num_taken]])
    facts = _stored_facts(lookup.shard, taken)
    return _Share(
        facts=facts.take(facts.item == np.uint64(item)),
        rows=rows.take(np.isin(rows.session, taken)),
        sessions=taken[:0],
        is_all=num_taken >= len(sessions),
    )


_SHARES: dict[ErasureKind, Callable[[_Lookup, int, int, int], _Share]] = {
    "user": _share_of_user,
    "session": _share_of_session,
    "item": _share_of_item,
}


def _stored_facts(shard: Shard, sessions: Keys) -> FactColumns:
    """Return the facts of sessions, given in ascending order, in that order."""
    return facts_of(shard, shard.get_sessions(sessions.tolist()))


def _items_fitting(facts: FactColumns, room: int) -> FactColumns:
    """Return a session's facts on as many of its items as there is room for, at least
    one.
    """
    facts = facts.take(np.argsort(facts.item, kind="stable"))
    firsts = np.flatnonzero(starts_of(facts.item))
    sizes = np.diff(np.append(firsts, len(facts)))
    num_taken = max(_num_fitting(sizes, room), 1)
    return facts.slice(0, int(sizes[:num_taken].sum()))


def _num_fitting(sizes: Int64s, room: int) -> int:
    """Return how many of the first fit into some room together."""
    return int(np.searchsorted(np.cumsum(sizes), room, "right"))


# What comes later


def _masked(shard: Shard, batch: ShardBatch, erased_facts: int) -> Survivors:
    events, erased = batch.events, shard.erased
    is_gone = erased.holds("user", events.user) | erased.holds("session", events.session)
    is_on_item = erased.holds("item", events.item) & ~is_gone
    if is_on_item.any():
        _note_users(shard, events.take(is_on_item))
    is_kept = ~(is_gone | is_on_item)
    items = _kept_items(shard, batch.items)
    if is_kept.all() and len(items) == len(batch.items):
        return Survivors(batch, erased_facts, 0)
    rest = replace(batch, events=events.take(is_kept), place=batch.place[is_kept], items=items)
    return Survivors(rest, erased_facts, len(events) - len(rest.events))


def _kept_items(
    shard: Shard, items: list[tuple[CatalogItem, int, int]]
) -> list[tuple[CatalogItem, int, int]]:
    keys = np.array([text_key(item.item_id) for item, _, _ in items], dtype=np.uint64)
    is_erased: Bools = shard.erased.holds("item", keys)
    return [entry for entry, erased in zip(items, is_erased.tolist(), strict=True) if not erased]


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
        removal = Removal(shard)
        removal.note_users(*np.array(new, dtype=np.uint64).T)
        removal.write()
