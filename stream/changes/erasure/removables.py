"""What one write can remove of an erasure."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stream.changes.fold import finish_folding, fold_returning
from stream.changes.removal.sessions import facts_of
from stream.dtypes import Int64s
from stream.events.columns import Keys
from stream.graph.facts import FactColumns
from stream.graph.keysets import distinct, run_starts
from stream.shard import codec
from stream.shard.codec import ErasureKind
from stream.shard.rocksdb import store_error
from stream.shard.shard import Shard


class Removable(NamedTuple):
    """What one write removes of an erasure.

    Attributes:
        facts: as the sessions hold them.
        rows: what stands for them in runs, where that may be more.
        sessions: ``uint64 [num_sessions]`` that are erased, whole or in part.
        is_all: whether this is all of it.
    """

    facts: FactColumns
    rows: FactColumns
    sessions: Keys
    is_all: bool


class SeenSessions:
    """Which sessions users were seen in.

    Keeps what it read last: the users of one first byte, which stand in the same
    records. Users in ascending order are looked up fastest.

    Args:
        shard: whose users they are.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        self._prefix = b""
        self._users = self._sessions = np.empty(0, dtype=np.uint64)

    def sessions_of_user(self, user: int) -> Keys:
        """Return the keys of the sessions that a user was seen in, ascending."""
        prefix = codec.user_prefix(user)
        if prefix != self._prefix:
            packed = b"".join(value for _, value in self.shard.entries(prefix))
            try:
                self._users, self._sessions = codec.unpack_users(packed)
            except codec.BAD_ENTRY_ERRORS as error:
                raise store_error(self.shard.path, error) from error
            self._prefix = prefix
        return distinct(self._sessions[self._users == np.uint64(user)])


def removable_of(
    seen: SeenSessions, kind: ErasureKind, key: int, budget: int, minimum: int
) -> Removable:
    """Return what an erasure takes out in one write.

    Args:
        seen: the sessions of the shard's users.
        kind: what `key` is of.
        key: of the user, session or item.
        budget: facts that the write may still remove, about.
        minimum: how many sessions must be taken, in part if need be: 0 or 1.

    Raises:
        StoreError: the shard is damaged, or the disk refused to fold what must be
            folded first.
    """
    return _REMOVABLE[kind](seen, key, budget, minimum)


def _removable_of_session(seen: SeenSessions, session: int, budget: int, minimum: int) -> Removable:
    return _removable_of_sessions(seen.shard, np.array([session], dtype=np.uint64), budget, minimum)


def _removable_of_user(seen: SeenSessions, user: int, budget: int, minimum: int) -> Removable:
    return _removable_of_sessions(seen.shard, seen.sessions_of_user(user), budget, minimum)


def _removable_of_sessions(shard: Shard, sessions: Keys, budget: int, minimum: int) -> Removable:
    """Return as many sessions as fit into the budget.

    A part of one that must be taken and does not fit.
    """
    listed = sessions[:budget]
    fold_returning(shard, listed)
    facts = _stored_facts(shard, listed)
    sizes = np.searchsorted(facts.session, listed, "right") - np.searchsorted(facts.session, listed)
    num_taken = _num_fitting(np.maximum(sizes, 1), budget)
    if num_taken < minimum and len(listed):
        part = _items_fitting(facts.slice(0, int(sizes[0])), budget)
        return Removable(
            part, FactColumns.empty(), listed[:1], len(sessions) == 1 and len(part) == sizes[0]
        )
    facts = facts.slice(0, int(sizes[:num_taken].sum()))
    return Removable(facts, FactColumns.empty(), listed[:num_taken], num_taken == len(sessions))


def _removable_of_item(seen: SeenSessions, item: int, budget: int, minimum: int) -> Removable:
    """Return an item in as many sessions as fit into the budget, query by query.

    So runs are read seldom.
    """
    finish_folding(seen.shard)
    rows = seen.shard.facts_of_item(item)
    # Sessions in the order in which (query, session) meets them first: those taken now
    # have few queries between them, so few runs are read.
    rows = rows.take(np.lexsort((rows.session, rows.query)))
    sessions, first, sizes = np.unique(rows.session, return_index=True, return_counts=True)
    order = np.argsort(first)
    num_taken = max(_num_fitting(sizes[order], budget), minimum)
    taken = np.sort(sessions[order[:num_taken]])
    facts = _stored_facts(seen.shard, taken)
    return Removable(
        facts=facts.take(facts.item == np.uint64(item)),
        rows=rows.take(np.isin(rows.session, taken)),
        sessions=taken[:0],
        is_all=num_taken >= len(sessions),
    )


_REMOVABLE: dict[ErasureKind, Callable[[SeenSessions, int, int, int], Removable]] = {
    "user": _removable_of_user,
    "session": _removable_of_session,
    "item": _removable_of_item,
}


def _stored_facts(shard: Shard, sessions: Keys) -> FactColumns:
    """Return the facts of sessions, given in ascending order, in that order."""
    return facts_of(shard, shard.get_sessions(sessions.tolist()))


def _items_fitting(facts: FactColumns, budget: int) -> FactColumns:
    """Return a session's facts on as many of its items as fit, at least one."""
    # By item, so that an item's facts are one run and are taken whole.
    facts = facts.take(np.argsort(facts.item, kind="stable"))
    firsts = np.flatnonzero(run_starts(facts.item))
    sizes = np.diff(np.append(firsts, len(facts)))
    num_taken = max(_num_fitting(sizes, budget), 1)
    return facts.slice(0, int(sizes[:num_taken].sum()))


def _num_fitting(sizes: Int64s, budget: int) -> int:
    """Return how many of the first fit into some budget together."""
    return int(np.searchsorted(np.cumsum(sizes), budget, "right"))
