"""The paper's own configuration as a reference: trained on link prediction, scored by
its MLP.

Han et al., "Search Behavior Prediction: A Hypergraph Perspective" (WSDM 2023). Unlike
our own training it leaves the edges that a step supervises in the graph that the step
propagates over.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from model.data.texts import item_texts
from model.evaluation.baselines.dcah_network import PaperGraph, PaperNetwork, Scorer
from model.evaluation.cancellation import refuse_if_cancelled
from model.evaluation.holdout import Holdout
from model.network.graph import VisibilityMask
from model.ranking import quality_of, scored_ranks
from model.training.optimizer import Adam
from model.training.pretraining import ContrastSettings, draw_view, pretrain
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays

# Edges in a step. By hand: nearly all of a step is propagation, whatever its edges.
# Twice as many halve the steps of a pass.
_BATCH = 4096
# Random items that each edge's item is ranked against. Chosen by hand; not tuned. Twice
# as many make scoring twice as long.
_NEGATIVES = 5
# Norm that gradients are cut to. Chosen by hand; not tuned. Twice as much lets through
# larger steps at first.
_LARGEST_GRADIENT = 2.0
# Steps from one validation to the next, and how many without a better one end a fit.
# Chosen by hand; twice as many of either train longer after the best pass.
_STEPS_BETWEEN, _PATIENCE = 25, 6
# Queries of a validation. By hand: an MLP scores every pair. Twice as many are surer
# and take twice as long.
_ASKED_QUERIES = 500
# Times the step that is tried last, once the scorer is chosen. By hand: the usual step
# may be too large. Twice as much is nearly the same step.
_SLOWER = 0.4
# Share of a fit's time that pre-training may take. Chosen by hand; not tuned. Twice as
# much leaves a fifth for training.
_PRETRAINING_SHARE = 0.4
_CONTRAST = ContrastSettings()
_DROP_EDGE = replace(_CONTRAST, node_dropout=0.0)


@dataclass(frozen=True, kw_only=True)
class PaperSettings:
    """What is switched and chosen.

    Attributes:
        dim: length of all vectors.
        num_buckets: of hashed text features.
        learning_rate: step size of Adam; `tune` tries a smaller one, too.
        scorer: what the MLP reads of a pair.
        drops_edges: leave random edges and hyperedges out of each step's graph (Rong et
            al., ICLR 2020).
        pretrains: learn from two views of the graph before anything else.
        max_passes: most passes over the edges; early stopping ends before. Chosen by
            hand.
        seed: of everything random.
    """

    dim: int
    num_buckets: int
    learning_rate: float = 0.005
    scorer: Scorer = "product"
    drops_edges: bool = False
    pretrains: bool = False
    max_passes: int = 500
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FittedPaper:
    """A trained network.

    Attributes:
        network: the one with the best validation score.
        settings: that it was trained with.
        passes: passes over the edges until then.
        worth: MRR and Recall@10 on the validation part then, added.
    """

    network: PaperNetwork
    settings: PaperSettings
    passes: int
    worth: float

    @property
    def chosen(self) -> dict[str, float]:
        """What may differ from one fit to the next, by name."""
        return {
            "learning_rate": self.settings.learning_rate,
            "reads_product": float(self.settings.scorer == "product"),
            "passes": self.passes,
        }


class PaperRanker:
    """Scores by the MLP; a query that is new to the graph is a node
    without neighbours.
    """

    def __init__(self, holdout: Holdout, network: PaperNetwork) -> None:
        self._network = network
        self._graph = PaperGraph(holdout.arrays, num_queries=len(holdout.texts))
        self._features = network.features([*holdout.texts, *item_texts(holdout.arrays)])
        self.propagate()

    def propagate(self) -> None:
        """Propagate with the network's current weights."""
        with torch.no_grad():
            vectors = self._network(self._features, self._graph, self._graph.everything())
        self._query, self._item = vectors.tensor_split([self._graph.num_queries])

    def scores(self, queries: Int64s) -> Float32s:
        """Return logits."""
        with torch.no_grad():
            table: Float32s = self._network.scorer.table(self._query[queries], self._item).numpy()
        return table


def tune(
    validation: Holdout,
    settings: PaperSettings,
    *,
    budget_seconds: float,
    is_cancelled: Callable[[], bool],
) -> FittedPaper:
    """Choose what the MLP reads, then the step, on the validation part.

    What is left of the time is shared.

    Raises:
        TrainingCancelled: `is_cancelled` returned True.
    """
    end = time.monotonic() + budget_seconds

    def fit_one(candidate: PaperSettings, num_left: int) -> FittedPaper:
        now = time.monotonic()
        return fit(
            validation, candidate, deadline=now + (end - now) / num_left, is_cancelled=is_cancelled
        )

    product = fit_one(replace(settings, scorer="product"), 3)
    concatenation = fit_one(replace(settings, scorer="concatenation"), 2)
    better = max(product, concatenation, key=lambda each: each.worth)
    slower = fit_one(replace(better.settings, learning_rate=_SLOWER * settings.learning_rate), 1)
    return max(better, slower, key=lambda each: each.worth)


def fit(
    validation: Holdout,
    settings: PaperSettings,
    *,
    deadline: float,
    is_cancelled: Callable[[], bool],
) -> FittedPaper:
    """Train until the validation part's pairs are ranked no better, the passes are
    done, or the deadline passes.

    Args:
        validation: what to learn from, and the pairs for early stopping.
        settings: size and step of the network, its switches.
        deadline: `time.monotonic` at which to end, whatever was reached.
        is_cancelled: called before every step.

    Raises:
        TrainingCancelled: `is_cancelled` returned True.
    """
    run = _Run(validation.arrays, settings)
    sampled = _some_queries(validation)
    ranker = PaperRanker(sampled, run.network)
    every = math.ceil(_STEPS_BETWEEN / run.steps_a_pass)
    state, passes, worth, bad = run.state(), 0, 0.0, 0
    for number in run.passes(deadline, is_cancelled):
        is_last = number == settings.max_passes or time.monotonic() > deadline
        if number % every and not is_last:
            continue
        ranker.propagate()
        found = _worth(ranker, sampled)
        if found > worth:
            state, passes, worth, bad = run.state(), number, found, 0
        else:
            bad += 1
        if bad >= _PATIENCE:
            break
    run.network.load_state_dict(state)
    return FittedPaper(network=run.network, settings=settings, passes=passes, worth=worth)


class _Run:
    """A network on a graph, pre-trained and trained on it."""

    def __init__(self, arrays: GraphArrays, settings: PaperSettings) -> None:
        torch.manual_seed(settings.seed)
        self._settings = settings
        self._num_items = arrays.num_items
        self._graph = PaperGraph(arrays, num_queries=arrays.num_queries)
        self._everything = self._graph.everything()
        texts = [*arrays.query_texts, *item_texts(arrays)]
        self.network = PaperNetwork(texts, settings.num_buckets, settings.dim, settings.scorer)
        self._features = self.network.features(texts)
        self.steps_a_pass = max(1, round(self._graph.edge.shape[1] / _BATCH))

    def passes(self, deadline: float, is_cancelled: Callable[[], bool]) -> Iterator[int]:
        """Pre-train, where that is wanted, then train.

        Yield the number of each pass when it is done.
        """
        if self._settings.pretrains:
            self._pretrain(deadline, is_cancelled)
        optimizer = Adam(
            [(each, 1.0) for each in self.network.parameters()], self._settings.learning_rate
        )
        for number in range(1, self._settings.max_passes + 1):
            for batch in torch.randperm(self._graph.edge.shape[1]).tensor_split(self.steps_a_pass):
                refuse_if_cancelled(is_cancelled)
                self._step(optimizer, batch)
            yield number
            if time.monotonic() > deadline:
                break

    def state(self) -> dict[str, Tensor]:
        """Return a copy of the weights."""
        return {name: value.clone() for name, value in self.network.state_dict().items()}

    def _pretrain(self, deadline: float, is_cancelled: Callable[[], bool]) -> None:
        now = time.monotonic()
        end = now + _PRETRAINING_SHARE * (deadline - now)

        def is_over() -> bool:
            refuse_if_cancelled(is_cancelled)
            return time.monotonic() > end

        names = self.network.named_parameters()
        parameters = [(value, 1.0) for name, value in names if not name.startswith("scorer.")]
        nodes = self._graph.connected()
        pretrain(self._encode, parameters, self._everything, nodes, _CONTRAST, is_over=is_over)

    def _encode(self, visible: VisibilityMask) -> Tensor:
        vectors: Tensor = self.network(self._features, self._graph, visible)
        return vectors

    def _step(self, optimizer: Adam, batch: Tensor) -> None:
        visible = (
            draw_view(self._everything, _DROP_EDGE)
            if self._settings.drops_edges
            else self._everything
        )
        optimizer.zero_grad()
        vectors = self._encode(visible)
        query, item = self._graph.edge[:, batch]
        wrong = self._graph.num_queries + torch.randint(self._num_items, (_NEGATIVES * len(batch),))
        right_score = self.network.scorer(vectors[query], vectors[item])
        wrong_score = self.network.scorer(vectors[query.repeat(_NEGATIVES)], vectors[wrong])
        loss = F.softplus(-right_score).mean() + F.softplus(wrong_score).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        optimizer.step()


def _some_queries(holdout: Holdout) -> Holdout:
    """Return the holdout with the pairs of a sample of its queries.

    An MLP takes long over all.
    """
    queries = np.unique(holdout.query)
    drawn = np.random.default_rng(0).permutation(queries)[:_ASKED_QUERIES]
    sampled = np.isin(holdout.query, drawn)
    return replace(holdout, query=holdout.query[sampled], item=holdout.item[sampled])


def _worth(ranker: PaperRanker, holdout: Holdout) -> float:
    pairs = (holdout.query, holdout.item)
    ranks = scored_ranks(ranker.scores, holdout.arrays.num_items, pairs, holdout.seen)
    return quality_of(ranks, holdout.query).worth
