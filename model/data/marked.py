"""What probes wrote, taken out of what is learnt from."""

from dataclasses import replace

import numpy as np

from model.data.trainable import without_items
from protos.marks import is_marked
from stream.dtypes import Bools
from stream.graph.arrays import GraphArrays


def without_marked(arrays: GraphArrays) -> GraphArrays:
    """Return a graph in which the items of probes count as deleted, without what was
    clicked on them and the queries that led nowhere else: no training sees them, and no
    generation has them.
    """
    marked = np.fromiter(map(is_marked, arrays.item_ids), dtype=bool, count=len(arrays.item_ids))
    if not marked.any():
        return arrays
    kept = without_items(arrays, marked)
    queries = _only_of(arrays, kept)
    number = np.cumsum(~queries) - 1  # of each query among those that stay
    return replace(
        kept,
        item_deleted=arrays.item_deleted | marked,
        query_keys=arrays.query_keys[~queries],
        query_texts=[
            text for text, is_out in zip(arrays.query_texts, queries, strict=True) if not is_out
        ],
        edge_query=number[kept.edge_query],
        fact_query=number[kept.fact_query],
    )


def _only_of(arrays: GraphArrays, kept: GraphArrays) -> Bools:
    """Return ``bool [num_queries]``, which had an edge and have none now."""
    had, has = np.zeros((2, arrays.num_queries), dtype=bool)
    had[arrays.edge_query] = True
    has[kept.edge_query] = True
    return had & ~has
