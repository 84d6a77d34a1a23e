"""Contrastive pre-training: a node's vectors in two views of the graph should find each
other among others'.

After Han et al. (WSDM 2023): two views of both channels, and the loss of You et al.
(GraphCL, NeurIPS 2020) and Zhu et al. (GRACE, 2020). It works on any network that
propagates over what is `VisibilityMask` of a graph.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.network.graph import VisibilityMask
from model.training.optimizer import Adam


class Encoder(Protocol):
    """Propagates over a graph."""

    def __call__(self, visible: VisibilityMask) -> Tensor:
        """Return the vectors of all nodes, ``float32 [num_nodes, dim]``, with
        gradients.
        """


@dataclass(frozen=True, kw_only=True)
class ContrastSettings:
    """How views are made, and how long training on them takes.

    The defaults were chosen by hand and not tuned: pre-training hurts on both logs of
    docs/benchmarks.md, and is off by default.

    Attributes:
        passes: passes over the nodes.
        batch_size: nodes that are contrasted in one step.
        learning_rate: step size of Adam.
        edge_dropout: share of edges, and of hyperedges, that a view goes without.
        node_dropout: share of nodes that a view goes without.
        temperature: of the softmax over the batch.
        projection_dim: length of the vectors that are compared; a head makes them, and
            goes afterwards.
    """

    passes: int = 20
    batch_size: int = 1024
    learning_rate: float = 0.001
    edge_dropout: float = 0.4
    node_dropout: float = 0.1
    temperature: float = 0.1
    projection_dim: int = 32


def pretrain(
    encode: Encoder,
    parameters: Iterable[tuple[Tensor, float]],
    everything: VisibilityMask,
    nodes: Tensor,
    settings: ContrastSettings,
    *,
    is_over: Callable[[], bool] = lambda: False,
) -> list[float]:
    """Move the parameters of a network so that it distinguishes nodes whatever part of
    the graph is missing.

    Draws from torch's generator: `torch.manual_seed` before it makes it repeatable.

    Args:
        encode: the network on its graph.
        parameters: what is learned of it, each with its own factor on the step size.
        everything: the whole graph, which views are made of.
        nodes: ``int64 [num_nodes_with_neighbours]``, the nodes to distinguish.
        settings: views, step, duration.
        is_over: called before each step; the first True ends pre-training.

    Returns:
        The mean loss of each pass that made a step.
    """
    head = _ProjectionHead(encode, everything, settings.projection_dim)
    of_head = ((parameter, 1.0) for parameter in head.parameters())
    optimizer = Adam([*parameters, *of_head], settings.learning_rate)
    losses = []
    for _ in range(settings.passes):
        steps = []
        for batch in _batches(nodes, settings.batch_size):
            if is_over():
                break
            optimizer.zero_grad()
            first, second = (head(encode(draw_view(everything, settings))[batch]) for _ in range(2))
            loss = info_nce(first, second, settings.temperature)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            steps.append(float(loss.detach()))
        if not steps:
            break
        losses.append(sum(steps) / len(steps))
    return losses


def draw_view(everything: VisibilityMask, settings: ContrastSettings) -> VisibilityMask:
    """Return a view: a random part of what is visible.

    One mask of nodes serves both channels, so that what is dropped in one is dropped in
    the other.
    """
    return VisibilityMask(
        edge=everything.edge * _kept(everything.edge, settings.edge_dropout),
        hyperedge=everything.hyperedge * _kept(everything.hyperedge, settings.edge_dropout),
        node=everything.node * _kept(everything.node, settings.node_dropout),
    )


def info_nce(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """Return how badly rows find their counterparts, by cosine among all rows of the
    other view, both ways.

    Args:
        first: ``float32 [batch, dim]``, nodes in one view.
        second: ``float32 [batch, dim]``, the same nodes in the other.
        temperature: of the softmax.
    """
    cosines = F.normalize(first, dim=1) @ F.normalize(second, dim=1).T
    own = torch.arange(len(first), device=first.device)
    scores = cosines / temperature
    return (F.cross_entropy(scores, own) + F.cross_entropy(scores.T, own)) / 2


class _ProjectionHead(nn.Sequential):
    """What is compared is a small network away from what is kept (Chen et al., SimCLR,
    ICML 2020).
    """

    def __init__(self, encode: Encoder, everything: VisibilityMask, projection_dim: int) -> None:
        with torch.no_grad():
            like = encode(everything)
        super().__init__(
            nn.Linear(like.shape[1], projection_dim),
            nn.ReLU(),
            nn.Linear(projection_dim, projection_dim),
        )
        self.to(like.device)


def _batches(nodes: Tensor, batch_size: int) -> Iterator[Tensor]:
    """Cut the nodes into batches of about one size, in random order.

    One alone differs from nothing.
    """
    if len(nodes) > 1:
        order = torch.randperm(len(nodes)).to(nodes.device)
        yield from nodes[order].tensor_split(max(1, round(len(nodes) / batch_size)))


def _kept(like: Tensor, dropped_share: float) -> Tensor:
    """Return ``float32`` ones, with zeros at a random share.

    Drawn on the CPU for every device.
    """
    return (torch.rand(len(like)) >= dropped_share).float().to(like.device)
