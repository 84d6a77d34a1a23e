"""Attention between the channels of a node.

After Han et al. (WSDM 2023): ``softmax over channels of a_c^T tanh(W h_c + b) + b_c``,
with `h_c` the channel's vector of the node; a vector `a_c` for each channel in place of
one for all, and the logarithm of the node's degree in each channel are ours.
"""

import math

import torch
from torch import Tensor, nn

from model.artifact.channels import CHANNEL_NAMES, CHANNELS

# Added to a score it leaves a weight of exactly 0, and unlike minus infinity it can be
# stored where every number is to be finite.
_OFF = -1e4


class ChannelAttention(nn.Module):
    """Weights of each node over its channels, from the channel's vector and the node's
    degree in each.

    Attributes:
        offset: ``float32 [num_channels]``, added to the scores: the logarithms of the
            shares that the channels are let in with. Not learned by steps, see
            `model.training.passes.channel_shares`.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.score = nn.Parameter(torch.zeros(len(CHANNELS), dim))
        self.bias = nn.Parameter(torch.zeros(len(CHANNELS)))
        self.degree = nn.Parameter(torch.zeros(len(CHANNELS), len(CHANNELS)))
        self.offset: Tensor
        self.register_buffer("offset", torch.zeros(len(CHANNELS)))

    def share_of(self, channel: str) -> float:
        """Return what a channel's weight is multiplied by, before weights are scaled to
        add up to 1.
        """
        return math.exp(float(self.offset[CHANNEL_NAMES.index(channel)]))

    def set_share(self, channel: str, share: float) -> None:
        """Let a channel in with another share; 0: not at all."""
        self.offset[CHANNEL_NAMES.index(channel)] = math.log(share) if share > 0 else _OFF

    def forward(self, vectors: Tensor, degrees: Tensor) -> Tensor:
        """Return ``float32 [n, num_channels]``, the weights of ``vectors [n,
        num_channels, dim]``.

        A channel in which the node has degree 0 gets weight 0.
        """
        scores = (torch.tanh(self.project(vectors)) * self.score).sum(dim=2) + self.bias
        scores = scores + self.offset + torch.log1p(degrees) @ self.degree
        return scores.masked_fill(degrees == 0, -math.inf).softmax(dim=1)
