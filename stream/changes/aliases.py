"""Two ids of one visitor, such as a browser and whoever is logged in: an erasure of
either reaches what is known of both together.

An event of a session is seen by both. Where sessions are cut by inactivity they are
those of the first id, and the second is noted beside it: its erasure erases the first.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stream.events.columns import NO_KEY, EventColumns, ShardBatch
from stream.shard import codec
from stream.shard.erased_keys import ErasedKeys
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import Puts, store_error


def with_aliases(batch: ShardBatch) -> ShardBatch:
    """Return a batch with each event of a session once more for an alias of its user.

    The fact is the same.
    """
    references = batch.references
    is_aliased = references.alias != NO_KEY
    is_aliased &= batch.events.session[references.event] != NO_KEY
    if not is_aliased.any():
        return batch
    index = references.event[is_aliased]
    again = replace(batch.events.take(index), user=references.alias[is_aliased])
    return replace(
        batch,
        events=EventColumns.concatenate([batch.events, again]),
        place=np.concatenate([batch.place, batch.place[index]]),
    )


def alias_pairs(batch: ShardBatch) -> list[tuple[int, int]]:
    """Return the aliases in a batch with the users whose sessions are cut, by key."""
    references = batch.references
    is_aliased = references.alias != NO_KEY
    if not is_aliased.any():
        return []
    is_aliased &= batch.events.session[references.event] == NO_KEY
    users = batch.events.user[references.event[is_aliased]]
    return sorted(set(zip(references.alias[is_aliased].tolist(), users.tolist(), strict=True)))


def alias_notes(batch: ShardBatch, erased: ErasedKeys) -> Puts:
    """Return the records that keep which aliases users have whose sessions are cut.

    Args:
        batch: as it was read: an event that is dropped for its item tells of its user.
        erased: users of whom nothing is kept.
    """
    puts = Puts()
    pairs = alias_pairs(batch)
    users = np.array([user for _, user in pairs], dtype=np.uint64)
    for (alias, user), is_erased in zip(pairs, erased.contains("user", users), strict=True):
        if not is_erased:
            puts.put(codec.alias_key(alias, user), codec.SEEN_VALUE)
    return puts


def users_of(shard: ShardReader, alias: int) -> Iterator[int]:
    """Yield the users whose sessions are cut that an alias was seen with, by key."""
    for key, _ in shard.entries(codec.alias_prefix(alias)):
        try:
            user = codec.unpack_seen_user(key)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shard.path, error) from error
        yield user
