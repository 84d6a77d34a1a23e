"""Takes out of what is held of the ids of searches: what is erased, and what is old."""

from collections.abc import Sequence
from itertools import islice
from typing import NamedTuple
from weakref import WeakKeyDictionary

from stream.changes.erasure.removables import SeenSessions
from stream.changes.join import has_text
from stream.events.columns import NO_KEY
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import ErasureTombstone
from stream.shard.query_ids import QueryIdEntry, changed_ms, pack_query_id, unpack_query_id
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard

WALKS_PER_KEEPING = 32
"""A new walk begins after this part of the time that entries are held.

Twice as many: what is held too long halves, and the reading for it doubles.
"""

_ENTRIES_A_WRITE = 10_000  # some 3 MB; bounds memory and a write's time, which double with it


def forget_erased(shard: Shard, orders: Sequence[ErasureTombstone]) -> None:
    """Take the actions and texts out that erasures are to take away; call it before
    their sessions and users go.

    Reads all that is held, but for later sessions of users that are erased already.

    Raises:
        StoreError: the shard is damaged, or the disk refused; the rest is taken out by
            the next call.
    """
    if not _may_hold(shard, orders):
        return
    erased = _Erased.of(shard, orders)
    entries = shard.entries(codec.QUERY_ID)
    while chunk := list(islice(entries, _ENTRIES_A_WRITE)):
        puts, deletes = Puts(), list[bytes]()
        for key, value in chunk:
            before = _unpacked(shard, value)
            after = erased.without(before)
            if after == before:
                continue
            if after.actions or after.texts:
                puts.put(key, pack_query_id(after, changed_ms(value)))
            else:
                deletes.append(key)
        write = ShardWrite(puts, deletes)
        if write:
            shard.write(write)


def forget_step(shard: Shard, max_entries: int, now_ms: int) -> int:
    """Take the next step of the walk that takes out what is held for too long; call it
    after each batch.

    Args:
        shard: its walk starts again when the shard is opened.
        max_entries: how many are read.
        now_ms: the clock.

    Returns:
        How many actions went that never found the text of their search.

    Raises:
        StoreError: the shard is damaged, or the disk refused; nothing was taken out.
    """
    walk = _walks.get(shard, _Walk(due_ms=now_ms))
    if now_ms < walk.due_ms:
        return 0
    chunk = list(islice(shard.entries(codec.QUERY_ID, walk.start), max_entries))
    old = [key for key, value in chunk if _is_old(shard, value, now_ms)]
    num_lost = 0
    if old:
        num_lost = sum(
            _num_lost(_unpacked(shard, value), shard.query_join_ms)
            for key, value in chunk
            if key in set(old)
        )
        shard.write(ShardWrite(Puts(), old))
    if len(chunk) == max_entries:
        _walks[shard] = _Walk(chunk[-1][0][1:] + b"\x00", now_ms)
    else:
        _walks[shard] = _Walk(b"", now_ms + shard.query_keep_ms // WALKS_PER_KEEPING)
    return num_lost


class _Walk(NamedTuple):
    """Where the walk over what is held is.

    Attributes:
        start: where among the entries.
        due_ms: when it goes on, by the clock.
    """

    start: bytes = b""
    due_ms: int = 0


_walks: WeakKeyDictionary[Shard, _Walk] = WeakKeyDictionary()
"""The walk over each open shard; a shard that is opened again is walked from its start.
"""


class _Erased(NamedTuple):
    """What some erasures take away, by key."""

    users: frozenset[int]
    sessions: frozenset[int]
    items: frozenset[int]

    @classmethod
    def of(cls, shard: Shard, orders: Sequence[ErasureTombstone]) -> "_Erased":
        seen = SeenSessions(shard)
        users = sorted(order.key for order in orders if order.kind == "user")
        sessions = {order.key for order in orders if order.kind == "session"}
        for user in users:
            sessions.update(seen.sessions_of_user(user).tolist())
        items = (order.key for order in orders if order.kind == "item")
        return cls(frozenset(users), frozenset(sessions), frozenset(items))

    def without(self, entry: QueryIdEntry) -> QueryIdEntry:
        return QueryIdEntry(
            tuple(text for text in entry.texts if self.users.isdisjoint(text.user_keys)),
            tuple(
                action
                for action in entry.actions
                if action.session not in self.sessions
                and action.user not in self.users
                and action.item not in self.items
            ),
        )


def _may_hold(shard: Shard, orders: Sequence[ErasureTombstone]) -> bool:
    """Return whether something may be held of what erasures are to take away.

    Sessions that a later event of an erased user brings are mostly new: nothing is.
    """
    if any(order.kind != "session" or order.cause == NO_KEY for order in orders):
        return True
    return bool(shard.get_sessions([order.key for order in orders]))


def _is_old(shard: Shard, value: bytes, now_ms: int) -> bool:
    try:
        return changed_ms(value) + shard.query_keep_ms < now_ms
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error


def _num_lost(entry: QueryIdEntry, join_ms: int) -> int:
    return sum(not has_text(action, entry.texts, join_ms) for action in entry.actions)


def _unpacked(shard: Shard, value: bytes) -> QueryIdEntry:
    try:
        return unpack_query_id(value)
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error
