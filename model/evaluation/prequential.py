"""Replays a log in order of time, to compare nightly retraining with streaming
refreshes.

Both predict each click before either learns from it (prequential evaluation: Dawid,
1984). Both train and publish as `freshet tune` does, into folders of their own, and
answer from what is live there: a query that is known by its vector, another through the
text encoder. All clicks count, those of pairs seen before too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.errors import EvaluationRefused, GateRefused
from model.evaluation.bootstrap import relative_interval
from model.evaluation.cancellation import never, refuse_if_cancelled
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.ranking import edge_ranks
from model.settings import ModelSettings
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays
from stream.reading.manifest import SnapshotCounts, SnapshotInfo

Read = Callable[[int | None], GraphArrays]

CLICK_SEGMENTS = ("all", "repeated", "unseen", "new_queries", "young_queries", "young_items")
CLICK_FIGURES = ("mrr", "recall_10")
NIGHTLY, STREAMED = "nightly", "streamed"
DAY_MS = 86_400_000  # a day, in milliseconds
# Ranks that count as found, of Recall@10.
_TOP = 10


@dataclass(frozen=True, kw_only=True)
class ReplayPlan:
    """Which clicks are predicted, and how often the streamed system is refreshed.

    Attributes:
        refresh_every: clicks from one refresh to the next.
        start_share: share of the clicks before the first predicted day. Half, chosen by
            hand: a larger one leaves fewer clicks to compare.
        days: predict only the clicks of the newest N days; None: all from `start_share`
            on.
    """

    refresh_every: int
    start_share: float = 0.5
    days: int | None = None


@dataclass(frozen=True, kw_only=True)
class SystemComparison:
    """Both systems on the clicks of a segment.

    Attributes:
        segment: one of `CLICK_SEGMENTS`.
        clicks: number of predicted clicks.
        days: on how many days.
        nightly: the rebuilt system's means, by name of `CLICK_FIGURES`.
        streamed: the refreshed system's.
        relative: by how much the second is above the first, as a share of the first; 0
            where that is 0.
        intervals: 95% intervals of `relative`, by paired bootstrap over days.
    """

    segment: str
    clicks: int
    days: int
    nightly: dict[str, float]
    streamed: dict[str, float]
    relative: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class SystemCost:
    """What a system did.

    Attributes:
        system: `NIGHTLY` or `STREAMED`.
        trainings: how often it trained.
        refused: how many of them the gate refused; what was live then stayed.
        seconds: reading, training and publishing, the mean of a training.
    """

    system: str
    trainings: int
    refused: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class AskedClicks:
    """The predicted clicks, in order of time, and the graph of the whole log that they
    are in.

    Attributes:
        whole: all of the log.
        fact: ``int64 [num_clicks]``, their facts.
    """

    whole: GraphArrays
    fact: Int64s

    @cached_property
    def ms(self) -> Int64s:
        """When each happened, ``int64 [num_clicks]``."""
        return self.whole.fact_ms[self.fact]

    @cached_property
    def query(self) -> Int64s:
        """The query of each, ``int64 [num_clicks]``."""
        return self.whole.fact_query[self.fact]

    @cached_property
    def item(self) -> Int64s:
        """The item of each, ``int64 [num_clicks]``."""
        return self.whole.fact_item[self.fact]

    def segment(self, name: str) -> Bools:
        """Return ``bool [num_clicks]``: which are in a segment of `CLICK_SEGMENTS`.

        A click is *repeated* where its pair was clicked before, *unseen* otherwise. A
        query is *new* at its first click, *young* for a day after it. An item is
        *young* at its first click and for a day after it.
        """
        if name == "all":
            return np.ones(len(self.fact), dtype=np.bool_)
        if name in ("repeated", "unseen"):
            age = self._age(
                self.whole.fact_query * max(1, self.whole.num_items) + self.whole.fact_item
            )
        else:
            age = self._age(
                self.whole.fact_item if name == "young_items" else self.whole.fact_query
            )
        chosen: Bools = {
            "repeated": age > 0,
            "unseen": age == 0,
            "new_queries": age == 0,
            "young_queries": (age > 0) & (age < DAY_MS),
            "young_items": age < DAY_MS,
        }[name]
        return chosen

    def _age(self, group: Int64s) -> Int64s:
        """Return for each predicted click how long ago its group of facts began,
        ``int64 [num_clicks]``.
        """
        _, number = np.unique(group, return_inverse=True)
        first = np.full(len(group), np.iinfo(np.int64).max)
        np.minimum.at(first, number, self.whole.fact_ms)
        age: Int64s = self.ms - first[number[self.fact]]
        return age


class PrequentialReplay:
    """Both systems on a log, step by step.

    Args:
        read: returns the graph as the events before a time made it; None: all of it.
        plan: what is predicted.
        settings: of both systems.
        is_cancelled: called between steps; True ends the replay.
        on_progress: called with trainings done and how many there will be.
    """

    def __init__(
        self,
        read: Read,
        plan: ReplayPlan,
        settings: ModelSettings,
        *,
        is_cancelled: Callable[[], bool] = never,
        on_progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> None:
        self._read = read
        self._settings = replace(settings, keep_generations=1)
        self._is_cancelled = is_cancelled
        self._on_progress = on_progress
        self._clicks = clicks_of(read(None), plan)
        self._moments = {
            NIGHTLY: midnights(self._clicks.ms),
            STREAMED: refreshes(self._clicks.ms, plan.refresh_every),
        }
        self._done = 0

    def run(self) -> tuple[list[SystemComparison], list[SystemCost]]:
        """Predict all clicks by both systems.

        Return the figures by segment, and what each system did.

        Raises:
            TrainingCancelled: `is_cancelled` returned True.
            ModelError: as `model.tuner.train_and_publish` does; a refresh that the gate
                refuses is no error.
        """
        # A rebuild serves the next day whatever it is worth: there is nothing to be
        # measured against.
        rebuilt = replace(self._settings, gate_max_quality_drop=1.0)
        nightly, nightly_effort = self._walk(NIGHTLY, rebuilt, warm_starts=False)
        streamed, streamed_effort = self._walk(STREAMED, self._settings, warm_starts=True)
        comparisons = [
            compare(self._clicks, segment, nightly, streamed) for segment in CLICK_SEGMENTS
        ]
        return comparisons, [nightly_effort, streamed_effort]

    def _walk(
        self, name: str, settings: ModelSettings, *, warm_starts: bool
    ) -> tuple[Float64s, SystemCost]:
        """Return the rank of each click, ``float64 [num_clicks]``, and what it took."""
        moments, seconds = self._moments[name], 0.0
        ends = np.searchsorted(self._clicks.ms, moments[1:]).tolist()
        ranks = []
        with TemporaryDirectory(prefix="freshet-replay-") as folder:
            system = ReplayedSystem(
                Path(folder), settings, warm_starts=warm_starts, is_cancelled=self._is_cancelled
            )
            for moment_ms, place in zip(
                moments, np.split(np.arange(len(self._clicks.ms)), ends), strict=True
            ):
                refuse_if_cancelled(self._is_cancelled)
                began = time.monotonic()
                system.learn(self._read(moment_ms))
                seconds += time.monotonic() - began
                ranks.append(system.ranks(self._clicks, place))
                self._done += 1
                self._on_progress(self._done, sum(map(len, self._moments.values())))
        effort = SystemCost(
            system=name,
            trainings=len(moments),
            refused=system.refused,
            seconds=seconds / len(moments),
        )
        return np.concatenate(ranks), effort


class ReplayedSystem:
    """Trains into an artifact folder, and answers from what is live there.

    Args:
        folder: an empty one.
        settings: of the model.
        warm_starts: whether a training starts from the live generation, or from
            scratch.
        is_cancelled: called between the steps of a training.
    """

    def __init__(
        self,
        folder: Path,
        settings: ModelSettings,
        *,
        warm_starts: bool,
        is_cancelled: Callable[[], bool] = never,
    ) -> None:
        self._store = ArtifactStore(folder)
        self._settings = settings
        self._warm_starts = warm_starts
        self._is_cancelled = is_cancelled
        self._live: Generation | None = None
        self.refused = 0

    def learn(self, arrays: GraphArrays) -> None:
        """Train on a graph and publish.

        Where the gate refuses what came out, what was live stays.

        Raises:
            ModelError: as `model.tuner.train_and_publish` does.
        """
        source = SnapshotInput(snapshot=_described(arrays), arrays=arrays)
        warm = self._live if self._warm_starts else None
        try:
            generation_id = train_and_publish(
                source, self._store, self._settings, warm=warm, is_cancelled=self._is_cancelled
            )
        except GateRefused:
            if self._live is None:
                raise
            self.refused += 1
        else:
            self._live = open_generation(self._store.generation_path(generation_id), verify=False)

    def ranks(self, clicks: AskedClicks, place: Int64s) -> Float64s:
        """Return the rank of each click's item among all shown ones, ``float64
        [len(place)]``.

        Infinity where the live generation does not have the item.
        """
        live = self._live
        assert live is not None  # noqa: S101  # ranks follow a first training
        shown = np.flatnonzero(live.item_shown)
        row_of = {live.item_ids[item]: row for row, item in enumerate(shown.tolist())}
        row = np.array(
            [row_of.get(clicks.whole.item_ids[item], -1) for item in clicks.item[place]], np.int64
        )
        queries, query = np.unique(clicks.query[place], return_inverse=True)
        known, nothing = row >= 0, np.zeros(0, dtype=np.int64)
        ranks = np.full(len(place), np.inf)
        ranks[known] = edge_ranks(
            _query_vectors(live, clicks.whole, queries),
            live.item_vectors[shown],
            (query[known], row[known]),
            (nothing, nothing),
        )
        return ranks


def clicks_of(whole: GraphArrays, plan: ReplayPlan) -> AskedClicks:
    """Return the predicted clicks of a plan, from the first midnight after its first
    part on.

    Raises:
        EvaluationRefused: there are none, or nothing comes before them.
    """
    if not len(whole.fact_ms):
        raise EvaluationRefused(
            "there is no click from a search to replay; give a log that has queries"
        )
    begin_ms = int(np.quantile(whole.fact_ms, plan.start_share, method="higher"))
    if plan.days is not None:
        begin_ms = max(begin_ms, int(whole.fact_ms.max()) - (plan.days - 1) * DAY_MS)
    begin_ms -= begin_ms % DAY_MS
    order = np.argsort(whole.fact_ms, kind="stable")
    fact = order[whole.fact_ms[order] >= begin_ms]
    if len(fact) == len(whole.fact_ms):
        raise EvaluationRefused(
            "all clicks are of one day: nothing comes before them; give a longer log"
        )
    return AskedClicks(whole=whole, fact=fact)


def midnights(ms: Int64s) -> list[int]:
    """Return the beginnings of the UTC days that have clicks, in order."""
    return [int(day) * DAY_MS for day in np.unique(ms // DAY_MS)]


def refreshes(ms: Int64s, every: int) -> list[int]:
    """Return the first midnight, then the time of every N-th click.

    AskedClicks of one time go together.
    """
    moments = np.unique(np.concatenate([ms[:1] // DAY_MS * DAY_MS, ms[every::every]]))
    return [int(moment) for moment in moments]


def compare(
    clicks: AskedClicks, segment: str, nightly: Float64s, streamed: Float64s
) -> SystemComparison:
    """Compare two systems in a segment.

    Args:
        clicks: the predicted clicks.
        segment: one of `CLICK_SEGMENTS`.
        nightly: the rank of each click, ``float64 [num_clicks]``.
        streamed: the same of the other system.
    """
    chosen = clicks.segment(segment)
    day = clicks.ms[chosen] // DAY_MS
    base, other = _figures(nightly[chosen]), _figures(streamed[chosen])
    means = [{figure: _mean(values) for figure, values in each.items()} for each in (base, other)]
    return SystemComparison(
        segment=segment,
        clicks=len(day),
        days=len(np.unique(day)),
        nightly=means[0],
        streamed=means[1],
        relative={
            figure: means[1][figure] / means[0][figure] - 1 if means[0][figure] else 0.0
            for figure in CLICK_FIGURES
        },
        intervals={
            figure: relative_interval(other[figure], base[figure], day) for figure in CLICK_FIGURES
        },
    )


def _figures(ranks: Float64s) -> dict[str, Float64s]:
    """Return each of `CLICK_FIGURES` for each click, ``float64 [num_clicks]``."""
    return {"mrr": 1.0 / ranks, "recall_10": (ranks <= _TOP).astype(np.float64)}


def _mean(values: Float64s) -> float:
    return float(values.mean()) if len(values) else 0.0


def _query_vectors(live: Generation, whole: GraphArrays, queries: Int64s) -> Float32s:
    """Return ``float32 [len(queries), dim]``, as a server would answer queries of the
    whole log.
    """
    encoder = live.text_encoder()
    row_of = {int(key): row for row, key in enumerate(live.query_keys)}
    rows = [row_of.get(int(whole.query_keys[query])) for query in queries]
    vectors = [
        live.query_vectors[row] if row is not None else encoder.encode(whole.query_texts[query])
        for query, row in zip(queries, rows, strict=True)
    ]
    return np.array(vectors, dtype=np.float32).reshape(-1, live.manifest.dim)


def _described(arrays: GraphArrays) -> SnapshotInfo:
    """Return what a generation records of its snapshot, for a graph that none was taken
    of.
    """
    return SnapshotInfo(
        snapshot_id="",
        path=Path(),
        taken_ms=arrays.at_ms,
        watermark_ms=arrays.watermark_ms,
        graph_hash="",
        half_life_seconds=0.0,
        action_weights={},
        counts=SnapshotCounts(facts=0, edge_facts=0, sessions=0, hyperedges=0, incidences=0),
        shards=(),
    )
