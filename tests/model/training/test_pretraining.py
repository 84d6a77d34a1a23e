"""Contrastive pre-training: what a view leaves out, what the loss
wants, when it ends.
"""

import math
from itertools import count

import pytest
import torch
from torch import Tensor, nn

from model.network.graph import VisibilityMask
from model.training.pretraining import ContrastSettings, draw_view, info_nce, pretrain

NUM_NODES, DIM = 40, 8


@pytest.fixture
def everything() -> VisibilityMask:
    """Return a graph of as many edges and hyperedges as make shares visible."""
    return VisibilityMask(edge=torch.ones(4000), hyperedge=torch.ones(3000), node=torch.ones(2000))


class Encoder(nn.Module):
    """A node is its own vector and noise that says which view it is in."""

    def __init__(self) -> None:
        super().__init__()
        self.own = nn.Parameter(0.1 * torch.randn(NUM_NODES, DIM))
        self.noise = nn.Parameter(torch.ones(()))

    def forward(self, visible: VisibilityMask) -> Tensor:
        """Return ``float32 [NUM_NODES, DIM]``."""
        return self.own + self.noise * torch.randn(NUM_NODES, DIM) * (visible.edge.mean() < 1)


def test_a_view_lacks_the_shares_that_are_asked_for(everything: VisibilityMask) -> None:
    """Edges and hyperedges by one share, nodes by theirs.

    What was hidden before stays hidden.
    """
    torch.manual_seed(0)
    hidden = torch.ones(4000)
    hidden[:100] = 0
    view = draw_view(
        VisibilityMask(edge=hidden, hyperedge=everything.hyperedge, node=everything.node),
        ContrastSettings(edge_dropout=0.4, node_dropout=0.1),
    )

    assert float(view.edge[100:].mean()) == pytest.approx(0.6, abs=0.05)
    assert float(view.hyperedge.mean()) == pytest.approx(0.6, abs=0.05)
    assert float(view.node.mean()) == pytest.approx(0.9, abs=0.03)
    assert not view.edge[:100].any()


def test_two_views_differ(everything: VisibilityMask) -> None:
    """They are drawn independently."""
    first, second = (draw_view(everything, ContrastSettings()) for _ in range(2))

    assert not torch.equal(first.edge, second.edge)
    assert not torch.equal(first.node, second.node)


def test_the_loss_is_the_mean_over_both_directions() -> None:
    """Two nodes by hand: cosines 1 and 0 within one view's nodes, at
    temperature 1/2.
    """
    vectors = torch.eye(2)
    alike = -math.log(math.exp(2) / (math.exp(2) + 1))

    assert float(info_nce(3 * vectors, vectors, 0.5)) == pytest.approx(alike)
    assert float(info_nce(vectors, vectors.flip(0), 0.5)) == pytest.approx(alike + 2)


def test_nodes_are_told_apart_in_the_end() -> None:
    """The loss falls; the encoder learns to be itself rather than noise, and nodes that
    are left out stay.
    """
    torch.manual_seed(0)
    encoder = Encoder()
    before = encoder.own.detach().clone()
    losses = _pretrain(encoder, ContrastSettings(passes=60, batch_size=10, learning_rate=0.02))

    assert len(losses) == 60
    assert losses[-1] < losses[0] / 2
    assert torch.equal(encoder.own[-1], before[-1])
    assert not torch.equal(encoder.own[0], before[0])


def test_it_ends_when_it_is_over() -> None:
    """The answer is asked for before each step; the pass that was begun counts."""
    asked = count()
    losses = _pretrain(Encoder(), ContrastSettings(batch_size=10), is_over=lambda: next(asked) >= 6)

    assert len(losses) == 2
    assert not _pretrain(Encoder(), ContrastSettings(), is_over=lambda: True)


def test_a_single_node_has_nothing_to_differ_from() -> None:
    """No step is made."""
    assert not _pretrain(Encoder(), ContrastSettings(), num_nodes=1)


def _pretrain(
    encoder: Encoder,
    settings: ContrastSettings,
    *,
    num_nodes: int = NUM_NODES - 1,
    is_over: object = None,
) -> list[float]:
    everything = VisibilityMask(
        edge=torch.ones(50), hyperedge=torch.ones(50), node=torch.ones(NUM_NODES)
    )
    parameters = [(parameter, 1.0) for parameter in encoder.parameters()]
    over = is_over if callable(is_over) else lambda: False
    return pretrain(
        encoder, parameters, everything, torch.arange(num_nodes), settings, is_over=over
    )
