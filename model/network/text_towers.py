"""The text towers: hashed text features to a node's vector."""

from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model.data.texts import HashedTexts
from model.network.fused_towers import lifted
from model.network.sparse import Pattern, places_of
from model.settings import ModelSettings
from stream.dtypes import Int64s

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

    def some(self, nodes: Tensor, num_queries: int) -> Tensor:
        """Return ``float32 [n, dim]``, the rows of some nodes, ``int64 [n]`` ascending:
        as `forward` has them, by what they read alone.
        """
        mentions, starts = places_of(nodes, self._text_starts)
        is_query = nodes < num_queries
        return self.lift(self._means(self._terms[mentions], starts), int(is_query.sum()))

    def queries(self, terms: Tensor, starts: Tensor) -> Tensor:
        """Return ``float32 [n, dim]``, what the query tower makes of a few texts.

        Args:
            terms: ``int64 [num_mentions]``, the terms of each, a text after the other.
            starts: ``int64 [n]``, where those of each text begin.
        """
        return self.lift(self._means(terms, starts), len(starts))

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

    def _means(self, terms: Tensor, starts: Tensor) -> Tensor:
        """Return ``float32 [n, dim]``, the mean features of texts given as in
        `queries`; a term's are summed once for all of them.
        """
        distinct, place = torch.unique(terms, return_inverse=True)
        features, first = places_of(distinct, self._term_starts)
        of_terms = F.embedding_bag(self._features[features], self.bag, first, mode="sum")
        sums = F.embedding_bag(place, of_terms, starts, mode="sum")
        # Features before each mention, and so before each text; the last one ends with
        # the last mention.
        before = F.pad(self._term_starts.diff()[terms].cumsum(0), (1, 0))
        lengths = before[F.pad(starts, (0, 1), value=len(terms))].diff()
        return sums / lengths.clamp(min=1)[:, None]

    @cached_property
    def _text_starts(self) -> Tensor:
        return _starts(self._texts.node, self._num_nodes, self.bag.device)

    @cached_property
    def _terms(self) -> Tensor:
        return torch.from_numpy(self._texts.term).to(self.bag.device)

    @cached_property
    def _term_starts(self) -> Tensor:
        return _starts(self._texts.owner, self._texts.num_terms, self.bag.device)

    @cached_property
    def _features(self) -> Tensor:
        return torch.from_numpy(self._texts.feature).to(self.bag.device)

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


def _starts(row: Int64s, num_rows: int, device: torch.device) -> Tensor:
    """Return ``int64 [num_rows + 1]``, where each row begins among ascending ones."""
    return torch.from_numpy(np.searchsorted(row, np.arange(num_rows + 1))).to(device)


def _tower(settings: ModelSettings) -> nn.Sequential:
    out = nn.Linear(settings.hidden, settings.dim)
    nn.init.normal_(out.weight, std=_OUT_STD)
    nn.init.zeros_(out.bias)
    return nn.Sequential(nn.Linear(settings.dim, settings.hidden), nn.ReLU(), out)
