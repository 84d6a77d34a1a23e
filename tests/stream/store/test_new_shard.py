"""What a shard that is added to a store knows from its first moment."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stream.changes.apply import apply_batch
from stream.changes.erasure.erase import audit_entries, lift
from stream.changes.fold import finish_folding, fold_step
from stream.events.columns import Texts, batch_of
from stream.events.types import Erasure, SourcePartition
from stream.settings import StreamSettings
from stream.shard.shard import Shard
from testing.histories import NOON_MS, apply_events, event
from tests.stream.conftest import OpenStore

ERASURES = SourcePartition("freshet.erasures", 0)
DAY_MS = 86_400_000


def erase(shard: Shard, erasures: Sequence[tuple[str, str]], next_offset: int) -> None:
    """Read erasures off their topic."""
    texts = Texts()
    asked = [Erasure(kind=kind, id=text, ts_ms=NOON_MS) for kind, text in erasures]  # type: ignore[arg-type]  # as it is written
    batch = batch_of([], texts, positions={ERASURES: next_offset})
    apply_batch(shard, replace(batch, erasures=asked), texts)


def test_added_shard_forgets_what_the_others_forgot(open_store: OpenStore) -> None:
    """Users, items, and sessions that went with their user are erased there, too; it
    reads the erasures on from where the furthest is, and its audit says so.
    """
    store = open_store(num_shards=2)
    apply_events(store.shard(0), [event("s-1", user_id="u-1"), event("s-2")])
    erase(store.shard(0), [("user", "u-1"), ("item", "i-9")], 2)
    erase(store.shard(1), [("user", "u-1")], 1)
    positions = store.ownership.acquire(3, {})
    added = store.shard(3)
    result = apply_events(
        added,
        [
            event("s-1"),
            event("s-3", user_id="u-1"),
            event("s-4", item_id="i-9"),
            event("s-5", item_id="i-5"),
        ],
    )

    assert positions == {ERASURES: 2}
    assert (result.new_facts, result.dropped) == (1, 3)
    assert {(entry.kind, entry.facts) for entry in audit_entries(added)} >= {
        ("user", 0),
        ("item", 0),
    }
    assert not added.erased.pending


def test_what_was_lifted_stays_lifted(open_store: OpenStore) -> None:
    """An added shard does not read the erasure again."""
    store = open_store()
    erase(store.shard(0), [("user", "u-1")], 1)
    lift(store.shard(0), "user", "u-1", NOON_MS)

    assert store.ownership.acquire(1, {}) == {ERASURES: 1}
    assert apply_events(store.shard(1), [event("s-3", user_id="u-1")]).new_facts == 1


def test_shard_that_was_there_keeps_what_it_knows(open_store: OpenStore) -> None:
    """Only a brand-new one is told."""
    store = open_store(num_shards=2)
    store.shard(1)
    erase(store.shard(0), [("user", "u-1")], 1)
    store.close()
    again = open_store()

    assert again.shard(1).erased.is_empty
    assert again.shard(1).positions() == {}


def test_added_shard_takes_nothing_that_was_folded_elsewhere(
    open_store: OpenStore, settings: StreamSettings
) -> None:
    """A replay of what is in folded edges by now does not count twice."""
    folding = replace(
        settings, session_retention_seconds=86_400.0, erasure_horizon_seconds=2 * 86_400.0
    )
    store = open_store(settings=folding)
    old = event("s-1", ts_ms=NOON_MS - 9 * DAY_MS)
    apply_events(store.shard(0), [old])
    apply_events(store.shard(0), [event("s-2", ts_ms=NOON_MS)])
    while fold_step(store.shard(0), 1000):
        pass
    finish_folding(store.shard(0))
    store.grow(2)
    result = apply_events(store.shard(1), [old, event("s-3", ts_ms=NOON_MS)])

    assert store.shard(0).state().folded.count == 1
    assert result.new_facts == 1
    assert [refusal.reason for refusal in result.refusals] == ["too_late"]


def test_machine_without_a_shard_asks_the_checkpoints(
    open_store: OpenStore, settings: StreamSettings, tmp_path: Path
) -> None:
    """Where each machine has its own shards, an added one is told all the same, also if
    a checkpoint is damaged.
    """
    shared = replace(settings, checkpoints_url=str(tmp_path / "checkpoints"))
    first = open_store(tmp_path / "first", 2, shared)
    for index in range(2):
        first.ownership.acquire(index, {})
        erase(first.shard(index), [("user", "u-1")], 1)
    first.close()
    files = tmp_path / "checkpoints" / "shard-0000" / "files"
    shutil.rmtree(files)
    files.mkdir()
    second = open_store(tmp_path / "second", 2, shared)

    assert second.ownership.acquire(2, {}) == {ERASURES: 1}
    assert apply_events(second.shard(2), [event("s-3", user_id="u-1")]).dropped == 1
    assert sorted(each.name for each in (tmp_path / "second").iterdir()) == [
        "feed",
        "shard-0002",
        "store.json",
        "store.json.lock",
    ]
