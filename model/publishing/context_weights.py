"""What a running session is worth to its next query: validated on clicks that the model
has not seen.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.bootstrap import relative_interval
from model.context import NO_CONTEXT, ContextWeights, mean_of
from model.data.session_clicks import SessionClicks, session_clicks
from model.ranking import ranks_among
from model.training.result import TrainedModel
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

# Weights that are tried, each about twice the one before: MRR changes little in
# between (docs/experiments.md). The largest is of a log whose queries say next to
# nothing; twice as many take twice the time.
_TRIED = (0.0, 0.1, 0.2, 0.4, 0.8, 1.5, 3.0)
# Clicks that weights are judged by, the newest: half a minute of a core at a million
# items of 128 dimensions. Twice as many take twice that, and see 0.7 of the noise.
_MOST_CLICKS = 1000
# Sessions below which nothing is judged: a bootstrap over few is too sure of itself.
# With 30, one fit in three on `bestbuy_xbox` took 40 clicks after queries for a gain.
# Twice as many: more small shops keep what they have.
_LEAST_SESSIONS = 50
# Scores of a block: 16 MiB of float32, whatever the number of items, as in
# `model.ranking`. Twice as many take twice the memory.
_BLOCK_SCORES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class ClickVectors:
    """What clicks are judged with.

    Attributes:
        queries: ``float32 [num_queries, dim]`` unit vectors.
        items: ``float32 [num_items, dim]`` unit vectors.
        is_shown: ``bool [num_items]``: which items are ranked.
    """

    queries: Float32s
    items: Float32s
    is_shown: Bools


@dataclass(frozen=True, kw_only=True)
class ContextChoice:
    """Chosen weights, and the figures that chose them, by name.

    Attributes:
        weights: what servers use.
        figures: keys as `docs/formats-artifacts.md` lists them.
    """

    weights: ContextWeights
    figures: dict[str, float]


def choose_context_weights(
    trained: TrainedModel, arrays: GraphArrays, standing: ContextWeights = NO_CONTEXT
) -> ContextChoice:
    """Return what the session is worth to a trained model.

    Judged by the clicks since the held-out time began, with vectors that saw none of
    their sessions. A weight replaces the one that stands only where its MRR is surely
    better: where the 95% interval of the gain, by paired bootstrap over sessions, is
    above 0. So 0 stays where a session does not pay, and a refresh that has too few
    clicks to judge by keeps what its parent had.

    Args:
        trained: the model.
        arrays: what it was trained on.
        standing: the parent's weights; none where it was trained from scratch.
    """
    held_out = trained.held_out
    if not len(held_out.query_vectors):
        return ContextChoice(weights=standing, figures={})
    clicks = session_clicks(arrays, held_out.begin_ms, most=_MOST_CLICKS)
    vectors = ClickVectors(
        queries=held_out.query_vectors,
        items=held_out.item_vectors,
        is_shown=arrays.item_available & ~arrays.item_deleted,
    )
    return _choose(clicks, vectors, standing)


def click_ranks(
    clicks: SessionClicks, vectors: ClickVectors, choices: Sequence[ContextWeights]
) -> Float64s:
    """Return the rank of each click's item among the shown ones, from 1, by the vector
    of `model.context.shifted`, ``float64 [num_choices, num_clicks]``.

    What was clicked for the same query in the session before is not ranked: see
    `SessionClicks.answered`. The item itself always is. Items with equal scores share
    the mean of their ranks.

    Args:
        clicks: the clicks; their queries and items are rows of `vectors`.
        vectors: of queries and items.
        choices: each of these weights is tried.
    """
    ranks = np.zeros((len(choices), len(clicks)), dtype=np.float64)
    size = max(1, _BLOCK_SCORES // max(1, len(vectors.items)))
    for start in range(0, len(clicks), size):
        rows = np.arange(start, min(start + size, len(clicks)))
        # Lengths do not matter to an order, so the three parts are scored once each and
        # added by weight.
        plain = vectors.queries[clicks.query[rows]] @ vectors.items.T
        by_items = _means(vectors.items, [clicks.items[row] for row in rows]) @ vectors.items.T
        by_queries = (
            _means(vectors.queries, [clicks.queries[row] for row in rows]) @ vectors.items.T
        )
        wanted, item = np.arange(len(rows)), clicks.item[rows]
        is_ranked = np.tile(vectors.is_shown, (len(rows), 1))
        for place, row in enumerate(rows.tolist()):
            is_ranked[place, clicks.answered[row]] = False
        is_ranked[wanted, item] = True
        for place, weights in enumerate(choices):
            scores = plain + np.float32(weights.items) * by_items
            scores += np.float32(weights.queries) * by_queries
            ranks[place, rows] = ranks_among(scores, scores[wanted, item], is_ranked)
    return ranks


def _choose(
    clicks: SessionClicks, vectors: ClickVectors, standing: ContextWeights
) -> ContextChoice:
    """Choose the weight of the items, then that of the queries beside it."""
    clicks = clicks.take(np.flatnonzero(vectors.is_shown[clicks.item]))
    by_items, figures = _better(
        clicks, vectors, [standing._replace(items=weight) for weight in _TRIED], standing
    )
    weights = by_items
    asked = clicks.take(np.flatnonzero([len(queries) > 0 for queries in clicks.queries]))
    by_queries, query_figures = _better(
        asked, vectors, [weights._replace(queries=weight) for weight in _TRIED], weights
    )
    return ContextChoice(
        weights=by_queries,
        figures={
            **{f"context_{name}": value for name, value in figures.items()},
            **{f"context_query_{name}": value for name, value in query_figures.items()},
        },
    )


def _better(
    clicks: SessionClicks,
    vectors: ClickVectors,
    choices: list[ContextWeights],
    standing: ContextWeights,
) -> tuple[ContextWeights, dict[str, float]]:
    """Return the best of some weights if it is surely better than those that stand.

    The first of `choices` is without this kind of member.
    """
    figures = {"clicks": float(len(clicks))}
    if len(np.unique(clicks.session)) < _LEAST_SESSIONS:
        return standing, figures
    tried = [*choices, standing]
    gains = 1.0 / click_ranks(clicks, vectors, tried)
    means = gains.mean(axis=1)
    best = int(np.argmax(means[:-1]))
    low, high = relative_interval(gains[best], gains[-1], clicks.session)
    figures |= {
        "mrr_without": float(means[0]),
        "mrr": float(means[best]),
        "gain_low": low,
        "gain_high": high,
    }
    return (tried[best] if low > 0.0 else standing), figures


def _means(vectors: Float32s, members: Sequence[Int64s]) -> Float32s:
    """Return the mean vector of each list of rows, ``float32 [len(members), dim]``."""
    return np.array([mean_of(vectors[rows]) for rows in members], dtype=np.float32).reshape(
        -1, vectors.shape[1]
    )
