"""The models that an evaluation compares: each is tuned on the validation part, then
fitted for the test.
"""

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from itertools import product
from typing import Protocol

import numpy as np

from model.artifact.channels import CHANNEL_NAMES, switches_for
from model.artifact.pretrained.encoders import OFF
from model.context import NO_CONTEXT, ContextWeights
from model.evaluation.baselines.dcah import PaperRanker, PaperSettings, tune
from model.evaluation.baselines.lexical import Bm25, CoOccurrence, Popularity, Ranker
from model.evaluation.baselines.lightgcn import LightGcnRanker, LightGcnSettings, fit
from model.evaluation.cancellation import never, refuse_if_cancelled
from model.evaluation.holdout import TEST_SHARE, VALIDATION_SHARE, Holdout
from model.publishing.context_weights import choose_context_weights
from model.ranking import quality_of, scored_ranks
from model.settings import ModelSettings
from model.training.train import train
from stream.dtypes import Float32s, Float64s, Int64s

# What baselines choose from on the validation part: BM25 its saturation and how much
# length counts, co-occurrence the weights of like queries and of neighbours, LightGCN
# its layers. By hand, around the usual values. More values take longer.
_K1, _B = (0.6, 1.2, 2.0), (0.0, 0.4, 0.75)
_EXPANSION, _NEIGHBOURS = (0.3, 1.0), (0.1, 0.3, 1.0, 3.0)
_LAYERS = (2, 3)
# Share of LightGCN's budget that is kept for its fit for the test. By hand: its graph
# is larger than that of a try. Twice as much leaves a tenth of the budget for each try.
_LAST_FIT_SHARE = 0.4
# Passes of pre-training of the models whose name has it. Chosen by hand; not tuned: it
# hurts on both logs (docs/benchmarks.md). Twice as many take twice as long.
_PRETRAIN_PASSES = 10


@dataclass(frozen=True, kw_only=True)
class FitTask:
    """What a model is fitted to.

    Attributes:
        validation: to choose settings on.
        test: to report; only its `arrays` and `texts` may be used for fitting.
        settings: size, seed, budget in seconds.
        is_cancelled: called between steps; True ends the fit with TrainingCancelled.
    """

    validation: Holdout
    test: Holdout
    settings: ModelSettings
    is_cancelled: Callable[[], bool] = never


class Fitter(Protocol):
    """Fits a model to a task."""

    def __call__(self, task: FitTask) -> tuple[Ranker, dict[str, float]]:
        """Return the model for the test part, and the settings that were chosen."""


@dataclass(frozen=True, kw_only=True)
class EvaluatedModel:
    """A model by name.

    Attributes:
        fit: fits it.
        has_seeds: whether another seed gives another model.
        is_default: whether it is judged where no model is named.
    """

    fit: Fitter
    has_seeds: bool = True
    is_default: bool = True


class VectorRanker:
    """A trained Freshet model: answers as a server does, new queries through the text
    encoder.

    Args:
        query_vectors: ``float32 [num_queries, dim]``.
        item_vectors: ``float32 [num_items, dim]``.
        context_weights: what a session was found to be worth to it.
    """

    def __init__(
        self,
        query_vectors: Float32s,
        item_vectors: Float32s,
        context_weights: ContextWeights = NO_CONTEXT,
    ) -> None:
        self.query_vectors, self.item_vectors = query_vectors, item_vectors
        self.context_weights = context_weights

    def scores(self, queries: Int64s) -> Float32s:
        """Return inner products."""
        found: Float32s = self.query_vectors[queries] @ self.item_vectors.T
        return found


def ranks_of(ranker: Ranker, holdout: Holdout) -> Float64s:
    """Return the rank of each pair's item among all items, ``float64 [num_edges]``."""
    held_out = (holdout.query, holdout.item)
    return scored_ranks(ranker.scores, holdout.arrays.num_items, held_out, holdout.seen)


def _fit_popularity(task: FitTask) -> tuple[Ranker, dict[str, float]]:
    return Popularity(task.test), {}


def _fit_bm25(task: FitTask) -> tuple[Ranker, dict[str, float]]:
    choices = [{"k1": k1, "b": b} for k1, b in product(_K1, _B)]
    chosen = _best(choices, lambda choice: Bm25(task.validation, **choice), task)
    return Bm25(task.test, **chosen), chosen


def _fit_co_occurrence(task: FitTask) -> tuple[Ranker, dict[str, float]]:
    choices = [
        {"expansion": share, "neighbours": weight}
        for share, weight in product(_EXPANSION, _NEIGHBOURS)
    ]
    chosen = _best(choices, lambda choice: _co_occurrence(task.validation, choice), task)
    return _co_occurrence(task.test, chosen), chosen


def _co_occurrence(holdout: Holdout, choice: dict[str, float]) -> CoOccurrence:
    return CoOccurrence(holdout, expansion=choice["expansion"], neighbours=choice["neighbours"])


def _fit_light_gcn(task: FitTask) -> tuple[Ranker, dict[str, float]]:
    """Choose layers and passes on the validation part, then train as long on everything
    before the test.
    """
    settings = task.settings
    begun = time.monotonic()
    share = (1 - _LAST_FIT_SHARE) / len(_LAYERS)
    tried = []
    for place, num_layers in enumerate(_LAYERS, start=1):
        candidate = LightGcnSettings(dim=settings.dim, num_layers=num_layers, seed=settings.seed)
        deadline = begun + place * share * settings.budget_seconds
        fitted = fit(
            task.validation.arrays,
            candidate,
            stop_by=task.validation,
            deadline=deadline,
            is_cancelled=task.is_cancelled,
        )
        tried.append((fitted.worth, fitted.passes, candidate))
    _, passes, best = max(tried, key=lambda each: each[0])
    final = replace(best, max_passes=max(1, passes))
    deadline = begun + settings.budget_seconds
    fitted = fit(
        task.test.arrays, final, stop_by=None, deadline=deadline, is_cancelled=task.is_cancelled
    )
    return LightGcnRanker(task.test, fitted), {
        "num_layers": best.num_layers,
        "passes": fitted.passes,
    }


def _network(
    *,
    channels: Collection[str] = CHANNEL_NAMES,
    pretrains: bool = False,
    drops_edges: bool = True,
    has_pretrained_text: bool = True,
    words: bool = True,
    walks: bool = True,
    prior: bool = True,
) -> Fitter:
    def fit_network(task: FitTask) -> tuple[Ranker, dict[str, float]]:
        """Train on everything before the test.

        Its newest eighth, the validation part, is for early stopping.
        """
        settings = replace(
            task.settings,
            **switches_for(channels),
            pretrain_passes=_PRETRAIN_PASSES if pretrains else 0,
            edge_dropout=task.settings.edge_dropout if drops_edges else 0.0,
            validation_share=VALIDATION_SHARE / (1 - TEST_SHARE),
            pretrained_text=task.settings.pretrained_text if has_pretrained_text else OFF,
            words_dim=task.settings.words_dim if words else 0,
            walk_dim=task.settings.walk_dim if walks else 0,
            item_prior=task.settings.item_prior and prior,
        )
        trained = train(task.test.arrays, settings, is_cancelled=task.is_cancelled)
        encoder = trained.text_encoder()
        new = [encoder.encode(text) for text in task.test.texts[task.test.arrays.num_queries :]]
        vectors = np.concatenate(
            [trained.query_vectors, np.array(new, np.float32).reshape(-1, encoder.vector_dim)]
        )
        weights = choose_context_weights(trained, task.test.arrays).weights
        ranker = VectorRanker(vectors, trained.item_vectors, weights)
        return ranker, {"passes": trained.evaluation["passes"]}

    return fit_network


def _paper(*, drops_edges: bool, pretrains: bool) -> Fitter:
    def fit_best(task: FitTask) -> tuple[Ranker, dict[str, float]]:
        """Tune on the validation part, then propagate over everything before the test.

        It is not trained again: it starts from texts, and what it has learned serves on
        any graph.
        """
        settings = PaperSettings(
            dim=task.settings.dim,
            num_buckets=task.settings.num_buckets,
            drops_edges=drops_edges,
            pretrains=pretrains,
            seed=task.settings.seed,
        )
        best = tune(
            task.validation,
            settings,
            budget_seconds=task.settings.budget_seconds,
            is_cancelled=task.is_cancelled,
        )
        return PaperRanker(task.test, best.network), best.chosen

    return fit_best


MODELS: dict[str, EvaluatedModel] = {
    "popularity": EvaluatedModel(fit=_fit_popularity, has_seeds=False),
    "bm25": EvaluatedModel(fit=_fit_bm25, has_seeds=False),
    "co-occurrence": EvaluatedModel(fit=_fit_co_occurrence, has_seeds=False),
    "lightgcn": EvaluatedModel(fit=_fit_light_gcn),
    "text": EvaluatedModel(fit=_network(channels=())),
    "hypergraph": EvaluatedModel(fit=_network(channels=("hypergraph",))),
    "hypergraph+pretraining": EvaluatedModel(
        fit=_network(channels=("hypergraph",), pretrains=True), is_default=False
    ),
    "hypergraph-dropedge": EvaluatedModel(
        fit=_network(channels=("hypergraph",), drops_edges=False), is_default=False
    ),
    "bipartite": EvaluatedModel(fit=_network(channels=("bipartite",))),
    "bipartite+pretraining": EvaluatedModel(
        fit=_network(channels=("bipartite",), pretrains=True), is_default=False
    ),
    "bipartite-dropedge": EvaluatedModel(
        fit=_network(channels=("bipartite",), drops_edges=False), is_default=False
    ),
    "full": EvaluatedModel(fit=_network()),
    "full-pretrained": EvaluatedModel(fit=_network(has_pretrained_text=False), is_default=False),
    "full-words": EvaluatedModel(fit=_network(words=False), is_default=False),
    "full-prior": EvaluatedModel(fit=_network(prior=False), is_default=False),
    "full-walk": EvaluatedModel(fit=_network(walks=False), is_default=False),
    "full+pretraining": EvaluatedModel(fit=_network(pretrains=True), is_default=False),
    "full-dropedge": EvaluatedModel(fit=_network(drops_edges=False), is_default=False),
    "paper": EvaluatedModel(fit=_paper(drops_edges=False, pretrains=False)),
    "paper+dropedge": EvaluatedModel(
        fit=_paper(drops_edges=True, pretrains=False), is_default=False
    ),
    "paper+pretraining": EvaluatedModel(
        fit=_paper(drops_edges=False, pretrains=True), is_default=False
    ),
    "paper+pretraining+dropedge": EvaluatedModel(
        fit=_paper(drops_edges=True, pretrains=True), is_default=False
    ),
}


def _best(
    choices: list[dict[str, float]], make: Callable[[dict[str, float]], Ranker], task: FitTask
) -> dict[str, float]:
    def worth(choice: dict[str, float]) -> float:
        refuse_if_cancelled(task.is_cancelled)
        return quality_of(ranks_of(make(choice), task.validation), task.validation.query).worth

    return max(choices, key=worth)
