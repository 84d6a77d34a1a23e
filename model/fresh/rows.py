"""The rows that a round publishes of active nodes, and of items that are listed."""

import json
from collections.abc import Collection
from typing import NamedTuple

import numpy as np

from model.artifact.generation import Generation
from model.feedback import NewClicks, Reach, fed_back
from model.fresh.active.graph import ActiveGraph
from model.fresh.active.origin import Origin
from model.fresh.clicked import clicked_as_json
from model.fresh.directory import Directory, Keys
from model.fresh.published import PublishedVectors
from model.fresh.session_walk import WalkDirections
from model.sums import norms
from protos.attributes import askable
from stream.dtypes import Float32s, Int64s
from stream.events.types import CatalogItem


class QueryRows(NamedTuple):
    """Queries as they are published.

    Attributes:
        texts: normalised.
        clicks: what was clicked for each, as a segment has it.
        vectors: ``float32 [num_queries, dim]``.
    """

    texts: list[str]
    clicks: list[str]
    vectors: Float32s


class ItemRows(NamedTuple):
    """Items as they are published.

    Attributes:
        keys: of their ids.
        items: what is known of each.
        attributes: as a segment has them.
        sessions: ``int64 [num_items]``, since the generation.
        vectors: ``float32 [num_items, dim]``.
    """

    keys: list[int]
    items: list[CatalogItem]
    attributes: list[str]
    sessions: Int64s
    vectors: Float32s


class NodeRows:
    """Makes the rows of nodes by the state of the graph, which it only reads, but for
    how far queries follow their items.

    Args:
        generation: has the vectors of what is not active.
        origin: its nodes; None: only new ones are known.
        graph: the active nodes.
        directory: names them.
    """

    def __init__(
        self,
        generation: Generation,
        origin: Origin | None,
        graph: ActiveGraph,
        directory: Directory,
    ) -> None:
        self._generation = generation
        self._graph = graph
        self._directory = directory
        self._published = PublishedVectors(generation)
        self._walks = WalkDirections(generation, origin, graph)

    def queries(self, slots: Int64s) -> QueryRows:
        """Return the rows of queries, without those that are erased."""
        texts = self._directory.query_texts(slots)
        kept = [place for place, text in enumerate(texts) if text]
        named = [texts[place] for place in kept]
        clicked = self._graph.feedback.new_clicks(slots[kept])
        told = clicked_as_json(clicked, len(kept), self._directory.item_id)
        return QueryRows(named, told, self._fed_back(slots[kept]))

    def items(self, slots: Int64s, listed: Collection[int], gone: Collection[int]) -> ItemRows:
        """Return the rows of items, without those that are not shown.

        Args:
            slots: ``int64 [n]``, of active items.
            listed: keys of others that are listed alone.
            gone: keys of items that are gone.
        """
        keys = [self._directory.item_key(slot) for slot in slots.tolist()]
        rows = self._graph.nodes.columns.row[slots].tolist()
        alone = np.array(sorted(set(listed).difference(keys)), dtype=np.uint64)
        vectors = np.concatenate([self._extended(slots, is_item=True), self._vectors_of(alone)])
        # A listed item whose vector is not finite has never had one.
        has_vector = (norms(vectors) > 0).tolist()
        items: list[CatalogItem] = []
        attributes: list[str] = []
        kept: list[int] = []
        shown: list[int] = []
        rows += self._directory.rows(alone, is_item=True).tolist()
        for place, (key, row) in enumerate(zip([*keys, *alone.tolist()], rows, strict=True)):
            item = self._directory.item(key, row)
            is_shown = item is not None and item.available and key not in gone
            if item is not None and is_shown and has_vector[place]:
                items.append(item)
                attributes.append(_attributes(self._directory.state(key)))
                kept.append(place)
                shown.append(key)
        whole = np.concatenate([slots, self._directory.slots(alone, is_item=True)])
        return ItemRows(shown, items, attributes, self._sessions_of(whole[kept]), vectors[kept])

    def _sessions_of(self, items: Int64s) -> Int64s:
        """Return ``int64 [n]``, sessions since the generation that have items and
        others; slots, -1: it is not active.
        """
        found = np.zeros(len(items), dtype=np.int64)
        found[items >= 0] = self._graph.num_new_sessions(items[items >= 0])
        return found

    def _fed_back(self, queries: Int64s) -> Float32s:
        """Return ``float32 [n, dim]``, the vectors of queries as they are published:
        moved by their new clicks, blocks and all, as the weight of that was validated;
        where one is on a new item, as near as a first page goes.
        """
        feedback = self._graph.feedback
        own = self._extended(queries, is_item=False)
        clicked = feedback.clicked(queries)
        slots, which = np.unique(clicked.item, return_inverse=True)
        items = self._extended(slots, is_item=True)
        # An item whose vector is not finite has never had one, and moves nothing.
        moves = np.any(items, axis=1)[which]
        clicks = NewClicks(clicked.place[moves], clicked.sessions[moves], which[moves], items)
        reach = (
            Reach(feedback.cosine, feedback.boldness(queries, clicked)) if feedback.cosine else None
        )
        fed = fed_back(own, clicks, feedback.weight, reach)
        feedback.note_shifts(queries, clicked, fed.shifts)
        return fed.vectors

    def _vectors_of(self, keys: Keys) -> Float32s:
        """Return ``float32 [n, dim]``, the vectors of items as they are published."""
        rows = self._directory.rows(keys, is_item=True)
        slots = self._directory.slots(keys, is_item=True)
        vectors = np.zeros((len(keys), self._published.dim), dtype=np.float32)
        vectors[slots >= 0] = self._extended(slots[slots >= 0], is_item=True)
        asleep = (slots < 0) & (rows >= 0)
        items = rows[asleep] - len(self._generation.query_keys)
        vectors[asleep] = self._generation.item_vectors[items]
        return vectors

    def _extended(self, slots: Int64s, *, is_item: bool) -> Float32s:
        """Return ``float32 [n, dim]``, the vectors of active nodes as they are
        published.
        """
        columns = self._graph.nodes.columns
        first = len(self._generation.query_keys) if is_item else 0
        texts = self._directory.new_texts(slots, is_item=is_item)
        vectors = self._published.of(
            columns.vector[slots],
            columns.row[slots] - first,
            texts,
            columns.weight[slots] > 0.0,
            self._walks.of(slots, is_item=is_item),
            is_item=is_item,
        )
        # What has no finite vector has never had one: it stays zeros.
        vectors[~columns.vector[slots].any(axis=1)] = 0.0
        return vectors


def _attributes(state: CatalogItem | None) -> str:
    """Return what filters may ask of an item, as a segment has it; empty: what the
    generation has.
    """
    return json.dumps(askable(state.attributes), ensure_ascii=False) if state is not None else ""
