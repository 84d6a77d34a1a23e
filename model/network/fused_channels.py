"""Fused kernel: channels of a few nodes of a whole graph, with a written-out gradient.

It takes few passes over memory. `DualChannelNetwork.propagate` computes the same for
all nodes, and reads like the formulas. A training step needs the nodes that it
compares; most of its time goes into reading and writing a row for every node. So the
gradient, which is linear in the incoming one, is added up in place. Both agree to
rounding (`tests/model/network/test_fused_channels.py`);
`docs/decisions/0002-propagation.md` has what it saves.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from model.network.propagation.bipartite import OpenEdges
from model.network.propagation.hypergraph import OpenSessions
from model.network.sparse import Matrix, weighted_sums
from model.network.whole_graph import FullReceptiveField


@dataclass(frozen=True, kw_only=True)
class StepMatrices:
    """What one step may use of a graph, as sparse matrices, each beside its transpose.

    Attributes:
        layers: layers of the bipartite channel, at least one.
        edges: D^-1/2 A D^-1/2, ``[num_nodes, num_nodes]``.
        to_session: D_e^-1 H^T, ``[num_hyperedges, num_nodes]``.
        from_session: D_v^-1 H, ``[num_nodes, num_hyperedges]``.
        has_id: ``float32 [num_nodes]``; 1: with its id vector.
        nodes: ``int64 [num_wanted]``, distinct.
    """

    layers: int
    edges: tuple[Matrix, Matrix]
    to_session: tuple[Matrix, Matrix]
    from_session: tuple[Matrix, Matrix]
    has_id: Tensor
    nodes: Tensor


def matrices_of(reach: FullReceptiveField, nodes: Tensor, num_layers: int) -> StepMatrices:
    """Return the matrices of the channels of some nodes, ``int64 [n]`` and distinct."""
    edges, sessions = reach.channel("bipartite"), reach.channel("hypergraph")
    if not isinstance(edges, OpenEdges) or not isinstance(sessions, OpenSessions):
        raise TypeError("the fused kernel is written for clicks and sessions on the device")
    return StepMatrices(
        layers=num_layers,
        edges=edges.both(),
        to_session=sessions.to_session(),
        from_session=sessions.from_session(),
        has_id=reach.has_id(),
        nodes=nodes,
    )


class ChannelRows(NamedTuple):
    """The channels' outputs for the wanted nodes, ``float32 [num_wanted, dim]`` each.

    See `model.network.graph.ChannelOutputs`.
    """

    content: Tensor
    own: Tensor
    bipartite: Tensor
    hypergraph: Tensor


def fused_channel_rows(
    content: Tensor, ids: Tensor, fed: Tensor, matrices: StepMatrices
) -> ChannelRows:
    """Return the channels of the wanted nodes.

    Args:
        content: ``float32 [num_nodes, dim]``, the text vector of each node.
        ids: ``float32 [num_nodes, dim]``, the id embeddings.
        fed: a scalar, the bipartite channel's share in what the hypergraph one
            carries.
        matrices: what may be used, and for which nodes.
    """
    return ChannelRows(*_FusedChannels.apply(content, ids, fed, matrices))


class _FusedChannels(torch.autograd.Function):
    """The rows of the text vectors x, and of what the channels make of them.

    ``own = x + ids``, ``bipartite``, the sum over layers of ``A^l own`` along edges,
    and ``hypergraph = P (own + fed bipartite)`` along sessions.
    """

    @staticmethod
    def forward(
        ctx: Any, content: Tensor, ids: Tensor, fed: Tensor, matrices: StepMatrices
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        nodes = matrices.nodes
        own = torch.addcmul(content, ids, matrices.has_id[:, None])
        layer = bipartite = weighted_sums(own, *matrices.edges[0])
        for _ in range(matrices.layers - 1):
            layer = weighted_sums(layer, *matrices.edges[0])
            bipartite = bipartite + layer
        carried = torch.addcmul(own, bipartite, fed)
        hypergraph = weighted_sums(
            weighted_sums(carried, *matrices.to_session[0]), *matrices.from_session[0]
        )
        ctx.matrices = matrices
        ctx.save_for_backward(bipartite, fed)
        return content[nodes], own[nodes], bipartite[nodes], hypergraph[nodes]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        content, own, bipartite, hypergraph = (gradient.contiguous() for gradient in gradients)
        matrices: StepMatrices = ctx.matrices
        bipartite_rows, fed = ctx.saved_tensors
        nodes = matrices.nodes
        total = torch.zeros_like(bipartite_rows).index_add_(0, nodes, hypergraph)
        total = weighted_sums(total, *matrices.from_session[1])
        total = weighted_sums(total, *matrices.to_session[1])
        of_fed = torch.dot(total.view(-1), bipartite_rows.view(-1))
        # Each layer of the channel is in its sum, and the next one is made of it.
        of_sum = (total * fed).index_add_(0, nodes, bipartite)
        of_layer = weighted_sums(of_sum, *matrices.edges[1])
        for _ in range(matrices.layers - 1):
            of_layer = weighted_sums(of_layer.add_(of_sum), *matrices.edges[1])
        total += of_layer
        total.index_add_(0, nodes, own)
        of_ids = total * matrices.has_id[:, None]
        return total.index_add_(0, nodes, content), of_ids, of_fed.view_as(fed), None
