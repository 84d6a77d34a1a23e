"""The text towers: hashed text features to a node's vector."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from model.data.texts import HashedTexts
from model.network.fused_towers import lifted
from model.network.sparse import Pattern
from model.settings import ModelSettings

# Standard deviation that text features start with: a text of ten is then a vector of
# about length one at 128 dimensions. Twice as much, and id vectors count half as much
# beside it. Chosen by hand.
_FEATURE_STD = 0.3
# The same of the towers' last layer: a tower begins as almost nothing beside the mean
# that it is added to. Twice as much still is. Chosen by hand.
_OUT_STD = 0.02


class TextTowers(nn.Module):
    """Hashed text features to vectors: ``mean + W2 relu(W1 mean + b1) + b2``, a tower
    for each kind of node.

    `model.artifact.encoder.TextEncoder` computes the same in numpy.
    """

    def __init__(self, texts: HashedTexts, settings: ModelSettings, num_nodes: int) -> None:
        super().__init__()
        self.bag = nn.Parameter(_FEATURE_STD * torch.randn(len(texts.buckets), settings.dim))
        self.towers = nn.ModuleDict({kind: _tower(settings) for kind in ("query", "item")})
        self._texts = texts
        self._num_nodes = num_nodes

    def forward(self, num_queries: int) -> Tensor:
        """Return ``float32 [num_nodes, dim]``, queries first."""
        of_terms = self._of_terms.product(self._once, self.bag)
        return self.lift(self._of_texts.product(self._mean_weight, of_terms), num_queries)

    def lift(self, mean: Tensor, num_queries: int) -> Tensor:
        """Return ``float32 [n, dim]`` from texts' mean features.

        The first `num_queries` are of queries.
        """
        if torch.is_autocast_enabled(mean.device.type):
            query, item = mean.tensor_split([num_queries])
            return torch.cat(
                [query + self.towers["query"](query), item + self.towers["item"](item)]
            )
        return lifted(
            mean, num_queries, *self.towers["query"].parameters(), *self.towers["item"].parameters()
        )

    @cached_property
    def _of_terms(self) -> Pattern:
        texts = self._texts
        return Pattern(
            texts.owner, texts.feature, texts.num_terms, len(texts.buckets), self.bag.device
        )

    @cached_property
    def _of_texts(self) -> Pattern:
        texts = self._texts
        return Pattern(texts.node, texts.term, self._num_nodes, texts.num_terms, self.bag.device)

    @cached_property
    def _once(self) -> Tensor:
        return torch.ones(len(self._texts.owner), device=self.bag.device)

    @cached_property
    def _mean_weight(self) -> Tensor:
        """A text is the mean of its features, whichever of its terms they are of."""
        share = 1.0 / self._texts.lengths(self._num_nodes).clip(min=1)
        return torch.from_numpy(share[self._texts.node].astype(np.float32)).to(self.bag.device)


def _tower(settings: ModelSettings) -> nn.Sequential:
    out = nn.Linear(settings.hidden, settings.dim)
    nn.init.normal_(out.weight, std=_OUT_STD)
    nn.init.zeros_(out.bias)
    return nn.Sequential(nn.Linear(settings.dim, settings.hidden), nn.ReLU(), out)
