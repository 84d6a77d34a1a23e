"""One write that takes facts out of a shard.

Out of sessions and runs, with the names only they needed.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from stream.dtypes import Bools
from stream.events.columns import NO_KEY, Keys
from stream.graph.facts import Digest, FactColumns, hyperedge_sizes
from stream.graph.keysets import contains, distinct, starts_of
from stream.shard import codec
from stream.shard.codec import StoredSession
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard, Touched

_RUN_BYTES_AT_ONCE = 64 * 1024 * 1024


class Removal:
    """One write as it comes together.

    Facts go by session and item: all facts of a pair, or none.

    Attributes:
        puts: what is written with it.
        deletes: what is deleted with it.
        sequence: of the write.
        emptied: sessions that it leaves without a fact, by key, as they were.
        folded: how many folded facts of items go, by the item's key.
    """

    def __init__(self, shard: Shard) -> None:
        self.puts = Puts()
        self.emptied: dict[int, StoredSession] = {}
        self.folded: dict[int, int] = {}
        self._shard = shard
        self.deletes: list[bytes] = []
        self._state = shard.state()
        self.sequence = self._state.sequence + 1
        self._queries = self._items = np.empty(0, dtype=np.uint64)
        self._unseen: list[tuple[int, int]] = []
        self._bare_queries: set[int] = set()

    def take_facts(self, facts: FactColumns, rows: FactColumns) -> None:
        """Take facts out of their sessions, and everything of their sessions and items
        out of the runs.

        Args:
            facts: as the sessions hold them; of a session and an item all or none.
            rows: what else stands in runs for the same sessions and items.

        Raises:
            StoreUnreadable: a record is damaged.
        """
        both = FactColumns.concatenate([facts, rows])
        pairs = _Pairs(both.session, both.item)
        self._take_out_of_sessions(facts, pairs)
        queries, items = distinct(both.query[both.query != NO_KEY]), distinct(both.item)
        self._touch(queries, items)
        unused = self._take_out_of_runs(codec.BY_QUERY, queries, pairs)
        self._bare_queries.update(unused.tolist())
        self._drop_names(codec.QUERY_NAME, self._without_folded(codec.SETTLED, unused))
        unused = self._without_folded(
            codec.SETTLED_BY_ITEM, self._take_out_of_runs(codec.BY_ITEM, items, pairs)
        )
        listed = self._shard.get_values(codec.one_keys(codec.CATALOG, unused))
        self._drop_names(
            codec.ITEM_NAME, unused[np.array([value is None for value in listed], dtype=np.bool_)]
        )

    def forget_users(self, erased: Keys, seen: Mapping[int, Sequence[int]]) -> None:
        """Remove who was seen in sessions that are erased.

        Keep it of others that lost their last fact.

        An erasure of a user, whenever it comes, erases the session as well: whoever was
        seen there must stay known for as long as the session may live on.

        Args:
            erased: session keys, ascending; those that still have facts are left for a
                later write.
            seen: users known to have been seen in some of these sessions.
        """
        goes = {key: tuple(seen.get(key, ())) for key in erased.tolist()}
        goes.update(
            {key: goes[key] + self.emptied[key].user_keys for key in goes if key in self.emptied}
        )
        left = self._shard.get_sessions([key for key in goes if key not in self.emptied])
        for session, users in goes.items():
            if session not in left:
                self._forget_users_of(session, users)
        for session, record in self.emptied.items():
            if session not in goes:
                for user in record.user_keys:
                    self.puts.put(codec.seen_key(session, user), codec.SEEN_VALUE)

    def note_users(self, session: Keys, user: Keys) -> None:
        """Keep that users were seen in sessions whose records do not say so, in order
        of (session, user).
        """
        keys = map(codec.seen_key, session.tolist(), user.tolist())
        self.puts.extend(list(keys), [codec.SEEN_VALUE] * len(session))
        order = np.lexsort((session, user))
        self.puts.extend(*codec.user_runs(user[order], session[order], self.sequence))

    def forget_visitors(self, users: Keys) -> None:
        """Remove when users were there whose events came without sessions."""
        self.deletes += codec.one_keys(codec.VISITOR, users)

    def forget_items(self, items: Keys) -> None:
        """Remove what else there is of items without facts, given in ascending order.

        Folded edges, texts.
        """
        folded = [self._take_folded(item) for item in items.tolist()]
        if folded:
            self._drop_bare_queries(distinct(np.concatenate(folded)), items)
        self._touch(np.empty(0, dtype=np.uint64), items)
        self.deletes += codec.one_keys(codec.CATALOG, items)
        self._drop_names(codec.ITEM_NAME, items)

    def write(self) -> None:
        """Write it.

        Raises:
            StoreWriteFailed: the disk refused; nothing was applied.
        """
        self._rewrite_users()
        self.puts.put(
            codec.STATE_KEY, codec.pack_state(self._state._replace(sequence=self.sequence))
        )
        touched = Touched(self.sequence, queries=self._queries, items=self._items)
        self._shard.write(self.puts, self.deletes, touched=touched)

    def _take_out_of_sessions(self, facts: FactColumns, pairs: "_Pairs") -> None:
        records = self._shard.get_sessions(distinct(facts.session).tolist())
        stored = facts_of(self._shard, records)
        is_gone = pairs.hold(stored.session, stored.item)
        gone, kept = stored.take(is_gone), stored.take(~is_gone)
        firsts = np.flatnonzero(starts_of(kept.session))
        keys = kept.session[firsts]
        rows = codec.split_rows(codec.pack_rows(kept.query, kept.item, kept.stamp), firsts)
        lasting = {key: records[key] for key in keys.tolist()}
        values = codec.pack_sessions(
            [record.session_id for record in lasting.values()],
            [record.user_keys for record in lasting.values()],
            rows,
        )
        self.puts.extend(codec.one_keys(codec.SESSION, keys), values)
        self.emptied = {key: record for key, record in records.items() if key not in lasting}
        self.deletes += [codec.session_key(key) for key in self.emptied]
        self._change_state(stored, gone, kept)

    def _change_state(self, stored: FactColumns, gone: FactColumns, kept: FactColumns) -> None:
        before = self._state
        (_, old_sizes), (_, sizes) = hyperedge_sizes(stored), hyperedge_sizes(kept)
        self._state = before._replace(
            facts=before.facts - gone.digest(),
            edge_facts=before.edge_facts - gone.take(gone.makes_edge).digest(),
            num_sessions=before.num_sessions - len(self.emptied),
            num_hyperedges=before.num_hyperedges
            + int((sizes > 0).sum())
            - int((old_sizes > 0).sum()),
            num_incidences=before.num_incidences + int(sizes.sum()) - int(old_sizes.sum()),
        )

    def _take_out_of_runs(self, kind: bytes, majors: Keys, pairs: "_Pairs") -> Keys:
        """Rewrite runs of queries or items without the rows of some pairs.

        Return which have none left.
        """
        lasting = [np.empty(0, dtype=np.uint64)]
        for keys, values in self._runs(kind, majors):
            try:
                lasting.append(self._rewrite(kind, keys, values, pairs))
            except codec.BAD_RECORD_ERRORS as error:
                raise store_error(self._shard.path, error) from error
        return majors[~contains(distinct(np.concatenate(lasting)), majors)]

    def _runs(self, kind: bytes, majors: Keys) -> Iterator[tuple[list[bytes], list[bytes]]]:
        """Yield the keys and values of all runs behind queries or items, many at a
        time.
        """
        keys: list[bytes] = []
        values: list[bytes] = []
        num_bytes = 0
        for major in majors.tolist():
            for key, value in self._shard.records(codec.key_prefix(kind, major)):
                keys.append(key)
                values.append(value)
                num_bytes += len(value)
            if num_bytes > _RUN_BYTES_AT_ONCE:
                yield keys, values
                keys, values, num_bytes = [], [], 0
        if keys:
            yield keys, values

    def _rewrite(
        self, kind: bytes, keys: list[bytes], values: Sequence[bytes], pairs: "_Pairs"
    ) -> Keys:
        """Put or delete the runs that change.

        Return the queries or items of those that keep a row.
        """
        minor, session, stamp, sizes = codec.unpack_rows(values)
        major = codec.unpack_keys(keys)
        item = minor if kind == codec.BY_QUERY else np.repeat(major, sizes)
        is_kept = ~pairs.hold(session, item)
        run_of_row = np.repeat(np.arange(len(keys)), sizes)
        num_kept = np.bincount(run_of_row[is_kept], minlength=len(keys))
        is_shrunk = (num_kept < sizes) & (num_kept > 0)
        rows = np.flatnonzero(is_kept & is_shrunk[run_of_row])
        sizes_kept = num_kept[is_shrunk]
        packed = codec.pack_rows(minor[rows], session[rows], stamp[rows])
        pieces = codec.split_rows(packed, np.cumsum(sizes_kept) - sizes_kept)
        self.puts.extend([keys[run] for run in np.flatnonzero(is_shrunk).tolist()], pieces)
        self.deletes += [keys[run] for run in np.flatnonzero(num_kept == 0).tolist()]
        return major[num_kept > 0]

    def _take_folded(self, item: int) -> Keys:
        """Remove what is kept of an item's folded facts, those that made edges.

        Return their queries.
        """
        edges = self._shard.settled_of(codec.SETTLED_BY_ITEM, item)
        queries = np.array(sorted(query for query, _ in edges), dtype=np.uint64)
        this = np.full(len(queries), item, dtype=np.uint64)
        digest = sum((edge.digest for edge in edges.values()), Digest())
        self.folded[item] = digest.count
        self.deletes += codec.pair_keys(codec.SETTLED, queries, this)
        self.deletes += codec.pair_keys(codec.SETTLED_BY_ITEM, this, queries)
        self._state = self._state._replace(
            facts=self._state.facts - digest,
            edge_facts=self._state.edge_facts - digest,
            retired=self._state.retired - digest,
        )
        self._touch(queries, this[:1])
        return queries

    def _drop_bare_queries(self, queries: Keys, items: Keys) -> None:
        """Drop the names of queries that have neither facts nor folded edges on other
        items.
        """
        bare = [
            query
            for query in queries.tolist()
            if {item for _, item in self._shard.settled_of(codec.SETTLED, query)}
            <= set(items.tolist())
            and (query in self._bare_queries or not any(self._records_of(query)))
        ]
        self._drop_names(codec.QUERY_NAME, np.array(bare, dtype=np.uint64))

    def _records_of(self, query: int) -> Iterator[tuple[bytes, bytes]]:
        return self._shard.records(codec.key_prefix(codec.BY_QUERY, query))

    def _without_folded(self, kind: bytes, keys: Keys) -> Keys:
        """Return the queries or items that have no folded edges."""
        if self._state.settled_before_ms is None:
            return keys
        has_edges = [bool(self._shard.settled_of(kind, key)) for key in keys.tolist()]
        return keys[~np.array(has_edges, dtype=np.bool_)]

    def _drop_names(self, kind: bytes, keys: Keys) -> None:
        self.deletes += codec.one_keys(kind, keys)
        self._shard.known_names[kind].forget(keys)

    def _forget_users_of(self, session: int, users: Sequence[int]) -> None:
        seen = [key for key, _ in self._shard.records(codec.seen_prefix(session))]
        self.deletes += seen
        self._unseen += [(user, session) for user in (*users, *map(codec.unpack_seen_user, seen))]

    def _rewrite_users(self) -> None:
        """Rewrite the records of users without those who are to be forgotten."""
        if not self._unseen:
            return
        user, session = np.array(self._unseen, dtype=np.uint64).T
        pairs = _Pairs(user, session)
        for prefix in sorted({codec.user_prefix(key) for key in user.tolist()}):
            records = list(self._shard.records(prefix))
            users, sessions = codec.unpack_users(b"".join(value for _, value in records))
            is_kept = ~pairs.hold(users, sessions)
            ends = np.cumsum([len(value) // codec.PAIR_BYTES for _, value in records])
            for run in np.unique(np.searchsorted(ends, np.flatnonzero(~is_kept), "right")).tolist():
                key, value = records[run]
                end = int(ends[run])
                rows = np.arange(end - len(value) // codec.PAIR_BYTES, end)
                rows = rows[is_kept[rows]]
                if len(rows):
                    self.puts.put(key, codec.pack_users(users[rows], sessions[rows]))
                else:
                    self.deletes.append(key)

    def _touch(self, queries: Keys, items: Keys) -> None:
        self._queries, self._items = (
            np.union1d(self._queries, queries),
            np.union1d(self._items, items),
        )


def facts_of(shard: Shard, records: Mapping[int, StoredSession]) -> FactColumns:
    """Return the facts of stored sessions, given by key.

    Raises:
        StoreUnreadable: a record is damaged.
    """
    try:
        return codec.facts_of_sessions(
            np.array(list(records), dtype=np.uint64), list(records.values())
        )
    except codec.BAD_RECORD_ERRORS as error:
        raise store_error(shard.path, error) from error


class _Pairs:
    """A set of pairs of keys, exactly.

    Each side is numbered first, so that a pair is one number.
    """

    def __init__(self, left: Keys, right: Keys) -> None:
        self._lefts, self._rights = distinct(left), distinct(right)
        self._numbers = np.unique(self._number(left, right))

    def hold(self, left: Keys, right: Keys) -> Bools:
        """Return which pairs are in the set."""
        is_in = contains(self._lefts, left)
        rows = np.flatnonzero(is_in)
        rows = rows[contains(self._rights, right[rows])]
        is_in[:] = False
        is_in[rows] = contains(self._numbers, self._number(left[rows], right[rows]))
        return is_in

    def _number(self, left: Keys, right: Keys) -> Keys:
        places = np.searchsorted(self._lefts, left), np.searchsorted(self._rights, right)
        return (places[0] * len(self._rights) + places[1]).astype(np.uint64)
