"""The active nodes of the fresh lane: they may differ from the generation's."""

from dataclasses import dataclass, fields

import numpy as np

from model.fresh.active.origin import NodeStates
from model.fresh.network import ChannelRows, FrozenNetwork, Joined
from model.sums import Moves, add_products, moves_of, norms
from stream.dtypes import Bools, Float32s, Float64s, Int64s

# Slots that there is room for at first. Twice as many: twice the memory of a refresher
# that has little to do.
_FIRST_ROOM = 256
# A degree below it is what sums of floats leave behind of 0: no edge weighs less than
# ln 2.
_NO_WEIGHT = 1e-6


class ActiveRows:
    """Which nodes of the generation are active.

    Args:
        num_nodes: nodes of the generation; memory is taken for those that are asked.
    """

    def __init__(self, num_nodes: int) -> None:
        # A slot more by one: what was never written is zeros that nobody wrote, either.
        self._slot = np.zeros(num_nodes, dtype=np.int32)

    def slots(self, rows: Int64s) -> Int64s:
        """Return ``int64 [n]``, slots of nodes; -1: not active, or no such node."""
        known = self._slot[np.maximum(rows, 0)].astype(np.int64) - 1 if len(self._slot) else -1
        return np.where(rows >= 0, known, -1)

    def set(self, rows: Int64s, slots: Int64s) -> None:
        """Make nodes active."""
        self._slot[rows] = slots + 1


@dataclass(frozen=True, kw_only=True)
class NodeColumns:
    """The state of all active nodes by slot, with room for more; see `NodeStates`.

    Attributes:
        row: ``int64 [room]``, the node of the generation; -1: it is new.
        is_item: ``bool [room]``.
        own: ``float32 [room, dim]``.
        carried: ``float32 [room, dim]``, what its hyperedges were told last.
        drift: ``float32 [room, dim]``, by how much that is not what the generation has.
        hypergraph: ``float32 [room, dim]``.
        hyperedges: ``float64 [room]``.
        weight: ``float64 [room]``.
        heard: ``float32 [room, num_layers, dim]``.
        sent: ``float32 [room, num_layers, dim]``, what its neighbours were told last.
        returns: ``float32 [room]``, less what active neighbours send back.
        sensitivity: ``float32 [room]``, of the vector to the bipartite channel, as it
            was computed last.
        set_sensitivity: ``float32 [room]``, the same to the hypergraph channel.
        vector: ``float32 [room, dim]``, as published last.
        unrest: ``float32 [room]``, estimated movement since `vector` was computed, in
            radians.
        pull: ``float32 [room]``, of a query: estimated movement, in radians, since it
            was published, by items that it was clicked for.
        gain: ``float32 [room]``, of a query: how far it moves, at most, as one of these
            moves by one, over the logarithm of 1 + the item's sessions.
    """

    row: Int64s
    is_item: Bools
    own: Float32s
    carried: Float32s
    drift: Float32s
    hypergraph: Float32s
    hyperedges: Float64s
    weight: Float64s
    heard: Float32s
    sent: Float32s
    returns: Float32s
    sensitivity: Float32s
    set_sensitivity: Float32s
    vector: Float32s
    unrest: Float32s
    pull: Float32s
    gain: Float32s


class Nodes:
    """Grows by slots; a slot is one node, for good.

    Attributes:
        columns: their state. Read it anew after adding.
        count: active nodes.
    """

    def __init__(self, num_layers: int, network: FrozenNetwork) -> None:
        self._network = network
        dim, room = network.dim, _FIRST_ROOM
        layers = (room, num_layers, dim)
        self.columns = NodeColumns(
            row=np.zeros(room, dtype=np.int64),
            is_item=np.zeros(room, dtype=np.bool_),
            own=np.zeros((room, dim), dtype=np.float32),
            carried=np.zeros((room, dim), dtype=np.float32),
            drift=np.zeros((room, dim), dtype=np.float32),
            hypergraph=np.zeros((room, dim), dtype=np.float32),
            hyperedges=np.zeros(room, dtype=np.float64),
            weight=np.zeros(room, dtype=np.float64),
            heard=np.zeros(layers, dtype=np.float32),
            sent=np.zeros(layers, dtype=np.float32),
            returns=np.zeros(room, dtype=np.float32),
            sensitivity=np.zeros(room, dtype=np.float32),
            set_sensitivity=np.zeros(room, dtype=np.float32),
            vector=np.zeros((room, dim), dtype=np.float32),
            unrest=np.zeros(room, dtype=np.float32),
            pull=np.zeros(room, dtype=np.float32),
            gain=np.zeros(room, dtype=np.float32),
        )
        self.count = 0

    def add(self, rows: Int64s, is_item: Bools, states: NodeStates, vectors: Float32s) -> Int64s:
        """Add nodes; return their slots, ``int64 [n]``.

        Args:
            rows: ``int64 [n]``, nodes of the generation; -1: new.
            is_item: ``bool [n]``.
            states: of the nodes.
            vectors: ``float32 [n, dim]``, as they are published.
        """
        slots = np.arange(self.count, self.count + len(rows))
        self._make_room(self.count + len(rows))
        self.count += len(rows)
        columns = self.columns
        columns.row[slots], columns.is_item[slots] = rows, is_item
        columns.vector[slots], columns.unrest[slots] = vectors, 0.0
        columns.drift[slots] = 0.0
        # Until it is computed, the channel counts for no more than all of a vector,
        # which is about as long as the node's own.
        length = norms(states.own)
        columns.set_sensitivity[slots] = np.divide(
            1.0, length, out=np.zeros_like(length), where=length > 0
        )
        columns.pull[slots], columns.gain[slots] = 0.0, 0.0
        for field in fields(states):
            getattr(columns, field.name)[slots] = getattr(states, field.name)
        return slots

    def new_states(self, own: Float32s) -> NodeStates:
        """Return the state of nodes that have nothing but their text."""
        count, dim = own.shape
        layers = (count, self.columns.heard.shape[1], dim)
        return NodeStates(
            own=own,
            carried=own,
            hypergraph=np.zeros((count, dim), dtype=np.float32),
            hyperedges=np.zeros(count, dtype=np.float64),
            weight=np.zeros(count, dtype=np.float64),
            heard=np.zeros(layers, dtype=np.float32),
            sent=np.zeros(layers, dtype=np.float32),
            returns=np.zeros(count, dtype=np.float32),
            sensitivity=np.ones(count, dtype=np.float32),
        )

    def to_send(self, slots: Int64s, layer: int) -> Float32s:
        """Return ``float32 [n, dim]``, what nodes send for a layer by their state."""
        rows, share = self._to_send(slots, layer)
        sent = np.zeros((len(slots), rows.shape[1]), dtype=np.float32)
        told = np.flatnonzero(share)
        add_products(sent, told, share[told], rows, slots[told])
        return sent

    def moves_to_send(self, slots: Int64s, layer: int) -> Moves:
        """Return how far what nodes send for a layer, by their state, is from what they
        sent last.
        """
        rows, share = self._to_send(slots, layer)
        return moves_of(self.columns.sent[:, layer], slots, ((rows, share),))

    def moves_to_carry(self, slots: Int64s) -> Moves:
        """Return how far what hyperedges are to have of nodes, by their state, is from
        what they were told last.
        """
        columns = self.columns
        fed = np.float32(self._network.fed_bipartite or 0.0)
        share = fed * _over(np.sqrt(columns.weight[slots]))
        layers = [(columns.heard[:, layer], share) for layer in range(columns.heard.shape[1])]
        own = columns.own, np.ones(len(slots), dtype=np.float32)
        return moves_of(columns.carried, slots, (own, *layers))

    def vectors(self, slots: Int64s, heard: Float32s | None = None) -> Float32s:
        """Return ``float32 [n, dim]``, unit vectors by the state; NaN where it is not
        finite.

        Args:
            slots: ``int64 [n]``.
            heard: ``float32 [n, num_layers, dim]``, what they have heard; None: as the
                state has it.
        """
        return self._joined(slots, heard).vectors

    def compute(self, slots: Int64s) -> Float32s:
        """Return what `vectors` does by the state, and note how sensitive they are to
        what their nodes hear.
        """
        joined = self._joined(slots, None)
        self.columns.sensitivity[slots] = joined.bipartite
        self.columns.set_sensitivity[slots] = joined.hypergraph
        return joined.vectors

    def _joined(self, slots: Int64s, heard: Float32s | None) -> Joined:
        columns = self.columns
        share = np.maximum(columns.hyperedges[slots], 1.0).astype(np.float32)
        channels = ChannelRows(
            text=columns.own[slots],
            bipartite=self._bipartite(slots, heard),
            hypergraph=columns.hypergraph[slots] / share[:, None],
            weights=columns.weight[slots],
            hyperedges=columns.hyperedges[slots],
        )
        return self._network.join(channels, columns.is_item[slots])

    def to_carry(self, slots: Int64s) -> Float32s:
        """Return ``float32 [n, dim]``, what hyperedges are to have of nodes by their
        state.
        """
        share = self._network.fed_bipartite or 0.0
        carried: Float32s = self.columns.own[slots] + share * self._bipartite(slots)
        return carried

    def settle(self, slots: Int64s) -> None:
        """Set to 0 what sums of floats leave behind where a node has lost its last edge
        or hyperedge.
        """
        columns = self.columns
        alone = slots[columns.weight[slots] < _NO_WEIGHT]
        columns.weight[alone], columns.heard[alone] = 0.0, 0.0
        outside = slots[columns.hyperedges[slots] < 1.0]
        columns.hyperedges[outside], columns.hypergraph[outside] = 0.0, 0.0

    def _to_send(self, slots: Int64s, layer: int) -> tuple[Float32s, Float32s]:
        """Return the rows that messages for a layer are made of, and what each node
        sends of its own, ``float32 [n]``.
        """
        columns, weight = self.columns, self.columns.weight[slots]
        if layer:
            return columns.heard[:, layer - 1], _over(weight)
        return columns.own, _over(np.sqrt(weight))

    def _bipartite(self, slots: Int64s, heard: Float32s | None = None) -> Float32s:
        columns = self.columns
        root = np.sqrt(columns.weight[slots]).astype(np.float32)[:, None]
        total: Float32s = (columns.heard[slots] if heard is None else heard).sum(axis=1)
        bipartite = np.zeros_like(total)
        np.divide(total, root, out=bipartite, where=root > 0)
        return bipartite

    def _make_room(self, wanted: int) -> None:
        room = len(self.columns.row)
        if wanted <= room:
            return
        room = max(wanted, 2 * room)
        grown = {}
        for field in fields(self.columns):
            old = getattr(self.columns, field.name)
            grown[field.name] = np.zeros((room, *old.shape[1:]), dtype=old.dtype)
            grown[field.name][: self.count] = old[: self.count]
        self.columns = NodeColumns(**grown)


def _over(shares: Float64s) -> Float32s:
    """Return 1 over each, 0 where there is none."""
    over = np.zeros(len(shares), dtype=np.float32)
    np.divide(1.0, shares, out=over, where=shares > 0, casting="same_kind")
    return over
