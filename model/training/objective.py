"""The training loss: it ranks the items of supervised edges above others, from the
graph and from text, and every item for its own title.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.data.graph import GraphPart
from model.data.titles import Titles, num_drawn
from model.network.graph import ChannelOutputs
from model.network.network import DualChannelNetwork
from model.network.sparse import places_of
from model.settings import ModelSettings
from model.training.ranks.ranks import ONE_RANK, Ranks
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
        item: ``int64 [num_candidates]``, distinct.
        num_ranked: how many of them, from the first, queries choose from; titles choose
            from all.
        target: ``int64 [batch]``, the place of each edge's item among the candidates.
        expected: ``float32 [num_candidates]``, how often each candidate is to be
            expected among those that queries choose from.
        expected_of_titles: the same among all.
        title: ``int64 [num_titles]``, a place among `Titles.item`, of each item that is
            to be found by its title
        titled: ``int64 [num_titles]``, and the place of that item among the candidates.
    """

    query: Tensor
    of_edge: Tensor
    item: Tensor
    num_ranked: int
    target: Tensor
    expected: Tensor
    expected_of_titles: Tensor
    title: Tensor
    titled: Tensor


class Objective:
    """Softmax over the items of a batch and random others, corrected by how often each
    is drawn.

    Args:
        part: the graph whose edges are supervised.
        titles: of its items.
        settings: how many random items and titles, what text alone and titles count.
        device: where the network lives.
    """

    def __init__(
        self, part: GraphPart, titles: Titles, settings: ModelSettings, device: torch.device
    ) -> None:
        self._settings = settings
        self._device = device
        self._num_queries = part.num_queries
        self._edge_query = torch.from_numpy(part.edge_query).to(device)
        self._edge_item = torch.from_numpy(part.edge_item).to(device)
        counts = torch.bincount(self._edge_item, minlength=part.num_items)
        self._popularity = counts.float() / max(1, len(part.edge_item))
        self._num_titles = num_drawn(titles, settings)
        self._titles = _TitlesOnDevice(titles, device)
        self._catalogue = torch.unique(torch.cat([counts.nonzero()[:, 0], self._titles.item]))
        self._known = _KnownItems(part.edge_query, part.edge_item, part.num_queries, device)

    def draw(self, edges: Tensor) -> CandidateBatch:
        """Return what is compared to supervise edges, given as ``int64 [batch]``
        positions.

        Candidates are the edges' items, ascending, then random ones of the whole
        catalogue, then those that are to be found by their titles.
        """
        settings, titles = self._settings, self._titles
        query, of_edge = torch.unique(self._edge_query[edges], return_inverse=True)
        ranked, target = torch.unique(self._edge_item[edges], return_inverse=True)
        expected = len(edges) * self._popularity
        if settings.num_negatives:
            drawn = self._catalogue[self._draw(settings.num_negatives, len(self._catalogue))]
            ranked = torch.cat([ranked, drawn[~torch.isin(drawn, ranked)]])
            expected[self._catalogue] += settings.num_negatives / len(self._catalogue)
        item, title = ranked, ranked.new_zeros(0)
        expected_of_titles = expected
        if self._num_titles:
            title = self._draw(self._num_titles, len(titles.item))
            drawn = titles.item[title]
            item = torch.cat([ranked, drawn[~torch.isin(drawn, ranked)]])
            expected_of_titles = expected.clone()
            expected_of_titles[titles.item] += self._num_titles / len(titles.item)
        return CandidateBatch(
            query=query,
            of_edge=of_edge,
            item=item,
            num_ranked=len(ranked),
            target=target,
            expected=expected[ranked],
            expected_of_titles=expected_of_titles[item],
            title=title,
            titled=_places(titles.item[title], item, len(expected)),
        )

    def own_nodes(self, compared: CandidateBatch, ranks: Ranks = ONE_RANK) -> Tensor:
        """Return ``int64 [n]``, the nodes whose vectors this rank makes for `loss`: its
        part of the queries, and its part of the candidates.
        """
        query = compared.query[ranks.part(len(compared.query))]
        item = compared.item[ranks.part(len(compared.item))]
        return torch.cat([query, self._num_queries + item])

    def loss(
        self,
        network: DualChannelNetwork,
        channels: ChannelOutputs,
        compared: CandidateBatch,
        ranks: Ranks = ONE_RANK,
    ) -> Tensor:
        """Return the loss of supervised edges and of titles, a scalar.

        On several ranks it is this rank's part of it: of the edges whose queries are
        its own, against the candidates of all. The parts add up to the loss of one
        rank, and their gradients to its gradient.

        Each query is to find its item among the candidates, ``-log softmax(s / t - log
        expected)`` with the learned temperature ``t`` (sampling-bias correction: Yi et
        al., RecSys 2019). Other items that the query is known to lead to are not
        counted against it. Times `content_loss`, the query's text alone is to find the
        same item among the same vectors: as a new query will be scored. Times
        `title_loss`, the title of an item, as a new query, is to find that item.

        What a query's known items leave of the candidates is the same for all its
        edges, and is scored once.

        Args:
            network: joins the channels of the nodes that are compared.
            channels: of `own_nodes` at least.
            compared: of `draw`, the same on all ranks.
            ranks: that share the work.
        """
        part = ranks.part(len(compared.query))
        query = compared.query[part]
        is_own = (compared.of_edge >= part.start) & (compared.of_edge < part.stop)
        of_edge, target = compared.of_edge[is_own] - part.start, compared.target[is_own]
        own_items = compared.item[ranks.part(len(compared.item))]
        own_rows, _ = network.join(channels, self._num_queries + own_items)
        items = ranks.every_row(own_rows, len(compared.item))
        ranked = items[: compared.num_ranked]
        correction = _log(compared.expected)
        known = self._known.marks(
            query, compared.item[: compared.num_ranked], len(self._popularity)
        )
        temperature = network.log_temperature.exp()

        def cross_entropy(queries: Tensor) -> Tensor:
            queries = queries / temperature
            others = torch.addmm(-correction, queries, ranked.T).masked_fill_(known, _OUT_OF_REACH)
            right = (queries[of_edge] * ranked[target]).sum(dim=1) - correction[target]
            ranked_low = torch.logaddexp(others.logsumexp(dim=1)[of_edge], right) - right
            return ranked_low.sum() / len(compared.of_edge)

        loss = cross_entropy(network.join(channels, query)[0])
        if self._settings.content_loss:
            from_text = F.normalize(channels.content[channels.rows(query)], dim=1)
            loss = loss + self._settings.content_loss * cross_entropy(from_text)
        if len(compared.title):
            part = ranks.part(len(compared.title))
            of_titles = self._title_loss(network, items, compared, part)
            loss = loss + self._settings.title_loss * of_titles
        return loss

    def _title_loss(
        self, network: DualChannelNetwork, items: Tensor, compared: CandidateBatch, part: slice
    ) -> Tensor:
        """Return how badly a part of the titles find their items among the vectors
        ``items``, as a share of what all do.

        Items of the same title are as good an answer.
        """
        titles, titled = self._titles, compared.titled[part]
        correction = _log(compared.expected_of_titles)
        queries = network.of_query_texts(*titles.terms(compared.title[part]))
        queries = queries / network.log_temperature.exp()
        name = titles.name[compared.item]
        same = name[titled][:, None] == name
        others = torch.addmm(-correction, queries, items.T).masked_fill_(same, _OUT_OF_REACH)
        right = (queries * items[titled]).sum(dim=1) - correction[titled]
        ranked_low = torch.logaddexp(others.logsumexp(dim=1), right) - right
        return ranked_low.sum() / len(compared.title)

    def _draw(self, wanted: int, among: int) -> Tensor:
        """Return distinct numbers below `among`, drawn on the CPU for every device."""
        drawn: Tensor = torch.unique(torch.randint(among, (wanted,)))
        return drawn.to(self._device)


class _TitlesOnDevice:
    """See `model.data.titles.Titles`."""

    def __init__(self, titles: Titles, device: torch.device) -> None:
        self.item = torch.from_numpy(titles.item).to(device)
        self.name = torch.from_numpy(titles.name).to(device)
        self._starts = torch.from_numpy(titles.starts).to(device)
        self._term = torch.from_numpy(titles.term).to(device)

    def terms(self, title: Tensor) -> tuple[Tensor, Tensor]:
        """Return the terms of some titles, one title after the other, and where those
        of each begin.
        """
        places, first = places_of(title, self._starts)
        return self._term[places], first


def _log(expected: Tensor) -> Tensor:
    return expected.clamp(min=_LEAST_EXPECTED).log()


def _places(wanted: Tensor, among: Tensor, count: int) -> Tensor:
    """Return where each wanted number is among distinct ones below `count`."""
    place = torch.zeros(count, dtype=torch.int64, device=among.device)
    place[among] = torch.arange(len(among), device=among.device)
    return place[wanted]


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
