"""The replay of a log: what each system may know when, how clicks are grouped, what
comes out.
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.artifact.generation import Generation
from model.bootstrap import relative_interval
from model.context import ContextWeights
from model.errors import EvaluationRefused, GateRefused, TrainingCancelled
from model.evaluation.asked import CLICK_SEGMENTS, DAY_MS, AskedClicks, ReplayPlan
from model.evaluation.prequential import (
    FRESH,
    NIGHTLY,
    STREAMED,
    PrequentialReplay,
    Read,
    SystemComparison,
)
from model.publishing.refresh import train_and_publish
from model.settings import ModelSettings
from stream.events.types import Interaction
from stream.graph.arrays import GraphArrays
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.small_shop import (
    START_MS,
    MakeArrays,
    browsing_events,
    click,
    fill_store,
    shop_events,
    shop_items,
)

_FIRST_DAY = START_MS - START_MS % DAY_MS
_HOUR_MS = 3_600_000


def over_days(events: list[Interaction], days: float) -> list[Interaction]:
    """Return events whose times are stretched to so many days from a midnight on."""
    span = events[-1].ts_ms - START_MS
    return [
        replace(
            event, ts_ms=_FIRST_DAY + int((event.ts_ms - START_MS) * days * DAY_MS / (span + 1))
        )
        for event in events
    ]


def at(day: int, hour: float, session: str, query: str, item: str) -> Interaction:
    """Return a click at an hour of a day."""
    ms = _FIRST_DAY - START_MS + day * DAY_MS + int(hour * _HOUR_MS)
    return click(ms, session, query, item)


@pytest.fixture
def small(settings: ModelSettings) -> ModelSettings:
    """Return settings whose training takes next to no time."""
    return replace(settings, max_passes=3, warm_passes=2, num_buckets=1 << 10)


Reader = Callable[[list[Interaction]], tuple[Read, list[int | None]]]


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    """Return a function that makes a reader of events, and a list of the times that it
    was asked for.
    """

    def make(events: list[Interaction]) -> tuple[Read, list[int | None]]:
        asked: list[int | None] = []
        root = tmp_path / "store"
        fill_store(root, events, shop_items())

        def read(before_ms: int | None) -> GraphArrays:
            asked.append(before_ms)
            with open_graph(root, StreamSettings()) as graph:
                return graph.arrays(before_ms=before_ms)

        return read, asked

    return make


def _by_segment(found: list[SystemComparison], system: str) -> dict[str, SystemComparison]:
    return {each.segment: each for each in found if each.system == system}


def test_one_learns_at_midnight_and_the_other_as_clicks_come(
    reader: Reader, small: ModelSettings
) -> None:
    """Both begin at the same midnight.

    Whatever is read ends before the clicks that are asked of it.
    """
    events = over_days(shop_events(200), days=4)
    read, asked = reader(events)
    replay = PrequentialReplay(read, ReplayPlan(refresh_every=60, start_share=0.3), small)
    asked.clear()
    _, efforts = replay.run()
    by_night = [ms for ms in asked[: efforts[0].trainings] if ms is not None]
    by_clicks = [ms for ms in asked[efforts[0].trainings :] if ms is not None]
    tested = sorted({event.ts_ms for event in events if event.ts_ms >= by_night[0]})

    assert [effort.system for effort in efforts] == [NIGHTLY, STREAMED, FRESH]
    assert [(ms - _FIRST_DAY) / DAY_MS for ms in by_night] == [1.0, 2.0, 3.0]
    assert by_clicks[0] == by_night[0]
    assert len(by_clicks) == 1 + (len(tested) - 1) // 60
    assert set(by_clicks[1:]) <= set(tested)


def test_without_a_refresh_both_answer_alike(reader: Reader, small: ModelSettings) -> None:
    """One day and no refresh on it: the same model twice, no difference for sure."""
    read, _ = reader(over_days(shop_events(200), days=3))
    found, _ = PrequentialReplay(read, ReplayPlan(refresh_every=10_000, days=1), small).run()

    for each in _by_segment(found, STREAMED).values():
        assert each.fresher == each.nightly
        assert each.intervals == {"mrr": (0.0, 0.0), "recall_10": (0.0, 0.0)}
    assert found[0].clicks > 0
    assert found[0].days == 1


def test_what_comes_up_by_day_is_found_after_a_refresh_or_by_the_lane(
    reader: Reader, small: ModelSettings
) -> None:
    """A product that no catalogue has, clicked on its first day.

    Tomorrow's rebuild is too late for it; the fresh lane misses its first click alone.
    """
    events = over_days(shop_events(150), days=3)
    launch = [at(3, hour / 4, f"n{hour}", "hover board", "board-black") for hour in range(60)]
    read, _ = reader(events + launch)
    found, _ = PrequentialReplay(read, ReplayPlan(refresh_every=20, days=1), small).run()
    young = _by_segment(found, STREAMED)["young_items"]

    assert young.clicks == len(launch)
    assert young.nightly == {"mrr": 0.0, "recall_10": 0.0}
    assert young.fresher["recall_10"] == pytest.approx(40 / 60)
    lane = _by_segment(found, FRESH)["young_items"]
    assert lane.nightly == young.nightly
    assert lane.fresher["recall_10"] == pytest.approx(59 / 60)


def test_what_running_sessions_bring_is_told(
    reader: Reader, small: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of every predicted click with something before it, by the weights that the live
    generations have: where sessions follow an intent, a session says what its later
    queries do not.
    """
    weights = ContextWeights(items=1.0)
    monkeypatch.setattr(Generation, "context_weights", property(lambda _: weights))
    events = over_days(browsing_events(300, follows_intent=True), days=3)
    read, _ = reader(events)
    replay = PrequentialReplay(read, ReplayPlan(refresh_every=200, days=1), small)
    replay.run()
    begin_ms = events[-1].ts_ms - events[-1].ts_ms % DAY_MS
    later = {
        (event.session_id, event.query, event.item_id)
        for place, event in enumerate(events)
        if event.ts_ms >= begin_ms and events[place - 1].session_id == event.session_id
    }

    assert [gain.model for gain in replay.session_gains] == [NIGHTLY, STREAMED]
    for gain in replay.session_gains:
        assert 0.9 * len(later) <= gain.clicks <= len(later)
        assert gain.weights == weights
        assert gain.within["mrr"] > 1.1 * gain.without["mrr"]


def test_clicks_alone_have_nothing_to_bring(reader: Reader, small: ModelSettings) -> None:
    """Without a click that has something before it, nothing is told."""
    events = [
        replace(event, session_id=f"{event.session_id}-{number}")
        for number, event in enumerate(over_days(shop_events(150), days=3))
    ]
    read, _ = reader(events)
    replay = PrequentialReplay(read, ReplayPlan(refresh_every=10_000, days=1), small)
    replay.run()

    assert replay.session_gains == []


def test_clicks_are_grouped_by_what_was_known(make_arrays: MakeArrays) -> None:
    """By hand: a pair again after days, a known query with a new item, a new query with
    a second click, one that comes again within the day, and one after days.
    """
    whole = make_arrays(
        [
            at(0, 1, "a", "red mug", "mug-red"),
            at(2, 1, "b", "red mug", "mug-red"),
            at(2, 2, "c", "red mug", "mug-blue"),
            at(2, 3, "d", "gift", "mug-red"),
            at(2, 3.5, "d", "gift", "mug-blue"),
            at(2, 4, "e", "gift", "mug-red"),
            at(4, 1, "f", "gift", "mug-blue"),
        ]
    )
    clicks = AskedClicks(whole=whole, fact=np.argsort(whole.fact_ms, kind="stable")[1:])
    found = {name: np.flatnonzero(clicks.segment(name)).tolist() for name in CLICK_SEGMENTS}

    assert found == {
        "all": [0, 1, 2, 3, 4, 5],
        "repeated": [0, 4, 5],
        "unseen": [1, 2, 3],
        "new_queries": [2],
        "young_queries": [3, 4],
        "second_asks": [4],
        "young_items": [1, 3],
        "newest_items": [1],
    }


def test_a_refused_refresh_leaves_what_was_live(
    reader: Reader, small: ModelSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gate refuses each refresh.

    They are counted, and the first model goes on answering.
    """
    read, _ = reader(over_days(shop_events(200), days=3))

    def refuse(*arguments: object, warm: object = None, **more: object) -> str:
        if warm is not None:
            raise GateRefused("20260101T000000Z-000000", ("it is worse",))
        return train_and_publish(*arguments, warm=None, **more)  # type: ignore[arg-type]

    monkeypatch.setattr("model.evaluation.replayed.train_and_publish", refuse)
    found, efforts = PrequentialReplay(read, ReplayPlan(refresh_every=40, days=1), small).run()

    assert efforts[1].refused == efforts[1].trainings - 1 > 0
    assert found[0].fresher == found[0].nightly


def test_a_replay_ends_between_two_steps(reader: Reader, small: ModelSettings) -> None:
    """Told to stop in the middle of its first training."""
    read, _ = reader(over_days(shop_events(100), days=3))
    answers = [False, False, True]

    with pytest.raises(TrainingCancelled):
        PrequentialReplay(
            read, ReplayPlan(refresh_every=40), small, is_cancelled=lambda: answers.pop(0)
        ).run()
    assert not answers


def test_a_log_of_one_day_is_refused(reader: Reader, small: ModelSettings) -> None:
    """Nothing comes before its only midnight."""
    read, _ = reader(shop_events(20))

    with pytest.raises(EvaluationRefused, match="give a longer log"):
        PrequentialReplay(read, ReplayPlan(refresh_every=40), small)


def test_relative_intervals_hold_the_truth() -> None:
    """A tenth better on each day's clicks.

    The interval says so, and widens where days differ.
    """
    rng = np.random.default_rng(5)
    day = np.repeat(np.arange(30), 50)
    theirs = rng.uniform(0.2, 0.8, len(day))
    low, high = relative_interval(1.1 * theirs, theirs, day)
    uneven = theirs * (1.1 + rng.normal(0.0, 0.2, 30)[day])
    wide_low, wide_high = relative_interval(uneven, theirs, day)

    assert low == pytest.approx(0.1)
    assert high == pytest.approx(0.1)
    assert wide_low < 0.1 < wide_high
    assert relative_interval(np.zeros(0), np.zeros(0), np.zeros(0, dtype=np.int64)) == (0.0, 0.0)
