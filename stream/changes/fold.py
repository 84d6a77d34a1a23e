"""Folds sessions that ended longer ago than the fold age into their edges, a bounded
number of records at a time.

A session is folded whole once its last fact is older than what was read less the fold
age (`stream.erasure_horizon_seconds`, see `fold_bound`): its facts become exact sums in
the records of folded edges, then the session goes. That changes no edge, so it does not
matter when it is done; events that old are refused, and a session that comes back after
it ended so long ago begins anew.

The walk goes over the facts behind queries, then over those behind items, then over the
sessions, then over their users, all for the one bound that held when it began. When it
comes to a session its facts are gone from both others.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import reduce
from itertools import compress, groupby, pairwise
from typing import NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from stream.dtypes import Bools
from stream.events.columns import NO_KEY, Keys
from stream.events.types import SourcePartition
from stream.graph.decay import ZERO, Decayed, add, contribution
from stream.graph.edges import EdgeColumns, distinct_facts, edges_of
from stream.graph.facts import Digest, FactColumns, hyperedge_sizes, times_of
from stream.graph.folded import FoldedEdge, FoldedFacts
from stream.graph.keysets import distinct
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import PartitionProgress, ShardState, StoredSession
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import Entry, Puts, store_error
from stream.shard.shard import Shard

WALKS_PER_FOLD_AGE = 32
"""A new walk begins once the bound has moved by this part of the fold age.

Twice as many: what is held past its age halves, and walks that find little cost double.
"""

_KEY_END = 9  # bytes of a entry key up to the end of its first 64-bit word


class _Walk(NamedTuple):
    """Where the walk over a shard is.

    Attributes:
        bound_ms: facts of sessions that ended before this are folded; None: no walk was
            begun.
        kind: which records it is at; empty: it is at its end.
        start: where among them.
    """

    bound_ms: int | None = None
    kind: bytes = b""
    start: bytes = b""


_walks: WeakKeyDictionary[Shard, _Walk] = WeakKeyDictionary()
"""The walk over each open shard; a shard that is opened again is walked from its start.
"""


def fold_bound(
    state: ShardState, progress: Mapping[SourcePartition, PartitionProgress], fold_age_ms: int
) -> int | None:
    """Return the time before which facts are, or may have been, folded.

    None: nothing is and nothing was.

    It is the fold age before the newest event of the partition that is least far, so
    that no partition takes anything from another by running ahead. One that is more
    than the fold age behind the newest of all no longer counts: a file that was read to
    its end, a topic that nobody writes to. What was folded stays so when the fold age
    is set higher, or to 0, which is never.
    """
    bounds = [] if state.folded_before_ms is None else [state.folded_before_ms]
    if fold_age_ms and state.watermark_ms is not None:
        newest_ms = [each.watermark_ms for each in progress.values()]
        oldest_ms = state.watermark_ms - fold_age_ms
        counting = [ms for ms in newest_ms if ms is not None and ms >= oldest_ms]
        bounds.append(min(counting, default=state.watermark_ms) - fold_age_ms)
    return max(bounds, default=None)


def fold_step(shard: Shard, max_records: int) -> int:
    """Take the next step of the walk; call it after each batch.

    Where the shard has no fold age it costs nothing.

    Args:
        shard: its walk starts again when the shard is opened.
        max_records: rows and sessions to read, about: the rows of one query or item are
            taken together.

    Returns:
        How many rows and sessions were read, at least 1; 0: nothing is due.

    Raises:
        StoreError: the shard is damaged, or the disk refused; nothing of the step was
            applied.
    """
    walk = _due_walk(shard) if shard.fold_age_ms else _Walk()
    return _step(shard, walk, max_records) if walk.kind else 0


def finish_folding(shard: Shard, max_records: int = 50_000) -> None:
    """Fold to the end all that is folded in part: then no fact is both folded and held.

    Raises:
        StoreError: the shard is damaged, or the disk refused; what was folded stays so.
    """
    bound_ms = shard.state().folded_before_ms
    if bound_ms is None:
        return
    walk = _walks.get(shard, _Walk())
    while walk.kind or walk.bound_ms is None or walk.bound_ms < bound_ms:
        _step(shard, walk if walk.kind else _Walk(bound_ms, _KINDS[0]), max_records)
        walk = _walks[shard]


def fold_returning(shard: Shard, sessions: Keys) -> None:
    """Fold those of the sessions that are past the bound at once, so that what comes of
    them begins anew.

    Call it before events of these sessions are applied: what these make must not depend
    on where the walk is.

    Raises:
        StoreError: the shard is damaged, or the disk refused; nothing was applied.
    """
    bound_ms = fold_bound(shard.state(), shard.progress(), shard.fold_age_ms)
    if bound_ms is None or not len(sessions):
        return
    try:
        ended = _ended(shard.get_sessions(sessions.tolist()), bound_ms)
        if not ended:
            return
        facts = codec.facts_of_sessions(
            np.array(list(ended), dtype=np.uint64), list(ended.values())
        )
        queries, items = distinct(facts.query[facts.query != NO_KEY]), distinct(facts.item)
        by_query = _entries_of(shard, codec.BY_QUERY, queries)
        by_item = _entries_of(shard, codec.BY_ITEM, items)
        parts = [
            _fold_queries(shard, bound_ms, by_query),
            _fold_items(shard, bound_ms, by_item),
            _drop(ended),
        ]
        _write(shard, bound_ms, parts)
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error


class _Folded(NamedTuple):
    """What folding some records changes.

    Attributes:
        records: what is put and deleted.
        digest: the fingerprint of the facts whose sessions go.
        num_sessions: how many sessions go.
        num_hyperedges: how many hyperedges go with them.
        num_incidences: how many items of hyperedges go with them.
    """

    records: ShardWrite
    digest: Digest = Digest()
    num_sessions: int = 0
    num_hyperedges: int = 0
    num_incidences: int = 0


def _write(shard: Shard, bound_ms: int, parts: Sequence[_Folded]) -> None:
    """Write what folding changes, if there is anything."""
    records = ShardWrite.joined(part.records for part in parts)
    if not records:
        return
    before = shard.state()
    state = before._replace(
        num_sessions=before.num_sessions - sum(part.num_sessions for part in parts),
        num_hyperedges=before.num_hyperedges - sum(part.num_hyperedges for part in parts),
        num_incidences=before.num_incidences - sum(part.num_incidences for part in parts),
        folded_before_ms=max(bound_ms, before.folded_before_ms or bound_ms),
        folded=sum((part.digest for part in parts), before.folded),
    )
    own = ShardWrite.of({codec.STATE_KEY: codec.pack_state(state)})
    shard.write(ShardWrite.joined([records, own]))


def _fold_queries(shard: Shard, bound_ms: int, records: Sequence[Entry]) -> _Folded:
    """Fold the facts behind some queries; all records of each must be there."""
    return _fold_runs(shard, bound_ms, records, codec.FOLDED)


def _fold_items(shard: Shard, bound_ms: int, records: Sequence[Entry]) -> _Folded:
    """Fold the facts behind some items; all records of each must be there."""
    return _fold_runs(shard, bound_ms, records, codec.FOLDED_BY_ITEM)


def _fold_runs(
    shard: Shard, bound_ms: int, records: Sequence[Entry], folded_kind: bytes
) -> _Folded:
    is_by_query = folded_kind == codec.FOLDED
    unpack = codec.by_query if is_by_query else codec.by_item
    facts = distinct_facts(unpack([key for key, _ in records], [value for _, value in records]))
    is_folded = _are_ended(shard, bound_ms, facts)
    if not is_folded.any():
        return _Folded(ShardWrite(Puts()))
    folded = _folded_entries(shard, folded_kind, edges_of(facts.take(is_folded)))
    major, minor = (facts.query, facts.item) if is_by_query else (facts.item, facts.query)
    runs = _runs_by_key([key for key, _ in records])
    # By major key: the rows that stay of those queries or items that lose any.
    order = np.argsort(major, kind="stable")
    kept = order[~is_folded[order]]
    touched = distinct(major[is_folded])
    lows = major[kept].searchsorted(touched, "left").tolist()
    highs = major[kept].searchsorted(touched, "right").tolist()
    rows = codec.pack_rows(minor[kept], facts.session[kept], facts.stamp[kept])
    puts, deletes = Puts(), list[bytes]()
    for key, low, high in zip(touched.tolist(), lows, highs, strict=True):
        first, *others = runs[key]
        left = rows[low * codec.ROW_BYTES : high * codec.ROW_BYTES]
        if left:  # one run with what stays, in the place of the first
            puts.put(first, left)
        deletes += others if left else runs[key]
    return _Folded(ShardWrite.joined([folded, ShardWrite(puts, deletes)]))


def _folded_entries(shard: Shard, kind: bytes, edges: EdgeColumns) -> ShardWrite:
    """Add edges to what is kept of them already."""
    columns = (edges.query, edges.item) if kind == codec.FOLDED else (edges.item, edges.query)
    keys = codec.pair_keys(kind, *columns)
    stored = shard.get_folded(keys)
    puts = Puts()
    for key, edge, before in zip(
        keys, _folded_edges(edges, shard.half_life_ms), stored, strict=True
    ):
        puts.put(key, codec.pack_folded(before.plus(edge) if before else edge))
    return ShardWrite(puts)


def _are_ended(shard: Shard, bound_ms: int, facts: FactColumns) -> Bools:
    """Return which facts are of sessions that ended.

    The record of a session is there while a fact is.
    """
    is_old = facts.ts_ms < bound_ms
    sessions = shard.get_sessions(distinct(facts.session[is_old]).tolist())
    return np.isin(facts.session, np.array(list(_ended(sessions, bound_ms)), dtype=np.uint64))


def _fold_sessions(shard: Shard, bound_ms: int, records: Sequence[Entry]) -> _Folded:
    """Drop those of the sessions that ended."""
    keys = codec.unpack_keys([key for key, _ in records]).tolist()
    sessions = {
        key: shard.whole_session(key, codec.unpack_session(value))
        for key, (_, value) in zip(keys, records, strict=True)
    }
    return _drop(_ended(sessions, bound_ms))


def _drop(sessions: dict[int, StoredSession]) -> _Folded:
    """Drop sessions whose facts are folded."""
    if not sessions:
        return _Folded(ShardWrite(Puts()))
    facts = codec.facts_of_sessions(
        np.array(list(sessions), dtype=np.uint64), list(sessions.values())
    )
    _, sizes = hyperedge_sizes(facts)
    deletes = [codec.session_key(key) for key in sessions]
    wides = {key: session for key, session in sessions.items() if session.items is not None}
    of_wide = np.isin(facts.session, np.array(list(wides), dtype=np.uint64))
    deletes += codec.wide_fact_keys(facts.take(of_wide))
    deletes += [codec.seen_key(key, user) for key in wides for user in wides[key].user_keys]
    return _Folded(
        records=ShardWrite(Puts(), deletes),
        digest=facts.digest(),
        num_sessions=len(sessions),
        num_hyperedges=int((sizes > 0).sum()),
        num_incidences=int(sizes.sum()),
    )


def _fold_users(shard: Shard, bound_ms: int, records: Sequence[Entry]) -> _Folded:  # noqa: ARG001  # a step of the walk
    """Drop who was seen in sessions that are gone."""
    puts, deletes = Puts(), list[bytes]()
    for key, value in records:
        users, sessions = codec.unpack_users(value)
        held = shard.get_session_entries(distinct(sessions).tolist())
        is_held = np.isin(sessions, np.array(list(held), dtype=np.uint64))
        noted = map(codec.seen_key, sessions.tolist(), users.tolist())
        is_held |= np.array(
            [each is not None for each in shard.get_values(list(noted))], dtype=np.bool_
        )
        if is_held.any() and not is_held.all():
            puts.put(key, codec.pack_users(users[is_held], sessions[is_held]))
        elif not is_held.any():
            deletes.append(key)
    return _Folded(ShardWrite(puts, deletes))


_STEPS = {
    codec.BY_QUERY: _fold_queries,
    codec.BY_ITEM: _fold_items,
    codec.SESSION: _fold_sessions,
    codec.USER: _fold_users,
}
_KINDS = list(_STEPS)


def _due_walk(shard: Shard) -> _Walk:
    """Return the walk to go on with; a new one where the bound has moved enough.

    One at its end: there is nothing to walk over.
    """
    walk = _walks.get(shard, _Walk())
    if walk.kind:
        return walk
    bound_ms = fold_bound(shard.state(), shard.progress(), shard.fold_age_ms)
    if bound_ms is None:
        return walk
    most_ms = shard.fold_age_ms // WALKS_PER_FOLD_AGE
    if walk.bound_ms is not None and bound_ms - walk.bound_ms < most_ms:
        return walk
    return _Walk(bound_ms, _KINDS[0])


def _step(shard: Shard, walk: _Walk, max_records: int) -> int:
    """Take one step of a walk that is not at its end.

    Return how many rows and sessions were read, at least 1.
    """
    records, num_read, next_start = _next_entries(shard, walk, max_records)
    if records:
        bound_ms = walk.bound_ms or 0
        try:
            _write(shard, bound_ms, [_STEPS[walk.kind](shard, bound_ms, records)])
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shard.path, error) from error
    _walks[shard] = _advanced(walk, next_start)
    return max(num_read, 1)


def _next_entries(
    shard: Shard, walk: _Walk, max_read: int
) -> tuple[list[Entry], int, bytes | None]:
    """Return the next records, whole groups of one 64-bit key.

    How much that is, and where to go on.
    """
    records: list[Entry] = []
    num_read, has_rows = 0, walk.kind in {codec.BY_QUERY, codec.BY_ITEM}
    for key, value in shard.entries(walk.kind, walk.start):
        if num_read >= max_read and key[:_KEY_END] != records[-1][0][:_KEY_END]:
            return records, num_read, key[1:]
        records.append((key, value))
        num_read += len(value) // codec.ROW_BYTES if has_rows else 1
    return records, num_read, None


def _advanced(walk: _Walk, next_start: bytes | None) -> _Walk:
    if next_start is not None:
        return walk._replace(start=next_start)
    later = _KINDS[_KINDS.index(walk.kind) + 1 :]
    return walk._replace(kind=later[0] if later else b"", start=b"")


def _runs_by_key(entry_keys: Sequence[bytes]) -> dict[int, list[bytes]]:
    groups = groupby(entry_keys, lambda key: key[1:_KEY_END])
    return {int.from_bytes(key, "big"): list(runs) for key, runs in groups}


def _ended(sessions: dict[int, StoredSession], bound_ms: int) -> dict[int, StoredSession]:
    """Return those of the sessions whose facts are all older than the bound."""
    # Rows of all sessions, one session after the other: the newest row of each tells.
    _, _, stamp, sizes = codec.unpack_rows([record.facts for record in sessions.values()])
    last_ms = np.full(len(sizes), np.iinfo(np.int64).min)
    np.maximum.at(last_ms, np.repeat(np.arange(len(sizes)), sizes), times_of(stamp))
    return dict(compress(sessions.items(), (last_ms < bound_ms).tolist()))


def _entries_of(shard: ShardReader, kind: bytes, keys: Keys) -> list[Entry]:
    return [
        record for key in keys.tolist() for record in shard.entries(codec.key_prefix(kind, key))
    ]


def _folded_edges(edges: EdgeColumns, half_life_ms: int) -> Iterator[FoldedEdge]:
    """Yield what is kept of edges, in their order."""
    ends = [*edges.first_fact.tolist(), len(edges.facts)]
    lanes = [lane.tolist() for lane in edges.facts.lanes()]
    times, actions = edges.facts.ts_ms.tolist(), edges.facts.action.tolist()
    for row, (low, high) in enumerate(pairwise(ends)):
        facts = list(zip(times[low:high], actions[low:high], strict=True))
        first, second = (sum(lane[low:high]) % 2**64 for lane in lanes)
        yield FoldedEdge(
            sessions=int(edges.sessions[row]),
            first_ms=int(edges.first_ms[row]),
            last_ms=int(edges.last_ms[row]),
            actions=_tallies(facts, half_life_ms),
            digest=Digest(high - low, first, second),
        )


def _tallies(facts: Sequence[tuple[int, int]], half_life_ms: int) -> dict[int, FoldedFacts]:
    """Return the facts of an edge, given by time and action, summed up by action."""
    by_action: dict[int, list[Decayed]] = {}
    for ts_ms, action in facts:
        by_action.setdefault(action, []).append(contribution(ts_ms, half_life_ms))
    return {
        action: FoldedFacts(len(parts), reduce(add, parts, ZERO))
        for action, parts in by_action.items()
    }
