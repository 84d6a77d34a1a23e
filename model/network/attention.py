"""Attention between the channels of a node."""

import math

import torch
from torch import Tensor, nn

from model.artifact.channels import CHANNELS


class ChannelAttention(nn.Module):
    """Weights of each node over its channels, from the channel's vector and the node's
    degree in each.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.project = nn.Linear(dim, dim)
        self.score = nn.Parameter(torch.zeros(len(CHANNELS), dim))
        self.bias = nn.Parameter(torch.zeros(len(CHANNELS)))
        self.degree = nn.Parameter(torch.zeros(len(CHANNELS), len(CHANNELS)))

    def forward(self, vectors: Tensor, degrees: Tensor) -> Tensor:
        """Return ``float32 [n, num_channels]``, the weights of ``vectors [n,
        num_channels, dim]``.

        A channel in which the node has degree 0 gets weight 0.
        """
        scores = (torch.tanh(self.project(vectors)) * self.score).sum(dim=2) + self.bias
        scores = scores + torch.log1p(degrees) @ self.degree
        return scores.masked_fill(degrees == 0, -math.inf).softmax(dim=1)
