"""What one write takes out of a shard.

Facts with their sessions and rows, users, folded edges, and the names that only they
needed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from stream.clock import now_ms
from stream.dtypes import Bools
from stream.events.columns import NO_KEY, Keys
from stream.feed.changes import EdgeChanges, ShardChanges
from stream.feed.members import FactTable, edge_changes, session_changes
from stream.graph.facts import Digest, FactColumns, hyperedge_sizes
from stream.graph.keysets import contains, distinct, run_starts
from stream.shard import codec
from stream.shard.changed_entries import DirtyKeys, ShardWrite
from stream.shard.codec import ShardState, StoredSession
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard

# Bytes of runs that are rewritten together: bounds memory, which doubles with it.
_RUN_BYTES_AT_ONCE = 64 * 1024 * 1024
_NONE: Keys = np.empty(0, dtype=np.uint64)


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
    pairs = _Pairs(both.session, both.item)
    queries, items = distinct(both.query[both.query != NO_KEY]), distinct(both.item)
    sessions = _without_facts(shard, distinct(removal.facts.session), pairs)
    query_runs = _without_rows(shard, codec.BY_QUERY, queries, pairs)
    item_runs = _without_rows(shard, codec.BY_ITEM, items, pairs)
    folded = _folded_edges(shard, removal.items)
    has_folded = before.folded_before_ms is not None
    names = {
        codec.QUERY_NAME: np.union1d(
            _without_folded(shard, codec.FOLDED, query_runs.bare, has_folded=has_folded),
            _bare_queries(shard, folded.queries, removal.items, query_runs.bare),
        ),
        codec.ITEM_NAME: np.union1d(
            _unlisted(
                shard,
                _without_folded(shard, codec.FOLDED_BY_ITEM, item_runs.bare, has_folded=has_folded),
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
        _users_entries(shard, removal, sessions.emptied),
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
    sessions: "_Sessions",
    folded: "_Folded",
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


# Sessions


class _Sessions(NamedTuple):
    """Sessions that lose facts.

    Attributes:
        records: what is written of them.
        emptied: those that have no fact left, as they were.
        gone: the facts that they lose.
        table: their facts before and after.
        wides: ``uint64 [num_wides]`` those of them that are wide.
        num_hyperedges: how many hyperedges are lost.
        num_incidences: how many items of hyperedges are lost.
    """

    records: ShardWrite
    emptied: dict[int, StoredSession]
    gone: FactColumns
    table: FactTable
    wides: Keys
    num_hyperedges: int
    num_incidences: int


def _without_facts(shard: Shard, sessions: Keys, pairs: "_Pairs") -> _Sessions:
    # Stored facts are by session, ascending, and stay so without those that go: a run
    # of one session is its new value, and a session without a run is emptied.
    records = shard.get_sessions(sessions.tolist())
    stored = facts_of(shard, records)
    is_gone = pairs.contains(stored.session, stored.item)
    gone, kept = stored.take(is_gone), stored.take(~is_gone)
    firsts = np.flatnonzero(run_starts(kept.session))
    keys = kept.session[firsts]
    rows = codec.split_rows(codec.pack_rows(kept.query, kept.item, kept.stamp), firsts)
    lasting = {key: records[key] for key in keys.tolist()}
    wides = [key for key, record in records.items() if record.items is not None]
    items = codec.first_items_of(kept, wides)
    values = [
        codec.pack_session(record.session_id, record.user_keys, own)
        if record.items is None
        else codec.pack_wide_session(record.session_id, items[key])
        for (key, record), own in zip(lasting.items(), rows, strict=True)
    ]
    puts = Puts()
    puts.extend(codec.one_keys(codec.SESSION, keys), values)
    of_wide = np.isin(gone.session, np.array(wides, dtype=np.uint64))
    deletes = codec.wide_fact_keys(gone.take(of_wide))
    emptied = {key: record for key, record in records.items() if key not in lasting}
    (_, old_sizes), (_, sizes) = hyperedge_sizes(stored), hyperedge_sizes(kept)
    return _Sessions(
        records=ShardWrite(puts, [*deletes, *(codec.session_key(key) for key in emptied)]),
        emptied=emptied,
        gone=gone,
        table=FactTable(
            facts=stored,
            was_in=np.ones(len(stored), dtype=np.bool_),
            is_in=~is_gone,
            old_stamp=stored.stamp,
        ),
        wides=np.array(wides, dtype=np.uint64),
        num_hyperedges=int((old_sizes > 0).sum()) - int((sizes > 0).sum()),
        num_incidences=int(old_sizes.sum()) - int(sizes.sum()),
    )


def _state_after(before: ShardState, sessions: _Sessions, folded: Digest) -> ShardState:
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


def facts_of(shard: Shard, records: Mapping[int, StoredSession]) -> FactColumns:
    """Return the facts of stored sessions, given by key.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    try:
        return codec.facts_of_sessions(
            np.array(list(records), dtype=np.uint64), list(records.values())
        )
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error


# Runs


class _Runs(NamedTuple):
    """Runs behind queries or items that lose rows.

    Attributes:
        records: what is written of them.
        bare: ``uint64 [num_bare]`` the queries or items that have no row left,
            ascending.
    """

    records: ShardWrite
    bare: Keys


def _without_rows(shard: Shard, kind: bytes, majors: Keys, pairs: "_Pairs") -> _Runs:
    """Rewrite the runs of queries or items without the rows of some pairs."""
    parts: list[ShardWrite] = []
    lasting = [_NONE]
    for keys, values in _runs_behind(shard, kind, majors):
        try:
            records, kept = _rewritten(kind, keys, values, pairs)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shard.path, error) from error
        parts.append(records)
        lasting.append(kept)
    bare = majors[~contains(distinct(np.concatenate(lasting)), majors)]
    return _Runs(ShardWrite.joined(parts), bare)


def _runs_behind(
    shard: Shard, kind: bytes, majors: Keys
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield the keys and values of all runs behind queries or items, many at a time."""
    keys: list[bytes] = []
    values: list[bytes] = []
    num_bytes = 0
    for major in majors.tolist():
        for key, value in shard.entries(codec.key_prefix(kind, major)):
            keys.append(key)
            values.append(value)
            num_bytes += len(value)
        if num_bytes > _RUN_BYTES_AT_ONCE:
            yield keys, values
            keys, values, num_bytes = [], [], 0
    if keys:
        yield keys, values


def _rewritten(
    kind: bytes, keys: list[bytes], values: Sequence[bytes], pairs: "_Pairs"
) -> tuple[ShardWrite, Keys]:
    """Return what is written of the runs that change, and the queries or items of those
    that keep a row.
    """
    # Rows of all runs, one run after the other; `run_of_row` says whose each row is.
    minor, session, stamp, sizes = codec.unpack_rows(values)
    major = codec.unpack_keys(keys)
    item = minor if kind == codec.BY_QUERY else np.repeat(major, sizes)
    is_kept = ~pairs.contains(session, item)
    run_of_row = np.repeat(np.arange(len(keys)), sizes)
    num_kept = np.bincount(run_of_row[is_kept], minlength=len(keys))
    # A run that loses some rows is put again with the others; one that loses all goes.
    is_shrunk = (num_kept < sizes) & (num_kept > 0)
    rows = np.flatnonzero(is_kept & is_shrunk[run_of_row])
    sizes_kept = num_kept[is_shrunk]
    packed = codec.pack_rows(minor[rows], session[rows], stamp[rows])
    pieces = codec.split_rows(packed, np.cumsum(sizes_kept) - sizes_kept)
    puts = Puts()
    puts.extend([keys[run] for run in np.flatnonzero(is_shrunk).tolist()], pieces)
    deletes = [keys[run] for run in np.flatnonzero(num_kept == 0).tolist()]
    return ShardWrite(puts, deletes), major[num_kept > 0]


# Folded edges and names


class _Folded(NamedTuple):
    """The folded edges of items that go.

    Attributes:
        records: what is written.
        queries: ``uint64 [num_queries]`` of the edges, ascending.
        edges: what they take from edges' sessions.
        num_facts: how many facts they stand for, by item.
        digest: the fingerprint of these.
    """

    records: ShardWrite
    queries: Keys
    edges: EdgeChanges
    num_facts: dict[int, int]
    digest: Digest


def _folded_edges(shard: Shard, items: Keys) -> _Folded:
    deletes: list[bytes] = []
    queries = [_NONE]
    digests: dict[int, Digest] = {}
    changes = [EdgeChanges.empty()]
    for item in items.tolist():
        edges = shard.folded_of(codec.FOLDED_BY_ITEM, item)
        of_item = np.array(sorted(query for query, _ in edges), dtype=np.uint64)
        this = np.full(len(of_item), item, dtype=np.uint64)
        deletes += codec.pair_keys(codec.FOLDED, of_item, this)
        deletes += codec.pair_keys(codec.FOLDED_BY_ITEM, this, of_item)
        queries.append(of_item)
        digests[item] = sum((edge.digest for edge in edges.values()), Digest())
        sessions = [-edges[int(query), item].sessions for query in of_item]
        changes.append(EdgeChanges(of_item, this, np.array(sessions, dtype=np.int64)))
    return _Folded(
        records=ShardWrite(Puts(), deletes),
        queries=distinct(np.concatenate(queries)),
        edges=EdgeChanges.joined(changes),
        num_facts={item: digest.count for item, digest in digests.items()},
        digest=sum(digests.values(), Digest()),
    )


def _bare_queries(shard: Shard, queries: Keys, items: Keys, without_rows: Keys) -> Keys:
    """Return the queries that have neither facts nor folded edges on other items.

    Args:
        shard: read as it is before the write.
        queries: with folded edges on some of the items.
        items: that go.
        without_rows: queries that lose their last fact by this write.
    """
    going, freed = set(items.tolist()), set(without_rows.tolist())
    bare = [
        query
        for query in queries.tolist()
        if {item for _, item in shard.folded_of(codec.FOLDED, query)} <= going
        and (query in freed or not any(shard.entries(codec.key_prefix(codec.BY_QUERY, query))))
    ]
    return np.array(bare, dtype=np.uint64)


def _without_folded(shard: Shard, kind: bytes, keys: Keys, *, has_folded: bool) -> Keys:
    """Return the queries or items that have no folded edges."""
    if not has_folded:
        return keys
    has_edges = [bool(shard.folded_of(kind, key)) for key in keys.tolist()]
    return keys[~np.array(has_edges, dtype=np.bool_)]


def _unlisted(shard: Shard, items: Keys) -> Keys:
    """Return the items that have no catalogue entry."""
    listed = shard.get_values(codec.one_keys(codec.CATALOG, items))
    return items[np.array([value is None for value in listed], dtype=np.bool_)]


# Users


def _users_entries(
    shard: Shard, removal: Removal, emptied: Mapping[int, StoredSession]
) -> ShardWrite:
    """Remove who was seen in sessions that are erased.

    Keep it of others that lost their last fact.

    An erasure of a user, whenever it comes, erases the session as well: whoever was
    seen there must stay known for as long as the session may live on.
    """
    goes = {key: tuple(removal.seen.get(key, ())) for key in removal.sessions.tolist()}
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
    pairs = _Pairs(user, session)
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


class _Pairs:
    """A set of pairs of keys, exactly.

    Each side is numbered first, so that a pair is one number.
    """

    def __init__(self, left: Keys, right: Keys) -> None:
        self._lefts, self._rights = distinct(left), distinct(right)
        self._numbers = np.unique(self._number(left, right))

    def contains(self, left: Keys, right: Keys) -> Bools:
        """Return which pairs are in the set."""
        # A pair can only be numbered where both sides are known: the rows left after
        # each side are the ones whose number is looked up.
        is_in = contains(self._lefts, left)
        rows = np.flatnonzero(is_in)
        rows = rows[contains(self._rights, right[rows])]
        is_in[:] = False
        is_in[rows] = contains(self._numbers, self._number(left[rows], right[rows]))
        return is_in

    def _number(self, left: Keys, right: Keys) -> Keys:
        places = np.searchsorted(self._lefts, left), np.searchsorted(self._rights, right)
        return (places[0] * len(self._rights) + places[1]).astype(np.uint64)
