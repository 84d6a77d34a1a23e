"""What the fresh lane continues from: the network's layers of every node, and the graph
the other way round.

Stored beside a generation as ``fresh.*``, all of it or none
(`model.publishing.fresh_arrays` makes it). Imports numpy only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.artifact.paths import Int32s, PathGraph
from model.errors import GenerationCorrupt
from stream.dtypes import Float16s, Float32s, Int64s

FRESH_PREFIX = "fresh."
"""Of the names of its files; servers do not read them."""


@dataclass(frozen=True, kw_only=True)
class FreshArrays:
    """The state of a generation's propagation, by its dense indexes.

    Nodes are numbered queries first, then items. `PathGraph` has the rest: clicks by
    query, degrees, the hyperedges of each node.

    Attributes:
        own: ``float16 [num_nodes, dim]``, the text channel: text and id vector.
        hypergraph: ``float16 [num_nodes, dim]``, the hypergraph channel.
        layers: ``float16 [num_nodes, dim]`` for each layer of the bipartite channel.
        returns: ``float32 [num_nodes]``: sum of ``w^2 / d`` over a node's clicks, with
            ``w = log1p(sessions)`` and the other end's ``d``. It is the share of a
            node's message that its neighbours send back.
        sensitivity: ``float32 [num_nodes]``: by how many radians a node's vector moves
            at most for a movement of its bipartite channel by 1.
        item_starts: ``int64 [num_items + 1]``.
        item_queries: ``int32 [num_clicks]``, all queries that each item was clicked
            for, ascending in a row.
        item_sessions: ``int32 [num_clicks]``, the distinct sessions of each click.
        hyperedge_starts: ``int64 [num_hyperedges + 1]``.
        hyperedge_nodes: ``int32 [num_incidences]``, the nodes of each kept hyperedge,
            ascending in a row.
        item_keys: ``uint64 [num_items]`` ascending `protos.text.text_key` of the ids.
        item_catalog_ms: ``int64 [num_items]``, time of each catalogue state; 0: none.
        gone_ids: items that the catalogue called deleted or unavailable, in ascending
            order of key.
        gone_catalog_ms: ``int64 [len(gone_ids)]``, since when; 0: not said.
    """

    own: Float16s
    hypergraph: Float16s
    layers: tuple[Float16s, ...]
    returns: Float32s
    sensitivity: Float32s
    item_starts: Int64s
    item_queries: Int32s
    item_sessions: Int32s
    hyperedge_starts: Int64s
    hyperedge_nodes: Int32s
    item_keys: NDArray[np.uint64]
    item_catalog_ms: Int64s
    gone_ids: Sequence[str]
    gone_catalog_ms: Int64s

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the stored arrays by name, the layers among them."""
        layers = {f"{LAYER}{number}": layer for number, layer in enumerate(self.layers, 1)}
        return {**{name: getattr(self, name) for name in ARRAY_TYPES}, **layers}


LAYER = "layer."
"""Of the name of each layer's array, before its number from 1."""

ARRAY_TYPES: dict[str, type[np.generic]] = {
    "own": np.float16,
    "hypergraph": np.float16,
    "returns": np.float32,
    "sensitivity": np.float32,
    "item_starts": np.int64,
    "item_queries": np.int32,
    "item_sessions": np.int32,
    "hyperedge_starts": np.int64,
    "hyperedge_nodes": np.int32,
    "item_keys": np.uint64,
    "item_catalog_ms": np.int64,
    "gone_catalog_ms": np.int64,
}
"""The stored type of each array but the layers, which are ``float16``."""


def check_fresh_arrays(fresh: FreshArrays, paths: PathGraph | None, dim: int) -> None:
    """Hold the shapes of the arrays against those of the graph behind the vectors.

    Raises:
        GenerationCorrupt: an array has another shape than the others imply, or there is
            no such graph; the message names it.
    """
    if paths is None:
        raise GenerationCorrupt("there are fresh.* files and no paths.* files")
    num_nodes, num_items = len(paths.node_weights), len(paths.item_starts) - 1
    vectors, numbers = (num_nodes, dim), (num_nodes,)
    expected: dict[str, tuple[int, ...]] = {
        "own": vectors,
        "hypergraph": vectors,
        "returns": numbers,
        "sensitivity": numbers,
        "item_starts": (num_items + 1,),
        "item_queries": paths.click_items.shape,
        "item_sessions": paths.click_items.shape,
        "hyperedge_starts": (len(paths.hyperedge_sizes) + 1,),
        "hyperedge_nodes": paths.node_hyperedges.shape,
        "item_keys": (num_items,),
        "item_catalog_ms": (num_items,),
        "gone_catalog_ms": (len(fresh.gone_ids),),
        **{f"{LAYER}{number}": vectors for number in range(1, len(fresh.layers) + 1)},
    }
    for name, array in fresh.arrays().items():
        if array.shape != expected[name]:
            raise GenerationCorrupt(
                f"{FRESH_PREFIX}{name}.npy has shape {array.shape}, not {expected[name]}"
            )
