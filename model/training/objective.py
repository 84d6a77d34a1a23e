"""The training loss: it ranks the items of supervised edges above others, from the
graph and from text.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.data.graph import GraphPart
from model.network.graph import ChannelOutputs
from model.network.network import DualChannelNetwork
from model.settings import ModelSettings
from stream.dtypes import Int64s

# Times a batch: keeps the logarithm finite. No edge of any graph is so rare.
_LEAST_EXPECTED = 1e-12
# A score, far below any cosine over any temperature. Not minus infinity: where a query
# knows all candidates, the gradient would be NaN.
_OUT_OF_REACH = -1e9


@dataclass(frozen=True, kw_only=True)
class CandidateBatch:
    """The queries of a batch, and the items that they choose from.

    Attributes:
        query: ``int64 [num_queries]``, the distinct queries.
        of_edge: ``int64 [batch]``, the place of each edge's query among them.
        item: ``int64 [num_candidates]``.
        target: ``int64 [batch]``, the place of each edge's item among the candidates.
        expected: ``float32 [num_candidates]``, how often each candidate is to be
            expected in a batch.
        nodes: ``int64 [num_queries + num_candidates]``, all of them as nodes.
    """

    query: Tensor
    of_edge: Tensor
    item: Tensor
    target: Tensor
    expected: Tensor
    nodes: Tensor


class Objective:
    """Softmax over the items of a batch and random others, corrected by how often each
    is drawn.

    Args:
        part: the graph whose edges are supervised.
        settings: how many random items, what text alone counts.
        device: where the network lives.
    """

    def __init__(self, part: GraphPart, settings: ModelSettings, device: torch.device) -> None:
        self._settings = settings
        self._device = device
        self._num_queries = part.num_queries
        self._edge_query = torch.from_numpy(part.edge_query).to(device)
        self._edge_item = torch.from_numpy(part.edge_item).to(device)
        counts = torch.bincount(self._edge_item, minlength=part.num_items)
        self._popularity = counts.float() / max(1, len(part.edge_item))
        self._clicked = torch.nonzero(counts)[:, 0]
        self._known = _KnownItems(part.edge_query, part.edge_item, part.num_queries, device)

    def draw(self, edges: Tensor) -> CandidateBatch:
        """Return what is compared to supervise edges, given as ``int64 [batch]``
        positions.
        """
        query, of_edge = torch.unique(self._edge_query[edges], return_inverse=True)
        item, target, expected = self._candidates(self._edge_item[edges])
        nodes = torch.cat([query, self._num_queries + item])
        return CandidateBatch(
            query=query, of_edge=of_edge, item=item, target=target, expected=expected, nodes=nodes
        )

    def loss(
        self, network: DualChannelNetwork, channels: ChannelOutputs, compared: CandidateBatch
    ) -> Tensor:
        """Return the loss of supervised edges, a scalar.

        Each query is to find its item among the candidates, ``-log softmax(s / t - log
        expected)`` with the learned temperature ``t`` (sampling-bias correction: Yi et
        al., RecSys 2019). Other items that the query is known to lead to are not
        counted against it. Times `content_loss`, the query's text alone is to find the
        same item among the same vectors: as a new query will be scored.

        What a query's known items leave of the candidates is the same for all its
        edges, and is scored once.

        Args:
            network: joins the channels of the nodes that are compared.
            channels: of these nodes at least.
            compared: of `draw`.
        """
        query, of_edge, target = compared.query, compared.of_edge, compared.target
        items, _ = network.join(channels, self._num_queries + compared.item)
        correction = compared.expected.clamp(min=_LEAST_EXPECTED).log()
        known = self._known.marks(query, compared.item, len(self._popularity))
        temperature = network.log_temperature.exp()

        def cross_entropy(queries: Tensor) -> Tensor:
            queries = queries / temperature
            others = torch.addmm(-correction, queries, items.T).masked_fill_(known, _OUT_OF_REACH)
            right = (queries[of_edge] * items[target]).sum(dim=1) - correction[target]
            return (torch.logaddexp(others.logsumexp(dim=1)[of_edge], right) - right).mean()

        loss = cross_entropy(network.join(channels, query)[0])
        if self._settings.content_loss:
            from_text = F.normalize(channels.content[channels.rows(query)], dim=1)
            loss = loss + self._settings.content_loss * cross_entropy(from_text)
        return loss

    def _candidates(self, item: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the items to rank, where each supervised one is among them, how often
        each is expected.

        The random ones are drawn from items with clicks: an item without clicks is no
        evidence.
        """
        # Supervised items come first and ascending, random ones after them, so `target`
        # holds for both.
        candidates, target = torch.unique(item, return_inverse=True)
        expected = len(item) * self._popularity
        wanted = self._settings.num_negatives
        if wanted:
            drawn = self._clicked[torch.randint(len(self._clicked), (wanted,)).to(self._device)]
            extra = torch.unique(drawn)
            candidates = torch.cat([candidates, extra[~torch.isin(extra, candidates)]])
            expected = expected + wanted / len(self._clicked)
        return candidates, target, expected[candidates]


class _KnownItems:
    """The known items of each query, for marking them among candidates."""

    def __init__(self, query: Int64s, item: Int64s, num_queries: int, device: torch.device) -> None:
        order = np.argsort(query, kind="stable")
        counts = np.bincount(query, minlength=num_queries)
        self._count = torch.from_numpy(counts).to(device)
        self._start = torch.from_numpy(np.cumsum(counts) - counts).to(device)
        self._item = torch.from_numpy(item[order]).to(device)

    def marks(self, query: Tensor, candidates: Tensor, num_items: int) -> Tensor:
        """Return ``bool [len(query), len(candidates)]``.

        The candidate is a known item of the query.
        """
        # One entry for each known item of each query of the batch, query by query:
        # `row` is the query's place, `first` shifts a running number to its place in
        # `_item`.
        count = self._count[query]
        row = torch.repeat_interleave(torch.arange(len(query), device=query.device), count)
        first = torch.repeat_interleave(self._start[query] - (count.cumsum(0) - count), count)
        item = self._item[first + torch.arange(len(row), device=query.device)]
        column = torch.full((num_items,), -1, dtype=torch.int64, device=query.device)
        column[candidates] = torch.arange(len(candidates), device=query.device)
        known = column[item] >= 0
        marks = torch.zeros(len(query), len(candidates), dtype=torch.bool, device=query.device)
        marks[row[known], column[item[known]]] = True
        return marks
