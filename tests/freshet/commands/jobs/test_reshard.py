"""Tests of `freshet reshard`."""

from pathlib import Path

import pytest

from stream.settings import StreamSettings
from stream.store.store import Store, read_manifest
from testing.histories import apply_all, event
from tests.freshet.conftest import Command


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store of two shards, with another half-life than the default."""
    path = tmp_path / "shop.store"
    with Store.create_or_open(path, StreamSettings(half_life_seconds=86400.0), 2) as opened:
        apply_all(opened, [event(f"s-{number}") for number in range(10)])
    return path


def test_store_gets_more_shards_and_keeps_its_graph(store: Path, run: Command) -> None:
    """The command says how many there are, and may be repeated."""
    before = run("graph", "hash", "--store", store).stdout
    for _ in range(2):
        outcome = run("reshard", "--store", store, "--shards", 3)
        assert (outcome.returncode, outcome.stdout) == (0, "")
        assert outcome.stderr.endswith("shop.store has 3 shards\n")

    assert read_manifest(store).num_shards == 3
    assert run("graph", "hash", "--store", store).stdout == before


def test_a_store_that_is_written_is_left_alone(store: Path, run: Command) -> None:
    """A worker grows its store itself."""
    with Store.create_or_open(store, StreamSettings(half_life_seconds=86400.0)) as held:
        held.shard(1)
        outcome = run("reshard", "--store", store, "--shards", 3)

    assert outcome.returncode == 1
    assert "shard-0001" in outcome.stderr
    assert read_manifest(store).num_shards == 2


def test_fewer_shards_are_refused(store: Path, run: Command) -> None:
    """The reason says what would be lost, and what to do."""
    outcome = run("reshard", "--store", store, "--shards", 1)

    assert outcome.returncode == 1
    assert "has 2 shards, and cannot have only 1" in outcome.stderr
    assert "build a new store" in outcome.stderr
