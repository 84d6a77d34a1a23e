"""Turns snapshot arrays into the graph that is propagated over: weighted edges,
hyperedges, and which hyperedges made which edge.
"""

from dataclasses import dataclass

import numpy as np

from stream.dtypes import Bools, Float32s, Int64s
from stream.graph.arrays import GraphArrays


@dataclass(frozen=True, kw_only=True)
class GraphPart:
    """A set of edges and hyperedges to propagate over, and which hyperedges go with
    which edge.

    Nodes are numbered queries first, then items.

    Attributes:
        num_queries: number of queries.
        num_items: number of items.
        edge_query: ``int64 [num_edges]``.
        edge_item: ``int64 [num_edges]``.
        edge_weight: ``float32 [num_edges]``, positive.
        num_hyperedges: number of hyperedges.
        incidence_hyperedge: ``int64 [num_incidences]``.
        incidence_node: ``int64 [num_incidences]``, the items of the session and its
            queries.
        source_edge: ``int64 [num_sources]``, ascending: this edge was made, among
            others,
        source_hyperedge: ``int64 [num_sources]``, by the session of this hyperedge.
    """

    num_queries: int
    num_items: int
    edge_query: Int64s
    edge_item: Int64s
    edge_weight: Float32s
    num_hyperedges: int
    incidence_hyperedge: Int64s
    incidence_node: Int64s
    source_edge: Int64s
    source_hyperedge: Int64s

    @property
    def num_nodes(self) -> int:
        """Queries and items together."""
        return self.num_queries + self.num_items

    @property
    def edges(self) -> tuple[Int64s, Int64s]:
        """Query and item of each edge, ``int64 [num_edges]`` each."""
        return self.edge_query, self.edge_item

    @property
    def seen(self) -> Bools:
        """``bool [num_nodes]``: has an edge or is in a hyperedge, so that an id
        embedding can be learned.
        """
        seen = np.zeros(self.num_nodes, dtype=np.bool_)
        seen[self.edge_query] = True
        seen[self.num_queries + self.edge_item] = True
        seen[self.incidence_node] = True
        return seen


def whole_graph(arrays: GraphArrays) -> GraphPart:
    """Return the graph of all edges and sessions."""
    edges, sessions = len(arrays.edge_query), arrays.num_sessions
    return graph_part(arrays, np.ones(edges, dtype=np.bool_), np.ones(sessions, dtype=np.bool_))


def graph_part(arrays: GraphArrays, edges: Bools, sessions: Bools) -> GraphPart:
    """Return the graph of some edges and sessions."""
    num_queries = len(arrays.query_keys)
    hyperedge_of = _number_hyperedges(arrays, sessions)
    members = _members(arrays, hyperedge_of)
    sources = _sources(arrays, hyperedge_of, edges)
    return GraphPart(
        num_queries=num_queries,
        num_items=len(arrays.item_keys),
        edge_query=arrays.edge_query[edges],
        edge_item=arrays.edge_item[edges],
        edge_weight=_propagation_weight(arrays)[edges],
        num_hyperedges=int(hyperedge_of.max(initial=-1)) + 1,
        incidence_hyperedge=members[:, 0],
        incidence_node=members[:, 1],
        source_edge=sources[:, 0],
        source_hyperedge=sources[:, 1],
    )


def _propagation_weight(arrays: GraphArrays) -> Float32s:
    """The weight is the logarithm of the sessions. Age does not count: rare queries
    have only old clicks.
    """
    return np.log1p(arrays.edge_sessions).astype(np.float32)


def _number_hyperedges(arrays: GraphArrays, sessions: Bools) -> Int64s:
    """Return ``int64 [num_sessions]``: the dense hyperedge of a session, or -1."""
    has_items = np.zeros(arrays.num_sessions, dtype=np.bool_)
    has_items[arrays.incidence_session] = True
    wanted = has_items & sessions
    return np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int64)


def _members(arrays: GraphArrays, hyperedge_of: Int64s) -> Int64s:
    """Return the distinct rows (hyperedge, item or query), ``int64 [num_incidences,
    2]``, sorted.
    """
    num_queries = len(arrays.query_keys)
    session = np.concatenate([arrays.incidence_session, arrays.fact_session])
    node = np.concatenate([num_queries + arrays.incidence_item, arrays.fact_query])
    return _distinct_pairs(hyperedge_of[session], node, num_queries + len(arrays.item_keys))


def _sources(arrays: GraphArrays, hyperedge_of: Int64s, edges: Bools) -> Int64s:
    """Return the distinct rows (edge, hyperedge that made it), ``int64 [num_sources,
    2]``, sorted.
    """
    # Edges and sessions that are left out get -1, and so do facts of either.
    dense = np.where(edges, np.cumsum(edges) - 1, -1)
    hyperedge = hyperedge_of[arrays.fact_session]
    edge = np.where(hyperedge >= 0, dense[arrays.edge_of_fact], -1)
    return _distinct_pairs(edge, hyperedge, max(1, int(hyperedge_of.max(initial=-1)) + 1))


def _distinct_pairs(first: Int64s, second: Int64s, num_second: int) -> Int64s:
    """Return the distinct pairs with ``first >= 0``, sorted."""
    wanted = first >= 0
    codes = np.unique(first[wanted] * num_second + second[wanted])
    return np.stack([codes // num_second, codes % num_second], axis=1)
