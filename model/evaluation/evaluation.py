"""Fits models on a log's past and evaluates them on its future: figures by seed, means,
intervals, comparisons.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from model.bootstrap import interval
from model.context import NO_CONTEXT
from model.evaluation.baselines.lexical import Ranker
from model.evaluation.cancellation import never, refuse_if_cancelled
from model.evaluation.holdout import SEGMENTS, Holdout
from model.evaluation.models import MODELS, FitTask, VectorRanker, ranks_of
from model.evaluation.own_titles import TITLE_SEGMENTS, title_ranks
from model.evaluation.sessions import SessionGain, SessionRanks, session_gain
from model.publishing.context_weights import ClickVectors, click_ranks
from model.ranking import FIGURES, figures_by_query
from model.settings import ModelSettings
from stream.dtypes import Float64s

MEAN = "mean"
TITLE_FIGURE = "found_10"
# Figures by which a segment counts as lost: what the tables show. NDCG@10 says little
# beside MRR and Recall@10.
_COMPARED = ("mrr", "recall_10", "recall_100", TITLE_FIGURE)
# Ranks that count as found: the figure is named after them.
_TOP = 10


@dataclass(frozen=True, kw_only=True)
class ModelScore:
    """A model's figures in a segment, for one seed or on the mean.

    Attributes:
        model: its name.
        segment: one of `SEGMENTS`.
        seed: the seed, or `MEAN`.
        queries: number of evaluated queries.
        edges: how many unseen pairs they have.
        figures: by name of `FIGURES`.
        intervals: 95% intervals of the mean's figures; empty for one seed.
        seconds: to fit it, tuning included; the mean over seeds.
        chosen: settings that fitting chose, by name; empty on the mean.
    """

    model: str
    segment: str
    seed: int | str
    queries: int
    edges: int
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    seconds: float
    chosen: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ModelDifference:
    """By how much a model's means are above another's, on the same queries.

    Attributes:
        model: the one.
        against: the other.
        segment: one of `SEGMENTS`, or of `TITLE_SEGMENTS`.
        figures: the difference, by name of `FIGURES`; of titles, of `TITLE_FIGURE`.
        intervals: 95% intervals of it, by paired bootstrap.
    """

    model: str
    against: str
    segment: str
    figures: dict[str, float]
    intervals: dict[str, tuple[float, float]]

    @property
    def lost(self) -> list[str]:
        """The figures that the model loses by more than noise: their 95% interval lies
        below 0.
        """
        bounds = self.intervals
        return [figure for figure in _COMPARED if figure in bounds and bounds[figure][1] < 0]


@dataclass(frozen=True, kw_only=True)
class TitleScore:
    """How well a model finds items without clicks by their exact titles.

    Attributes:
        model: its name.
        segment: one of `TITLE_SEGMENTS`.
        seed: the seed, or `MEAN`.
        titles: how many are asked for.
        found: share of them whose item is among the first ten of an exact search.
        interval: 95% interval of the mean's share; None for one seed.
        median_rank: of the item, from 1; on the mean over all seeds together.
    """

    model: str
    segment: str
    seed: int | str
    titles: int
    found: float
    interval: tuple[float, float] | None
    median_rank: float


@dataclass(frozen=True, kw_only=True)
class _SeedResult:
    """What fitting with one seed gave.

    Attributes:
        seed: the seed.
        ranks: ``float64 [num_edges]``, of the test's pairs.
        seconds: to fit it, tuning included.
        chosen: settings that fitting chose, by name.
        sessions: of the clicks in sessions; None: the model answers by no vectors.
        title_ranks: ``float64 [num_titles]``, of the test's titles.
    """

    seed: int
    ranks: Float64s
    title_ranks: Float64s
    seconds: float
    chosen: dict[str, float]
    sessions: SessionRanks | None


class Evaluation:
    """Judges models one after the other on one test part.

    Args:
        validation: what models are tuned on.
        test: what they are judged on.
        settings: size and budget of the models; the seed is replaced by each of
            `seeds`.
        seeds: at least one.
        is_cancelled: called between the steps of a fit; True ends the evaluation.
    """

    def __init__(
        self,
        validation: Holdout,
        test: Holdout,
        settings: ModelSettings,
        seeds: Sequence[int],
        is_cancelled: Callable[[], bool] = never,
    ) -> None:
        self._task = FitTask(
            validation=validation, test=test, settings=settings, is_cancelled=is_cancelled
        )
        self._seeds = seeds
        self._pairs = {segment: np.flatnonzero(test.segment(segment)) for segment in SEGMENTS}
        self._by_query: dict[str, dict[str, dict[str, Float64s]]] = {}
        self._sessions: dict[str, list[SessionRanks]] = {}
        self._title_ranks: dict[str, Float64s] = {}

    def judge(self, name: str, on_fit: Callable[[], None] = lambda: None) -> Iterator[ModelScore]:
        """Fit a model with each seed, and yield its scores.

        Those of each seed, then the means.

        Args:
            name: of `MODELS`.
            on_fit: called before each fit.

        Raises:
            TrainingCancelled: `is_cancelled` returned True.
        """
        has_seeds = MODELS[name].has_seeds
        fits = [
            self._fit(name, seed, on_fit)
            for seed in (self._seeds if has_seeds else self._seeds[:1])
        ]
        self._sessions[name] = [fit.sessions for fit in fits if fit.sessions is not None]
        self._title_ranks[name] = np.stack([fit.title_ranks for fit in fits])
        self._by_query[name] = {segment: self._figures(fits, segment) for segment in SEGMENTS}
        for place, fit in enumerate(fits):
            for segment, figures in self._by_query[name].items():
                means = {figure: _mean(values[place]) for figure, values in figures.items()}
                yield self._score(name, segment, fit, means)
        seconds = float(np.mean([fit.seconds for fit in fits]))
        for segment, figures in self._by_query[name].items():
            means = {figure: _mean(values) for figure, values in figures.items()}
            intervals = {figure: interval(values) for figure, values in figures.items()}
            score = self._score(name, segment, fits[0], means)
            yield replace(score, seed=MEAN, intervals=intervals, seconds=seconds, chosen={})

    def compare(self, name: str, against: str) -> Iterator[ModelDifference]:
        """Yield by how much a model is better than another, a segment at a time.

        Both were judged before. Titles come last.
        """
        for segment in SEGMENTS:
            ours, theirs = self._by_query[name][segment], self._by_query[against][segment]
            by_query = {figure: ours[figure] - theirs[figure] for figure in FIGURES}
            yield _difference(name, against, segment, by_query)
        for segment in self._asked_titles():
            found = self._found(name, segment) - self._found(against, segment)
            yield _difference(name, against, segment, {TITLE_FIGURE: found})

    def own_titles(self, name: str) -> Iterator[TitleScore]:
        """Yield how well a model that was judged before finds items without clicks by
        their titles.

        For each seed, then on the mean, a segment at a time; nothing of a segment
        without items.
        """
        for segment in self._asked_titles():
            ranks = self._title_ranks[name][:, self._task.test.titles.segments[segment]]
            seeds = self._seeds if MODELS[name].has_seeds else self._seeds[:1]
            for seed, of_seed in zip(seeds, ranks, strict=True):
                yield _title_score(name, segment, seed, of_seed[None])
            mean = _title_score(name, segment, MEAN, ranks)
            yield replace(mean, interval=interval(self._found(name, segment)))

    def _asked_titles(self) -> Iterator[str]:
        """Yield the title segments that have items."""
        segments = self._task.test.titles.segments
        return (segment for segment in TITLE_SEGMENTS if segments[segment].any())

    def _found(self, name: str, segment: str) -> Float64s:
        """Return which titles of a segment are found, ``float64 [num_seeds,
        num_titles]``.
        """
        chosen = self._task.test.titles.segments[segment]
        return (self._title_ranks[name][:, chosen] <= _TOP).astype(np.float64)

    def in_sessions(self, name: str) -> Iterator[SessionGain]:
        """Yield what the running session brings a model that was judged before.

        For each seed, then on the mean; nothing where no click has something before it,
        or the model cannot take it.
        """
        session, ranks = self._task.test.clicks.session, self._sessions[name]
        if not len(session) or not ranks:
            return
        for each in ranks:
            yield session_gain(name, session, [each], each.seed)
        yield session_gain(name, session, ranks, MEAN)

    def _fit(self, name: str, seed: int, on_fit: Callable[[], None]) -> _SeedResult:
        refuse_if_cancelled(self._task.is_cancelled)
        on_fit()
        began = time.monotonic()
        settings = replace(self._task.settings, seed=seed)
        ranker, chosen = MODELS[name].fit(replace(self._task, settings=settings))
        seconds = time.monotonic() - began
        return _SeedResult(
            seed=seed,
            ranks=ranks_of(ranker, self._task.test),
            title_ranks=title_ranks(ranker.scores, self._task.test.titles, self._task.test.arrays),
            seconds=seconds,
            chosen=chosen,
            sessions=self._in_sessions(ranker, seed),
        )

    def _in_sessions(self, ranker: Ranker, seed: int) -> SessionRanks | None:
        if not isinstance(ranker, VectorRanker):
            return None
        test, weights = self._task.test, ranker.context_weights
        vectors = ClickVectors(
            queries=ranker.query_vectors,
            items=ranker.item_vectors,
            is_shown=test.arrays.item_available & ~test.arrays.item_deleted,
        )
        ranks = click_ranks(test.clicks, vectors, [NO_CONTEXT, weights])
        return SessionRanks(seed=seed, weights=weights, without=ranks[0], within=ranks[1])

    def _figures(self, fits: Sequence[_SeedResult], segment: str) -> dict[str, Float64s]:
        """Return each figure as ``float64 [num_seeds, num_queries]``."""
        pairs = self._pairs[segment]
        query = self._task.test.query[pairs]
        each = [figures_by_query(fit.ranks[pairs], query) for fit in fits]
        return {figure: np.stack([one[figure] for one in each]) for figure in FIGURES}

    def _score(
        self, name: str, segment: str, fit: _SeedResult, figures: dict[str, float]
    ) -> ModelScore:
        pairs = self._pairs[segment]
        return ModelScore(
            model=name,
            segment=segment,
            seed=fit.seed,
            queries=len(np.unique(self._task.test.query[pairs])),
            edges=len(pairs),
            figures=figures,
            intervals={},
            seconds=fit.seconds,
            chosen=fit.chosen,
        )


def _difference(
    name: str, against: str, segment: str, values: dict[str, Float64s]
) -> ModelDifference:
    """Return a difference from values by figure, ``float64 [num_seeds, n]`` each."""
    return ModelDifference(
        model=name,
        against=against,
        segment=segment,
        figures={figure: _mean(each) for figure, each in values.items()},
        intervals={figure: interval(each) for figure, each in values.items()},
    )


def _title_score(name: str, segment: str, seed: int | str, ranks: Float64s) -> TitleScore:
    """Return a score from ranks ``float64 [num_seeds, num_titles]``."""
    return TitleScore(
        model=name,
        segment=segment,
        seed=seed,
        titles=ranks.shape[1],
        found=float((ranks <= _TOP).mean()),
        interval=None,
        median_rank=float(np.median(ranks)),
    )


def _mean(values: Float64s) -> float:
    return float(values.mean()) if values.size else 0.0
