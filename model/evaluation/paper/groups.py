"""Groups of items by their degree in the query-item graph and in the hypergraph."""

from typing import Final

import numpy as np

from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays

GROUPS: Final = ("head", "tail1", "tail2", "isolated")
"""Of which degree items are, in the query-item graph and in the hypergraph: *head* high
and high, *tail1* high and middle, *tail2* middle and high, *isolated* low and low; all
others are in no group [edge_split_ogb].
"""
# Shares of the items that are of low and of middle degree; the rest is of high. The
# public code's. Twice as much would leave nothing of high degree.
_LOW_SHARE, _MIDDLE_SHARE = 0.4, 0.4
_LOW, _MIDDLE, _HIGH = range(3)
_LEVELS_OF: Final = {
    "head": (_HIGH, _HIGH),
    "tail1": (_HIGH, _MIDDLE),
    "tail2": (_MIDDLE, _HIGH),
    "isolated": (_LOW, _LOW),
}


def in_graph(arrays: GraphArrays) -> Bools:
    """Return ``bool [num_items]``: has an edge or is in a hyperedge."""
    found = np.zeros(arrays.num_items, dtype=np.bool_)
    found[arrays.edge_item] = True
    found[arrays.incidence_item] = True
    return found


def group_of_items(arrays: GraphArrays) -> Int64s:
    """Return ``int64 [num_items]``, each item's place in `GROUPS`; -1: in none.

    The degree in the hypergraph is the sum of the sizes of the item's hyperedges. Items
    that are not in the graph are in no group.
    """
    items = np.flatnonzero(in_graph(arrays))
    clicks = np.bincount(arrays.edge_item, minlength=arrays.num_items)[items].astype(np.int64)
    sizes = np.bincount(arrays.incidence_session, minlength=arrays.num_sessions)
    met = np.bincount(
        arrays.incidence_item, sizes[arrays.incidence_session], minlength=arrays.num_items
    )[items]
    by_clicks, by_sessions = _levels(clicks), _levels(met.astype(np.int64))
    found = np.full(arrays.num_items, -1, dtype=np.int64)
    for place, name in enumerate(GROUPS):
        of_clicks, of_sessions = _LEVELS_OF[name]
        found[items[(by_clicks == of_clicks) & (by_sessions == of_sessions)]] = place
    return found


def _levels(degrees: Int64s) -> Int64s:
    """Return each item's level by its place in ascending order; the first of equals
    come first.
    """
    place = np.empty(len(degrees), dtype=np.int64)
    place[np.argsort(degrees, kind="stable")] = np.arange(len(degrees))
    ends = np.array([_LOW_SHARE, _LOW_SHARE + _MIDDLE_SHARE]) * len(degrees)
    return np.searchsorted(ends, place, side="right").astype(np.int64)
