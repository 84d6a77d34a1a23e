"""What one write takes out of a shard.

Facts with their sessions and rows, users, folded edges, and the names that only they
needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from stream.changes.removal.folded import (
    GoneEdges,
    bare_queries,
    folded_edges,
    unlisted,
    without_folded,
)
from stream.changes.removal.pairs import Pairs
from stream.changes.removal.runs import without_rows
from stream.changes.removal.sessions import ChangedSessions, without_facts
from stream.changes.removal.users import users_entries
from stream.clock import now_ms
from stream.events.columns import NO_KEY, Keys
from stream.feed.changes import EdgeChanges, ShardChanges
from stream.feed.members import edge_changes, session_changes
from stream.graph.facts import Digest, FactColumns
from stream.graph.keysets import distinct
from stream.shard import codec
from stream.shard.changed_entries import DirtyKeys, ShardWrite
from stream.shard.codec import ShardState, StoredSession
from stream.shard.rocksdb import Puts
from stream.shard.shard import Shard


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What is to go.

    Facts go by session and item: all facts of a pair, or none.

    Attributes:
        facts: as the sessions hold them.
        rows: what else stands in runs for the same sessions and items.
        sessions: ``uint64 [num_sessions]`` that are erased, ascending; those that still
            have facts are left for a later write.
        seen: users known to have been seen in some of these sessions.
        items: ``uint64 [num_items]`` that lose their folded edges and their texts, too,
            ascending; no fact of theirs is left.
        users: ``uint64 [num_users]`` whose session windows are removed.
    """

    facts: FactColumns
    rows: FactColumns
    sessions: Keys
    seen: Mapping[int, Sequence[int]]
    items: Keys
    users: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Removed:
    """What a removal changes.

    Attributes:
        records: of the write, the shard's state among them.
        sequence: of the write.
        emptied: sessions that it leaves without a fact, by key, as they were.
        folded: how many folded facts of items go, by the item's key.
        names: keys of names that go, by kind.
    """

    records: ShardWrite
    sequence: int
    emptied: Mapping[int, StoredSession]
    folded: Mapping[int, int]
    names: Mapping[bytes, Keys]


def plan_removal(shard: Shard, removal: Removal) -> Removed:
    """Return what takes facts out of their sessions, and everything of their sessions
    and items out of the runs. Writes nothing.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    before = shard.state()
    both = FactColumns.concatenate([removal.facts, removal.rows])
    pairs = Pairs(both.session, both.item)
    queries, items = distinct(both.query[both.query != NO_KEY]), distinct(both.item)
    sessions = without_facts(shard, distinct(removal.facts.session), pairs)
    query_runs = without_rows(shard, codec.BY_QUERY, queries, pairs)
    item_runs = without_rows(shard, codec.BY_ITEM, items, pairs)
    folded = folded_edges(shard, removal.items)
    has_folded = before.folded_before_ms is not None
    names = {
        codec.QUERY_NAME: np.union1d(
            without_folded(shard, codec.FOLDED, query_runs.bare, has_folded=has_folded),
            bare_queries(shard, folded.queries, removal.items, query_runs.bare),
        ),
        codec.ITEM_NAME: np.union1d(
            unlisted(
                shard,
                without_folded(shard, codec.FOLDED_BY_ITEM, item_runs.bare, has_folded=has_folded),
            ),
            removal.items,
        ),
    }
    state = _state_after(before, sessions, folded.digest)
    dirty = DirtyKeys(
        state.sequence,
        queries=np.union1d(queries, folded.queries),
        items=np.union1d(items, removal.items),
    )
    parts = [
        sessions.records,
        query_runs.records,
        item_runs.records,
        folded.records,
        users_entries(shard, removal.sessions, removal.seen, sessions.emptied),
        ShardWrite(Puts(), codec.one_keys(codec.WINDOWS, removal.users)),
        ShardWrite(Puts(), codec.one_keys(codec.CATALOG, removal.items)),
        *(ShardWrite(Puts(), codec.one_keys(kind, keys)) for kind, keys in names.items()),
        ShardWrite.of({codec.STATE_KEY: codec.pack_state(state)}),
    ]
    return Removed(
        records=ShardWrite.joined(
            parts, dirty, _told(shard, state.sequence, sessions, folded, names)
        ),
        sequence=state.sequence,
        emptied=sessions.emptied,
        folded=folded.num_facts,
        names=names,
    )


def _told(
    shard: Shard,
    sequence: int,
    sessions: ChangedSessions,
    folded: GoneEdges,
    names: Mapping[bytes, Keys],
) -> ShardChanges | None:
    """Return what the feed tells of a removal."""
    if not shard.keeps_feed:
        return None
    table = sessions.table
    return ShardChanges(
        shard=shard.index,
        sequence=sequence,
        written_ms=now_ms(),
        edges=EdgeChanges.joined([edge_changes(table), folded.edges]),
        sessions=session_changes(
            table, lambda keys: shard.get_names(codec.ITEM_NAME, keys.tolist()), sessions.wides
        ),
        gone_queries=names[codec.QUERY_NAME],
        gone_items=names[codec.ITEM_NAME],
    )


def write_removal(shard: Shard, removed: Removed, others: ShardWrite) -> None:
    """Carry a removal out, together with other records.

    Raises:
        StoreWriteFailed: the disk refused; nothing was applied.
    """
    for kind, keys in removed.names.items():  # before: a name that is not known is read
        shard.name_caches[kind].remove(keys)
    records = removed.records
    shard.write(ShardWrite.joined([records, others], records.dirty, records.changes))


def _state_after(before: ShardState, sessions: ChangedSessions, folded: Digest) -> ShardState:
    gone = sessions.gone
    return before._replace(
        sequence=before.sequence + 1,
        facts=before.facts - gone.digest() - folded,
        edge_facts=before.edge_facts - gone.take(gone.makes_edge).digest() - folded,
        num_sessions=before.num_sessions - len(sessions.emptied),
        num_hyperedges=before.num_hyperedges - sessions.num_hyperedges,
        num_incidences=before.num_incidences - sessions.num_incidences,
        folded=before.folded - folded,
    )
