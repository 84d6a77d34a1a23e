"""Shards that change hands between real processes.

Paused, killed, racing, released, lost.
"""

from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from stream.errors import StoreBusy, StoreFenced, StoreMismatch
from stream.metrics import StreamMetrics
from stream.reading.snapshot import serve_requests, take_snapshot
from stream.settings import StreamSettings
from stream.shard.fencing import current_epoch
from stream.store.store import Store, read_manifest
from testing.processes.owner import NUMBERS, apply_next, check_whole
from tests.stream.conftest import OpenStore, StartOwner

HASTY = StreamSettings(takeover_wait_seconds=0.05, memtable_bytes=65536)


def folders(store: Store) -> list[str]:
    """Return what is in the shard's folder."""
    return sorted(path.name for path in (store.root / "shard-0000").iterdir())


def test_paused_process_is_fenced_when_it_wakes(
    open_store: OpenStore, start_owner: StartOwner
) -> None:
    """Its next write is refused, nothing of it is seen, it ends in order, and what it
    had is removed.
    """
    owner = start_owner()
    assert owner.ask("acquire") == "0"
    assert owner.ask("apply 30") == "30"
    owner.pause()
    store = open_store(settings=HASTY)
    assert store.ownership.acquire(0) == {NUMBERS: 30}
    assert apply_next(store) == 31
    owner.wake()

    assert owner.ask("apply 1") == "StoreFenced"
    assert owner.ask("run_due_work") == "StoreFenced"
    assert owner.ask("run_due_work") == "ok"
    assert owner.leave() == 0
    assert folders(store) == ["e-000002"]
    assert [apply_next(store) for _ in range(9)][-1] == 40
    check_whole(store.root, 40)


@pytest.mark.parametrize("is_paused", [True, False], ids=["paused", "writing"])
def test_shard_is_taken_over_from_a_process_in_the_midst_of_writing(
    open_store: OpenStore, start_owner: StartOwner, is_paused: bool
) -> None:
    """At whatever moment: the copy is at the end of a batch, and what the loser still
    writes is not seen.
    """
    store = open_store(settings=HASTY)
    for _ in range(5):
        owner = start_owner()
        owner.ask("acquire")
        owner.tell("write")
        begun = int(owner.answer())
        if is_paused:
            owner.pause()
        position = store.ownership.acquire(0)[NUMBERS]
        assert position >= begun
        check_whole(store.root, position)
        if is_paused:
            owner.wake()
        assert owner.answer() == "StoreFenced"
        assert owner.leave() == 0
        check_whole(store.root, position)
        apply_next(store)
        check_whole(store.root, position + 1)
        store.ownership.release(0)
        assert len(folders(store)) == 1


def test_killed_process_leaves_the_shard_at_once(
    open_store: OpenStore, start_owner: StartOwner
) -> None:
    """Its shard goes on in the same epoch, at the end of a batch.

    Nobody waits, nothing is copied.
    """
    owner = start_owner()
    owner.ask("acquire")
    owner.tell("write")
    begun = int(owner.answer())
    owner.kill()
    store = open_store(settings=StreamSettings(takeover_wait_seconds=3600.0))
    position = store.ownership.acquire(0)[NUMBERS]

    assert position >= begun
    assert current_epoch(store.root / "shard-0000") == 1
    check_whole(store.root, position)


def test_released_shard_goes_on_in_the_next_process(
    open_store: OpenStore, start_owner: StartOwner
) -> None:
    """Handed over in order, a shard keeps its epoch.

    Who released it may have it again.
    """
    owner = start_owner()
    owner.ask("acquire")
    owner.ask("apply 3")
    assert owner.ask("release") == "ok"
    store = open_store(settings=HASTY)
    assert store.ownership.acquire(0) == {NUMBERS: 3}
    apply_next(store)
    store.ownership.release(0)

    assert owner.ask("acquire") == "4"
    assert current_epoch(store.root / "shard-0000") == 1


def test_process_that_lost_a_shard_gets_it_again(
    open_store: OpenStore, start_owner: StartOwner
) -> None:
    """A fenced process that the group entitles anew takes the shard back, with what was
    written meanwhile.
    """
    owner = start_owner()
    owner.ask("acquire")
    owner.ask("apply 3")
    store = open_store(settings=HASTY)
    store.ownership.acquire(0)
    apply_next(store)

    assert owner.ask("acquire") == "4"
    with pytest.raises(StoreFenced):
        apply_next(store)
    store.ownership.lose(0)
    assert store.open_shards() == []
    assert folders(store) == ["e-000003"]


def test_who_is_not_entitled_takes_nothing(open_store: OpenStore, start_owner: StartOwner) -> None:
    """A store that is merely opened waits for a shard and is then
    told that it is busy.
    """
    owner = start_owner()
    owner.ask("acquire")
    store = open_store(settings=HASTY)

    with pytest.raises(StoreBusy, match=f"pid {owner.process.pid} on"):
        store.shard(0)
    assert owner.ask("apply 1") == "1"


def test_processes_that_race_for_a_shard(open_store: OpenStore, start_owner: StartOwner) -> None:
    """Several processes told at once that it is theirs.

    One has it in the end, and the graph is whole.
    """
    paused = start_owner()
    paused.ask("acquire")
    paused.ask("apply 5")
    paused.pause()
    contenders = [start_owner() for _ in range(4)]
    for each in contenders:
        each.tell("acquire")
    answers = [each.answer() for each in contenders]
    assert set(answers) <= {"5", "StoreBusy"}
    winners = [each for each, answer in zip(contenders, answers, strict=True) if answer == "5"]
    results = [each.ask("apply 1") for each in winners]
    paused.wake()

    assert sorted(results) == ["6"] + ["StoreFenced"] * (len(results) - 1)
    assert paused.ask("apply 1") == "StoreFenced"
    assert [each.leave() for each in [*contenders, paused]] == [0] * 5
    store = open_store()
    check_whole(store.root, 6)
    store.shard(0)
    assert len(folders(store)) == 1


def test_snapshot_is_answered_by_the_new_owner(open_store: OpenStore, tmp_path: Path) -> None:
    """A fenced process that finds a request leaves it for whoever has the shard."""
    old, new = open_store(settings=HASTY), open_store(settings=HASTY)
    old.ownership.acquire(0)
    apply_next(old)
    new.ownership.acquire(0)
    (old.root / "requests").mkdir()
    (old.root / "requests" / "a.0.request").touch()

    assert serve_requests(old) == 0
    assert serve_requests(new) == 1
    new.close()
    old.close()
    assert take_snapshot(old.root, tmp_path / "out", HASTY, 0).counts.facts == 0


def test_partition_that_the_store_has_no_shard_for(open_store: OpenStore) -> None:
    """The store grows by the shards that the group gives; who was not given one is told
    how to add them.

    What is not open is neither released nor lost.
    """
    store = open_store()

    with pytest.raises(StoreMismatch, match=r"shards 0 to 0, not 1.*--shards 2"):
        store.ownership.open(1)
    assert store.ownership.acquire(2) == {}
    assert store.num_shards == 3
    assert read_manifest(store.root).num_shards == 3
    store.ownership.release(0)
    store.ownership.lose(0)
    store.ownership.run_due_work()


def test_what_is_counted(tmp_path: Path) -> None:
    """An operator sees how shards came and went."""
    registry = CollectorRegistry()
    root = tmp_path / "store"
    with (
        Store.create_or_open(root, HASTY, 2, metrics=StreamMetrics(registry)) as store,
        Store.create_or_open(root, HASTY, 2) as other,
    ):
        other.ownership.acquire(1)
        store.ownership.acquire(0)
        store.ownership.acquire(1)
        assert registry.get_sample_value("freshet_stream_shards") == 2
        other.ownership.acquire(0)
        with pytest.raises(StoreFenced):
            store.ownership.run_due_work()
        store.ownership.release(1)

    counted = {
        kind: registry.get_sample_value("freshet_stream_handovers_total", {"kind": kind})
        for kind in ("opened", "taken_over", "fenced", "closed")
    }
    assert counted == {"opened": 1, "taken_over": 1, "fenced": 1, "closed": 1}
    assert registry.get_sample_value("freshet_stream_shards") == 0
