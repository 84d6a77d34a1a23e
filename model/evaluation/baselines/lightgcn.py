"""The LightGCN baseline (He et al., SIGIR 2020), as PyTorch Geometric has it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor
from torch_geometric.nn.models import LightGCN

from model.evaluation.baselines.lexical import popularity
from model.evaluation.cancellation import refuse_if_cancelled
from model.evaluation.holdout import Holdout
from model.ranking import quality_of, scored_ranks
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays

# Passes from one validation to the next. Chosen by hand. Twice as many: fewer of them,
# and training ends later.
_EVERY = 5
# Validations without a better one before training stops. Chosen by hand; twice as many
# train 20 passes longer.
_PATIENCE = 4
# Edges in a step, each with one wrong item. Chosen by hand: a step propagates over the
# whole graph. Twice as many halve the steps of a pass.
_BATCH = 4096


@dataclass(frozen=True, kw_only=True)
class FittedLightGcn:
    """A trained LightGCN as vectors.

    Attributes:
        query_vectors: ``float32 [num_queries, dim]``.
        item_vectors: ``float32 [num_items, dim]``.
        passes: passes over the edges that it was trained for.
        worth: MRR and Recall@10 on what it was stopped by, added; 0: it was not stopped
            by anything.
    """

    query_vectors: Float32s
    item_vectors: Float32s
    passes: int
    worth: float = 0.0


class LightGcnRanker:
    """LightGCN for queries that it has vectors for, popularity for the others.

    It knows ids, not words.
    """

    def __init__(self, holdout: Holdout, fitted: FittedLightGcn) -> None:
        self._fitted = fitted
        self._popularity = popularity(holdout.arrays)
        self._has_vector = np.zeros(len(holdout.texts), dtype=np.bool_)
        self._has_vector[holdout.arrays.edge_query] = True

    def scores(self, queries: Int64s) -> Float32s:
        """Return inner products, or clicks."""
        found = np.broadcast_to(self._popularity, (len(queries), len(self._popularity))).copy()
        known = self._has_vector[queries]
        found[known] = self._fitted.query_vectors[queries[known]] @ self._fitted.item_vectors.T
        return found


@dataclass(frozen=True, kw_only=True)
class LightGcnSettings:
    """Size and step of the model, and how long it trains at most.

    The number of layers is chosen on the validation part; the step and the most passes
    were chosen by hand and not tuned.
    """

    dim: int
    num_layers: int
    # Adam's step, and passes at most: chosen by hand; not tuned. Twice as many passes
    # rarely run, since validation stops them.
    learning_rate: float = 0.005
    max_passes: int = 200
    seed: int = 0


def fit(
    arrays: GraphArrays,
    settings: LightGcnSettings,
    *,
    stop_by: Holdout | None,
    deadline: float,
    is_cancelled: Callable[[], bool],
) -> FittedLightGcn:
    """Train with Bayesian personalised ranking on all edges.

    Args:
        arrays: the graph.
        settings: size and step of the model, how many passes at most.
        stop_by: pairs to stop by; None: all passes are done.
        deadline: `time.monotonic` at which to end, whatever was reached.
        is_cancelled: called before every step.

    Raises:
        TrainingCancelled: `is_cancelled` returned True.
    """
    torch.manual_seed(settings.seed)
    rng = np.random.default_rng(settings.seed)
    num_queries, num_items = arrays.num_queries, arrays.num_items
    edges = torch.from_numpy(np.stack([arrays.edge_query, num_queries + arrays.edge_item]))
    both_ways = torch.cat([edges, edges.flip(0)], dim=1)
    model = LightGCN(num_queries + num_items, settings.dim, settings.num_layers)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    best = _fitted(model, both_ways, num_queries, 0)
    bad = number = 0
    for number in range(1, settings.max_passes + 1):
        for batch in np.array_split(
            rng.permutation(edges.shape[1]), max(1, edges.shape[1] // _BATCH)
        ):
            refuse_if_cancelled(is_cancelled)
            _step(model, optimizer, edges[:, batch], both_ways, num_queries, num_items)
        is_last = number == settings.max_passes or time.monotonic() > deadline
        if stop_by is not None and (number % _EVERY == 0 or is_last):
            found = _judged(_fitted(model, both_ways, num_queries, number), stop_by)
            bad = 0 if found.worth > best.worth else bad + 1
            best = max(best, found, key=lambda each: each.worth)
        if is_last or bad >= _PATIENCE:
            break
    return best if stop_by else _fitted(model, both_ways, num_queries, number)


def _step(
    model: LightGCN,
    optimizer: torch.optim.Optimizer,
    batch: Tensor,
    both_ways: Tensor,
    num_queries: int,
    num_items: int,
) -> None:
    wrong = num_queries + torch.randint(num_items, (batch.shape[1],))
    optimizer.zero_grad()
    pairs = torch.cat([batch, torch.stack([batch[0], wrong])], dim=1)
    right, other = model(both_ways, edge_label_index=pairs).chunk(2)
    loss = model.recommendation_loss(right, other, node_id=torch.unique(pairs))
    loss.backward()
    optimizer.step()


def _fitted(model: LightGCN, both_ways: Tensor, num_queries: int, passes: int) -> FittedLightGcn:
    with torch.no_grad():
        vectors = model.get_embedding(both_ways).numpy()
    return FittedLightGcn(
        query_vectors=vectors[:num_queries], item_vectors=vectors[num_queries:], passes=passes
    )


def _judged(fitted: FittedLightGcn, stop_by: Holdout) -> FittedLightGcn:
    ranker = LightGcnRanker(stop_by, fitted)
    ranks = scored_ranks(
        ranker.scores, stop_by.arrays.num_items, (stop_by.query, stop_by.item), stop_by.seen
    )
    return replace(fitted, worth=quality_of(ranks, stop_by.query).worth)
