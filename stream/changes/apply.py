"""A micro-batch of events becomes one write to one shard.

Sessions, indexes, names, items and positions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import compress

import numpy as np

from protos.text import text_key
from stream.changes.erase import without_erased
from stream.changes.fold import settle_returning, settled_bound
from stream.clock import now_ms
from stream.dtypes import Bools
from stream.events.columns import NO_KEY, EventColumns, Keys, ShardBatch, Texts
from stream.events.types import Position, Rejection
from stream.graph.facts import Digest, FactColumns, Merge, hyperedge_sizes, merge_facts
from stream.graph.keysets import distinct, starts_of
from stream.graph.sessions import Cut, cut_sessions, rename_facts
from stream.shard import codec
from stream.shard.codec import Progress, StoredSession
from stream.shard.names import Hashes, text_hashes
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard, Touched

_NEVER = int(np.iinfo(np.int64).min)


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """What a batch did.

    Attributes:
        new_facts: facts not known before.
        duplicates: interactions that were accepted and made no new fact.
        erased_facts: facts that erasures took away.
        dropped: interactions of users, sessions or items that are to be forgotten.
        refusals: what was left out, with reasons.
        sequence: writes applied to the shard since it was made, this one included.
        watermark_ms: the largest event time applied to the shard; None: no event was
            applied yet.
    """

    new_facts: int
    duplicates: int
    erased_facts: int = 0
    dropped: int = 0
    refusals: tuple[Rejection, ...] = ()
    sequence: int
    watermark_ms: int | None


def apply_batch(
    shard: Shard,
    batch: ShardBatch,
    texts: Texts,
    *,
    on_refused: Callable[[Sequence[Rejection]], None] | None = None,
) -> Applied:
    """Apply events, catalogue items and the positions behind them in one write.

    All of it or none.

    Erasures come first, in writes of their own; what they erase, now or in an earlier
    batch, is dropped.

    Args:
        shard: where to.
        batch: events of sessions that live in this shard, in any order; the last state
            of an item stays.
        texts: what is behind the keys of the batch.
        on_refused: called with the refusals, if any, before the write; what it raises
            stops the write.

    Raises:
        StoreWriteFailed: the disk refused; nothing was applied.
        StoreStalled: the disk cannot keep up for the moment; nothing was applied.
        StoreUnreadable: the shard's files are damaged; nothing was applied.
    """
    survivors = without_erased(shard, batch, now_ms())
    settle_returning(shard, survivors.batch.events.session)
    write = _Write(shard, survivors.batch, texts)
    write.put_names()
    write.put_items()
    write.merge_sessions()
    write.put_indexes()
    if write.refusals and on_refused is not None:
        on_refused(write.refusals)
    return replace(write.finish(), erased_facts=survivors.erased_facts, dropped=survivors.dropped)


class _Write:
    """One write as it comes together.

    What is refused, what is put, how the shard's state changes.
    """

    def __init__(self, shard: Shard, batch: ShardBatch, texts: Texts) -> None:
        self.refusals: list[Rejection] = []
        self._shard = shard
        self._batch = batch
        self._texts = texts
        self._catalog_keys = [text_key(item.item_id) for item, _, _ in batch.items]
        self._before = shard.state()
        self._sequence = self._before.sequence + 1
        bound_ms = settled_bound(self._before, shard.horizon_ms)
        self._settled_before_ms = _NEVER if bound_ms is None else bound_ms
        self._progress = shard.progress()
        self._puts = Puts()
        self._refused_names: dict[bytes, Keys] = {}
        self._learnt: list[tuple[bytes, Keys, Hashes]] = []
        self._named: dict[bytes, Keys] = {}
        self._touched = Touched(self._sequence)
        self._events = batch.events
        self._is_accepted = np.ones(len(batch.events), dtype=np.bool_)
        self._merge = merge_facts(FactColumns.none(), FactColumns.none())
        self._cut = Cut.none()
        self._is_cut = np.zeros(len(batch.events), dtype=np.bool_)
        self._gone = FactColumns.none()
        self._num_renamed = 0
        self._deletes: list[bytes] = []
        self._state = self._before

    def put_names(self) -> None:
        """Store the texts of queries and items that are new.

        Refuse events whose key another text has.
        """
        queries = distinct(self._events.query)
        items = distinct(
            np.append(self._events.item, np.array(self._catalog_keys, dtype=np.uint64))
        )
        for (item, _, _), key in zip(self._batch.items, self._catalog_keys, strict=True):
            self._texts.items.setdefault(key, item.item_id)
        taken = {
            codec.QUERY_NAME: self._put_names(
                codec.QUERY_NAME, queries[queries != NO_KEY], self._texts.queries
            ),
            codec.ITEM_NAME: self._put_names(codec.ITEM_NAME, items, self._texts.items),
        }
        for kind, column in (
            (codec.QUERY_NAME, self._events.query),
            (codec.ITEM_NAME, self._events.item),
        ):
            if len(taken[kind]):
                self._refuse(
                    np.isin(column, taken[kind]),
                    "key_collision",
                    "a text with the 64-bit key of another",
                )
        self._refused_names = taken

    def put_items(self) -> None:
        """Store catalogue items; the last state of an item wins."""
        refused = set(self._refused_names[codec.ITEM_NAME].tolist())
        for (item, place, row), key in zip(self._batch.items, self._catalog_keys, strict=True):
            if key in refused or self._texts.items[key] != item.item_id:
                record = self._batch.batches[place].record(row)
                detail = f"{item.item_id!r} has the 64-bit key of another item"
                self.refusals.append(
                    Rejection(record=record, reason="key_collision", detail=detail)
                )
            else:
                self._puts.put(codec.catalog_key(key), codec.pack_catalog(item))

    def merge_sessions(self) -> None:
        """Merge what was seen into the stored sessions, and put those that changed."""
        is_late = self._is_late()
        if (self._events.session == NO_KEY).any():
            self._cut_sessions(is_late)
        stored, records = self._stored_sessions()
        seen = self._events.take(self._is_accepted & ~is_late)
        merge = self._merged(stored, FactColumns.of_events(seen))
        if is_late.any():
            self._refuse_late(merge, is_late)
        self._merge = merge
        self._put_sessions(seen, records)
        self._change_state(stored, records)

    def put_indexes(self) -> None:
        """Put the facts that are new or moved behind their query and their item, and
        what was touched.
        """
        changed = self._merge.facts.take(self._merge.is_new | self._merge.is_moved)
        searched = changed.take(changed.query != NO_KEY)
        queries = self._put_runs(codec.BY_QUERY, searched.query, searched.item, searched)
        items = self._put_runs(codec.BY_ITEM, changed.item, changed.query, changed)
        if len(self._gone):
            gone_queries = self._gone.query[self._gone.query != NO_KEY]
            queries = np.union1d(queries, self._remove_rows(codec.BY_QUERY, gone_queries))
            items = np.union1d(items, self._remove_rows(codec.BY_ITEM, self._gone.item))
        self._touched = Touched(
            self._sequence,
            queries=np.union1d(queries, self._named[codec.QUERY_NAME]),
            items=distinct(
                np.concatenate(
                    [
                        items,
                        self._named[codec.ITEM_NAME],
                        np.array(self._catalog_keys, dtype=np.uint64),
                    ]
                )
            ),
        )

    def finish(self) -> Applied:
        """Write everything with the positions."""
        self._puts.put(codec.STATE_KEY, codec.pack_state(self._state))
        for position, next_offset in self._batch.positions.items():
            progress = Progress(next_offset, self._watermark_of(position))
            self._puts.put(codec.position_key(position), codec.pack_progress(progress))
        self._shard.write(self._puts, self._deletes, touched=self._touched)
        for kind, keys, hashes in self._learnt:
            self._shard.known_names[kind].learn(keys, hashes)
        num_accepted = int(self._is_accepted.sum())
        num_new = int(self._merge.is_new.sum()) - self._num_renamed
        return Applied(
            new_facts=num_new,
            duplicates=num_accepted - num_new,
            refusals=tuple(self.refusals),
            sequence=self._sequence,
            watermark_ms=self._state.watermark_ms,
        )

    # Names

    def _put_names(self, kind: bytes, keys: Keys, texts: dict[int, str]) -> Keys:
        """Put the names that are not stored yet, and return the keys that another text
        has.
        """
        named = [texts[key] for key in keys.tolist()]
        hashes = text_hashes(named)
        is_stored, is_unsure = self._shard.known_names[kind].find(keys, hashes)
        is_new, is_taken = ~(is_stored | is_unsure), np.zeros(len(keys), dtype=np.bool_)
        unsure = np.flatnonzero(is_unsure).tolist()
        stored = self._shard.get_values(codec.one_keys(kind, keys[is_unsure]))
        for place, value in zip(unsure, stored, strict=True):
            is_new[place] = value is None
            is_taken[place] = value is not None and value != codec.pack_name(named[place])
        found = list(compress(named, is_new.tolist()))
        self._puts.extend(codec.one_keys(kind, keys[is_new]), codec.pack_names(found))
        self._named[kind] = keys[is_new]
        is_learnt = ~(is_stored | is_taken)
        self._learnt.append((kind, keys[is_learnt], hashes[is_learnt]))
        return keys[is_taken]

    # Sessions

    def _stored_sessions(self) -> tuple[FactColumns, dict[int, StoredSession]]:
        """Return the stored facts and records of the batch's sessions.

        Refuse keys of other sessions.
        """
        keys = distinct(np.append(self._events.session[self._is_accepted], self._cut.renames.old))
        records = self._shard.get_sessions(keys.tolist())
        texts = self._texts.sessions
        others = [key for key, record in records.items() if texts[key] != record.session_id]
        if others:
            is_other = np.isin(self._events.session, np.array(others, dtype=np.uint64))
            is_other |= self._leave_visitors(is_other)
            self._refuse(is_other, "key_collision", "a session with the 64-bit key of another")
            records = {key: record for key, record in records.items() if key not in others}
        try:
            stored = codec.facts_of_sessions(
                np.array(list(records), dtype=np.uint64), list(records.values())
            )
        except codec.BAD_RECORD_ERRORS as error:
            raise store_error(self._shard.path, error) from error
        return stored, records

    def _is_late(self) -> Bools:
        """Return which events are older than their partition's retention bound or the
        erasure horizon.
        """
        bounds = [self._late_before(batch.position) for batch in self._batch.batches]
        if max(bounds, default=_NEVER) == _NEVER:
            return np.zeros(len(self._events), dtype=np.bool_)
        is_late = self._events.ts_ms < np.array(bounds, dtype=np.int64)[self._batch.place]
        return is_late & self._is_accepted

    def _late_before(self, position: Position) -> int:
        progress = self._progress.get(position)
        if self._batch.retention_ms is None or progress is None or progress.watermark_ms is None:
            return self._settled_before_ms
        return max(progress.watermark_ms - self._batch.retention_ms, self._settled_before_ms)

    def _refuse_late(self, merge: Merge, is_late: Bools) -> None:
        """Refuse late events, but for those known at their time or an earlier one.

        They change nothing.
        """
        earliest_ms = dict(zip(_fact_keys(merge.facts), merge.facts.ts_ms.tolist(), strict=True))
        late = FactColumns.of_events(self._events.take(is_late))
        named = zip(_fact_keys(late), late.ts_ms.tolist(), strict=True)
        is_unknown = np.zeros(len(self._events), dtype=np.bool_)
        is_unknown[is_late] = [ts_ms < earliest_ms.get(key, ts_ms + 1) for key, ts_ms in named]
        is_settled = self._events.ts_ms < self._settled_before_ms
        self._refuse(is_unknown & is_settled, "too_late", "older than the erasure horizon")
        detail = f"over {self._batch.retention_ms} ms older than the newest event of its partition"
        self._refuse(is_unknown, "too_late", detail)

    def _put_sessions(self, seen: EventColumns, records: dict[int, StoredSession]) -> None:
        """Put the sessions that have new or moved facts, or new users."""
        facts, is_changed = self._merge.facts, self._merge.is_new | self._merge.is_moved
        users = self._put_users(seen, records)
        firsts = np.flatnonzero(starts_of(facts.session))
        sessions = facts.session[firsts].tolist()
        rows = codec.split_rows(codec.pack_rows(facts.query, facts.item, facts.stamp), firsts)
        texts = self._texts.sessions
        values = codec.pack_sessions(
            [texts[key] for key in sessions], [users.get(key, ()) for key in sessions], rows
        )
        keys = codec.one_keys(codec.SESSION, facts.session[firsts])
        if records:
            has_changed = np.logical_or.reduceat(is_changed, firsts).tolist() if len(firsts) else []
            is_put = [
                changed or key not in records or users.get(key, ()) != records[key].user_keys
                for key, changed in zip(sessions, has_changed, strict=True)
            ]
            keys, values = list(compress(keys, is_put)), list(compress(values, is_put))
        self._puts.extend(keys, values)

    def _put_users(
        self, seen: EventColumns, records: dict[int, StoredSession]
    ) -> dict[int, tuple[int, ...]]:
        """Put which users are new in which sessions.

        Return all users by session, where there are any.
        """
        known = {key: record.user_keys for key, record in records.items() if record.user_keys}
        has_user = seen.user != NO_KEY
        session, user = seen.session[has_user], seen.user[has_user]
        order = np.lexsort((session, user))
        order = order[starts_of(user[order], session[order])]
        session, user = session[order], user[order]
        if known:
            seen_in = {key: frozenset(users) for key, users in known.items()}
            pairs = zip(session.tolist(), user.tolist(), strict=True)
            is_new = np.array([u not in seen_in.get(s, ()) for s, u in pairs], dtype=np.bool_)
            session, user = session[is_new], user[is_new]
        self._puts.extend(*codec.user_runs(user, session, self._sequence))
        users = dict(known)
        arrived: dict[int, list[int]] = {}
        for session_key, user_key in zip(session.tolist(), user.tolist(), strict=True):
            arrived.setdefault(session_key, []).append(user_key)
        for session_key, keys in arrived.items():  # each session's in ascending order
            others = users.get(session_key)
            users[session_key] = tuple(keys) if others is None else tuple(sorted((*others, *keys)))
        return users

    # Sessions cut by inactivity

    def _cut_sessions(self, is_late: Bools) -> None:
        """Give events without a session one of their visitor's.

        Late ones begin, extend and bridge none.
        """
        self._is_cut = self._is_accepted & (self._events.session == NO_KEY)
        events = self._events.take(self._is_cut)
        known = self._shard.get_hulls(distinct(events.user))
        is_joining = ~is_late[self._is_cut]
        gap_ms = self._shard.session_gap_ms
        self._cut = cut_sessions(
            known, events.user, events.ts_ms, is_joining, self._texts.users, gap_ms
        )
        self._texts.sessions.update(self._cut.session_ids)
        session = self._events.session.copy()
        session[self._is_cut] = self._cut.session
        self._events = replace(self._events, session=session)

    def _leave_visitors(self, is_other: Bools) -> Bools:
        """Leave visitors as they are who have events that are refused.

        Return which events are theirs.
        """
        users = distinct(self._events.user[is_other & self._is_cut])
        self._cut = self._cut.without(users)
        return self._is_cut & np.isin(self._events.user, users)

    def _merged(self, stored: FactColumns, seen: FactColumns) -> Merge:
        """Merge facts, those of renamed sessions under the new names.

        Put the hulls that go with them.
        """
        if len(self._cut.hulls):
            self._puts.extend(*codec.pack_hulls(self._cut.hulls))
        renames = self._cut.renames
        if not len(renames.old):
            return merge_facts(stored, seen)
        kept, self._gone, arrived = rename_facts(stored, renames)
        self._num_renamed = int(merge_facts(kept, arrived).is_new.sum())
        self._deletes += codec.one_keys(codec.SESSION, renames.old)
        merge = merge_facts(kept, FactColumns.concatenate([arrived, seen]))
        return replace(merge, replaced=FactColumns.concatenate([merge.replaced, self._gone]))

    def _remove_rows(self, kind: bytes, major: Keys) -> Keys:
        """Remove the rows of renamed sessions behind queries or items.

        Return those, ascending.
        """
        keys = distinct(major)
        for key in keys.tolist():
            for run, rows in self._shard.runs_without(kind, key, self._cut.renames.old).items():
                if rows:
                    self._puts.put(run, rows)
                else:
                    self._deletes.append(run)
        return keys

    # Indexes and state

    def _put_runs(self, kind: bytes, major: Keys, minor: Keys, facts: FactColumns) -> Keys:
        """Put one record a major key with its facts of this write.

        Return the major keys, ascending.
        """
        if not len(facts):
            return major
        order = np.lexsort((minor, major))
        major, minor, facts = major[order], minor[order], facts.take(order)
        firsts = np.flatnonzero(starts_of(major))
        rows = codec.split_rows(codec.pack_rows(minor, facts.session, facts.stamp), firsts)
        self._puts.extend(codec.run_keys(kind, major[firsts], self._sequence), rows)
        return major[firsts]

    def _change_state(self, stored: FactColumns, records: dict[int, StoredSession]) -> None:
        merge = self._merge
        changed = merge.facts.take(merge.is_new | merge.is_moved)
        sizes, old_sizes = hyperedge_sizes(merge.facts), hyperedge_sizes(stored)
        applied = self._events.ts_ms[self._is_accepted]
        times = [self._before.watermark_ms, int(applied.max()) if len(applied) else None]
        self._state = self._before._replace(
            sequence=self._sequence,
            watermark_ms=max((time for time in times if time is not None), default=None),
            facts=self._before.facts + changed.digest() - merge.replaced.digest(),
            edge_facts=self._before.edge_facts
            + _edge_digest(changed)
            - _edge_digest(merge.replaced),
            num_sessions=self._before.num_sessions + len(sizes[0]) - len(records),
            num_hyperedges=self._before.num_hyperedges
            + int((sizes[1] > 0).sum())
            - int((old_sizes[1] > 0).sum()),
            num_incidences=self._before.num_incidences
            + int(sizes[1].sum())
            - int(old_sizes[1].sum()),
        )

    def _watermark_of(self, position: Position) -> int | None:
        """Return the largest event time applied of a partition, this batch included."""
        known = self._progress.get(position)
        times = [] if known is None or known.watermark_ms is None else [known.watermark_ms]
        for place, batch in enumerate(self._batch.batches):
            if batch.position == position:
                applied = self._events.ts_ms[(self._batch.place == place) & self._is_accepted]
                times += [int(applied.max())] if len(applied) else []
        return max(times, default=None)

    def _refuse(self, mask: Bools, reason: str, detail: str) -> None:
        for index in np.flatnonzero(mask & self._is_accepted).tolist():
            self.refusals.append(self._batch.rejection(index, reason, detail))
        self._is_accepted &= ~mask


def _edge_digest(facts: FactColumns) -> Digest:
    return facts.take(facts.makes_edge).digest()


def _fact_keys(facts: FactColumns) -> Iterator[tuple[int, int, int, int]]:
    columns = facts.session, facts.query, facts.item, facts.action
    return zip(*(column.tolist() for column in columns), strict=True)
