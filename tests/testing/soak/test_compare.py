"""The soak's comparison is able to fail: what is missing, and what counts twice."""

from pathlib import Path
from random import Random

from stream.events.types import Interaction
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.soak.compare import Losses, compare, counts_of_facts, counts_of_graph
from testing.soak.history import facts_of, make_history
from testing.soak.workers import run_freshet


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
        return compare(counts_of_graph(graph), counts_of_facts(facts_of(events)))


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

    losses = compare(counts_of_facts(swapped), counts_of_facts(facts))

    assert (losses.lost["facts of edges"], losses.doubled["facts of edges"]) == (1, 1)
    assert (losses.lost["facts"], losses.doubled["facts"]) == (0, 0)
