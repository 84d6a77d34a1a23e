"""The whole graph as arrays, for training."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Int64s
from stream.errors import StoreUnreadable
from stream.events.columns import Keys
from stream.events.types import CatalogItem
from stream.graph.attributes import AttributeColumns, attribute_columns, no_attributes
from stream.graph.edges import EdgeColumns
from stream.graph.facts import FactColumns, hyperedge_rows
from stream.graph.keysets import indexes_of, run_starts

_MAX_FLOAT32 = float(np.finfo(np.float32).max)


@dataclass(frozen=True, kw_only=True)
class GraphArrays:
    """The graph as arrays. Indexes are dense, in ascending order of 64-bit key.

    Times are epoch milliseconds.

    Attributes:
        query_keys: ``uint64 [num_queries]`` ascending `protos.text.text_key` of the
            text.
        query_texts: normalised texts.
        item_keys: ``uint64 [num_items]`` ascending; the union of catalogue and graph.
        item_ids: external ids.
        item_titles: titles; empty where the catalogue has none.
        item_texts: whatever else the catalogue says of them; may be empty.
        item_available: ``bool [num_items]``; False: learn from it, do not show it.
        item_deleted: ``bool [num_items]``; True: neither learn from it nor show it.
        item_catalog_ms: ``int64 [num_items]`` event time of the catalogue's state; 0:
            there is none, or it does not say.
        edge_query: ``int64 [num_edges]`` query index; edges are in ascending order of
            (query, item).
        edge_item: ``int64 [num_edges]`` item index.
        edge_weight: ``float32 [num_edges]`` decayed weight at `at_ms`.
        edge_sessions: ``int32 [num_edges]`` distinct sessions.
        edge_first_ms: ``int64 [num_edges]`` time of the first fact.
        edge_last_ms: ``int64 [num_edges]`` time of the last fact.
        num_sessions: sessions, those without a hyperedge included.
        session_last_ms: ``int64 [num_sessions]`` time of the session's last fact.
        incidence_session: ``int64 [num_incidences]`` session index; in order of
            (session, time, item id).
        incidence_item: ``int64 [num_incidences]`` item index.
        incidence_ms: ``int64 [num_incidences]`` the item's earliest time in the
            session.
        fact_session: ``int64 [num_facts]`` session index; of facts that make edges and
            are held, by session.
        fact_query: ``int64 [num_facts]`` query index.
        fact_item: ``int64 [num_facts]`` item index.
        fact_action: ``int8 [num_facts]`` `stream.events.types.Action`.
        fact_ms: ``int64 [num_facts]`` earliest time.
        watermark_ms: event time up to which the graph is complete; 0: no event was
            applied.
        at_ms: the time that weights are taken at.
        item_attributes: what filters may ask of the items.
    """

    query_keys: NDArray[np.uint64]
    query_texts: list[str]
    item_keys: NDArray[np.uint64]
    item_ids: list[str]
    item_titles: list[str]
    item_texts: list[str]
    item_available: NDArray[np.bool_]
    item_deleted: NDArray[np.bool_]
    item_catalog_ms: Int64s
    edge_query: Int64s
    edge_item: Int64s
    edge_weight: NDArray[np.float32]
    edge_sessions: NDArray[np.int32]
    edge_first_ms: Int64s
    edge_last_ms: Int64s
    num_sessions: int
    session_last_ms: Int64s
    incidence_session: Int64s
    incidence_item: Int64s
    incidence_ms: Int64s
    fact_session: Int64s
    fact_query: Int64s
    fact_item: Int64s
    fact_action: NDArray[np.int8]
    fact_ms: Int64s
    watermark_ms: int
    at_ms: int
    item_attributes: AttributeColumns = field(default_factory=no_attributes)

    @property
    def num_queries(self) -> int:
        """How many queries there are."""
        return len(self.query_keys)

    @property
    def num_items(self) -> int:
        """How many items there are."""
        return len(self.item_keys)

    @cached_property
    def edge_of_fact(self) -> Int64s:
        """``int64 [num_facts]``, the edge that each fact makes."""
        num_items = max(1, self.num_items)
        edge_codes = self.edge_query * num_items + self.edge_item
        found: Int64s = np.searchsorted(edge_codes, self.fact_query * num_items + self.fact_item)
        return found


@dataclass(frozen=True, kw_only=True)
class GraphParts:
    """What arrays are made of.

    Attributes:
        path: the store or snapshot, to name in errors.
        query_names: texts of queries by key, ascending.
        item_names: ids of items by key, ascending.
        catalog: catalogue items by item key.
        facts: all facts that are held, in ascending order of (session, query, item,
            action).
        edges: all edges, with what folded facts left behind on them.
        half_life_ms: of the decay.
        weight_of_action: what a new fact weighs.
        min_sessions: edges of fewer distinct sessions are left out.
    """

    path: Path
    query_names: Mapping[int, str]
    item_names: Mapping[int, str]
    catalog: Mapping[int, CatalogItem]
    facts: FactColumns
    edges: EdgeColumns
    half_life_ms: int
    weight_of_action: Mapping[int, float]
    min_sessions: int


class _Names:
    """Texts in ascending order of key."""

    def __init__(self, names: Mapping[int, str], path: Path) -> None:
        self.keys: Keys = np.fromiter(names, dtype=np.uint64, count=len(names))
        self.texts = list(names.values())
        self._path = path

    def index_of(self, keys: Keys) -> Int64s:
        """Return the dense index of each key.

        Raises:
            StoreUnreadable: a key has no name.
        """
        index = indexes_of(self.keys, keys)
        if (index < 0).any():
            raise missing_name_error(self._path)
        return index

    def ranks(self) -> Int64s:
        """Return each text's place in ascending order."""
        ranks = np.empty(len(self.texts), dtype=np.int64)
        ranks[sorted(range(len(self.texts)), key=self.texts.__getitem__)] = np.arange(
            len(self.texts)
        )
        return ranks


def build_arrays(graph: "GraphParts", *, at_ms: int, watermark_ms: int) -> GraphArrays:
    """Return the graph as arrays.

    Args:
        graph: what it is made of.
        at_ms: the time that weights are taken at.
        watermark_ms: event time up to which the graph is complete.

    Raises:
        StoreUnreadable: a key in the graph has no name.
    """
    queries, items = _Names(graph.query_names, graph.path), _Names(graph.item_names, graph.path)
    listed = [graph.catalog.get(int(key), _NOT_LISTED) for key in items.keys]
    facts = graph.facts
    session_of = (
        np.cumsum(run_starts(facts.session)) - 1 if len(facts) else np.empty(0, dtype=np.int64)
    )
    num_sessions = int(session_of[-1]) + 1 if len(facts) else 0
    fact_item, fact_ms = items.index_of(facts.item), facts.ts_ms
    session_last_ms = np.full(num_sessions, np.iinfo(np.int64).min, dtype=np.int64)
    np.maximum.at(session_last_ms, session_of, fact_ms)
    members = hyperedge_rows(session_of, fact_item, fact_ms, items.ranks()[fact_item])
    edges = graph.edges
    weights = edges.weights(at_ms, graph.half_life_ms, graph.weight_of_action)
    is_supported = edges.sessions >= graph.min_sessions
    makes_edge = facts.makes_edge
    if not is_supported.all():
        makes_edge &= _on_edges(facts, edges.query[is_supported], edges.item[is_supported])
    return GraphArrays(
        query_keys=queries.keys,
        query_texts=queries.texts,
        item_keys=items.keys,
        item_ids=items.texts,
        item_titles=[item.title for item in listed],
        item_texts=[item.text for item in listed],
        item_available=np.array([item.available for item in listed], dtype=np.bool_),
        item_deleted=np.array([item.deleted for item in listed], dtype=np.bool_),
        item_catalog_ms=np.array([item.ts_ms for item in listed], dtype=np.int64),
        edge_query=queries.index_of(edges.query[is_supported]),
        edge_item=items.index_of(edges.item[is_supported]),
        edge_weight=np.minimum(weights[is_supported], _MAX_FLOAT32).astype(np.float32),
        edge_sessions=edges.sessions[is_supported].astype(np.int32),
        edge_first_ms=edges.first_ms[is_supported],
        edge_last_ms=edges.last_ms[is_supported],
        num_sessions=num_sessions,
        session_last_ms=session_last_ms,
        incidence_session=session_of[members],
        incidence_item=fact_item[members],
        incidence_ms=fact_ms[members],
        fact_session=session_of[makes_edge],
        fact_query=queries.index_of(facts.query[makes_edge]),
        fact_item=fact_item[makes_edge],
        fact_action=facts.action[makes_edge].astype(np.int8),
        fact_ms=fact_ms[makes_edge],
        watermark_ms=watermark_ms,
        at_ms=at_ms,
        item_attributes=attribute_columns(item.attributes for item in listed),
    )


def missing_name_error(path: Path) -> StoreUnreadable:
    """Return the error for a key that no name is stored for."""
    return StoreUnreadable(
        f"store {path} has records whose names are missing; restore or rebuild it"
    )


def _on_edges(facts: FactColumns, query: Keys, item: Keys) -> NDArray[np.bool_]:
    """Return which facts are on one of some edges, given in ascending order."""
    pair = np.dtype([("query", np.uint64), ("item", np.uint64)])
    edges, pairs = np.empty(len(query), dtype=pair), np.empty(len(facts), dtype=pair)
    edges["query"], edges["item"] = query, item
    pairs["query"], pairs["item"] = facts.query, facts.item
    return np.isin(pairs, edges)


_NOT_LISTED = CatalogItem(item_id="")
