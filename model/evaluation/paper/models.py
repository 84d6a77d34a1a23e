"""The models of the paper's protocol: the paper's configuration with its switches, and
ours beside it.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final, Literal, Protocol

import numpy as np
import torch

from model.artifact.channels import CHANNEL_NAMES, switches_for
from model.data.texts import item_texts
from model.evaluation.baselines.dcah import PaperSettings, PaperTraining, fit_until
from model.evaluation.baselines.dcah_network import PaperGraph
from model.evaluation.cancellation import never
from model.evaluation.paper.candidates import Candidates, PairScores
from model.evaluation.paper.figures import candidate_ranks
from model.evaluation.paper.split import EdgeSplit
from model.settings import ModelSettings
from model.training.pretraining import ContrastSettings
from model.training.train import train
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays

Messages = Literal["leak", "clean", "strict"]
"""What messages travel over. *leak*: all edges, those of validation and test among
them, as in the public code. *clean*: the edges that are learned from, alone. *strict*:
besides, none of the sessions that a held-out click was in.
"""
# As in the public code: the length of all vectors, the edges in a step, passes of
# pre-training's nodes and share of edges in its views (there 65,536 nodes at once and
# 200 passes), wrong items and queries of an edge. Twice the length takes twice as long.
_DIM, _BATCH, _WRONG = 64, 1 << 16, 5
# As there, too: steps from one validation to the next, and how many without a better
# one end a fit [eval_steps, patience_count]. Twice as many of either train longer.
_STEPS_BETWEEN, _PATIENCE = 5, 10
# Step size of Adam. Chosen on the validation of one log, where five times as much
# learns worse and half as much takes 425 passes; the public code has 0.001.
_LEARNING_RATE = 0.01
_CONTRAST = ContrastSettings(batch_size=4096, passes=10, node_dropout=0.0)


@dataclass(frozen=True, kw_only=True)
class PaperTask:
    """What a model is fitted to.

    Attributes:
        split: the edges; those of the test may be used for nothing but messages, and
            for these where `messages` says so.
        messages: what messages travel over.
        validation: the held-out pairs to stop training by.
        settings: size, seed, budget in seconds.
        is_cancelled: called between steps; True ends the fit with TrainingCancelled.
    """

    split: EdgeSplit
    messages: Messages
    validation: Candidates
    settings: ModelSettings
    is_cancelled: Callable[[], bool] = never

    @property
    def graph(self) -> GraphArrays:
        """What messages travel over."""
        split = self.split
        if self.messages == "leak":
            return split.arrays
        return split.training_arrays if self.messages == "clean" else split.strict_arrays


class PaperFitter(Protocol):
    """Fits a model to a task."""

    def __call__(self, task: PaperTask) -> tuple[PairScores, dict[str, float]]:
        """Return what scores pairs, and what fitting chose."""


@dataclass(frozen=True, kw_only=True)
class PaperModel:
    """A model by name.

    Attributes:
        fit: fits it.
        messages: each kind that it is evaluated with.
        against: the models that it is compared with, with the same kind of messages.
    """

    fit: PaperFitter
    messages: tuple[Messages, ...]
    against: tuple[str, ...]


def _paper(*, has_hypergraph: bool, pretrains: bool, drops_edges: bool) -> PaperFitter:
    def fit(task: PaperTask) -> tuple[PairScores, dict[str, float]]:
        arrays = task.graph
        graph = PaperGraph(arrays, num_queries=arrays.num_queries, sessions_hold_queries=False)
        settings = PaperSettings(
            dim=_DIM,
            num_buckets=task.settings.num_buckets,
            has_hypergraph=has_hypergraph,
            pretrains=pretrains,
            drops_edges=drops_edges,
            contrast=_CONTRAST,
            batch_size=_BATCH,
            wrong_items=_WRONG,
            wrong_queries=_WRONG,
            learning_rate=_LEARNING_RATE,
            steps_between=_STEPS_BETWEEN,
            patience=_PATIENCE,
            seed=task.settings.seed,
        )
        query, item = task.split.pairs(task.split.train)
        learned = torch.from_numpy(np.stack([query, arrays.num_queries + item]))
        texts = [*arrays.query_texts, *item_texts(arrays)]
        training = PaperTraining(graph, texts, learned, settings)
        fitted = fit_until(
            training,
            lambda: _mrr(_mlp_scores(training, arrays.num_queries), task.validation),
            deadline=time.monotonic() + task.settings.budget_seconds,
            is_cancelled=task.is_cancelled,
        )
        return _mlp_scores(training, arrays.num_queries), {"passes": fitted.passes}

    return fit


def _ours(channels: Collection[str]) -> PaperFitter:
    def fit(task: PaperTask) -> tuple[PairScores, dict[str, float]]:
        """Train as the product does, on the edges to learn from; it stops by the newest
        of these, not by the validation.
        """
        settings = replace(task.settings, **switches_for(channels))
        trained = train(task.graph, settings, is_cancelled=task.is_cancelled)

        def scores(query: Int64s, item: Int64s) -> Float32s:
            pairs = trained.query_vectors[query] * trained.item_vectors[item]
            found: Float32s = pairs.sum(axis=1)
            return found

        return scores, {"passes": trained.evaluation["passes"]}

    return fit


def _mlp_scores(training: PaperTraining, num_queries: int) -> PairScores:
    vectors = training.vectors()

    def scores(query: Int64s, item: Int64s) -> Float32s:
        with torch.no_grad():
            logits: Float32s = training.network.scorer(
                vectors[torch.from_numpy(query)], vectors[torch.from_numpy(num_queries + item)]
            ).numpy()
        return logits

    return scores


def _mrr(scores: PairScores, candidates: Candidates) -> float:
    return float((1.0 / candidate_ranks(*candidates.scored(scores))).mean())


_BASE: Final = "paper-hypergraph"
_HONEST: Final[tuple[Messages, ...]] = ("clean", "strict")

MODELS: Final[dict[str, PaperModel]] = {
    **{
        f"{network}{pretraining}{drop_edge}": PaperModel(
            fit=_paper(
                has_hypergraph=network != _BASE,
                pretrains=bool(pretraining),
                drops_edges=bool(drop_edge),
            ),
            messages=("leak", *_HONEST),
            against=(_BASE,),
        )
        for network in (_BASE, "paper")
        for pretraining in ("", "+pretraining")
        for drop_edge in ("", "+dropedge")
    },
    # Not with the leak: ours learns every edge of its graph, so it would be trained on
    # the edges of the test.
    "bipartite": PaperModel(fit=_ours(("bipartite",)), messages=_HONEST, against=(_BASE,)),
    "full": PaperModel(
        fit=_ours(CHANNEL_NAMES), messages=_HONEST, against=("bipartite", _BASE, "paper")
    ),
}
"""The paper's network, with and without its hypergraph; both with and without
pre-training and DropEdge; ours with and without it.
"""
