"""How far channels are let in, and what that is chosen by."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.artifact.channels import CHANNEL_NAMES
from model.data.training_set import build_training_set
from model.settings import ModelSettings
from model.training.passes import channel_shares
from model.training.passes.channel_shares import Shares, choose_channel_shares
from model.training.step import Learner
from model.training.train import train
from stream.dtypes import Float64s
from stream.graph.arrays import GraphArrays

CPU = torch.device("cpu")
LEARNED = {(kind, name): 1.0 for kind in ("query", "item") for name in ("bipartite", "hypergraph")}

Worth = Callable[[Shares], float]


class Trial:
    """Ranks held-out edges by a rule; queries differ by a little."""

    def __init__(self, worth: Worth, noise: float) -> None:
        self._worth = worth
        self._noise = noise * np.random.default_rng(0).normal(size=400)

    def worth(self, shares: Shares) -> Float64s:
        """Return the rule's worth for each query; the noise is of what has changed."""
        changed = sum(abs(share - 1.0) for share in shares.values())
        return np.full(400, self._worth(shares)) + changed * self._noise


def best(worth: Worth, noise: float = 0.1) -> Mapping[tuple[str, str], float]:
    """Return what is chosen by a rule."""
    trial = Trial(worth, noise)
    return channel_shares._best(trial, dict(LEARNED), ["bipartite", "hypergraph"])  # type: ignore[arg-type]


def test_what_does_not_pay_is_switched_off() -> None:
    """And only that."""
    chosen = best(lambda shares: -shares["item", "hypergraph"])

    assert chosen == {**LEARNED, ("item", "hypergraph"): 0.0}


def test_channels_that_hurt_together_go_together() -> None:
    """Though neither alone would be missed."""
    item = ("item", "bipartite"), ("item", "hypergraph")
    chosen = best(lambda shares: float(all(shares[key] == 0.0 for key in item)))

    assert chosen == {**LEARNED, **dict.fromkeys(item, 0.0)}


def test_what_may_be_chance_changes_nothing() -> None:
    """A gain of less than its standard error."""
    assert best(lambda shares: -0.01 * shares["query", "bipartite"], noise=5.0) == LEARNED


def test_a_channel_that_is_off_comes_back_where_it_pays() -> None:
    """Such as when sessions begin to hold what clicks do not."""
    off = {**LEARNED, ("item", "hypergraph"): 0.0}
    trial = Trial(lambda shares: shares["item", "hypergraph"] ** 0.1, 0.01)

    chosen = channel_shares._best(trial, off, ["bipartite", "hypergraph"])  # type: ignore[arg-type]

    assert chosen["item", "hypergraph"] >= 1.0


def test_a_share_scales_a_weight(arrays: GraphArrays, settings: ModelSettings) -> None:
    """Before weights are made to add up to 1; 0 leaves nothing of it."""
    data = build_training_set(arrays, settings)
    learner = Learner(data, settings, CPU)
    hypergraph = CHANNEL_NAMES.index("hypergraph")
    _, _, _, before = learner.vectors(learner.train_graph)
    learner.network.attention_of("item").set_share("hypergraph", 0.5)
    _, _, _, half = learner.vectors(learner.train_graph)
    learner.network.attention_of("item").set_share("hypergraph", 0.0)
    _, _, query, off = learner.vectors(learner.train_graph)

    expected = before.copy()
    expected[:, hypergraph] *= 0.5
    expected /= expected.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(half, expected, atol=1e-5)
    assert (off[:, hypergraph] == 0.0).all()
    np.testing.assert_allclose(off.sum(axis=1), 1.0, atol=1e-5)
    assert (query[:, hypergraph] > 0.0).any()


def test_an_export_has_what_was_chosen(
    arrays: GraphArrays, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In figures, in attention, and in what refreshes and the fresh lane begin with."""

    def items_without_sessions(trial: object, shares: Shares, names: object) -> Shares:
        return {**shares, ("item", "hypergraph"): 0.0}

    monkeypatch.setattr(channel_shares, "_LEAST_QUERIES", 1)
    monkeypatch.setattr(channel_shares, "_best", items_without_sessions)

    trained = train(arrays, replace(settings, max_passes=2, newest_passes=1))

    assert trained.evaluation["share_item_hypergraph"] == 0.0
    assert trained.evaluation["share_query_hypergraph"] == 1.0
    assert (trained.item_attention[:, CHANNEL_NAMES.index("hypergraph")] == 0.0).all()
    offset = trained.warm["weight.attention.item.offset"]
    assert np.isfinite(offset).all()
    assert offset[CHANNEL_NAMES.index("hypergraph")] < 0.0


def test_too_few_held_out_queries_choose_nothing(
    arrays: GraphArrays, settings: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Shares stay, and are figures all the same."""
    monkeypatch.setattr(channel_shares, "_LEAST_QUERIES", 10_000)
    learner = Learner(build_training_set(arrays, settings), settings, CPU)
    learner.network.attention_of("query").set_share("bipartite", 0.1)

    figures = choose_channel_shares(learner)

    assert figures == {
        "share_item_bipartite": 1.0,
        "share_item_hypergraph": 1.0,
        "share_query_bipartite": pytest.approx(0.1),
        "share_query_hypergraph": 1.0,
    }
