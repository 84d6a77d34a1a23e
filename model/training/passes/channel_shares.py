"""How far each channel of the graph is let into the vectors: chosen on the held-out
edges once training has stopped.

Attention is learned on edges whose ends have other edges and sessions. What is asked
for next may have none, and where texts say it all, what clicks and sessions add to them
is noise. So each channel's weight, of queries and of items, is scaled by what ranks the
held-out edges surely better: down to nothing where the channel does not pay.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.artifact.channels import TEXT, channels_on
from model.network.graph import ChannelOutputs
from model.network.network import DualChannelNetwork
from model.ranking import edge_ranks, figures_by_query
from model.training.step import Learner
from stream.dtypes import Float32s, Float64s, Int64s

Shares = Mapping[tuple[str, str], float]
"""By kind of node and name of channel."""

_KINDS = ("query", "item")
# What a channel's weight is multiplied by: off, by steps of about three, and as it was
# learned. Finer steps differ by less than the noise of some hundred held-out edges.
_CHOICES = (0.0, 0.1, 0.3, 1.0, 3.0)
# Standard errors that the mean gain over queries has to be above zero: one in twenty is
# chance. Twice as much keeps what hurts by a tenth on a few hundred edges.
_SURE = 1.64
# Queries below which a mean gain is chance. Twice as many: small shops keep channels
# that do not pay.
_LEAST_QUERIES = 50
# Scores that one choice is ranked by: some seconds of a core for all choices together
# at 128 dimensions. Twice as many take twice that, for less noise in shops of over
# fifty thousand items.
_MOST_SCORES = 100_000_000
# Rounds over all channels: what one gives may change what another is worth. A third
# changes nothing on the logs of docs/experiments.md.
_ROUNDS = 2


@dataclass(frozen=True, kw_only=True)
class _HeldOut:
    """What choices are ranked by.

    Attributes:
        query: ``int64 [num_edges]``, query of each held-out edge, as a place in
            `queries`.
        item: ``int64 [num_edges]``.
        queries: ``int64 [num_queries]``, the distinct queries, ascending.
        seen: query, as a place, and item of the edges that they are known by.
    """

    query: Int64s
    item: Int64s
    queries: Int64s
    seen: tuple[Int64s, Int64s]


@torch.no_grad()
def choose_channel_shares(learner: Learner) -> dict[str, float]:
    """Scale the channels' weights in the network of a learner by what ranks its
    held-out edges surely better; return each share as a figure, by name.

    Where too little is held out, the shares stay as they are.
    """
    network, held_out = learner.network, _held_out(learner)
    names = sorted(channels_on(learner.settings) - {TEXT})
    shares = {
        (kind, name): network.attention_of(kind).share_of(name) for kind in _KINDS for name in names
    }
    if len(held_out.queries) >= _LEAST_QUERIES:
        trial = _Trial(network, network.propagate(learner.train_graph.reach_all()), held_out)
        shares = _best(trial, shares, names)
        _set(network, shares)
    return {f"share_{kind}_{name}": share for (kind, name), share in shares.items()}


class _Trial:
    """Ranks held-out edges by the network with other shares.

    Args:
        network: whose shares are changed.
        channels: of all its nodes.
        held_out: the edges.
    """

    def __init__(
        self, network: DualChannelNetwork, channels: ChannelOutputs, held_out: _HeldOut
    ) -> None:
        self._network, self._channels, self._held_out = network, channels, held_out
        self._nodes = {
            "query": torch.from_numpy(held_out.queries),
            "item": torch.arange(network.num_queries, network.num_nodes),
        }
        self._joined: dict[str, tuple[Shares, Float32s]] = {}

    def worth(self, shares: Shares) -> Float64s:
        """Return ``float64 [num_queries]``, MRR and Recall@10 of each query, added."""
        _set(self._network, shares)
        vectors = [self._vectors(kind, shares) for kind in _KINDS]
        edges = self._held_out.query, self._held_out.item
        figures = figures_by_query(
            edge_ranks(vectors[0], vectors[1], edges, self._held_out.seen), self._held_out.query
        )
        return figures["mrr"] + figures["recall_10"]

    def _vectors(self, kind: str, shares: Shares) -> Float32s:
        own = {key: share for key, share in shares.items() if key[0] == kind}
        if kind not in self._joined or self._joined[kind][0] != own:
            nodes: Tensor = self._nodes[kind].to(self._channels.content.device)
            vectors = self._network.join_all(self._channels, nodes)
            self._joined[kind] = own, vectors.float().cpu().numpy()
        return self._joined[kind][1]


def _best(
    trial: _Trial, shares: dict[tuple[str, str], float], names: Sequence[str]
) -> dict[tuple[str, str], float]:
    """Return the shares that rank best, changed one group of channels at a time."""
    worth = trial.worth(shares)
    for _ in range(_ROUNDS):
        before = shares
        for group in _groups(names):
            tried = [{**shares, **dict.fromkeys(group, choice)} for choice in _CHOICES]
            tried = [each for each in tried if each != shares]
            worths = [trial.worth(each) for each in tried]
            place = int(np.argmax([each.mean() for each in worths]))
            if _is_surely_above_zero(worths[place] - worth):
                shares, worth = tried[place], worths[place]
        if shares == before:
            break
    return shares


def _groups(names: Sequence[str]) -> Iterator[list[tuple[str, str]]]:
    """Yield what is changed together: each channel by itself, then all of a kind."""
    for kind in reversed(_KINDS):
        for name in names:
            yield [(kind, name)]
    if len(names) > 1:
        for kind in reversed(_KINDS):
            yield [(kind, name) for name in names]


def _is_surely_above_zero(gain: Float64s) -> bool:
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    return bool(gain.mean() > _SURE * error and gain.mean() > 0.0)


def _set(network: DualChannelNetwork, shares: Shares) -> None:
    for (kind, name), share in shares.items():
        network.attention_of(kind).set_share(name, share)


def _held_out(learner: Learner) -> _HeldOut:
    """Return held-out edges, evenly spaced where there are more than are ranked."""
    data = learner.data
    query, item = data.held_out
    count = max(1, _MOST_SCORES // max(1, data.train.num_items))
    step = -(-len(query) // count) or 1
    query, item = query[::step], item[::step]
    queries, place = np.unique(query, return_inverse=True)
    known = np.flatnonzero(np.isin(data.train.edge_query, queries))
    return _HeldOut(
        query=place.astype(np.int64),
        item=item,
        queries=queries,
        seen=(
            np.searchsorted(queries, data.train.edge_query[known]).astype(np.int64),
            data.train.edge_item[known],
        ),
    )
