"""Replays a log in order of time: nightly retraining against streaming refreshes, and
against the fresh lane.

All predict each click before any learns from it (prequential evaluation: Dawid, 1984).
They train and publish as `freshet tune` does, into folders of their own, and answer
from what is live there: a query that is known by its vector, another through the text
encoder. All clicks count, those of pairs seen before too.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from model.bootstrap import relative_interval
from model.context import ContextWeights
from model.data.session_clicks import session_clicks
from model.evaluation.asked import (
    CLICK_SEGMENTS,
    DAY_MS,
    AskedClicks,
    ReplayPlan,
    clicks_of,
    midnights,
    refreshes,
)
from model.evaluation.cancellation import never, refuse_if_cancelled
from model.evaluation.lane import ReplayedLane
from model.evaluation.log_changes import LogChanges
from model.evaluation.replayed import ReplayedSystem
from model.evaluation.sessions import SessionGain, SessionRanks, session_gain
from model.settings import ModelSettings
from stream.dtypes import Float64s, Int64s
from stream.graph.arrays import GraphArrays

Read = Callable[[int | None], GraphArrays]

CLICK_FIGURES = ("mrr", "recall_10")
NIGHTLY, STREAMED, FRESH = "nightly", "streamed", "fresh"
# Ranks that count as found, of Recall@10.
_TOP = 10


@dataclass(frozen=True, kw_only=True)
class SystemComparison:
    """A system beside the nightly one on the clicks of a segment.

    Attributes:
        segment: one of `CLICK_SEGMENTS`.
        system: `STREAMED`, or `FRESH`: the nightly one with the fresh lane.
        clicks: number of predicted clicks.
        days: on how many days.
        nightly: the rebuilt system's means, by name of `CLICK_FIGURES`.
        fresher: the other system's.
        relative: by how much the second is above the first, as a share of the first; 0
            where that is 0.
        intervals: 95% intervals of `relative`, by paired bootstrap over days.
    """

    segment: str
    system: str
    clicks: int
    days: int
    nightly: dict[str, float]
    fresher: dict[str, float]
    relative: dict[str, float]
    intervals: dict[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class SystemCost:
    """What a system did.

    Attributes:
        system: `NIGHTLY`, `STREAMED` or `FRESH`.
        trainings: how often it trained; of the fresh lane, the rounds between.
        refused: how many of them the gate refused; what was live then stayed.
        seconds: reading, training and publishing, the mean of a training; or of a
            round.
    """

    system: str
    trainings: int
    refused: int
    seconds: float


@dataclass(slots=True)
class _Walk:
    """What a system has predicted, and what it took.

    Attributes:
        ranks: of each click, ``float64 [clicks between two moments]`` a moment.
        steps: trainings or rounds.
        seconds: they took.
        refused: trainings that the gate refused.
        sessions: the session of each click that its session could answer, and its ranks
            without and with it, a moment.
    """

    ranks: list[Float64s] = field(default_factory=list)
    sessions: list[tuple[Int64s, SessionRanks]] = field(default_factory=list)
    steps: int = 0
    seconds: float = 0.0
    refused: int = 0

    def cost(self, system: str) -> SystemCost:
        return SystemCost(
            system=system,
            trainings=self.steps,
            refused=self.refused,
            seconds=self.seconds / max(1, self.steps),
        )

    def gain(self, system: str) -> SessionGain | None:
        """Return what running sessions brought a system; None: no click could be
        answered by one.
        """
        session = np.concatenate([session for session, _ in self.sessions])
        if not len(session):
            return None
        parts = [ranks for _, ranks in self.sessions]
        each = [[*ranks.weights] for ranks in parts for _ in ranks.without]
        whole = SessionRanks(
            seed=parts[0].seed,
            weights=ContextWeights(*np.mean(each, axis=0).tolist()),
            without=np.concatenate([ranks.without for ranks in parts]),
            within=np.concatenate([ranks.within for ranks in parts]),
        )
        return session_gain(system, session, [whole], whole.seed)


class PrequentialReplay:
    """All systems on a log, step by step.

    Args:
        read: returns the graph as the events before a time made it; None: all of it.
        plan: what is predicted.
        settings: of all systems.
        min_sessions: distinct sessions below which `read` leaves an edge out.
        is_cancelled: called between steps; True ends the replay.
        on_progress: called with trainings done and how many there will be.
    """

    def __init__(
        self,
        read: Read,
        plan: ReplayPlan,
        settings: ModelSettings,
        *,
        min_sessions: int = 1,
        is_cancelled: Callable[[], bool] = never,
        on_progress: Callable[[int, int], None] = lambda _done, _of: None,
    ) -> None:
        self._read = read
        self._settings = replace(settings, keep_generations=1)
        self._is_cancelled = is_cancelled
        self._on_progress = on_progress
        self._min_sessions = min_sessions
        self._clicks = clicks_of(read(None), plan)
        self._moments = {
            NIGHTLY: midnights(self._clicks.ms),
            STREAMED: refreshes(self._clicks.ms, plan.refresh_every),
        }
        self._done = 0
        self._gains: list[SessionGain] = []

    def run(self) -> tuple[list[SystemComparison], list[SystemCost]]:
        """Predict all clicks by all systems.

        Return the figures by system and segment, and what each system did.

        Raises:
            TrainingCancelled: `is_cancelled` returned True.
            ModelError: as `model.tuner.train_and_publish` does; a refresh that the gate
                refuses is no error.
        """
        walks = {NIGHTLY: _Walk(), STREAMED: _Walk(), FRESH: _Walk()}
        # A rebuild serves the next day whatever it is worth: there is nothing to be
        # measured against.
        rebuilt = replace(self._settings, gate_max_quality_drop=1.0)
        changes = LogChanges(self._clicks.whole)
        self._walk(NIGHTLY, rebuilt, walks[NIGHTLY], fresh=(changes, walks[FRESH]))
        self._walk(STREAMED, self._settings, walks[STREAMED])
        ranks = {name: np.concatenate(walk.ranks) for name, walk in walks.items()}
        comparisons = [
            compare(self._clicks, segment, ranks[NIGHTLY], ranks[name], system=name)
            for name in (STREAMED, FRESH)
            for segment in CLICK_SEGMENTS
        ]
        gains = (walks[name].gain(name) for name in (NIGHTLY, STREAMED))
        self._gains = [gain for gain in gains if gain is not None]
        return comparisons, [walk.cost(name) for name, walk in walks.items()]

    @property
    def session_gains(self) -> list[SessionGain]:
        """What running sessions brought the systems that train, after `run`.

        Of the predicted clicks with something before them in their session; each
        generation draws a query by its own weights. None of a system whose clicks have
        nothing before them.
        """
        return self._gains

    def _walk(
        self,
        name: str,
        settings: ModelSettings,
        walk: _Walk,
        fresh: tuple[LogChanges, _Walk] | None = None,
    ) -> None:
        """Let a system train at its moments, and predict the clicks up to the next.

        Without `fresh` each training starts from the one before; with it from scratch,
        and the fresh lane of what changes is asked the same clicks.
        """
        moments, clicks = self._moments[name], self._clicks
        ends = np.searchsorted(clicks.ms, moments[1:]).tolist()
        with TemporaryDirectory(prefix="freshet-replay-") as folder:
            system = ReplayedSystem(
                Path(folder), settings, warm_starts=not fresh, is_cancelled=self._is_cancelled
            )
            for moment_ms, end_ms, place in zip(
                moments,
                [*moments[1:], None],
                np.split(np.arange(len(clicks.ms)), ends),
                strict=True,
            ):
                refuse_if_cancelled(self._is_cancelled)
                began = time.monotonic()
                system.learn(self._read(moment_ms))
                walk.seconds += time.monotonic() - began
                walk.steps += 1
                walk.ranks.append(system.ranks(clicks, place))
                in_session = session_clicks(clicks.whole, moment_ms, end_ms=end_ms)
                walk.sessions.append(system.in_sessions(in_session, clicks.whole))
                if fresh:
                    self._ask_lane(system, moment_ms, place, *fresh)
                self._done += 1
                self._on_progress(self._done, sum(map(len, self._moments.values())))
            walk.refused = system.refused

    def _ask_lane(
        self,
        system: ReplayedSystem,
        moment_ms: int,
        place: Int64s,
        changes: LogChanges,
        walk: _Walk,
    ) -> None:
        """Let the fresh lane of a generation predict the clicks up to the next one."""
        lane = ReplayedLane(
            system.live,
            changes,
            since_ms=moment_ms,
            min_sessions=self._min_sessions,
            is_cancelled=self._is_cancelled,
        )
        walk.ranks.append(lane.ranks(self._clicks, place))
        walk.steps += lane.rounds
        walk.seconds += lane.seconds


def compare(
    clicks: AskedClicks, segment: str, nightly: Float64s, fresher: Float64s, *, system: str
) -> SystemComparison:
    """Compare a system with the nightly one in a segment.

    Args:
        clicks: the predicted clicks.
        segment: one of `CLICK_SEGMENTS`.
        nightly: the rank of each click, ``float64 [num_clicks]``.
        fresher: the same of the other system.
        system: its name.
    """
    chosen = clicks.segment(segment)
    day = clicks.ms[chosen] // DAY_MS
    base, other = _figures(nightly[chosen]), _figures(fresher[chosen])
    means = [{figure: _mean(values) for figure, values in each.items()} for each in (base, other)]
    return SystemComparison(
        segment=segment,
        system=system,
        clicks=len(day),
        days=len(np.unique(day)),
        nightly=means[0],
        fresher=means[1],
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
