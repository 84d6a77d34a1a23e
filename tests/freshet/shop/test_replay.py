"""Replay: files reach Kafka whole, in order, at the asked pace."""

import gzip
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from threading import Event as StopEvent
from threading import Thread
from typing import Any

import pytest

from freshet.shop import replay as replaying
from freshet.shop.replay import ReplayPlan, ReplayTotals, open_publisher, replay
from stream.errors import SourceUnreadable
from stream.events.types import CatalogItem, Interaction
from stream.settings import StreamSettings
from stream.waiting import Stopped
from testing.topics import events_in, messages_in
from tests.conftest import TopicFactory

NOON_MS = 1_700_000_000_000


@pytest.fixture
def settings(kafka_topics: TopicFactory) -> StreamSettings:
    """Settings that name this test's own topics, one partition each."""
    topics = kafka_topics()
    return StreamSettings(
        clicks_topic=topics["clicks"],
        sessions_topic=topics["sessions"],
        catalog_topic=topics["catalog"],
        group_id=topics["clicks"],
    )


def line(ts_ms: int, item_id: str = "i", query: str | None = "tv") -> dict[str, Any]:
    """Return a neutral click."""
    return {"ts_ms": ts_ms, "type": "click", "session_id": "s", "query": query, "item_id": item_id}


def write(path: Path, lines: Sequence[Mapping[str, Any] | bytes]) -> str:
    """Write lines to a file, gzip if its name says so; return its path."""
    content = b"".join(
        (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines
    )
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def test_actions_go_out_with_the_text_of_the_search_that_they_name(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path
) -> None:
    """A search that came before gives its text, in another file too; it is not sent."""

    def clicked(query_id: str, ts_ms: int) -> dict[str, Any]:
        return {
            "action_name": "click",
            "query_id": query_id,
            "session_id": "s",
            "timestamp": ts_ms,
            "event_attributes": {"object": {"object_id": "i"}},
        }

    searched = {"query_id": "q-1", "user_query": "Green tea", "timestamp": NOON_MS}
    searches = write(tmp_path / "searches.ndjson", [searched])
    clicks = write(
        tmp_path / "clicks.ndjson", [clicked("q-1", NOON_MS + 1), clicked("q-2", NOON_MS + 2)]
    )

    totals = replay(ReplayPlan(events=[clicks, searches]), kafka_bootstrap, settings)

    assert (totals.events, totals.raw) == (2, 0)
    (joined,) = events_in(kafka_bootstrap, settings.clicks_topic, 1)
    (other,) = events_in(kafka_bootstrap, settings.sessions_topic, 1)
    assert isinstance(joined, Interaction)
    assert (joined.query, joined.ts_ms) == ("green tea", NOON_MS + 1)
    assert isinstance(other, Interaction)
    assert (other.query, other.ts_ms) == ("", NOON_MS + 2)


def test_files_are_published_whole(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path
) -> None:
    """Items come first, as of the last change of their file; events of several files
    are merged by time.

    What cannot be decoded goes along raw, and entities are read once.
    """
    evens = write(
        tmp_path / "evens.jsonl.gz", [line(NOON_MS + n, f"i-{n}") for n in range(0, 100, 2)]
    )
    odd_lines: list[Any] = [line(NOON_MS + n, f"i-{n}") for n in range(1, 100, 2)]
    odds = write(tmp_path / "odds.jsonl", [*odd_lines[:10], b"broken", *odd_lines[10:]])
    items = write(
        tmp_path / "items.jsonl",
        [{"item_id": f"i-{n}", "title": f"T{n} &amp;lt;"} for n in range(5)],
    )
    os.utime(items, (NOON_MS // 1000, NOON_MS // 1000))
    told: list[ReplayTotals] = []
    totals = replay(
        ReplayPlan(events=[evens, odds], items=[items]),
        kafka_bootstrap,
        settings,
        on_progress=lambda totals: told.append(replace(totals)),
    )
    assert (totals.events, totals.items, totals.raw) == (100, 5, 1)
    assert totals.event_ms == NOON_MS + 99
    assert (
        told[-1].bytes_done
        == told[-1].bytes_total
        == sum(p.stat().st_size for p in tmp_path.iterdir())
    )
    clicks = messages_in(kafka_bootstrap, settings.clicks_topic, 101)
    assert [message.value for message in clicks].count(b"broken") == 1
    found = events_in(kafka_bootstrap, settings.clicks_topic, 101)
    assert [event.item_id for event in found] == [f"i-{n}" for n in range(100)]
    catalog = events_in(kafka_bootstrap, settings.catalog_topic, 5)
    assert catalog == [
        CatalogItem(item_id=f"i-{n}", title=f"T{n} &lt;", ts_ms=NOON_MS) for n in range(5)
    ]


def test_an_old_catalogue_lists_nothing_again_that_was_deleted_since(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path
) -> None:
    """Its states are as old as the file, but for those that say a time; a file of no
    time that a record may have says none.
    """
    items = write(
        tmp_path / "items.jsonl", [{"item_id": "a"}, {"item_id": "b", "ts_ms": NOON_MS + 1}]
    )
    for at in (NOON_MS // 1000 - 60, 0):
        os.utime(items, (at, at))
        replay(ReplayPlan(events=[], items=[items]), kafka_bootstrap, settings)

    states = events_in(kafka_bootstrap, settings.catalog_topic, 4)

    assert [each.ts_ms for each in states] == [NOON_MS - 60_000, NOON_MS + 1, 0, NOON_MS + 1]


@pytest.mark.parametrize("batch_size", [1, 64])
def test_pace(
    kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path, batch_size: int
) -> None:
    """At a slow pace what is due is there while the rest is still to come, and stopping
    ends it.
    """
    hour_ms = 3_600_000
    path = write(
        tmp_path / "events.jsonl",
        [line(NOON_MS - hour_ms + n * n * hour_ms) for n in range(5)],
    )
    stop, told = StopEvent(), StopEvent()
    results: list[ReplayTotals] = []

    def on_progress(totals: ReplayTotals) -> None:
        if totals.events:
            told.set()

    def run() -> None:
        plan = ReplayPlan(events=[path], speed=1.0, batch_size=batch_size)
        results.append(replay(plan, kafka_bootstrap, settings, on_progress=on_progress, stop=stop))

    thread = Thread(target=run)
    thread.start()
    assert told.wait(120)
    assert len(events_in(kafka_bootstrap, settings.clicks_topic, 1)) == 1
    stop.set()
    thread.join(120)
    assert not thread.is_alive()
    assert results[0].events == 1


def test_fast_pace(kafka_bootstrap: str, settings: StreamSettings, tmp_path: Path) -> None:
    """A week at a million times real time is published whole."""
    path = write(
        tmp_path / "events.jsonl",
        [line(NOON_MS - n * 86_400_000, f"i-{n}") for n in range(7, 0, -1)],
    )
    plan = ReplayPlan(events=[path], speed=1e6)
    assert replay(plan, kafka_bootstrap, settings).events == 7
    assert len(events_in(kafka_bootstrap, settings.clicks_topic, 7)) == 7


def test_missing_file(settings: StreamSettings, tmp_path: Path, kafka_bootstrap: str) -> None:
    """A file that is not there is an error before anything is published."""
    with pytest.raises(SourceUnreadable, match="no file matches"):
        replay(ReplayPlan(events=[str(tmp_path / "gone.jsonl")]), kafka_bootstrap, settings)


def test_nothing_of_a_damaged_file_is_published(tmp_path: Path) -> None:
    """Its checksum is looked at before a broker is: what is published stays published,
    and lines of a flipped bit look as good as others.
    """
    path = tmp_path / "a.jsonl.gz"
    whole = gzip.compress(json.dumps(line(NOON_MS)).encode() + b"\n")
    path.write_bytes(whole[:-8] + b"\0\0\0\0" + whole[-4:])

    with pytest.raises(SourceUnreadable, match="is damaged"):
        replay(ReplayPlan(events=[str(path)]), "127.0.0.1:1", StreamSettings())


def test_a_broker_that_is_away_is_not_waited_for_once_told_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends as one that is told to stop later does: with what was published."""
    path, stop, done = write(tmp_path / "a.jsonl", [line(NOON_MS)]), StopEvent(), StopEvent()
    monkeypatch.setattr(replaying, "EventProducer", lambda *_, **__: done.wait())
    stop.set()

    assert replay(ReplayPlan(events=[path]), "127.0.0.1:1", StreamSettings(), stop=stop) == (
        ReplayTotals()
    )
    with pytest.raises(Stopped), open_publisher("127.0.0.1:1", stop=stop):
        pass
    done.set()


def test_open_publisher(kafka_bootstrap: str, settings: StreamSettings) -> None:
    """Neutral dicts of events and items can be published as they are made."""
    with open_publisher(kafka_bootstrap, settings) as publish:
        publish(
            [{"item_id": "i-1", "title": "T"}],
            [line(NOON_MS, "i-1"), line(NOON_MS, "i-2", query=None)],
        )
    assert [event.item_id for event in events_in(kafka_bootstrap, settings.clicks_topic, 1)] == [
        "i-1"
    ]
    assert [event.item_id for event in events_in(kafka_bootstrap, settings.sessions_topic, 1)] == [
        "i-2"
    ]
    assert events_in(kafka_bootstrap, settings.catalog_topic, 1) == [
        CatalogItem(item_id="i-1", title="T")
    ]
