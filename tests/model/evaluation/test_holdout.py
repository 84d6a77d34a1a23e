"""Splitting a log by time: what may be learnt from, and what is asked."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model.errors import EvaluationRefused
from model.evaluation.holdout import SEGMENTS, Holdout, split_by_time
from stream.events.types import Interaction
from stream.graph.attributes import AttributeColumns
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.small_shop import click, fill_store, shop_events, shop_items

Split = Callable[[list[Interaction]], tuple[Holdout, Holdout]]


@pytest.fixture
def split(tmp_path: Path) -> Split:
    """Return a function that splits events with the shop's catalogue."""

    def make(events: list[Interaction]) -> tuple[Holdout, Holdout]:
        root = tmp_path / f"{len(list(tmp_path.iterdir()))}.store"
        fill_store(root, events, shop_items())
        with open_graph(root, StreamSettings()) as graph:
            return split_by_time(lambda before_ms: graph.arrays(before_ms=before_ms))

    return make


def _same(one: object, other: object) -> bool:
    return all(
        _same(value, getattr(other, name))
        if isinstance(value, AttributeColumns)
        else np.array_equal(value, getattr(other, name))
        for name, value in vars(one).items()
    )


def _moments(events: list[Interaction]) -> tuple[int, int]:
    first: dict[tuple[str, str, str], int] = {}
    for event in sorted(events, key=lambda event: event.ts_ms):
        first.setdefault((event.session_id, event.query, event.item_id), event.ts_ms)
    low, high = np.quantile(list(first.values()), [0.7, 0.8], method="higher")
    return int(low), int(high)


def test_what_is_asked_is_new_and_comes_later(split: Split) -> None:
    """Each pair happens in its part, and is not in the graph that is learnt from.

    Nothing else is asked.
    """
    events = shop_events(300)
    for holdout, (begin, end) in zip(
        split(events),
        [_moments(events), (_moments(events)[1], max(event.ts_ms for event in events) + 1)],
        strict=True,
    ):
        ids = holdout.arrays.item_ids
        asked = {
            (holdout.texts[q], ids[i])
            for q, i in zip(holdout.query.tolist(), holdout.item.tolist(), strict=True)
        }
        before = {(event.query, event.item_id) for event in events if event.ts_ms < begin}
        within = {(event.query, event.item_id) for event in events if begin <= event.ts_ms < end}
        assert asked == within - before
        assert len(asked) == len(holdout.query)


def test_clicks_in_sessions_come_with_what_was_before_them(split: Split) -> None:
    """In the part's own numbering, all of the session that it knows, and no click from
    before.
    """
    events = shop_events(300)
    begin = _moments(events)[1]
    _, test = split(events)
    items, clicks = test.arrays.item_ids, test.clicks

    assert len(clicks) > 10
    found = {
        (test.texts[query], items[item], tuple(items[before] for before in clicks.items[row]))
        for row, (query, item) in enumerate(
            zip(clicks.query.tolist(), clicks.item.tolist(), strict=True)
        )
    }
    sessions: dict[str, list[Interaction]] = {}
    for event in events:
        sessions.setdefault(event.session_id, []).append(event)
    expected = set()
    for session in sessions.values():
        for place, event in enumerate(session):
            before = tuple(dict.fromkeys(each.item_id for each in session[:place]))
            is_repeat = any(
                (each.query, each.item_id) == (event.query, event.item_id)
                for each in session[:place]
            )
            if before and not is_repeat and event.ts_ms >= begin:
                expected.add((event.query, event.item_id, before))
    assert found == expected
    known = set(test.arrays.query_texts)
    assert all(test.texts[query] in known for each in clicks.queries for query in each.tolist())


def test_the_future_leaves_no_trace_in_what_is_learnt_from(split: Split) -> None:
    """Shuffling and rewriting what comes later changes not one array of the graphs
    before.
    """
    events = shop_events(300)
    _, test_ms = _moments(events)
    rewritten = [
        event
        if event.ts_ms < test_ms
        else replace(event, query=f"other {event.query}", session_id=f"{event.session_id}x")
        for event in events
    ]
    plain, other = split(events), split(rewritten[::-1])

    assert _same(plain[0].arrays, other[0].arrays)
    assert _same(plain[1].arrays, other[1].arrays)
    assert plain[1].texts != other[1].texts


def test_the_graph_before_a_time_is_that_of_the_events_before_it(tmp_path: Path) -> None:
    """Also for sessions that go on afterwards, and for facts told again at an earlier
    time.
    """
    events = shop_events(60)
    events += [replace(event, ts_ms=event.ts_ms - 500) for event in events[::7]]
    cut_ms = sorted(event.ts_ms for event in events)[len(events) // 2]
    fill_store(tmp_path / "all", events, shop_items())
    fill_store(
        tmp_path / "before", [event for event in events if event.ts_ms < cut_ms], shop_items()
    )
    with open_graph(tmp_path / "all", StreamSettings()) as graph:
        found = graph.arrays(cut_ms, before_ms=cut_ms)
    with open_graph(tmp_path / "before", StreamSettings()) as graph:
        expected = graph.arrays(cut_ms)

    assert (
        found.watermark_ms == found.fact_ms.max()
    )  # a repeat may have been later: it leaves no trace
    assert _same(replace(found, watermark_ms=expected.watermark_ms), expected)


def test_segments_tell_queries_and_items_by_their_clicks(split: Split) -> None:
    """Frequent, rare and new make up all pairs, from either side.

    Isolated ones lack an edge on one.
    """
    _, test = split(shop_events(120))
    masks = {name: test.segment(name) for name in SEGMENTS}

    for side in ("queries", "items"):
        counts = np.sum([masks[f"{kind}_{side}"] for kind in ("frequent", "rare", "new")], axis=0)
        assert (counts == 1).all()
    assert (masks["isolated"] == (masks["new_queries"] | masks["new_items"])).all()
    assert (test.query[masks["new_queries"]] >= test.arrays.num_queries).all()
    clicks = np.bincount(test.arrays.fact_query, minlength=len(test.texts))
    assert (clicks[test.query[masks["frequent_queries"]]] >= 5).all()


def test_a_log_that_asks_nothing_is_refused(split: Split) -> None:
    """No clicks from a search, or none that is new, cannot be evaluated on.

    The message says what to give.
    """
    with pytest.raises(EvaluationRefused, match="no click from a search"):
        split([click(number, f"s{number}", "", "mug-red") for number in range(50)])
    with pytest.raises(EvaluationRefused, match="--items"):
        split([click(number, f"s{number}", "mug", "mug-red") for number in range(50)])
