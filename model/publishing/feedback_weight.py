"""What the clicks since a training are worth to their queries: validated on clicks that
the model has not seen.
"""

from dataclasses import dataclass

import numpy as np

from model.bootstrap import relative_interval
from model.data.repeat_clicks import RepeatClicks, repeat_clicks
from model.feedback import NewClicks, pulls
from model.ranking import ranks_among
from model.training.result import TrainedModel
from stream.dtypes import Bools, Float32s, Float64s
from stream.graph.arrays import GraphArrays

FIRST_WEIGHT = 0.4
"""The weight before there is enough to judge one by.

By the logs of docs/experiments.md: one click then brings its item among the first ten
whatever the words, and no segment loses. Half as much leaves some of those items out;
twice as much costs pairs that nobody has clicked yet.
"""
# Weights that are tried, each about twice the one before: MRR changes little in
# between (docs/experiments.md). Twice the largest loses unseen pairs on every log.
_TRIED = (0.0, 0.1, 0.2, 0.4, 0.8, 1.6)
# Clicks that weights are judged by: half a minute of a core at a million items of 128
# dimensions. Twice as many take twice that, and see 0.7 of the noise.
_MOST_CLICKS = 1000
# Sessions below which nothing is judged, as in `context_weights`: a bootstrap over few
# is too sure of itself. Twice as many: more small shops keep what they have.
_LEAST_SESSIONS = 50
# Scores of a block: 16 MiB of float32, whatever the number of items, as in
# `model.ranking`. Twice as many take twice the memory.
_BLOCK_SCORES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class FeedbackChoice:
    """The chosen weight, and the figures that chose it, by name.

    Attributes:
        weight: what the fresh lane uses.
        figures: keys as `docs/formats-artifacts.md` lists them.
    """

    weight: float
    figures: dict[str, float]


def choose_feedback_weight(
    trained: TrainedModel, arrays: GraphArrays, standing: float = FIRST_WEIGHT
) -> FeedbackChoice:
    """Return what new clicks are worth to a trained model.

    Judged by the clicks since the held-out time began, with vectors that saw none of
    their sessions, as the fresh lane meets them: each after the clicks of its query
    since then. Tried are the weights with which pairs that nobody had clicked before
    rank no worse than with none. The best of those replaces the one that stands only
    where its MRR over all clicks is surely better: where the 95% interval of the gain,
    by paired bootstrap over sessions, is above 0; or where the one that stands surely
    loses such pairs.

    Args:
        trained: the model.
        arrays: what it was trained on.
        standing: the parent's weight.
    """
    held_out = trained.held_out
    if not len(held_out.query_vectors):
        return FeedbackChoice(weight=standing, figures={})
    is_shown = arrays.item_available & ~arrays.item_deleted
    tried = [*_TRIED, standing]

    def gains_of(clicks: RepeatClicks) -> Float64s:
        vectors = held_out.query_vectors, held_out.item_vectors
        return 1.0 / click_ranks(clicks, *vectors, is_shown, tried)

    clicks = repeat_clicks(arrays, held_out.begin_ms, is_shown, most=_MOST_CLICKS)
    figures = {"feedback_clicks": float(len(clicks))}
    if len(np.unique(clicks.session)) < _LEAST_SESSIONS:
        return FeedbackChoice(weight=standing, figures=figures)
    gains = gains_of(clicks)
    unseen = repeat_clicks(arrays, held_out.begin_ms, is_shown, most=_MOST_CLICKS, only_unseen=True)
    keeps_unseen, loses_unseen = np.ones(len(tried), dtype=np.bool_), False
    # Few of them are too few to tell, and to matter.
    if len(np.unique(unseen.session)) >= _LEAST_SESSIONS:
        there = gains_of(unseen)
        keeps_unseen = there.sum(axis=1) >= there[0].sum()
        loses_unseen = relative_interval(there[-1], there[0], unseen.session)[1] < 0.0
    best = int(np.argmax(np.where(keeps_unseen, gains.mean(axis=1), -1.0)[:-1]))
    low, high = relative_interval(gains[best], gains[-1], clicks.session)
    figures |= {
        "feedback_unseen_clicks": float(len(unseen)),
        "feedback_mrr_without": float(gains[0].mean()),
        "feedback_mrr": float(gains[best].mean()),
        "feedback_gain_low": low,
        "feedback_gain_high": high,
    }
    return FeedbackChoice(
        weight=tried[best] if low > 0.0 or loses_unseen else standing, figures=figures
    )


def click_ranks(
    clicks: RepeatClicks,
    queries: Float32s,
    items: Float32s,
    is_shown: Bools,
    weights: list[float],
) -> Float64s:
    """Return the rank of each click's item among the shown ones, from 1, by the vector
    of `model.feedback.fed_back`, ``float64 [num_weights, num_clicks]``.

    Items with equal scores share the mean of their ranks.

    Args:
        clicks: the clicks, on shown items.
        queries: ``float32 [num_queries, dim]`` unit vectors.
        items: ``float32 [num_items, dim]`` unit vectors.
        is_shown: ``bool [num_items]``: which items are ranked.
        weights: each of these is tried.
    """
    ranks = np.zeros((len(weights), len(clicks)), dtype=np.float64)
    before = NewClicks(clicks.place, clicks.sessions, clicks.before, items)
    pull = pulls(before, len(clicks), items.shape[1])
    size = max(1, _BLOCK_SCORES // max(1, len(items)))
    for start in range(0, len(clicks), size):
        rows = slice(start, start + size)
        # Lengths do not matter to an order, so the two parts are scored once each and
        # added by weight.
        plain, pulled = queries[clicks.query[rows]] @ items.T, pull[rows] @ items.T
        wanted, item = np.arange(len(plain)), clicks.item[rows]
        for place, weight in enumerate(weights):
            scores = plain + np.float32(weight) * pulled
            ranks[place, rows] = ranks_among(scores, scores[wanted, item], is_shown)
    return ranks
