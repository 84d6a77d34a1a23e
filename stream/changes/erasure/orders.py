"""What is to be erased: what was asked for, and what follows from it."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from protos.text import text_key
from stream.changes.aliases import alias_pairs
from stream.events.columns import NO_KEY, EventColumns, ShardBatch
from stream.events.types import Erasure
from stream.shard import codec
from stream.shard.codec import ErasureKind, ErasureTombstone
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import store_error
from stream.shard.shard import Shard

_Value = TypeVar("_Value")


def requested(
    shard: Shard, erasures: Sequence[Erasure], now_ms: int
) -> dict[tuple[ErasureKind, int], ErasureTombstone]:
    """Return the erasures that were not requested before, by key.

    Users are looked up fastest in that order.
    """
    asked: dict[tuple[ErasureKind, int], ErasureTombstone] = {}
    for erasure in erasures:
        place = erasure.kind, text_key(erasure.id)
        known = tombstone_of(shard, *place)
        if known is None or known.cause != NO_KEY:
            asked_ms = erasure.ts_ms or now_ms
            begun = shard.erased.pending.get(place, ErasureTombstone(*place, asked_ms))
            asked.setdefault(place, begun._replace(asked_ms=asked_ms, cause=NO_KEY))
    return dict(sorted(asked.items()))


def users_of_erased_aliases(shard: Shard, batch: ShardBatch) -> list[ErasureTombstone]:
    """Return the users that are not erased yet, and that an erased
    alias is seen with.
    """
    pairs = alias_pairs(batch)
    if not pairs:
        return []
    alias, user = np.array(pairs, dtype=np.uint64).T
    is_met = shard.erased.contains("user", alias) & ~shard.erased.contains("user", user)
    asked = [tombstone_of(shard, "user", key) for key in alias[is_met].tolist()]
    orders = {
        key: ErasureTombstone("user", key, known.asked_ms, cause=known.key)
        for key, known in zip(user[is_met].tolist(), asked, strict=True)
        if known is not None
    }
    return [orders[key] for key in sorted(orders)]


def sessions_of_erased_users(shard: Shard, events: EventColumns) -> list[ErasureTombstone]:
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
        if (tombstone := tombstone_of(shard, "user", user))
    }
    return [
        ErasureTombstone("session", session, asked_ms[user], cause=user)
        for session, user in zip(sessions.tolist(), users, strict=True)
    ]


def tombstone_of(shard: Shard, kind: ErasureKind, key: int) -> ErasureTombstone | None:
    """Return what is known of the erasure of an id; None: it is not erased.

    Raises:
        StoreUnreadable: the entry is damaged.
    """
    entry_key = codec.tombstone_key(kind, key)
    (value,) = shard.get_values([entry_key])
    return None if value is None else unpacked(shard, codec.unpack_tombstone, entry_key, value)


def _tombstones(shard: Shard, kind: ErasureKind) -> Iterator[ErasureTombstone]:
    for key, value in shard.entries(codec.ERASED + codec.ERASURE_KINDS[kind]):
        yield unpacked(shard, codec.unpack_tombstone, key, value)


def followers(shard: Shard, kind: ErasureKind, causes: set[int]) -> list[int]:
    """Return what was erased for some users."""
    return [tombstone.key for tombstone in _tombstones(shard, kind) if tombstone.cause in causes]


def unpacked(shard: ShardReader, unpack: Callable[..., _Value], *packed: bytes) -> _Value:
    """Return an entry that is read.

    Raises:
        StoreUnreadable: it is damaged.
    """
    try:
        return unpack(*packed)
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error
