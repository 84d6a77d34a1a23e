"""Tests of `freshet publish`: an event or an item from a shell line to its topic."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stream.clock import now_ms
from stream.events.types import CatalogItem, Interaction
from stream.settings import StreamSettings
from testing.topics import events_in
from tests.conftest import TopicFactory
from tests.freshet.conftest import CONSOLE_SCRIPT, Command

CLICK = {"type": "search_click", "session_id": "s-1", "query": "Red Mug", "item_id": "4711"}
NOWHERE = "kafka:localhost:1"
"""A broker that must not be asked."""


@pytest.fixture
def config(tmp_path: Path, kafka_topics: TopicFactory) -> tuple[Path, StreamSettings]:
    """A file that names this test's own topics, one partition each."""
    topics = kafka_topics()
    path = tmp_path / "freshet.toml"
    path.write_text("[stream]\n" + "".join(f'{name}_topic = "{topics[name]}"\n' for name in topics))
    return path, StreamSettings(**{f"{name}_topic": topics[name] for name in topics})  # type: ignore[arg-type]


def test_a_click_and_a_deletion_reach_their_topics(
    kafka_bootstrap: str, config: tuple[Path, StreamSettings], run: Command
) -> None:
    """As the stream reads them; without a time they are of now, else as they say."""
    path, settings = config
    to = ("--to", f"kafka:{kafka_bootstrap}", "--config", path)

    now = run("publish", *to, json.dumps(CLICK), json.dumps(CLICK | {"ts_ms": 1_700_000_000_000}))
    gone = run("publish", *to, "--kind", "item", '{"item_id": "4711", "deleted": true}')
    named = run(
        "publish", *to, "--kind", "item", '{"item_id": "4712", "title": "M&amp;M", "ts_ms": 1.7e12}'
    )

    assert (now.returncode, gone.returncode, named.returncode) == (0, 0, 0)
    assert now.stdout.splitlines()[1].startswith("click        2023-11-14 22:13:20Z")
    assert 'query="red mug"' in now.stdout
    assert (now.stderr, gone.stderr) == ("2 clicks published\n", "1 deletion published\n")
    fresh, old = clicks = events_in(kafka_bootstrap, settings.clicks_topic, 2, now_ms())
    assert all(isinstance(each, Interaction) and each.item_id == "4711" for each in clicks)
    assert old.ts_ms == 1_700_000_000_000
    deleted, titled = items = events_in(kafka_bootstrap, settings.catalog_topic, 2, now_ms())
    assert all(isinstance(each, CatalogItem) for each in items)
    assert isinstance(deleted, CatalogItem)
    assert isinstance(titled, CatalogItem)
    assert deleted.deleted
    assert abs(deleted.ts_ms - fresh.ts_ms) < 60_000
    assert (titled.title, titled.ts_ms) == ("M&M", 1_700_000_000_000)


def test_lines_come_from_stdin(kafka_bootstrap: str, config: tuple[Path, StreamSettings]) -> None:
    """As from a pipe of a shell; blank lines are none."""
    path, settings = config
    outcome = subprocess.run(
        [CONSOLE_SCRIPT, "publish", "--to", kafka_bootstrap, "--config", path, "-"],
        input=f"{json.dumps(CLICK)}\n\n{json.dumps(CLICK)}\n",
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    assert outcome.stderr == "2 clicks published\n"
    assert len(events_in(kafka_bootstrap, settings.clicks_topic, 2, now_ms())) == 2


@pytest.mark.parametrize(
    ("kind", "line", "reason"),
    [
        ("event", {**CLICK, "item_id": None}, "missing_field"),
        ("event", "{", "malformed: not JSON"),
        ("event", CLICK | {"ts_ms": 1}, "absurd_timestamp"),
        ("item", {"title": "Mug"}, "missing_field"),
        (
            "event",
            {"user_query": "x", "query_id": "q", "timestamp": 1_700_000_000_000},
            "it is a search",
        ),
    ],
)
def test_what_would_be_refused_is_not_published(
    run: Command, kind: str, line: Any, reason: str
) -> None:
    """Nor is what is good beside it; the line is named, with the reason that the stream
    would give.
    """
    good = CLICK if kind == "event" else {"item_id": "x"}
    text = line if isinstance(line, str) else json.dumps(line)

    outcome = run("publish", "--to", NOWHERE, "--kind", kind, json.dumps(good), text)

    assert outcome.returncode == 1
    assert outcome.stderr.startswith(f"freshet: error: line 2: {reason}")
    assert "Nothing was published: mend it" in outcome.stderr


def test_nothing_given_says_how_to_give_it(run: Command) -> None:
    """Such as a file on stdin without the - that reads it."""
    outcome = run("publish", "--to", NOWHERE)

    assert outcome.returncode == 2
    assert "give lines of JSON, or - to read them from stdin" in outcome.stderr


def test_the_advice_on_a_refused_line_helps(run: Command, tmp_path: Path) -> None:
    """`freshet try-events` says the same of it."""
    bad = json.dumps(CLICK | {"item_id": None, "ts_ms": 1_700_000_000_000})
    refused = run("publish", "--to", NOWHERE, bad)
    path = tmp_path / "line.jsonl"
    path.write_text(bad)

    tried = run("try-events", path, "--kind", "event")

    assert "--kind event`" in refused.stderr
    assert refused.stderr.split("line 1: ")[1].split(". Nothing")[0] in tried.stdout


def test_a_mapping_says_what_is_time(tmp_path: Path, run: Command) -> None:
    """Then nothing is put into a line."""
    path = tmp_path / "freshet.toml"
    path.write_text('[stream.mapping.event]\ntime = "at"\n')

    outcome = run("publish", "--to", NOWHERE, "--config", path, json.dumps(CLICK))

    assert "missing_field: time (at) is absent" in outcome.stderr


def test_a_replay_wants_events_or_items(run: Command) -> None:
    """Either alone will do."""
    neither = run("replay", "--to", NOWHERE)
    items_alone = run("replay", "--to", NOWHERE, "--items", "absent.jsonl")

    assert "give --events FILE, --items FILE or both" in neither.stderr
    assert "no file matches absent.jsonl" in items_alone.stderr
