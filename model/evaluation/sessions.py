"""What the running session brings: clicks in sessions, answered without and with it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.bootstrap import relative_interval
from model.context import ContextWeights
from stream.dtypes import Float64s, Int64s

SESSION_FIGURES = ("mrr", "recall_10")
# Ranks that count as found, of Recall@10.
_TOP = 10


@dataclass(frozen=True, kw_only=True)
class SessionRanks:
    """Clicks in sessions as a model answers them.

    Attributes:
        seed: that it was fitted with.
        weights: what it takes a session for.
        without: ``float64 [num_clicks]``, the rank of each click's item by its query
            alone.
        within: ``float64 [num_clicks]``, by the query in its session.
    """

    seed: int
    weights: ContextWeights
    without: Float64s
    within: Float64s


@dataclass(frozen=True, kw_only=True)
class SessionGain:
    """What the running session brings a model.

    Attributes:
        model: its name; of a replay, the system's.
        seed: the seed, or "mean".
        clicks: that have something before them in their session, each counting once.
        sessions: how many those are of.
        weights: what the model takes a session for; the mean over seeds.
        without: means by name of `SESSION_FIGURES`, by queries alone.
        within: the same of queries in their sessions.
        relative: by how much the second is above the first, as a share of the first; 0
            where that is 0.
        intervals: 95% intervals of `relative`, by paired bootstrap over sessions.
    """

    model: str
    seed: int | str
    clicks: int
    sessions: int
    weights: ContextWeights
    without: dict[str, float]
    within: dict[str, float]
    relative: dict[str, float]
    intervals: dict[str, tuple[float, float]]


def session_gain(
    model: str, session: Int64s, ranks: Sequence[SessionRanks], seed: int | str
) -> SessionGain:
    """Return what the session brings on the mean over some fits of a model.

    Args:
        model: its name.
        session: ``int64 [num_clicks]``, the session of each click, at least one.
        ranks: of each fit, at least one.
        seed: what the gain is to say of its seed.
    """
    without = _figures([each.without for each in ranks])
    within = _figures([each.within for each in ranks])
    means = [
        {name: float(values.mean()) for name, values in each.items()} for each in (without, within)
    ]
    return SessionGain(
        model=model,
        seed=seed,
        clicks=len(session),
        sessions=len(np.unique(session)),
        weights=ContextWeights(*np.mean([each.weights for each in ranks], axis=0).tolist()),
        without=means[0],
        within=means[1],
        relative={
            name: means[1][name] / means[0][name] - 1 if means[0][name] else 0.0
            for name in SESSION_FIGURES
        },
        intervals={
            name: relative_interval(within[name], without[name], session)
            for name in SESSION_FIGURES
        },
    )


def _figures(ranks: Sequence[Float64s]) -> dict[str, Float64s]:
    """Return each figure of each click, ``float64 [num_clicks]``, the mean of fits."""
    each = np.stack(ranks)
    return {
        "mrr": (1.0 / each).mean(axis=0),
        "recall_10": (each <= _TOP).mean(axis=0, dtype=np.float64),
    }
