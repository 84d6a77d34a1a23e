"""The soak's pure parts: a schedule and a history by seed, a pace, and a comparison
that is able to fail.
"""

import json
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from stream.events.decoder import decode
from stream.events.types import CatalogItem, Interaction, Position, Record
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.soak.compare import Losses, census_of_facts, census_of_graph, compare
from testing.soak.history import Malformed, facts_of, make_history
from testing.soak.schedule import Blow, Pace, Plan, make_schedule
from testing.soak.workers import run_freshet

PLAN = Plan(seed=1, kills=200, workers=3, every_seconds=5.0, session_timeout_seconds=3.0)


def _plan(seed: int, workers: int, kills: int = 60) -> Plan:
    return Plan(
        seed=seed, kills=kills, workers=workers, every_seconds=5.0, session_timeout_seconds=3.0
    )


def test_a_schedule_is_the_same_by_seed() -> None:
    """What went wrong once can be had again."""
    assert make_schedule(PLAN) == make_schedule(PLAN)
    assert make_schedule(PLAN) != make_schedule(_plan(2, 3, 200))


def test_a_schedule_has_every_blow_and_ends_in_time() -> None:
    """200 kills and something of everything else, within 25 minutes."""
    steps = make_schedule(PLAN)

    blows = Counter(step.blow for step in steps)
    assert blows[Blow.KILL] == 200
    assert blows[Blow.PAUSE] >= 10
    assert blows[Blow.STOP] >= 10
    assert blows[Blow.BROKER_STOP] + blows[Blow.BROKER_KILL] == 4
    assert set(Counter(step.blow for step in make_schedule(_plan(3, 3, 6)))) >= {
        Blow.PAUSE,
        Blow.STOP,
    }
    assert steps[-1].at_seconds < 25 * 60
    assert [step.at_seconds for step in steps] == sorted(step.at_seconds for step in steps)


def test_a_pause_is_longer_than_the_session_timeout() -> None:
    """Or the paused worker would lose nothing."""
    pauses = [step.seconds for step in make_schedule(PLAN) if step.blow is Blow.PAUSE]

    assert min(pauses) > PLAN.session_timeout_seconds


@pytest.mark.parametrize("seed", range(20))
def test_only_running_workers_are_hit_and_one_of_several_keeps_running(seed: int) -> None:
    """A worker that is away is left alone, and never are all of them away."""
    back_at = [0.0, 0.0, 0.0]
    for step in make_schedule(_plan(seed, workers=3)):
        if step.slot < 0:
            continue
        assert back_at[step.slot] <= step.at_seconds
        back_at[step.slot] = step.back_at_seconds
        assert sum(back > step.at_seconds for back in back_at) < 3


def test_the_pace_ends_with_everything_and_bursts_before_each_blow() -> None:
    """What is published never goes back, and all of it is out when
    the last blow falls.
    """
    steps = make_schedule(PLAN)
    pace = Pace(steps, 100_000)

    due = [pace.due(second / 2) for second in range(2 * int(steps[-1].at_seconds) + 4)]
    assert due == sorted(due)
    assert (due[0], due[-1]) == (0, 100_000)
    first = min(step.at_seconds - step.lead_seconds for step in steps)
    assert pace.due(first) - pace.due(first - 0.001) > 150


def test_a_history_is_the_same_by_seed_and_delivered_whole() -> None:
    """Every event, item and malformed record is delivered, some events twice, the items
    in their order.
    """
    history = make_history(5, 3_000)

    assert history == make_history(5, 3_000)
    assert history.events != make_history(6, 3_000).events
    contents = [each.content for each in history.deliveries]
    interactions = [content for content in contents if isinstance(content, Interaction)]
    assert {*interactions} == {*history.events}
    assert len(interactions) > 1.03 * len(history.events)
    assert [content for content in contents if isinstance(content, CatalogItem)] == history.items
    values = [content.value for content in contents if isinstance(content, Malformed)]
    assert len(values) == len(history.malformed)
    assert 0.005 < len(values) / len(history.events) < 0.015
    assert {each.form for each in history.deliveries} == {"protobuf", "batch", "json"}


def test_what_is_planted_is_malformed() -> None:
    """Each planted record is rejected, and gives no event."""
    settings, position = StreamSettings(), Position("clicks", 0)
    planted = [
        each.content
        for each in make_history(5, 4_000).deliveries
        if isinstance(each.content, Malformed)
    ]

    for malformed in planted:
        record = Record(
            position=position,
            offset=0,
            next_offset=1,
            content_type=malformed.content_type.decode(),
            key=b"bad",
            value=malformed.value,
        )
        decoded = decode(record, settings, 1_800_000_000_000)
        assert decoded.rejections
        assert not decoded.events


def _built(tmp_path: Path, events: list[Interaction]) -> Path:
    history = make_history(5, 0)
    history.events.extend(events)
    history.write(tmp_path / "events.jsonl", tmp_path / "items.jsonl")
    run_freshet(
        "stream", "--source", f"file:{tmp_path / 'events.jsonl'}", "--store", tmp_path / "store"
    )
    return tmp_path / "store"


def _losses(store: Path, events: list[Interaction]) -> Losses:
    with open_graph(store, StreamSettings()) as graph:
        return compare(census_of_graph(graph), census_of_facts(facts_of(events)))


def test_a_whole_graph_has_lost_and_doubled_nothing(tmp_path: Path) -> None:
    """The definition and the store agree, whatever the order and the repeats."""
    events = make_history(5, 2_000).events
    arriving = [*events, *events[:200]]
    Random(1).shuffle(arriving)

    losses = _losses(_built(tmp_path, arriving), events)

    assert (losses.num_lost, losses.num_doubled) == (0, 0)


def test_a_graph_without_some_facts_has_lost_them(tmp_path: Path) -> None:
    """One session short: its facts, its session and nothing else are missing."""
    events = make_history(5, 2_000).events
    gone = events[0].session_id

    losses = _losses(
        _built(tmp_path, [event for event in events if event.session_id != gone]), events
    )

    facts = facts_of(event for event in events if event.session_id == gone)
    assert losses.lost["facts"] == len(facts)
    assert losses.lost["sessions"] == 1
    assert losses.lost["facts of edges"] == sum(bool(query) for _, query, _, _ in facts)
    assert losses.num_doubled == 0


def test_a_graph_that_counts_facts_again_has_doubled_them(tmp_path: Path) -> None:
    """The same clicks told under another session are one too many on each edge."""
    events = make_history(5, 2_000).events
    again = [
        Interaction(
            ts_ms=event.ts_ms,
            session_id="again",
            user_id="",
            query=event.query,
            item_id=event.item_id,
            action=event.action,
        )
        for event in events[:50]
    ]

    losses = _losses(_built(tmp_path, events + again), events)

    assert losses.doubled["facts"] == len(facts_of(again))
    assert losses.doubled["sessions"] == 1
    assert losses.doubled["facts of edges"] == sum(
        bool(query) for _, query, _, _ in facts_of(again)
    )
    assert losses.num_lost == 0


def test_one_fact_too_many_on_an_edge_does_not_hide_one_too_few_on_another() -> None:
    """Sums that agree are not enough: each edge is counted for itself."""
    history = make_history(5, 500)
    facts = facts_of(history.events)
    of_edges = sorted(fact for fact in facts if fact[1])
    swapped = (facts - {of_edges[0]}) | {(of_edges[0][0], "another query", *of_edges[0][2:])}

    losses = compare(census_of_facts(swapped), census_of_facts(facts))

    assert (losses.lost["facts of edges"], losses.doubled["facts of edges"]) == (1, 1)
    assert (losses.lost["facts"], losses.doubled["facts"]) == (0, 0)


def test_the_files_say_what_happened(tmp_path: Path) -> None:
    """As many lines as events and items, an absent query as null."""
    history = make_history(5, 300)

    history.write(tmp_path / "events.jsonl", tmp_path / "items.jsonl")

    lines = [
        json.loads(line) for line in (tmp_path / "events.jsonl").read_text("utf-8").splitlines()
    ]
    assert [line["query"] or "" for line in lines] == [event.query for event in history.events]
    assert len((tmp_path / "items.jsonl").read_text("utf-8").splitlines()) == len(history.items)
