"""Who is known to have been seen in which session."""

from collections.abc import Mapping, Sequence

import numpy as np

from stream.changes.removal.pairs import Pairs
from stream.events.columns import Keys
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import StoredSession
from stream.shard.rocksdb import Puts
from stream.shard.shard import Shard


def user_notes(session: Keys, user: Keys, sequence: int) -> ShardWrite:
    """Return the records that keep users as seen in sessions whose records do not say
    so, given in order of (session, user).
    """
    puts = Puts()
    keys = map(codec.seen_key, session.tolist(), user.tolist())
    puts.extend(list(keys), [codec.SEEN_VALUE] * len(session))
    order = np.lexsort((session, user))
    puts.extend(*codec.user_runs(user[order], session[order], sequence))
    return ShardWrite(puts)


def users_entries(
    shard: Shard,
    erased: Keys,
    seen: Mapping[int, Sequence[int]],
    emptied: Mapping[int, StoredSession],
) -> ShardWrite:
    """Remove who was seen in sessions that are erased.

    Keep it of others that lost their last fact.

    An erasure of a user, whenever it comes, erases the session as well: whoever was
    seen there must stay known for as long as the session may live on.
    """
    goes = {key: tuple(seen.get(key, ())) for key in erased.tolist()}
    goes.update({key: goes[key] + emptied[key].user_keys for key in goes if key in emptied})
    left = shard.get_session_entries([key for key in goes if key not in emptied])
    deletes: list[bytes] = []
    unseen: list[tuple[int, int]] = []
    for session, users in goes.items():
        if session not in left:
            notes = [key for key, _ in shard.entries(codec.seen_prefix(session))]
            deletes += notes
            unseen += [(user, session) for user in (*users, *map(codec.unpack_seen_user, notes))]
    kept = [
        codec.seen_key(session, user)
        for session, record in emptied.items()
        if session not in goes
        for user in record.user_keys
    ]
    puts = Puts()
    puts.extend(kept, [codec.SEEN_VALUE] * len(kept))
    return ShardWrite.joined([ShardWrite(puts, deletes), _without_users(shard, unseen)])


def _without_users(shard: Shard, unseen: Sequence[tuple[int, int]]) -> ShardWrite:
    """Rewrite the records of users without pairs of user and session."""
    puts, deletes = Puts(), list[bytes]()
    if not unseen:
        return ShardWrite(puts)
    user, session = np.array(unseen, dtype=np.uint64).T
    pairs = Pairs(user, session)
    for prefix in sorted({codec.user_prefix(key) for key in user.tolist()}):
        records = list(shard.entries(prefix))
        users, sessions = codec.unpack_users(b"".join(value for _, value in records))
        is_kept = ~pairs.contains(users, sessions)
        # Pairs of all runs, one run after the other: the first end above a row is that
        # of its run. Only runs that lose a pair are written again.
        ends = np.cumsum([len(value) // codec.PAIR_BYTES for _, value in records])
        for run in np.unique(np.searchsorted(ends, np.flatnonzero(~is_kept), "right")).tolist():
            key, value = records[run]
            end = int(ends[run])
            rows = np.arange(end - len(value) // codec.PAIR_BYTES, end)
            rows = rows[is_kept[rows]]
            if len(rows):
                puts.put(key, codec.pack_users(users[rows], sessions[rows]))
            else:
                deletes.append(key)
    return ShardWrite(puts, deletes)
