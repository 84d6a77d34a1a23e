"""Erasing users, sessions and items, and all that is derived from them."""

from collections.abc import Iterator, Sequence

import numpy as np

from protos.text import text_key
from stream.changes.aliases import users_of
from stream.changes.erasure.forget import forget_erased
from stream.changes.erasure.orders import followers, requested, tombstone_of, unpacked
from stream.changes.erasure.portions import (
    changed_tombstones,
    counted,
    parts_of,
    removal_of,
    tombstone_entries,
)
from stream.changes.removal.plan import plan_removal, write_removal
from stream.events.types import Erasure
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import AuditEntry, ErasureKind, ErasureTombstone, ShardState
from stream.shard.reader import ShardReader
from stream.shard.shard import Shard


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
    orders = {**shard.erased.pending, **requested(shard, erasures, now_ms)}
    for _, alias in [place for place in orders if place[0] == "user"]:
        for user in users_of(shard, alias):
            if tombstone_of(shard, "user", user) is None:
                follower = ErasureTombstone("user", user, orders["user", alias].asked_ms)
                orders.setdefault(("user", user), follower._replace(cause=alias))
    return erase_all(shard, list(dict(sorted(orders.items())).values()), now_ms)


def lift(shard: Shard, kind: ErasureKind, text: str, now_ms: int) -> bool:
    """Lift an erasure: later events of the id count again, repeated ones included.

    Lifting a user lifts the sessions and the users that were erased for that user, too.
    What was removed stays removed.

    Returns:
        Whether it was erased.
    """
    erase(shard, [], now_ms)
    key = text_key(text)
    found = tombstone_of(shard, kind, key)
    if found is None:
        return False
    users = followers(shard, "user", {key}) if kind == "user" else []
    sessions = followers(shard, "session", {key, *users}) if kind == "user" else []
    state = next_state(shard)
    record = AuditEntry("lifted", kind, key, found.asked_ms, now_ms, 0, 0)
    puts = {
        codec.audit_key(state.sequence, 0): codec.pack_audit(record),
        codec.STATE_KEY: codec.pack_state(state),
    }
    deletes = [codec.tombstone_key(kind, key)]
    deletes += [codec.tombstone_key("session", session) for session in sessions]
    deletes += [codec.tombstone_key("user", user) for user in users]
    shard.write(ShardWrite.of(puts, deletes))
    shard.erased.remove("session", np.array(sessions, dtype=np.uint64))
    shard.erased.remove("user", np.array(users, dtype=np.uint64))
    shard.erased.remove(kind, np.array([key], dtype=np.uint64))
    return True


def audit_entries(shard: ShardReader) -> Iterator[AuditEntry]:
    """Yield what was erased and lifted in a shard, oldest first.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    return (unpacked(shard, codec.unpack_audit, value) for _, value in shard.entries(codec.AUDIT))


def erase_all(shard: Shard, orders: Sequence[ErasureTombstone], now_ms: int) -> int:
    """Carry erasures out, a write at a time; return how many facts that took away."""
    num_facts = 0
    if orders:
        forget_erased(shard, orders)
    while orders:
        parts = parts_of(shard, orders)
        removed = plan_removal(shard, removal_of(parts))
        tombstones = counted(parts, removed)
        changed = changed_tombstones(shard, parts, tombstones)
        write_removal(
            shard, removed, tombstone_entries(changed, tombstones, removed.sequence, now_ms)
        )
        shard.erased.add(changed)
        num_facts += sum(len(part.facts) for part in parts) + sum(removed.folded.values())
        orders = [tombstone for tombstone in tombstones if not tombstone.is_finished]
    return num_facts


def next_state(shard: Shard) -> ShardState:
    """Return a shard's state with the number of its next write."""
    state = shard.state()
    return state._replace(sequence=state.sequence + 1)
