"""The law runner: a thousand cases here, a hundred thousand by hand.

And that it finds what is broken.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from bench.laws import run, run_case, run_cases
from stream.changes import plan
from stream.graph.facts import FactColumns, MergedFacts, merge_facts
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
    for fault in ("crash", "restart", "move", "checkpoint", "restore", "sync"):
        assert outcome.counts[fault] > 30


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


def test_an_error_on_the_way_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    """A delivery that does not end is reported with its case, not as a stack."""

    def refuse(*_arguments: object) -> None:
        raise OSError("the disk is gone")

    monkeypatch.setattr(Delivery, "run", refuse)
    (failure,) = run_cases(seed=1, numbers=[4], rocksdb_every=0).failures

    assert "OSError: the disk is gone" in failure
    assert "case 4 of seed 1" in failure
