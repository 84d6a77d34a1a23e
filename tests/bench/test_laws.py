"""The law runner: a thousand cases here, a hundred thousand by hand.

And that it finds what is broken.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.laws import run, run_case, run_cases
from stream.changes import acceptance, apply, plan
from stream.changes.acceptance import Lateness
from stream.changes.erasure import drop
from stream.changes.erasure.drop import ErasureOutcome
from stream.events.columns import ShardBatch, no_events
from stream.events.types import SourcePartition
from stream.graph.facts import FactColumns, MergedFacts, merge_facts
from stream.shard import codec
from stream.shard.codec import PartitionProgress
from stream.shard.shard import Shard
from testing.laws.case import random_case
from testing.laws.delivery import Delivery


def test_a_thousand_cases() -> None:
    """Whatever the delivery, the store is that of a plain build.

    Every kind of fault was among them.
    """
    outcome = run_cases(seed=7, numbers=range(1000), rocksdb_every=50, num_workers=2)

    assert outcome.failures == []
    assert outcome.counts["cases"] == 1000
    assert outcome.counts["rocksdb cases"] == 20
    for fault in ("crash", "restart", "move", "checkpoint", "restore", "sync", "late", "erasure"):
        assert outcome.counts[fault] > 30


def test_wide_sessions_obey_the_laws(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where nearly every session is one."""
    monkeypatch.setattr(codec, "WIDE_ROWS", 2)

    assert run_cases(seed=3, numbers=range(150), rocksdb_every=0).failures == []


def test_a_case_follows_from_seed_and_number(tmp_path: Path) -> None:
    """The same case is delivered the same way again.

    Another number or seed is another case.
    """
    again = [run_case(3, number, tmp_path, over_rocksdb=False).counts for number in (5, 5)]
    cases = [random_case(*which)[0] for which in ((3, 5), (3, 5), (3, 6), (4, 5))]

    assert again[0] == again[1]
    assert cases[0] == cases[1]
    assert cases[0].logs not in (cases[2].logs, cases[3].logs)


def test_workers_share_the_cases(capsys: pytest.CaptureFixture[str]) -> None:
    """Two processes do what one does, and the last line is JSON."""
    run(["--cases", "120", "--seed", "5", "--workers", "2", "--rocksdb-every", "0"])
    lines = capsys.readouterr().out.splitlines()
    alone = run_cases(seed=5, numbers=range(120), rocksdb_every=0)
    found = json.loads(lines[-1])

    assert lines[0].split() == ["120", "cases"]
    assert (found["cases"], found["failures"]) == (120, 0)
    assert (found["write"], found["crash"]) == (alone.counts["write"], alone.counts["crash"])


def test_a_broken_merge_is_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A fact that no longer moves earlier is told with the case, how to run it again,
    and status 1.
    """

    def forgetful(stored: FactColumns, seen: FactColumns) -> MergedFacts:
        merge = merge_facts(stored, seen)
        return merge if len(stored) == 0 else replace(merge, is_moved=merge.is_moved & False)

    monkeypatch.setattr(plan, "merge_facts", forgetful)

    with pytest.raises(SystemExit) as left:
        run(["--cases", "300", "--seed", "1", "--rocksdb-every", "0"])
    output = capsys.readouterr().out
    assert left.value.code == 1
    assert "broken:" in output
    number = output.split("again: python -m bench laws --seed 1 --case ")[1].split()[0]
    with pytest.raises(SystemExit):
        run(["--seed", "1", "--case", number, "--rocksdb-every", "0"])
    monkeypatch.undo()
    run(["--seed", "1", "--case", number, "--rocksdb-every", "0"])


def test_a_broken_order_of_catalogue_states_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that takes the last state of an item, whatever its time, breaks a law."""
    monkeypatch.setattr(plan, "newest", lambda _stored, arriving: arriving)
    (failure,) = run_cases(seed=1, numbers=range(300), rocksdb_every=0).failures[:1]

    assert "the catalogue is" in failure


def test_a_bound_that_is_taken_batch_by_batch_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that measures lateness by what earlier batches held breaks a law."""

    def by_batch(
        batch: ShardBatch,
        progress: Mapping[SourcePartition, PartitionProgress],
        fold_bound_ms: int | None,
        fold_age_ms: int,
    ) -> Lateness:
        one_by_one = acceptance.lateness(batch, progress, fold_bound_ms, fold_age_ms)
        newest_ms = [
            -(2**62) if at is None or at.watermark_ms is None else at.watermark_ms
            for at in (progress.get(records.position) for records in batch.batches)
        ]
        bounds_ms = np.array(newest_ms, dtype=np.int64)[batch.place] - (batch.retention_ms or 2**62)
        return replace(one_by_one, is_late=batch.events.ts_ms < bounds_ms)

    monkeypatch.setattr(apply, "lateness", by_batch)
    (failure,) = run_cases(seed=1, numbers=range(300), rocksdb_every=0).failures[:1]

    assert "that of a plain batch build" in failure


def test_visits_that_are_cut_by_what_came_first_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that forgets when a user was there, where the erasure of the item came
    before the event, breaks a law.
    """

    def forgetful(shard: Shard, batch: ShardBatch, late: Lateness, now_ms: int) -> ErasureOutcome:
        return drop.drop_erased(shard, batch, late, now_ms)._replace(visits=no_events())

    monkeypatch.setattr(apply, "drop_erased", forgetful)
    (failure,) = run_cases(seed=1, numbers=range(600), rocksdb_every=0).failures[:1]

    assert "that of a plain batch build" in failure


def test_an_error_on_the_way_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that does not end is reported with its case, not as a stack."""

    def refuse(*_arguments: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Delivery, "run", refuse)
    (failure,) = run_cases(seed=1, numbers=[4], rocksdb_every=0).failures

    assert "OSError: the disk is gone" in failure
    assert "case 4 of seed 1" in failure
