"""What a generation says of its nodes, read row by row."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact.encoder import unit_rows
from model.artifact.fresh_arrays import FreshArrays
from model.artifact.generation import Generation
from model.artifact.paths import PathGraph
from model.fresh.active.runs import spans
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.keysets import indexes_of


@dataclass(frozen=True, kw_only=True)
class NodeStates:
    """The state of some nodes.

    Attributes:
        own: ``float32 [n, dim]``, text and id vector.
        carried: ``float32 [n, dim]``, what its hyperedges have of it: `own`, and a
            share of its bipartite channel.
        hypergraph: ``float32 [n, dim]``, the sum over hyperedges of the mean of what
            they have of their members.
        hyperedges: ``float64 [n]``, in how many hyperedges each is.
        weight: ``float64 [n]``, degree in the bipartite channel.
        heard: ``float32 [n, num_layers, dim]``: of each layer, the weighted sum of what
            the neighbours send.
        sent: ``float32 [n, num_layers, dim]``: what each sends its neighbours for each
            layer.
        returns: ``float32 [n]``, see `FreshArrays.returns`.
        sensitivity: ``float32 [n]``, see `FreshArrays.sensitivity`.
    """

    own: Float32s
    carried: Float32s
    hypergraph: Float32s
    hyperedges: Float64s
    weight: Float64s
    heard: Float32s
    sent: Float32s
    returns: Float32s
    sensitivity: Float32s


class Clicks(NamedTuple):
    """Clicks of some nodes.

    Attributes:
        place: ``int64 [n]``, which of the asked nodes each is of.
        other: ``int64 [n]``, the node at its other end.
        sessions: ``int64 [n]``, distinct sessions.
    """

    place: Int64s
    other: Int64s
    sessions: Int64s


class Origin:
    """The nodes of a generation: queries first, then items. Memory-mapped: what is not
    asked for is not read.

    Args:
        generation: one that has what the fresh lane continues from.
        fed_bipartite: the bipartite channel's share in what the hypergraph one carries.

    Attributes:
        num_queries: how many of its nodes are queries.
        num_nodes: queries and items.
        num_layers: layers of the bipartite channel.
    """

    def __init__(
        self, generation: Generation, fresh: FreshArrays, paths: PathGraph, fed_bipartite: float
    ) -> None:
        self._fed_bipartite = fed_bipartite
        self._query_keys = np.asarray(generation.query_keys)
        self._dim = generation.network_dim
        self._vectors = (
            np.asarray(generation.query_vectors),
            np.asarray(generation.item_vectors),
        )
        self._ids = tuple(
            np.asarray(generation.warm[name]) if name in generation.warm else None
            for name in ("query_ids", "item_ids")
        )
        self._fresh = {name: np.asarray(array) for name, array in fresh.arrays().items()}
        self._layers = [np.asarray(layer) for layer in fresh.layers]
        self._paths = {name: np.asarray(array) for name, array in paths.arrays().items()}
        self.num_queries = len(generation.query_keys)
        self.num_nodes = self.num_queries + len(fresh.item_keys)
        self.num_layers = len(fresh.layers)

    def rows_of(self, keys: NDArray[np.uint64], *, is_item: bool) -> Int64s:
        """Return ``int64 [n]``, the nodes of some keys; -1: there is none."""
        if not is_item:
            return indexes_of(self._query_keys, keys)
        found = indexes_of(self._fresh["item_keys"], keys)
        return np.where(found >= 0, found + self.num_queries, -1)

    def states(self, rows: Int64s) -> NodeStates:
        """Return the state of some nodes."""
        weight = self._paths["node_weights"][rows].astype(np.float64)
        hyperedges = self._paths["node_degrees"][rows].astype(np.float64)
        own = self._fresh["own"][rows].astype(np.float32)
        hypergraph = self._fresh["hypergraph"][rows].astype(np.float32)
        root = np.sqrt(weight).astype(np.float32)[:, None]
        layers = [layer[rows].astype(np.float32) for layer in self._layers]
        shape = (len(rows), self.num_layers, own.shape[1])
        heard, sent = np.zeros(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
        # A layer is what was heard over the root of the degree, and is sent over it.
        for number, layer in enumerate([own, *layers]):
            if number < self.num_layers:
                np.divide(layer, root, out=sent[:, number], where=root > 0)
            if number:
                heard[:, number - 1] = layer * root
        return NodeStates(
            own=own,
            carried=own + self._fed_bipartite * np.add.reduce(layers),
            hypergraph=hypergraph * hyperedges.astype(np.float32)[:, None],
            hyperedges=hyperedges,
            weight=weight,
            heard=heard,
            sent=sent,
            returns=self._fresh["returns"][rows],
            sensitivity=self._fresh["sensitivity"][rows],
        )

    def own(self, rows: Int64s) -> Float32s:
        """Return ``float32 [n, dim]``, text and id vector of some nodes."""
        own: Float32s = self._fresh["own"][rows].astype(np.float32)
        return own

    def weights(self, rows: Int64s) -> Float64s:
        """Return ``float64 [n]``, degrees in the bipartite channel."""
        weights: Float64s = self._paths["node_weights"][rows].astype(np.float64)
        return weights

    def sensitivity(self, rows: Int64s) -> Float32s:
        """Return ``float32 [n]``, see `FreshArrays.sensitivity`."""
        sensitivity: Float32s = self._fresh["sensitivity"][rows]
        return sensitivity

    def vectors(self, rows: Int64s) -> Float32s:
        """Return ``float32 [n, dim]``, the network's part of the vectors that the
        generation has, unit vectors.
        """
        vectors = self._by_kind(rows, self._vectors)
        return vectors if vectors.shape[1] == self._dim else unit_rows(vectors[:, : self._dim])

    def id_vectors(self, rows: Int64s) -> Float32s:
        """Return ``float32 [n, dim]``, the id vectors; zeros where a node was not
        seen.
        """
        queries, items = self._ids
        if queries is None or items is None:
            return np.zeros((len(rows), self._dim), dtype=np.float32)
        return self._by_kind(rows, (queries, items)) * self.is_seen(rows)[:, None]

    def is_seen(self, rows: Int64s) -> Bools:
        """Return ``bool [n]``, which nodes have an edge or a hyperedge."""
        seen: Bools = self._paths["node_weights"][rows] > 0
        return seen | (self._paths["node_degrees"][rows] > 0)

    def num_hyperedges(self, rows: Int64s) -> Int64s:
        """Return ``int64 [n]``, in how many hyperedges each node is."""
        found: Int64s = self._paths["node_degrees"][rows].astype(np.int64)
        return found

    def num_clicks(self, rows: Int64s) -> Int64s:
        """Return ``int64 [n]``, how many neighbours each node has."""
        return self._bounds(rows)[1]

    def clicks(self, rows: Int64s) -> Clicks:
        """Return all clicks of some nodes."""
        first, count = self._bounds(rows)
        place = np.repeat(np.arange(len(rows)), count)
        at, is_item = spans(first, count), rows[place] >= self.num_queries
        other, sessions = np.empty(len(at), np.int64), np.empty(len(at), np.int64)
        other[~is_item] = self._paths["click_items"][at[~is_item]] + self.num_queries
        sessions[~is_item] = self._paths["click_sessions"][at[~is_item]]
        other[is_item] = self._fresh["item_queries"][at[is_item]]
        sessions[is_item] = self._fresh["item_sessions"][at[is_item]]
        return Clicks(place, other, sessions)

    def clicks_among(self, row: int, others: Int64s) -> Clicks:
        """Return the clicks of one node with some of the other kind, ``int64 [n]``,
        without reading its whole row.
        """
        first, count = (int(each[0]) for each in self._bounds(np.array([row])))
        span = slice(first, first + count)
        if row >= self.num_queries:
            ends, sessions = self._fresh["item_queries"][span], self._fresh["item_sessions"][span]
            asked = others
        else:
            ends, sessions = self._paths["click_items"][span], self._paths["click_sessions"][span]
            asked = others - self.num_queries
        found = indexes_of(ends, asked.astype(ends.dtype))
        is_there = found >= 0
        return Clicks(
            np.zeros(int(is_there.sum()), dtype=np.int64),
            others[is_there],
            sessions[found[is_there]].astype(np.int64),
        )

    def strongest(self, row: int, count: int) -> Clicks:
        """Return some of the strongest clicks of a node with many."""
        if row >= self.num_queries:
            starts, item = self._paths["item_starts"], row - self.num_queries
            kept = self._paths["item_queries"][starts[item] : starts[item + 1]][:count]
            return self.clicks_among(row, kept.astype(np.int64))
        clicks = self.clicks(np.array([row]))
        if len(clicks.other) <= count:
            return clicks
        best = np.argpartition(-clicks.sessions, count)[:count]
        return Clicks(*(column[best] for column in clicks))

    def hyperedges(self, rows: Int64s, count: int) -> tuple[Int64s, Int64s]:
        """Return the newest hyperedges of some nodes, so many of each: the place of the
        node among `rows`, and the hyperedge, ``int64 [n]`` each.
        """
        starts = self._paths["node_starts"]
        end = starts[rows + 1].astype(np.int64)
        sizes = np.minimum(end - starts[rows], count)
        newest = self._paths["node_hyperedges"][spans(end - sizes, sizes)].astype(np.int64)
        return np.repeat(np.arange(len(rows)), sizes), newest

    def members(self, hyperedges: Int64s) -> tuple[Int64s, Int64s]:
        """Return the hyperedge's place and the node of each member of some hyperedges,
        ``int64 [n]`` each.
        """
        starts = self._fresh["hyperedge_starts"]
        first = starts[hyperedges]
        count = starts[hyperedges + 1] - first
        nodes = self._fresh["hyperedge_nodes"][spans(first, count)].astype(np.int64)
        return np.repeat(np.arange(len(hyperedges)), count), nodes

    def _bounds(self, rows: Int64s) -> tuple[Int64s, Int64s]:
        """Return where the clicks of each node begin, in its kind's columns, and how
        many there are.
        """
        first, count = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        is_item = rows >= self.num_queries
        for wanted, starts, shift in (
            (~is_item, self._paths["click_starts"], 0),
            (is_item, self._fresh["item_starts"], self.num_queries),
        ):
            own = rows[wanted] - shift
            first[wanted] = starts[own]
            count[wanted] = starts[own + 1] - starts[own]
        return first, count

    def _by_kind(self, rows: Int64s, tables: tuple[Float32s, Float32s]) -> Float32s:
        queries, items = tables
        picked = np.empty((len(rows), queries.shape[1]), dtype=np.float32)
        is_item: Bools = rows >= self.num_queries
        picked[~is_item] = queries[rows[~is_item]]
        picked[is_item] = items[rows[is_item] - self.num_queries]
        return picked
