"""The paper's own configuration as a reference: trained on link prediction, scored by
its MLP.

Han et al., "Search Behavior Prediction: A Hypergraph Perspective" (WSDM 2023). Unlike
our own training it leaves the edges that a step supervises in the graph that the step
propagates over, as the public code does. In brackets below: names of that code.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
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

# Norm that gradients are cut to [grad_clip_norm]. As there; not tuned. Twice as much
# lets through larger steps at first.
_LARGEST_GRADIENT = 2.0
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


@dataclass(frozen=True, kw_only=True)
class PaperSettings:
    """What is switched and chosen.

    Attributes:
        dim: length of all vectors.
        num_buckets: of hashed text features.
        learning_rate: step size of Adam; `tune` tries a smaller one, too.
        scorer: what the MLP reads of a pair.
        drops_edges: leave random edges and hyperedges out of each step's graph (Rong et
            al., ICLR 2020) [use_drop_edge].
        pretrains: learn from two views of the graph before anything else [pretrain.py].
        contrast: how, and how many edges DropEdge drops.
        has_hypergraph: False: the query-item channel alone, see `PaperNetwork`.
        batch_size: edges in a step; nearly all of a step is propagation, whatever its
            edges.
        wrong_items: random items that each edge's item is told from [num_neg].
        wrong_queries: random queries that each edge's query is told from.
        max_passes: most passes over the edges; early stopping ends before. Chosen by
            hand.
        steps_between: steps from one validation to the next, in whole passes.
        patience: validations without a better one that end a fit.
        seed: of everything random.
    """

    dim: int
    num_buckets: int
    learning_rate: float = 0.005
    scorer: Scorer = "product"
    drops_edges: bool = False
    pretrains: bool = False
    contrast: ContrastSettings = _CONTRAST
    has_hypergraph: bool = True
    batch_size: int = 4096
    wrong_items: int = 5
    wrong_queries: int = 0
    max_passes: int = 500
    steps_between: int = 25
    patience: int = 6
    seed: int = 0


@dataclass(frozen=True, kw_only=True)
class FittedPaper:
    """A trained network.

    Attributes:
        network: the one with the best validation score.
        settings: that it was trained with.
        passes: passes over the edges until then.
        worth: what the validation part said then; by time, its MRR and Recall@10,
            added.
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
    arrays = validation.arrays
    graph = PaperGraph(arrays, num_queries=arrays.num_queries)
    texts = [*arrays.query_texts, *item_texts(arrays)]
    training = PaperTraining(graph, texts, graph.edge, settings)
    sampled = _some_queries(validation)
    ranker = PaperRanker(sampled, training.network)

    def worth() -> float:
        ranker.propagate()
        return _worth(ranker, sampled)

    return fit_until(training, worth, deadline=deadline, is_cancelled=is_cancelled)


def fit_until(
    training: "PaperTraining",
    worth: Callable[[], float],
    *,
    deadline: float,
    is_cancelled: Callable[[], bool],
) -> FittedPaper:
    """Train until `worth` gets no better, the passes are done, or the deadline passes.

    Args:
        training: a network on its graph; it ends with its best weights.
        worth: says how good the network is on the validation part.
        deadline: as in `fit`.
        is_cancelled: as in `fit`.

    Raises:
        TrainingCancelled: `is_cancelled` returned True.
    """
    settings = training.settings
    every = math.ceil(settings.steps_between / training.steps_a_pass)
    state, passes, best, bad = training.state(), 0, 0.0, 0
    for number in training.passes(deadline, is_cancelled):
        is_last = number == settings.max_passes or time.monotonic() > deadline
        if number % every and not is_last:
            continue
        found = worth()
        if found > best:
            state, passes, best, bad = training.state(), number, found, 0
        else:
            bad += 1
        if bad >= settings.patience:
            break
    training.network.load_state_dict(state)
    return FittedPaper(network=training.network, settings=settings, passes=passes, worth=best)


class PaperTraining:
    """A network on a graph, pre-trained and trained on it [model.train].

    Args:
        graph: what messages travel over.
        texts: of its nodes.
        edge: ``int64 [2, num_edges]``, the nodes of each edge that is learned: a query
            and an item.
        settings: size and step of the network, its switches.
    """

    def __init__(
        self, graph: PaperGraph, texts: Sequence[str], edge: Tensor, settings: PaperSettings
    ) -> None:
        torch.manual_seed(settings.seed)
        self.settings = settings
        self._graph, self._edge = graph, edge
        self._everything = graph.everything()
        self.network = PaperNetwork(
            texts,
            settings.num_buckets,
            settings.dim,
            settings.scorer,
            has_hypergraph=settings.has_hypergraph,
        )
        self._features = self.network.features(texts)
        self.steps_a_pass = max(1, round(edge.shape[1] / settings.batch_size))

    def passes(self, deadline: float, is_cancelled: Callable[[], bool]) -> Iterator[int]:
        """Pre-train, where that is wanted, then train.

        Yield the number of each pass when it is done.
        """
        if self.settings.pretrains:
            self._pretrain(deadline, is_cancelled)
        optimizer = Adam(
            [(each, 1.0) for each in self.network.parameters()], self.settings.learning_rate
        )
        for number in range(1, self.settings.max_passes + 1):
            for batch in torch.randperm(self._edge.shape[1]).tensor_split(self.steps_a_pass):
                refuse_if_cancelled(is_cancelled)
                self._step(optimizer, batch)
            yield number
            if time.monotonic() > deadline:
                break

    @torch.no_grad()
    def vectors(self) -> Tensor:
        """Return ``float32 [num_nodes, dim]``, over the whole graph."""
        return self._encode(self._everything)

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
        contrast = self.settings.contrast
        pretrain(self._encode, parameters, self._everything, nodes, contrast, is_over=is_over)

    def _encode(self, visible: VisibilityMask) -> Tensor:
        vectors: Tensor = self.network(self._features, self._graph, visible)
        return vectors

    def _step(self, optimizer: Adam, batch: Tensor) -> None:
        """Tell edges from random pairs by cross-entropy [loss.ce_loss]."""
        settings, everything = self.settings, self._everything
        only_edges = replace(settings.contrast, node_dropout=0.0)
        visible = draw_view(everything, only_edges) if settings.drops_edges else everything
        optimizer.zero_grad()
        vectors = self._encode(visible)
        query, item = self._edge[:, batch]
        wrong_query, wrong_item = self._wrong_pairs(query, item)
        right_score = self.network.scorer(vectors[query], vectors[item])
        wrong_score = self.network.scorer(vectors[wrong_query], vectors[wrong_item])
        loss = F.softplus(-right_score).mean() + F.softplus(wrong_score).mean()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _LARGEST_GRADIENT)
        optimizer.step()

    def _wrong_pairs(self, query: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Return each query with random items, then each item with random queries."""
        settings, num_queries = self.settings, self._graph.num_queries
        num_items = self._graph.num_nodes - num_queries
        items = num_queries + torch.randint(num_items, (settings.wrong_items * len(item),))
        queries = torch.randint(num_queries, (settings.wrong_queries * len(query),))
        return (
            torch.cat([query.repeat(settings.wrong_items), queries]),
            torch.cat([items, item.repeat(settings.wrong_queries)]),
        )


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
