"""Tests of `freshet erase` and `freshet erasures`."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec
import pytest

from protos.text import text_key
from stream.changes.erasure.erase import audit_entries, erase
from stream.errors import CheckpointsUnavailable
from stream.events.types import SourcePartition
from stream.settings import StreamSettings
from stream.shard.reader import ShardView
from stream.store.checkpoints import Checkpoints
from stream.store.store import Store
from testing.event_lines import CLICK, write_lines
from testing.histories import NOON_MS, apply_events, event
from tests.freshet.conftest import Command


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two shards, with a user in both, and another half-life than the
    default.
    """
    path = tmp_path / "shop.store"
    with Store.create_or_open(path, StreamSettings(half_life_seconds=86400.0), 2) as opened:
        apply_events(opened.shard(0), [event("s-1", user_id="u-1"), event("s-2", item_id="b")])
        apply_events(
            opened.shard(1), [event("s-3", user_id="u-1"), event("s-3", item_id="b", user_id="u-1")]
        )
    return path


def test_an_erasure_in_a_store_is_carried_out_and_listed(store: Path, run: Command) -> None:
    """Every shard forgets, and the audit of every shard says so, by key."""
    outcome = run("erase", "user", "u-1", "--store", store)
    listed = json.loads(run("erasures", "--store", store, "--json").stdout)

    assert (outcome.returncode, outcome.stdout) == (0, "")
    assert outcome.stderr == (
        "erased: 3 facts removed, and their bytes are out of the store's files\n"
    )
    assert [
        (entry["shard"], entry["deed"], entry["facts"], entry["sessions"]) for entry in listed
    ] == [
        (0, "erased", 1, 1),
        (1, "erased", 2, 1),
    ]
    assert all(entry["files_done_ms"] >= entry["done_ms"] for entry in listed)
    assert {(entry["has_checkpoints"], entry["checkpoints_done_ms"]) for entry in listed} == {
        (False, None)
    }
    assert {(entry["kind"], entry["key"]) for entry in listed} == {
        ("user", f"{text_key('u-1'):016x}")
    }
    assert json.loads(run("graph", "stats", "--store", store, "--json").stdout)["facts"] == 1


def test_the_audit_can_be_asked_for_one_id(store: Path, run: Command) -> None:
    """Whoever has the id finds its record; nobody else learns the id from it."""
    run("erase", "item", "b", "--store", store)
    run("erase", "session", "s-1", "--store", store)
    about_item = run("erasures", "--store", store, "--id", "b").stdout

    assert about_item.count("erased  item") == 2
    assert "session " not in about_item
    assert run("erasures", "--store", store, "--id", "never").stdout == "nothing was erased\n"


def test_the_files_may_be_left_to_the_next_stream(
    store: Path, run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until then the audit says that the bytes wait; a stream that ends purges them."""
    left = run("erase", "user", "u-1", "--store", store, "--no-compact")
    waiting = json.loads(run("erasures", "--store", store, "--json").stdout)
    shown = run("erasures", "--store", store).stdout
    log = write_lines(tmp_path / "log.jsonl", [{**CLICK, "ts_ms": NOON_MS}])
    monkeypatch.setenv("FRESHET_STREAM_HALF_LIFE_SECONDS", "1d")
    streamed = run("stream", "--source", f"file:{log}", "--store", store)
    purged = json.loads(run("erasures", "--store", store, "--json").stdout)

    assert streamed.returncode == 0
    assert left.stderr.endswith("their bytes are still in the store's files\n")
    assert [entry["files_done_ms"] for entry in waiting] == [None, None]
    assert shown.count("waits") == 4
    assert all(entry["files_done_ms"] for entry in purged)


def test_lifting_is_listed_too(store: Path, run: Command) -> None:
    """A second lifting has nothing to lift."""
    run("erase", "user", "u-1", "--store", store, "--compact")
    said = [run("erase", "--lift", "user", "u-1", "--store", store).stderr for _ in range(2)]

    assert said == ["lifted in 2 shards: its events count again\n", "it was not erased\n"]
    assert run("erasures", "--store", store).stdout.count("lifted  user") == 2


def test_an_erasure_is_published(run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The topic gets one JSON record, keyed by the id."""
    sent: list[tuple[Any, ...]] = []

    class Producer:
        """Takes records and keeps them."""

        def __init__(self, *_: object) -> None: ...

        def num_partitions(self, _topic: str) -> int:
            return 3

        def send(self, *record: Any) -> None:
            sent.append(record)

        def flush(self) -> None: ...

        def close(self) -> None: ...

    monkeypatch.setattr("stream.kafka.producer.RecordProducer", Producer)
    outcome = run("erase", "session", "s-1", "--kafka", "localhost:9092")

    ((topic, partition, key, value, headers),) = sent
    fields = msgspec.json.decode(value)
    assert outcome.returncode == 0, outcome.stderr
    assert (topic, partition, key) == ("freshet.erasures", 1, b"s-1")
    assert (fields["erase"], fields["id"]) == ("session", "s-1")
    assert headers == [("content-type", b"application/json")]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["user", "u"], "either --kafka HOST:PORT or --store DIR"),
        (
            ["user", "u", "--kafka", "h:1", "--store", "x"],
            "either --kafka HOST:PORT or --store DIR",
        ),
        (["user", "u", "--kafka", "h:1", "--lift"], "--lift and --compact go with --store"),
        (["shop", "u", "--store", "x"], "'shop' is not one of"),
        (["user", "", "--kafka", "h:1"], "nothing was erased or published"),
        (["user", " ", "--store", "x"], "ID is absent or empty"),
        (["item", "i" * 1025, "--kafka", "h:1"], "ID is longer than 1024 bytes"),
        (["item", "\udcff", "--kafka", "h:1"], "ID is not UTF-8"),
        (["session", "cut:u@1700000000000", "--kafka", "h:1"], "erase the user"),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], said: str, run: Command) -> None:
    """One line says what to give."""
    outcome = run("erase", *arguments)

    assert outcome.returncode == 2
    assert said in outcome.stderr


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, run: Command) -> None:
    """A wrong path is an error, not a new store."""
    outcome = run("erase", "user", "u-1", "--store", tmp_path / "nowhere")

    assert outcome.returncode == 1
    assert "no store" in outcome.stderr
    assert not (tmp_path / "nowhere").exists()


@pytest.fixture
def machines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Store]]:
    """A function that opens the store of a machine; all share their checkpoints."""
    url = f"file://{tmp_path / 'checkpoints'}"
    monkeypatch.setenv("FRESHET_STREAM_CHECKPOINTS_URL", url)
    with ExitStack() as stores:
        yield lambda name: stores.enter_context(
            Store.create_or_open(tmp_path / name, StreamSettings(checkpoints_url=url))
        )


def facts_on(machine: Store) -> int:
    """Have a machine get the shard and do what is due; return how many facts it has."""
    machine.ownership.acquire(0)
    shard = machine.shard(0)
    erase(shard, [], NOON_MS)
    count = shard.state().facts.count
    machine.ownership.release(0)
    return count


def erased_on(machine: Store) -> list[tuple[str, int]]:
    """Return the audit of a machine's shard, in short."""
    with ExitStack() as views:
        view = ShardView(machine.root / "shard-0000")
        views.callback(view.close)
        return [(record.deed, record.key) for record in audit_entries(view)]


def test_an_erasure_by_hand_is_in_what_other_machines_restore(
    run: Command, machines: Callable[[str], Store], tmp_path: Path
) -> None:
    """The checkpoints are replaced; a machine that has a copy as far as that, from
    before, carries the erasure out when it gets the shard.
    """
    first, second = machines("first"), machines("second")
    first.ownership.acquire(0)
    events = [event("s-1", user_id="u-1"), event("s-2", user_id="u-2")]
    apply_events(first.shard(0), events, [], {SourcePartition("freshet.clicks", 0): 7})
    first.ownership.release(0)
    assert facts_on(second) == 2
    outcome = run("erase", "user", "u-1", "--store", first.root)
    assert outcome.returncode == 0, outcome.stderr
    (entry,) = json.loads(run("erasures", "--store", first.root, "--json").stdout)

    assert entry["checkpoints_done_ms"] >= entry["files_done_ms"] >= entry["done_ms"]
    kept = (tmp_path / "checkpoints" / "shard-0000").glob("0*.json")
    assert {path.name[:6] for path in kept} == {"000003"}
    assert facts_on(machines("third")) == 1
    assert facts_on(second) == 1
    assert erased_on(second) == [("erased", text_key("u-1"))]
    assert run("erase", "--lift", "user", "u-1", "--store", first.root).returncode == 0
    assert facts_on(machines("fourth")) == 1


def test_an_erasure_by_hand_takes_the_newest_copy_first(
    run: Command, machines: Callable[[str], Store]
) -> None:
    """A machine that is behind does not put its old copy over the newer one."""
    first, second = machines("first"), machines("second")
    position = SourcePartition("freshet.clicks", 0)
    first.ownership.acquire(0)
    apply_events(first.shard(0), [event("s-1", user_id="u-1")], [], {position: 7})
    first.ownership.release(0)
    second.ownership.acquire(0)
    apply_events(second.shard(0), [event("s-2"), event("s-3", user_id="u-1")], [], {position: 9})
    second.ownership.release(0)
    run("erase", "user", "u-1", "--store", first.root)

    assert facts_on(machines("third")) == 1


def test_checkpoints_that_cannot_be_reached_refuse_an_erasure_by_hand(
    run: Command, machines: Callable[[str], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is erased here that another machine would bring back."""
    first = machines("first")
    first.ownership.acquire(0)
    apply_events(first.shard(0), [event("s-1")], [], {SourcePartition("freshet.clicks", 0): 7})
    first.ownership.release(0)

    def away(*_: object) -> None:
        raise CheckpointsUnavailable("the checkpoints cannot be reached")

    monkeypatch.setattr(Checkpoints, "note_erasure", away)
    outcome = run("erase", "session", "s-1", "--store", first.root)

    assert outcome.returncode == 1
    assert "cannot be reached" in outcome.stderr
    assert erased_on(first) == []


def test_checkpoints_of_another_store_are_left_alone(
    run: Command, machines: Callable[[str], Store], store: Path
) -> None:
    """A store of files that finds some at the URL neither takes nor replaces them."""
    first = machines("first")
    first.ownership.acquire(0)
    apply_events(first.shard(0), [event("s-1")], [], {SourcePartition("freshet.clicks", 0): 7})
    first.ownership.release(0)
    with Store.create_or_open(store, StreamSettings(half_life_seconds=86400.0), 2) as opened:
        apply_events(opened.shard(0), [event("s-4")], [], {SourcePartition("log#1", 0): 3})
    run("erase", "user", "u-1", "--store", store)

    assert erased_on(first) == []
    assert facts_on(machines("third")) == 1
    entries = json.loads(run("erasures", "--store", store, "--json").stdout)
    assert [entry["has_checkpoints"] for entry in entries] == [False, False]
