"""Visits of users without session ids of which several shards have cut a part, joined
as one shard would have cut them.

So it is where a user's key has moved to another partition: partitions were added, or
producers partition differently.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np

from protos.text import text_key
from stream.events.columns import Keys
from stream.events.limits import CUT_PREFIX
from stream.graph.facts import FactColumns
from stream.graph.keysets import contains, distinct, indexes_of, repeated
from stream.graph.sessions import SessionWindows, cut_session_id
from stream.shard import codec
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import store_error

_NONE: Keys = np.empty(0, dtype=np.uint64)


@dataclass(frozen=True)
class JoinedVisits:
    """Sessions that are a later part of another one.

    Attributes:
        old: ``uint64 [num_parts]`` their keys, ascending.
        new: ``uint64 [num_parts]`` the session that each is part of.
        entries: packed entries of the parts, named after what they are part of, in
            order of key.
    """

    old: Keys
    new: Keys
    entries: Sequence[tuple[bytes, bytes]]

    def __len__(self) -> int:
        return len(self.old)

    @cached_property
    def old_entries(self) -> frozenset[bytes]:
        """The keys of the entries that `entries` replaces."""
        return frozenset(codec.one_keys(codec.SESSION, self.old))

    def joined(self, facts: FactColumns) -> FactColumns:
        """Return facts with the sessions that they are part of."""
        if not len(self):
            return facts
        place = indexes_of(self.old, facts.session)
        session = np.where(place >= 0, self.new[place], facts.session)
        return FactColumns(session, facts.query, facts.item, facts.stamp)

    def parts_of(self, sessions: Keys) -> Keys:
        """Return sessions and their parts, ascending."""
        return distinct(np.concatenate([sessions, self.old[np.isin(self.new, sessions)]]))


NO_VISITS = JoinedVisits(_NONE, _NONE, ())
"""Where no session is part of another one."""


def join_visits(shards: Sequence[ShardReader], gap_ms: int) -> JoinedVisits:
    """Find the visits of which several shards have a part.

    Reads the windows of all users where more than one shard has any, and nothing else
    where no visit is in two.

    Args:
        shards: all of a store.
        gap_ms: the most milliseconds between neighbours in a session.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    shards = [shard for shard in shards if next(shard.entries(codec.WINDOWS), None)]
    if len(shards) < 2:  # noqa: PLR2004  # one has nothing to share with
        return NO_VISITS
    found = [_windows(shard) for shard in shards]
    in_several = repeated(np.concatenate([distinct(windows.user) for windows in found]))
    parts = SessionWindows.concatenate(found)
    parts = parts.take(contains(in_several, parts.user))
    whole = parts.merged(gap_ms)
    start_ms = whole.start_ms[whole.index_of(parts.user, parts.start_ms)]
    is_later = start_ms != parts.start_ms
    if not is_later.any():
        return NO_VISITS
    return _named(shards, parts.take(is_later), start_ms[is_later].tolist())


def _named(
    shards: Sequence[ShardReader], parts: SessionWindows, start_ms: Sequence[int]
) -> JoinedVisits:
    """Return the joined visits, given their later parts and when each visit began."""
    user_ids = _user_ids(shards, distinct(parts.user))
    ids: dict[int, str] = {}
    for user, part_ms, whole_ms in zip(
        parts.user.tolist(), parts.start_ms.tolist(), start_ms, strict=True
    ):
        if user in user_ids:  # else all that the user did is erased
            part = text_key(cut_session_id(user_ids[user], part_ms))
            ids[part] = cut_session_id(user_ids[user], whole_ms)
    old = np.array(sorted(ids), dtype=np.uint64)
    new = np.array([text_key(ids[key]) for key in old.tolist()], dtype=np.uint64)
    entries = []
    for shard in shards:
        for key, record in shard.get_sessions(old.tolist()).items():
            packed = codec.pack_sessions([ids[key]], [record.user_keys], [record.facts])
            entries.append((codec.session_key(text_key(ids[key])), packed[0]))
    return JoinedVisits(old, new, sorted(entries))


def _windows(shard: ShardReader) -> SessionWindows:
    """Return all windows of a shard, in order of (user, start)."""
    entries = list(shard.entries(codec.WINDOWS))
    users = codec.unpack_keys([key for key, _ in entries])
    try:
        return codec.unpack_windows(users, [value for _, value in entries])
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error


def _user_ids(shards: Sequence[ShardReader], users: Keys) -> dict[int, str]:
    """Return the ids of users by key, as the names of their cut sessions have them."""
    found: dict[int, str] = {}
    for shard in shards:
        sessions = _sessions_of(shard, users)
        for record in shard.get_sessions(sessions.tolist()).values():
            if record.session_id.startswith(CUT_PREFIX):
                user_id = record.session_id[len(CUT_PREFIX) :].rpartition("@")[0]
                found[text_key(user_id)] = user_id
    return found


def _sessions_of(shard: ShardReader, users: Keys) -> Keys:
    """Return the sessions that users were seen in, ascending; reads who was seen where
    of all users whose keys begin alike.
    """
    prefixes = sorted({codec.user_prefix(user) for user in users.tolist()})
    entries = chain.from_iterable(shard.entries(prefix) for prefix in prefixes)
    sessions = [_NONE]
    for _, value in entries:
        try:
            seen, where = codec.unpack_users(value)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shard.path, error) from error
        sessions.append(where[contains(users, seen)])
    return distinct(np.concatenate(sessions))
