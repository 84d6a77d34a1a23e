"""Fits the models of the paper's protocol and evaluates them by group: figures by seed,
means, intervals, comparisons.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from model.bootstrap import interval, relative_interval
from model.evaluation.cancellation import never, refuse_if_cancelled
from model.evaluation.paper.candidates import draw_candidates
from model.evaluation.paper.figures import FIGURES, figures_of_pairs
from model.evaluation.paper.groups import GROUPS
from model.evaluation.paper.models import MODELS, Messages, PaperTask
from model.evaluation.paper.split import split_at_random
from model.settings import ModelSettings
from stream.dtypes import Bools, Float64s
from stream.graph.arrays import GraphArrays

MEAN: Final = "mean"
ALL: Final = "all"
# Wrong items of a tested pair, and wrong queries: a hundred together. The public
# code's. Twice as many lower every MRR.
_TESTED_WRONG = 50
# The same of a validated pair [num_neg]. The public code's; twice as many are surer and
# take twice as long.
_VALIDATED_WRONG = 5


@dataclass(frozen=True, kw_only=True)
class PaperScore:
    """A model's figures in a group, for one seed or on the mean.

    Attributes:
        model: its name.
        messages: what they travelled over, `model.evaluation.paper.models.Messages`.
        group: one of `model.evaluation.paper.groups.GROUPS`, or "all" of them.
        seed: the seed, or `MEAN`.
        pairs: how many pairs are tested.
        figures: by name of `model.evaluation.paper.figures.FIGURES`.
        intervals: 95% intervals of the mean's figures; empty for one seed.
        seconds: to fit it; the mean over seeds.
        chosen: what fitting chose, by name; empty on the mean.
    """

    model: str
    messages: Messages
    group: str
    seed: int | str
    pairs: int
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    seconds: float
    chosen: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class PaperGain:
    """By how much a model's means are above another's, as a share of these, on the same
    pairs and messages.

    Attributes:
        model: the one.
        against: the other.
        messages: as in `PaperScore`.
        group: as in `PaperScore`.
        figures: the gain, by name of `FIGURES`, 0.1 being a tenth more; without those
            that are 0 for the other.
        intervals: 95% intervals of it, by paired bootstrap over queries.
    """

    model: str
    against: str
    messages: Messages
    group: str
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]


_Figures = dict[str, Float64s]


class PaperEvaluation:
    """Evaluates models one after the other on one random split of a log's edges.

    Split and candidates are drawn with the seed of the settings, once for all models;
    each fit has a seed of its own.

    Args:
        arrays: the graph of the whole log.
        settings: size and budget of the models.
        seeds: of the fits, at least one.
        is_cancelled: called between the steps of a fit; True ends the evaluation.

    Raises:
        EvaluationRefused: the log is too small to split, or to draw wrong pairs from.
    """

    def __init__(
        self,
        arrays: GraphArrays,
        settings: ModelSettings,
        seeds: Sequence[int],
        is_cancelled: Callable[[], bool] = never,
    ) -> None:
        self._split = split_at_random(arrays, settings.seed)
        rng = np.random.default_rng(settings.seed)
        tested, validated = (
            draw_candidates(arrays, self._split.pairs(edges), each, rng)
            for edges, each in (
                (self._split.test, _TESTED_WRONG),
                (self._split.validation, _VALIDATED_WRONG),
            )
        )
        self._candidates = tested
        self._task = PaperTask(
            split=self._split,
            messages="clean",
            validation=validated,
            settings=settings,
            is_cancelled=is_cancelled,
        )
        self._seeds = seeds
        self._groups: dict[str, Bools] = {
            name: self._split.of_group(name) for name in (ALL, *GROUPS)
        }
        self._figures: dict[tuple[str, Messages], dict[str, _Figures]] = {}

    def num_fits(self, names: Sequence[str]) -> int:
        """How many fits `judge` makes for some models."""
        return sum(len(MODELS[name].messages) for name in names) * len(self._seeds)

    def judge(self, name: str, on_fit: Callable[[], None] = lambda: None) -> Iterator[PaperScore]:
        """Fit a model with each seed over each kind of messages, and yield its scores.

        Those of each seed, then the means.

        Args:
            name: of `MODELS`.
            on_fit: called after each fit.

        Raises:
            TrainingCancelled: `is_cancelled` returned True.
        """
        for messages in MODELS[name].messages:
            fits, seconds = [], []
            for seed in self._seeds:
                began = time.monotonic()
                figures, chosen = self._fit(name, messages, seed)
                fits.append(figures)
                seconds.append(time.monotonic() - began)
                on_fit()
                score = self._score(name, messages, seconds[-1:], [figures])
                yield from (replace(each, seed=seed, chosen=chosen) for each in score)
            self._figures[name, messages] = _stacked(fits)
            for each in self._score(name, messages, seconds, fits):
                values = self._figures[name, messages][each.group]
                intervals = {figure: interval(values[figure]) for figure in FIGURES}
                yield replace(each, intervals=intervals)

    def gains(self, name: str) -> Iterator[PaperGain]:
        """Yield by how much a model is better than those it is compared with, of those
        that were judged.
        """
        for against in MODELS[name].against:
            for messages in MODELS[name].messages:
                ours, theirs = (self._figures.get((each, messages)) for each in (name, against))
                if ours is None or theirs is None or name == against:
                    continue
                for group in self._groups:
                    yield self._gain(name, against, messages, group, ours[group], theirs[group])

    def _fit(
        self, name: str, messages: Messages, seed: int
    ) -> tuple[dict[str, _Figures], dict[str, float]]:
        """Return each group's figures of its pairs, and what fitting chose."""
        refuse_if_cancelled(self._task.is_cancelled)
        settings = replace(self._task.settings, seed=seed)
        task = replace(self._task, messages=messages, settings=settings)
        scores, chosen = MODELS[name].fit(task)
        right, wrong = self._candidates.scored(scores)
        return {
            group: figures_of_pairs(right[pairs], wrong[pairs])
            for group, pairs in self._groups.items()
        }, chosen

    def _score(
        self,
        name: str,
        messages: Messages,
        seconds: Sequence[float],
        fits: Sequence[dict[str, _Figures]],
    ) -> Iterator[PaperScore]:
        for group, values in _stacked(fits).items():
            yield PaperScore(
                model=name,
                messages=messages,
                group=group,
                seed=MEAN,
                pairs=values[FIGURES[0]].shape[1],
                figures={figure: _mean(values[figure]) for figure in FIGURES},
                intervals={},
                seconds=float(np.mean(seconds)),
                chosen={},
            )

    def _gain(  # two models, and where they are compared
        self,
        name: str,
        against: str,
        messages: Messages,
        group: str,
        ours: _Figures,
        theirs: _Figures,
    ) -> PaperGain:
        query = np.tile(self._candidates.query[self._groups[group]], len(self._seeds))
        gains, intervals = {}, {}
        for figure in FIGURES:
            one, other = ours[figure], theirs[figure]
            if not _mean(other):
                continue
            gains[figure] = _mean(one) / _mean(other) - 1.0
            intervals[figure] = relative_interval(one.ravel(), other.ravel(), query)
        return PaperGain(
            model=name,
            against=against,
            messages=messages,
            group=group,
            figures=gains,
            intervals=intervals,
        )


def _stacked(fits: Sequence[dict[str, _Figures]]) -> dict[str, _Figures]:
    """Return each group's figures as ``float64 [num_fits, num_pairs]``."""
    return {
        group: {figure: np.stack([fit[group][figure] for fit in fits]) for figure in FIGURES}
        for group in fits[0]
    }


def _mean(values: Float64s) -> float:
    return float(values.mean()) if values.size else 0.0
