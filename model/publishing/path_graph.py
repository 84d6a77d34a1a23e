"""Snapshot arrays to the graph that paths are found in, with the indexes of a
generation, within bounds.
"""

from dataclasses import dataclass

import numpy as np

from model.artifact.paths import PathGraph
from stream.dtypes import Bools, Float64s, Int64s
from stream.graph.arrays import GraphArrays

# What is kept of a node that all shoppers meet: queries of an item, strongest first,
# and hyperedges of a node, newest first. Chosen by hand, more than an explanation
# shows. Twice as many: up to twice the files of paths, for weaker and older ones.
KEPT_QUERIES = 64
KEPT_HYPEREDGES = 64


def build_path_graph(arrays: GraphArrays, items: Int64s, num_queries: int) -> PathGraph:
    """Return the graph that the network propagates over, of the nodes that a generation
    has.

    All clicks are kept; of an item, the `KEPT_QUERIES` queries with its strongest
    clicks as a way back; and each hyperedge that is among the `KEPT_HYPEREDGES` newest
    of at least one of its queries and items. Degrees count what is left out, too.

    Args:
        arrays: what the generation was trained on.
        items: ``int64 [n]`` ascending, the items of `arrays` that the generation has;
            clicks on others, and their places in hyperedges, are left out, as training
            leaves out what was deleted.
        num_queries: queries that the generation has, the first of `arrays`; with none
            there is nothing to find a path from, and the graph is empty.
    """
    row_of = np.full(arrays.num_items, -1, dtype=np.int64)
    row_of[items] = np.arange(len(items))
    clicks = _clicks(arrays, row_of, num_queries)
    members = _members(arrays, row_of, num_queries)
    num_nodes = num_queries + len(items)
    weights = _node_weights(clicks, num_queries, len(items))
    back = _strongest_by_item(clicks, weights, num_queries)
    kept = _kept_hyperedges(members, num_nodes)
    is_kept = kept[members.hyperedge]
    number = np.cumsum(kept) - 1
    sizes = np.bincount(members.hyperedge, minlength=len(kept))
    return PathGraph(
        click_starts=_starts(clicks.query, num_queries),
        click_items=clicks.item.astype(np.int32),
        click_sessions=clicks.sessions.astype(np.int32),
        item_starts=_starts(clicks.item[back], len(items)),
        item_queries=clicks.query[back].astype(np.int32),
        node_weights=weights.astype(np.float32),
        node_starts=_starts(members.node[is_kept], num_nodes),
        node_hyperedges=number[members.hyperedge[is_kept]].astype(np.int32),
        node_degrees=np.bincount(members.node, minlength=num_nodes).astype(np.int32),
        hyperedge_sizes=sizes[kept].astype(np.int32),
    )


@dataclass(frozen=True, kw_only=True)
class _Clicks:
    """Edges ``int64 [num_clicks]`` each, in ascending order of (query, item)."""

    query: Int64s
    item: Int64s
    sessions: Int64s


@dataclass(frozen=True, kw_only=True)
class _Members:
    """Who is in which hyperedge, ``int64 [num_incidences]`` each, in ascending order of
    (node, hyperedge).
    """

    node: Int64s
    hyperedge: Int64s


def _clicks(arrays: GraphArrays, row_of: Int64s, num_queries: int) -> _Clicks:
    wanted = (row_of[arrays.edge_item] >= 0) & (arrays.edge_query < num_queries)
    return _Clicks(
        query=arrays.edge_query[wanted],
        item=row_of[arrays.edge_item[wanted]],
        sessions=arrays.edge_sessions[wanted].astype(np.int64),
    )


def _members(arrays: GraphArrays, row_of: Int64s, num_queries: int) -> _Members:
    """Number hyperedges by the time of their session's last event, and join their items
    and queries.
    """
    by_time = np.argsort(arrays.session_last_ms, kind="stable")
    number = np.empty(arrays.num_sessions, dtype=np.int64)
    number[by_time] = np.arange(arrays.num_sessions)
    seen = (row_of[arrays.incidence_item] >= 0) & (num_queries > 0)
    has_items = np.zeros(arrays.num_sessions, dtype=np.bool_)
    has_items[arrays.incidence_session[seen]] = True
    searched = has_items[arrays.fact_session] & (row_of[arrays.fact_item] >= 0)
    searched &= arrays.fact_query < num_queries
    node = np.concatenate(
        [arrays.fact_query[searched], num_queries + row_of[arrays.incidence_item[seen]]]
    )
    session = np.concatenate([arrays.fact_session[searched], arrays.incidence_session[seen]])
    # Sorted by node and then hyperedge, each pair once.
    codes = np.unique(node * max(1, arrays.num_sessions) + number[session])
    return _Members(
        node=codes // max(1, arrays.num_sessions), hyperedge=codes % max(1, arrays.num_sessions)
    )


def _node_weights(clicks: _Clicks, num_queries: int, num_items: int) -> Float64s:
    """Return ``float64 [num_nodes]``, the sum of ``log1p(sessions)`` over each node's
    clicks.
    """
    weights = np.log1p(clicks.sessions)
    return np.concatenate(
        [
            np.bincount(clicks.query, weights, minlength=num_queries),
            np.bincount(clicks.item, weights, minlength=num_items),
        ]
    )


def _strongest_by_item(clicks: _Clicks, weights: Float64s, num_queries: int) -> Int64s:
    """Return the strongest clicks of each item, by item and then strongest first, ties
    by query.
    """
    # An item's own degree is the same for all of its clicks.
    strength = np.log1p(clicks.sessions) / np.sqrt(weights[:num_queries][clicks.query])
    # By item, strongest first, so that a click's place in its item's row is its rank.
    order = np.lexsort((clicks.query, -strength, clicks.item))
    starts = _starts(clicks.item, len(weights) - num_queries)
    place = np.arange(len(order)) - starts[clicks.item[order]]
    return order[place < KEPT_QUERIES]


def _kept_hyperedges(members: _Members, num_nodes: int) -> Bools:
    """Return ``bool [num_sessions]``: among the newest hyperedges of
    one of its nodes.
    """
    # Members ascend by node and then time: the newest of a node are at its row's end.
    ends = _starts(members.node, num_nodes)[1:]
    is_new = ends[members.node] - np.arange(len(members.node)) <= KEPT_HYPEREDGES
    kept = np.zeros(int(members.hyperedge.max(initial=-1)) + 1, dtype=np.bool_)
    kept[members.hyperedge[is_new]] = True
    return kept


def _starts(rows: Int64s, num_rows: int) -> Int64s:
    """Return ``int64 [num_rows + 1]``, where each row starts among entries sorted by
    row.
    """
    starts = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
    return starts
