"""A trained model's layers, and the graph behind them, as the fresh lane reads them."""

import numpy as np

from model.artifact.channels import CHANNEL_NAMES
from model.artifact.fresh_arrays import FreshArrays
from model.artifact.paths import Int32s, PathGraph
from model.training.result import LayerStates, TrainedModel
from stream.dtypes import Float16s, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

# Nodes of a block whose channels are joined: 4 MB a channel at 128 dimensions. Twice as
# many take twice that, and no less time.
_BLOCK_NODES = 1 << 13
# A shorter vector has no direction; it is then as movable as one of this length. By
# hand: trained channels have lengths near 1.
_SMALLEST_LENGTH = 1e-3


def build_fresh_arrays(
    trained: TrainedModel,
    states: LayerStates,
    arrays: GraphArrays,
    items: Int64s,
    paths: PathGraph,
) -> FreshArrays:
    """Return what is stored of a generation for the fresh lane.

    Args:
        trained: the trained model.
        states: its layers, of all nodes of `arrays`.
        arrays: what it was trained on.
        items: ``int64 [n]`` ascending, the items of `arrays` that the generation has.
        paths: the graph of the generation.
    """
    rows = np.concatenate([np.arange(paths.num_queries), arrays.num_queries + items])
    attention = np.concatenate([trained.query_attention, trained.item_attention[items]])
    gone = np.flatnonzero(arrays.item_deleted | ~arrays.item_available)
    query, item, sessions = _by_item(paths)
    weight = np.log1p(sessions.astype(np.float64))
    nodes_of_hyperedge = _transposed_hyperedges(paths)
    states = LayerStates(
        own=_picked(states.own, rows),
        hypergraph=_picked(states.hypergraph, rows),
        layers=tuple(_picked(layer, rows) for layer in states.layers),
    )
    return FreshArrays(
        own=states.own,
        hypergraph=states.hypergraph,
        layers=states.layers,
        returns=_returns(query, paths.num_queries + item, weight, paths),
        sensitivity=_sensitivity(states, attention),
        item_starts=_starts(item, len(items)),
        item_queries=query.astype(np.int32),
        item_sessions=sessions,
        hyperedge_starts=_starts(nodes_of_hyperedge[0], len(paths.hyperedge_sizes)),
        hyperedge_nodes=nodes_of_hyperedge[1].astype(np.int32),
        item_keys=arrays.item_keys[items],
        item_catalog_ms=arrays.item_catalog_ms[items],
        gone_ids=[arrays.item_ids[row] for row in gone.tolist()],
        gone_catalog_ms=arrays.item_catalog_ms[gone],
    )


def _picked(vectors: Float16s, rows: Int64s) -> Float16s:
    """Return some rows; all of them without a copy."""
    return vectors if len(rows) == len(vectors) else vectors[rows]


def _by_item(paths: PathGraph) -> tuple[Int64s, Int64s, Int32s]:
    """Return query, item and sessions of each click, by item and then query."""
    query = np.repeat(np.arange(paths.num_queries), np.diff(paths.click_starts))
    # Clicks ascend by query: a stable sort by item leaves queries ascending in a row.
    order = np.argsort(paths.click_items, kind="stable")
    return query[order], paths.click_items[order].astype(np.int64), paths.click_sessions[order]


def _returns(query: Int64s, item: Int64s, weight: Float64s, paths: PathGraph) -> Float32s:
    """Return ``float32 [num_nodes]``, sum of ``w^2 / d`` of the other end."""
    degrees, num_nodes = paths.node_weights, len(paths.node_weights)
    back = np.bincount(query, weight**2 / degrees[item], minlength=num_nodes)
    back += np.bincount(item, weight**2 / degrees[query], minlength=num_nodes)
    return back.astype(np.float32)


def _sensitivity(states: LayerStates, attention: Float32s) -> Float32s:
    """Return ``float32 [num_nodes]``, the bipartite channel's attention over the length
    of what all channels add up to.
    """
    text, bipartite, hypergraph = (
        CHANNEL_NAMES.index(name) for name in ("text", "bipartite", "hypergraph")
    )
    lengths = np.empty(len(attention), dtype=np.float32)
    for start in range(0, len(attention), _BLOCK_NODES):
        block = slice(start, start + _BLOCK_NODES)
        total = attention[block, text, None] * states.own[block]
        total += attention[block, hypergraph, None] * states.hypergraph[block]
        for layer in states.layers:
            total += attention[block, bipartite, None] * layer[block]
        lengths[block] = np.linalg.norm(total, axis=1)
    shares = attention[:, bipartite] / np.maximum(lengths, _SMALLEST_LENGTH)
    return shares.astype(np.float32)


def _transposed_hyperedges(paths: PathGraph) -> tuple[Int64s, Int64s]:
    """Return hyperedge and node of each incidence, by hyperedge and then node."""
    node = np.repeat(np.arange(len(paths.node_weights)), np.diff(paths.node_starts))
    order = np.argsort(paths.node_hyperedges, kind="stable")
    return paths.node_hyperedges[order].astype(np.int64), node[order]


def _starts(rows: Int64s, num_rows: int) -> Int64s:
    """Return ``int64 [num_rows + 1]``, where each row starts among entries in order of
    rows.
    """
    starts = np.zeros(num_rows + 1, dtype=np.int64)
    np.cumsum(np.bincount(rows, minlength=num_rows), out=starts[1:])
    return starts
