"""Stores that earlier versions wrote open for ever.

Nothing is lost, a kill at any moment does no harm.
"""

import json
import logging
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from protos.text import text_key
from stream.actions import Action
from stream.errors import StoreMismatch, StoreWriteFailed
from stream.events.types import CatalogItem, Interaction, SourcePartition
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from stream.shard import codec, shard, upgrade
from stream.shard.changed_entries import ShardWrite
from stream.shard.rocksdb import Database, Puts
from stream.store.store import Store
from testing.histories import NOON_MS, apply_all, build, dump, event, graph_hash
from testing.oracle import Oracle, assert_same_dump
from tests.stream.conftest import OpenStore

GOLDEN = Path(__file__).parent / "golden"
DEFAULTS = StreamSettings()
OLD_KINDS = [b"\x04", b"\x05", b"\x06", b"\x07"]


def golden_events() -> list[Interaction]:
    """Return the events that the golden stores hold."""
    actions = {action.label: action for action in Action}
    lines = (GOLDEN / "store-v1.events.jsonl").read_text().splitlines()
    return [
        event(
            row["session_id"],
            row["query"],
            row["item_id"],
            row["ts_ms"],
            actions[row["type"]],
            row["user_id"],
        )
        for row in map(json.loads, lines)
    ]


def unpack(version: int, folder: Path) -> Path:
    """Return the golden store of a format version, unpacked."""
    with tarfile.open(GOLDEN / f"store-v{version}.tar.gz") as archive:
        archive.extractall(folder, filter="data")
    return folder / "store"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a store of format version 1."""
    return unpack(1, tmp_path)


def check(root: Path, tmp_path: Path) -> None:
    """Compare a golden store with what it was made of, down to its users, positions and
    catalogue.
    """
    events = golden_events()
    build(tmp_path / "plain", [events], DEFAULTS, 2)

    assert_same_dump(dump(root, DEFAULTS, NOON_MS), Oracle.of(events).dump(NOON_MS))
    assert graph_hash(root, DEFAULTS) == graph_hash(tmp_path / "plain", DEFAULTS)
    with open_graph(root, DEFAULTS) as graph, open_graph(tmp_path / "plain", DEFAULTS) as plain:
        assert graph.recorded_hash() == graph.graph_hash()
        assert graph.positions() == {
            n: {SourcePartition("freshet.clicks", n): 400} for n in range(2)
        }
        assert dict(graph.catalog()) == {text_key(item.item_id): item for item in golden_items()}
        stats, expected = graph.stats(), plain.stats()
        assert replace(stats, bytes_on_disk=0, catalog_items=0, items=0) == replace(
            expected, bytes_on_disk=0, catalog_items=0, items=0
        )
        for name in ("num_sessions", "num_hyperedges", "num_incidences"):
            assert [getattr(state, name) for state in graph.shard_states().values()] == [
                getattr(state, name) for state in plain.shard_states().values()
            ]
    with (
        Store.create_or_open(root, DEFAULTS) as store,
        Store.create_or_open(tmp_path / "plain", DEFAULTS) as new,
    ):
        for index in range(2):
            sides = store.shard(index), new.shard(index)
            sessions, other_sessions = (dict(side.entries(codec.SESSION)) for side in sides)
            assert sessions == other_sessions
            users, other_users = (pairs(side.entries(codec.USER)) for side in sides)
            assert users == other_users
            rows, other_rows = (by_item(dict(side.entries(codec.BY_ITEM))) for side in sides)
            assert rows == other_rows


def pairs(records: Iterable[tuple[bytes, bytes]]) -> list[tuple[int, int]]:
    """Return which users were seen in which sessions."""
    runs = [codec.unpack_users(value) for _, value in records]
    return sorted(
        pair for run in runs for pair in zip(*(column.tolist() for column in run), strict=True)
    )


def by_item(records: dict[bytes, bytes]) -> list[tuple[int, ...]]:
    """Return the rows behind items."""
    facts = codec.by_item(list(records), list(records.values()))
    columns = facts.session, facts.query, facts.item, facts.stamp
    return sorted(zip(*(column.tolist() for column in columns), strict=True))


def golden_items() -> list[CatalogItem]:
    """Return the catalogue of the golden stores."""
    return [
        CatalogItem(item_id="i-1", title="Radio", text="with antenna", attributes={"brand": "b"}),
        CatalogItem(item_id="i-2", deleted=True),
        CatalogItem(item_id="never clicked", title="New", available=False),
    ]


def fail_after(monkeypatch: pytest.MonkeyPatch, num_writes: int) -> None:
    """Let the process die after so many writes."""
    write, left = Database.write, [num_writes]

    def write_or_die(self: Database, puts: Puts, deletes: Sequence[bytes] = ()) -> None:
        if not left[0]:
            raise StoreWriteFailed("killed")
        left[0] -= 1
        write(self, puts, deletes)

    monkeypatch.setattr(Database, "write", write_or_die)


def test_golden_store_of_version_1_is_upgraded(
    old: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Opening its shards for writing rewrites it, says so, and leaves nothing of the
    old layout.
    """
    with caplog.at_level(logging.INFO), Store.create_or_open(old, DEFAULTS) as store:
        for index in range(2):
            assert all(not list(store.shard(index).entries(kind)) for kind in OLD_KINDS)

    assert [
        record.getMessage() for record in caplog.records if "sessions=" in record.getMessage()
    ] == [
        f"store upgraded store={old}/shard-0000/e-000001 format_version=2 sessions=31",
        f"store upgraded store={old}/shard-0001/e-000001 format_version=2 sessions=32",
    ]
    assert json.loads((old / "store.json").read_text())["format_version"] == 2
    check(old, tmp_path)


def test_golden_store_of_version_2_opens(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A store of the present version is read and written as it is."""
    root = unpack(2, tmp_path)
    with caplog.at_level(logging.INFO), Store.create_or_open(root, DEFAULTS) as store:
        store.upgrade()

    assert not [record for record in caplog.records if "upgraded" in record.getMessage()]
    check(root, tmp_path)


@pytest.mark.parametrize("version", [1, 2])
def test_golden_stores_name_no_path_of_the_machine_that_made_them(
    tmp_path: Path, version: int
) -> None:
    """What is committed says nothing of where it came from."""
    files = [path for path in unpack(version, tmp_path).rglob("*") if path.is_file()]
    named = [
        path.name
        for path in files
        for root in (b"/home", b"/tmp", b"/work")
        if root in path.read_bytes()
    ]

    assert [path.name for path in files if path.name.startswith("LOG.") or path.name == "LOG"] == []
    assert named == []


@pytest.mark.parametrize("num_writes", [0, 1, 2, 6, 9])
def test_killed_upgrade_is_taken_up_again(
    old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num_writes: int
) -> None:
    """Wherever it was stopped, the next one ends with the same store.

    Until then nobody else reads it.
    """
    monkeypatch.setattr(
        shard,
        "upgrade_shard",
        lambda database, made_as: upgrade.upgrade_shard(database, made_as, chunk_sessions=4),
    )
    with monkeypatch.context() as patched:
        fail_after(patched, num_writes)
        with Store.create_or_open(old, DEFAULTS) as store, pytest.raises(StoreWriteFailed):
            store.upgrade()
    with pytest.raises(StoreMismatch, match="freshet upgrade"):
        open_graph(old, DEFAULTS)
    with Store.create_or_open(old, DEFAULTS) as store:
        store.upgrade()

    check(old, tmp_path)


def test_readers_say_how_to_upgrade(old: Path) -> None:
    """A store of version 1 is not read as it is, and the error says what makes it
    readable.
    """
    with pytest.raises(
        StoreMismatch, match=r"has format version 1, .* reads 2; .* freshet upgrade --store DIR"
    ):
        open_graph(old, DEFAULTS)


def test_shards_are_upgraded_one_by_one(old: Path, tmp_path: Path) -> None:
    """A process upgrades the shards that it opens.

    ``store.json`` follows when all are known to be done.
    """
    with Store.create_or_open(old, DEFAULTS) as store:
        store.shard(1)
    assert json.loads((old / "store.json").read_text())["format_version"] == 1
    with Store.create_or_open(old, DEFAULTS) as store:
        store.upgrade()

    assert json.loads((old / "store.json").read_text())["format_version"] == 2
    check(old, tmp_path)


def test_upgraded_store_goes_on(old: Path, tmp_path: Path) -> None:
    """More events, and the old ones again, make the graph of them all.

    A snapshot can be taken.
    """
    events = golden_events()
    more = [event("s-1", "tv", "i-1", NOON_MS + 5), event("brand new", "tv", "i-3", NOON_MS)]
    with Store.create_or_open(old, DEFAULTS) as store:
        apply_all(store, [*more, *events])
    info = take_snapshot(old, tmp_path / "snapshot", DEFAULTS, NOON_MS)

    assert_same_dump(dump(old, DEFAULTS, NOON_MS), Oracle.of([*events, *more]).dump(NOON_MS))
    assert info.graph_hash == graph_hash(old, DEFAULTS)


def test_snapshot_of_a_resting_old_store_upgrades_it(old: Path, tmp_path: Path) -> None:
    """Taking a snapshot opens the shards, so what it holds is of the present format."""
    take_snapshot(old, tmp_path / "snapshot", DEFAULTS, NOON_MS)

    assert graph_hash(tmp_path / "snapshot", DEFAULTS) == graph_hash(old, DEFAULTS)


def test_empty_shard_of_version_1_is_upgraded(
    open_store: OpenStore, settings: StreamSettings
) -> None:
    """A shard that was opened and never written to has a format and nothing else."""
    store = open_store()
    old = codec.ShardFormat(upgrade.OLD_VERSION, 0, 1, settings.half_life_ms)
    store.shard(0).write(ShardWrite.of({codec.FORMAT_KEY: codec.pack_format(old)}))
    store.close()

    assert open_store().shard(0).state() == codec.ShardState()
    with open_graph(store.root, settings) as graph:
        assert list(graph.dump()) == []


def test_old_shard_of_another_store_is_refused(old: Path) -> None:
    """A shard that is not this store's is not rewritten."""
    shutil.rmtree(old / "shard-0001")
    shutil.copytree(old / "shard-0000", old / "shard-0001")

    with (
        Store.create_or_open(old, DEFAULTS) as store,
        pytest.raises(StoreMismatch, match="'shard': 0"),
    ):
        store.shard(1)
