"""Vectors of what changed since a generation, recomputed round by round."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from model.artifact.generation import Generation
from model.fresh.active.graph import ActiveGraph
from model.fresh.active.hyperedges import SessionMembers
from model.fresh.active.origin import Origin
from model.fresh.audit import worst_cosine
from model.fresh.changes import MergedChanges, merged
from model.fresh.directory import Directory, Keys
from model.fresh.limits import RoundLimits
from model.fresh.network import FrozenNetwork
from model.fresh.pauses import Pause, no_pause
from model.fresh.result import RoundResult
from model.fresh.rows import NodeRows
from model.sums import norms
from protos.attributes import askable
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.events.types import CatalogItem
from stream.feed.changes import ShardChanges
from stream.kafka.partitioner import shard_of

logger = logging.getLogger(__name__)

# Estimated movement in radians below which the vector of an active node is not computed
# again: a cosine of 0.99999. Twice as much: a third fewer are, and 0.99995.
_QUIET = 0.005
# Movement in radians below which a vector is not published again: a cosine of 0.99999.
# Twice as much: segments half as large, and 0.99995.
_SAME = 0.005
# Movement in radians by items that it was clicked for, estimated from above, below
# which a query is not published again: it comes on top of its own. A quarter of it:
# three fifths more rows where queries follow what is clicked for them (628,000 in a
# minute at 27,000 events a second for 389,000), a worst cosine of 0.9998 either way.
_FOLLOWS = 0.02
# Relative movement of a text vector below which a text is the same: float16 rounds off
# a twentieth of it, bfloat16 on a GPU less than half. Twice as much: a small change of
# a long text waits for the next generation.
_SAME_TEXT = 0.01
# A movement that is always looked at.
_ANY = np.float32(np.inf)


@dataclass
class _Round:
    """What one round does beside moving vectors.

    Attributes:
        named: slots whose click or session changed: published whether they moved or
            not.
        listed: items to publish because of their catalogue state, by key.
        gone: items that are gone, by key.
        gone_queries: keys of queries that are gone.
    """

    named: set[int] = field(default_factory=set)
    listed: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    gone_queries: list[int] = field(default_factory=list)


class FreshState:
    """What changed since a generation, and the vectors of it, in memory.

    A generation without `Generation.fresh`, or from before hyperedges carried what
    clicks say of their members, is followed in part: items that are listed get the
    vector of their text, and deleted ones are gone.

    Args:
        generation: the generation; read, never changed.
        min_sessions: distinct sessions below which an edge does not count.
        limits: what bounds the work of a round.

    Raises:
        GenerationCorrupt: its weights are not those of this code's network.
    """

    def __init__(
        self, generation: Generation, *, min_sessions: int = 1, limits: RoundLimits | None = None
    ) -> None:
        self._generation = generation
        self._limits = limits or RoundLimits()
        self._counts_queries_by_edges = min_sessions > 1
        self._network = FrozenNetwork(generation)
        fresh, paths, fed = generation.fresh, generation.paths, self._network.fed_bipartite
        self._origin = (
            Origin(generation, fresh, paths, fed)
            if fresh is not None and paths is not None and fed is not None
            else None
        )
        self._graph = ActiveGraph(
            self._origin,
            self._network,
            self._limits,
            feedback_weight=generation.feedback_weight,
            near_cosine=_near(generation),
            min_sessions=min_sessions,
        )
        self._directory = Directory(generation, self._origin, self._graph)
        self._rows = NodeRows(generation, self._origin, self._graph, self._directory)
        self._published: set[int] = set()
        self._gone: dict[int, tuple[str, int]] = {}
        self._poisoned: set[int] = set()
        self._unread: list[int] = []
        self._audited = 0

    @property
    def is_partial(self) -> bool:
        """Whether the generation has nothing to continue from: clicks and sessions then
        wait for the next one.
        """
        return self._origin is None

    @property
    def num_items(self) -> int:
        """Items that have a vector other than the generation's."""
        return len(self._published)

    def apply(
        self,
        changes: Sequence[ShardChanges],
        asked: Mapping[str, float] | None = None,
        pause: Pause = no_pause,
    ) -> RoundResult:
        """Take changes in and recompute what they move.

        What is named in them is always recomputed, whatever the limits: queries and
        items of changed edges, members of changed sessions, items with a new text.

        Args:
            changes: in the order of their writes; none: what was carried over alone.
            asked: how often each normalised query text is asked, for what is carried
                over.
            pause: called between the steps.
        """
        change, round_ = merged(changes), _Round()
        listed = {key: item.item_id for key, item in change.catalog.items()}
        self._directory.learn(change.query_names, {**change.item_names, **listed})
        self._take_states(change, round_)
        pause(is_open=True)
        self._take_graph(change, round_, pause)
        self._take_erasures(change, round_)
        self._take_waiting(asked or {})
        pause(is_open=True)
        self._graph.tell_hyperedges()
        pause(is_open=False)
        recomputed = self._recomputed()
        pause(is_open=False)
        return self._publish(*recomputed, round_, pause)

    def apply_catalog(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Take states of the catalogue in, and nothing else: what they list, hide or
        rename is published, and their neighbours wait for the next round, or for the
        end of one that pauses.

        Args:
            changes: of which the states are taken alone.
        """
        change, round_ = merged(changes), _Round()
        self._directory.learn({}, {key: item.item_id for key, item in change.catalog.items()})
        self._take_states(change, round_)
        slots = self._move_texts(self._to_read())
        round_.named.update(slots.tolist())
        self._graph.spread(slots)
        vectors = self._graph.nodes.compute(slots)
        follows = np.zeros(len(slots), dtype=np.bool_)
        result = self._publish(slots, vectors, follows, round_)
        # Their hyperedges are told in the next round.
        self._graph.nodes.columns.unrest[slots] = _ANY
        return result

    def take_out(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Take items out that the catalogue calls gone or unavailable, and nothing
        else: also between two steps of `apply`, whose result then lacks them.

        Args:
            changes: of which the states are taken alone, all of items that are gone.
        """
        change, round_ = merged(changes), _Round()
        self._directory.learn({}, {key: item.item_id for key, item in change.catalog.items()})
        self._take_states(change, round_)
        none = np.zeros(0, dtype=np.int64)
        vectors = self._graph.nodes.columns.vector[none]
        return self._publish(none, vectors, np.zeros(0, dtype=np.bool_), round_)

    def audit(self, count: int) -> float:
        """Compare some vectors with what a full pass gives them; return the worst
        cosine, 1 where there is nothing to compare.

        Args:
            count: vectors to compare; each call goes on where the last one ended.
        """
        active = self._graph.nodes.count
        slots = (self._audited + np.arange(min(count, active))) % max(1, active)
        self._audited = (self._audited + len(slots)) % max(1, active)
        return worst_cosine(self._origin, self._graph, slots)

    def _take_states(self, change: MergedChanges, round_: _Round) -> None:
        """Take catalogue states in; the texts of their items are to be read."""
        keys = np.array(list(change.catalog), dtype=np.uint64)
        rows = self._directory.rows(keys, is_item=True).tolist()
        for (key, state), row in zip(change.catalog.items(), rows, strict=True):
            before = self._directory.whole_item(key, row)
            if not self._directory.note(key, row, state):
                continue
            if not state.deleted:
                self._unread.append(key)
            if state.deleted or not state.available:
                self._gone[key] = (state.item_id, state.ts_ms)
                round_.gone.add(key)
                continue
            was_hidden = self._gone.pop(key, None) is not None
            if was_hidden or before is None or not before.available or _differs(before, state):
                round_.listed.add(key)

    def _to_read(self) -> list[int]:
        """Return the keys of items whose text is to be read, once."""
        keys, self._unread = list(dict.fromkeys(self._unread)), []
        return keys

    def _take_graph(self, change: MergedChanges, round_: _Round, pause: Pause) -> None:
        """Make active what is named, and change texts, sessions and edges."""
        queries = [change.edges.query, change.member[~change.is_item]]
        items = [change.edges.item, change.member[change.is_item]]
        moved = [self._move_texts(self._to_read())]
        if self._origin is not None:
            moved += [self._wake(queries, is_item=False), self._wake(items, is_item=True)]
            members = self._members(change)
            before = self._graph.nodes.columns.weight[members.slot]
            moved += [self._change_edges(change), np.unique(members.slot)]
            pause(is_open=True)
            self._graph.change_sessions(self._supported(members, before))
        slots = np.unique(np.concatenate(moved))
        self._graph.nodes.columns.unrest[slots] = _ANY
        round_.named.update(slots.tolist())
        pause(is_open=True)
        self._graph.spread(slots)

    def _wake(self, keys: Sequence[Keys], *, is_item: bool) -> Int64s:
        """Make nodes active, new ones among them; return the slots of those that were
        not.
        """
        wanted = np.unique(np.concatenate(keys))
        rows = self._directory.rows(wanted, is_item=is_item)
        rows = rows[(rows >= 0) & (self._graph.rows.slots(rows) < 0)]
        new = self._directory.nameless(wanted, is_item=is_item)
        return np.concatenate([self._graph.activate(rows), self._add_new(new, is_item=is_item)])

    def _add_new(self, keys: Sequence[int], *, is_item: bool) -> Int64s:
        if not keys:
            return np.zeros(0, dtype=np.int64)
        texts = [self._directory.text(key, is_item=is_item) for key in keys]
        own = self._network.contents(texts, "item" if is_item else "query")
        slots = self._graph.add_new(own, np.full(len(keys), is_item))
        self._directory.add(keys, slots, is_item=is_item)
        return slots

    def _move_texts(self, keys: Sequence[int]) -> Int64s:
        """Read the texts of items anew; return the slots of what moved."""
        wanted = np.array(keys, dtype=np.uint64)
        new = self._directory.nameless(wanted, is_item=True)
        added = self._add_new(new, is_item=True)
        if self._origin is None:
            return added
        known = wanted[~np.isin(wanted, np.array(new, dtype=np.uint64))]
        rows = self._directory.rows(known, is_item=True)
        slots = self._directory.slots(known, is_item=True)
        texts = [self._directory.text(key, is_item=True) for key in known.tolist()]
        own = self._network.contents(texts, "item")
        own[rows >= 0] += self._origin.id_vectors(rows[rows >= 0])
        before = np.empty_like(own)
        before[slots >= 0] = self._graph.nodes.columns.own[slots[slots >= 0]]
        before[slots < 0] = self._origin.own(rows[slots < 0])
        with np.errstate(invalid="ignore", over="ignore"):
            size = norms(own - before)
            moves = np.isfinite(size) & (size > _SAME_TEXT * norms(before))
        for place in np.flatnonzero(~np.isfinite(size)).tolist():
            logger.warning("text has no finite vector and is left out item=%r", texts[place])
        asleep = moves & (slots < 0)
        slots[asleep] = self._graph.activate(rows[asleep])
        self._graph.change_texts(slots[moves], own[moves])
        return np.union1d(added, slots[moves])

    def _members(self, change: MergedChanges) -> SessionMembers:
        slot = np.empty(len(change.member), dtype=np.int64)
        for is_item in (False, True):
            rows = change.is_item == is_item
            slot[rows] = self._directory.slots(change.member[rows], is_item=is_item)
        # What has no slot was deleted before the generation, and is no member of its
        # hyperedges either.
        known = slot >= 0
        return SessionMembers(
            session=change.session[known],
            slot=slot[known],
            was_in=change.was_in[known],
            is_in=change.is_in[known],
            is_partial=change.is_partial[known],
        )

    def _supported(self, members: SessionMembers, weight_before: Float64s) -> SessionMembers:
        """Leave out queries that no edge supports: training does not have them in
        hyperedges where edges of few sessions do not count.
        """
        if not self._counts_queries_by_edges:
            return members
        columns = self._graph.nodes.columns
        is_item, weight = columns.is_item[members.slot], columns.weight[members.slot]
        return replace(
            members,
            was_in=members.was_in & (is_item | (weight_before > 0)),
            is_in=members.is_in & (is_item | (weight > 0)),
        )

    def _change_edges(self, change: MergedChanges) -> Int64s:
        query = self._directory.slots(change.edges.query, is_item=False)
        item = self._directory.slots(change.edges.item, is_item=True)
        known = (query >= 0) & (item >= 0)
        query, item = query[known], item[known]
        self._graph.change_edges(query, item, change.edges.sessions[known])
        return np.unique(np.concatenate([query, item]))

    def _take_erasures(self, change: MergedChanges, round_: _Round) -> None:
        """Take away what an erasure left nothing of, in any shard."""
        for gone, is_item in ((change.gone_queries, False), (change.gone_items, True)):
            keys = np.array(list(gone), dtype=np.uint64)
            rows = self._directory.rows(keys, is_item=is_item)
            slots = self._directory.slots(keys, is_item=is_item)
            has_neighbours = self._graph.has_neighbours(rows, slots)
            for key, row, is_left in zip(gone, rows.tolist(), has_neighbours.tolist(), strict=True):
                if is_left or (is_item and self._is_listed_elsewhere(key, row, gone[key])):
                    continue
                if is_item and (item := self._directory.item(key, row)) is not None:
                    self._gone[key] = (item.item_id, item.ts_ms)
                    round_.gone.add(key)
                    round_.listed.discard(key)
                elif not is_item:
                    round_.gone_queries.append(key)
                self._directory.forget(key, is_item=is_item)

    def _is_listed_elsewhere(self, key: int, row: int, shards: set[int]) -> bool:
        """Return whether the catalogue has an item in another shard than those that
        have nothing of it any more.
        """
        item = self._directory.item(key, row)
        if item is None or not self._directory.is_listed(key, row):
            return False
        num_shards = max(1, len(self._generation.manifest.snapshot.shards))
        return shard_of(item.item_id, num_shards) not in shards

    def _take_waiting(self, asked: Mapping[str, float]) -> None:
        """Recompute neighbours, those of these, and so on, as far as a round goes."""
        waiting = self._graph.waiting
        if waiting is None:
            return
        room = min(
            self._limits.max_round_nodes, self._limits.max_active_nodes - self._graph.nodes.count
        )
        while room > 0:
            rows = waiting.take(room, asked)
            if not len(rows):
                break
            room -= len(rows)
            slots = self._graph.activate(rows)
            self._graph.nodes.columns.unrest[slots] = _ANY
            self._graph.spread(slots)
        waiting.end_round()

    def _publish(
        self,
        slots: Int64s,
        vectors: Float32s,
        follows: Bools,
        round_: _Round,
        pause: Pause = no_pause,
    ) -> RoundResult:
        """Return what is published of what was recomputed; see `_recomputed`."""
        nodes, waiting = self._graph.nodes, self._graph.waiting
        told = self._told(slots, vectors, follows, round_)
        nodes.columns.unrest[slots] = 0.0
        nodes.columns.vector[slots[told]] = vectors[told]
        is_item = nodes.columns.is_item[slots]
        queries = self._rows.queries(slots[told & ~is_item])
        # The last one: whoever is gone from now on is gone after these rows.
        pause(is_open=False)
        items = self._rows.items(slots[told & is_item], round_.listed, self._gone)
        self._published.update(items.keys)
        self._published -= round_.gone
        gone = [self._gone[key] for key in sorted(round_.gone & self._gone.keys())]
        return RoundResult(
            item_ids=tuple(item.item_id for item in items.items),
            item_titles=tuple(item.title for item in items.items),
            item_attributes=tuple(items.attributes),
            item_shown=np.ones(len(items.items), dtype=np.bool_),
            item_catalog_ms=np.array([item.ts_ms for item in items.items], dtype=np.int64),
            item_sessions=items.sessions,
            item_vectors=items.vectors,
            query_texts=tuple(queries.texts),
            query_clicks=tuple(queries.clicks),
            query_vectors=queries.vectors,
            gone_items=tuple(item_id for item_id, _ in gone),
            gone_item_ms=np.array([ts_ms for _, ts_ms in gone], dtype=np.int64),
            gone_queries=np.array(round_.gone_queries, dtype=np.uint64),
            recomputed=len(slots),
            carried=len(waiting.rows) if waiting is not None else 0,
            withheld=waiting.largest if waiting is not None else 0.0,
            poisoned=len(self._poisoned),
        )

    def _recomputed(self) -> tuple[Int64s, Float32s, Bools]:
        """Return the slots of what may be published anew, the network's vectors, and
        which are queries that follow an item that moved: of nodes whose vectors may
        have moved, then of other such queries.
        """
        columns, count = self._graph.nodes.columns, self._graph.nodes.count
        slots = np.flatnonzero(columns.unrest[:count] > _QUIET)
        vectors = self._graph.nodes.compute(slots)
        movement = norms(vectors - columns.vector[slots])
        moved = movement > _SAME  # not where it is not finite
        self._graph.feedback.pull(slots[moved], movement[moved])
        followers = np.flatnonzero(columns.pull[:count] > _FOLLOWS)
        others = np.setdiff1d(followers, slots)
        slots = np.concatenate([slots, others])
        vectors = np.concatenate([vectors, self._graph.nodes.compute(others)])
        return slots, vectors, np.isin(slots, followers)

    def _told(self, slots: Int64s, vectors: Float32s, follows: Bools, round_: _Round) -> Bools:
        """Return ``bool [n]``: whose vector is published.

        Of those that are named, moved or follow an item, the finite ones; not a new
        query that no edge supports, which has the vector that a server makes of its
        text.
        """
        columns = self._graph.nodes.columns
        is_finite = np.isfinite(vectors.sum(axis=1))
        self._note_poison(slots, ~is_finite)
        before = columns.vector[slots]
        named = np.isin(slots, np.array(sorted(round_.named), dtype=np.int64))
        moved = norms(np.nan_to_num(vectors) - before) > _SAME
        is_unpublished = ~before.any(axis=1)
        is_bare = ~columns.is_item[slots] & (columns.weight[slots] == 0.0) & is_unpublished
        told: Bools = is_finite & (named | moved | follows) & ~is_bare
        return told

    def _note_poison(self, slots: Int64s, is_poison: Bools) -> None:
        """Count and log nodes whose vector is not finite, by name, once each."""
        for slot in set(slots[is_poison].tolist()) - self._poisoned:
            if self._graph.nodes.columns.is_item[slot]:
                row = int(self._graph.nodes.columns.row[slot])
                item = self._directory.item(self._directory.item_key(slot), row)
                name = item.item_id if item is not None else ""
            else:
                name = self._directory.query_text(slot)
            logger.warning("vector is not finite and is left out node=%r", name)
        self._poisoned.update(slots[is_poison].tolist())
        self._poisoned.difference_update(slots[~is_poison].tolist())


def _near(generation: Generation) -> float:
    """Return how near a first page goes; 0 where that says nothing."""
    cosine = generation.first_page_cosine
    # At 1 all titles are one: there is nothing to be nearer than.
    return cosine if 0.0 < cosine < 1.0 else 0.0


def _differs(before: CatalogItem, state: CatalogItem) -> bool:
    """Return whether an answer shows a difference between two states of an item."""
    return before.title != state.title or askable(before.attributes) != askable(state.attributes)
