"""What the bench of filters measures is what filters do."""

import json

import pytest

from bench import filters


def test_every_share_gives_as_many_as_match(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten hits or all that match; nothing is missing of an exact engine."""
    monkeypatch.setattr(filters, "_BLOCKS", 1)

    filters.run(["--items", "2000", "--dim", "16", "--engine", "exact"])

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    assert len(rows) == 1 + 3 * 5 + 1
    assert all(row["returned"] == min(10, row["matching"]) for row in rows)
    assert all(row["recall"] >= 0.999 for row in rows)
    matching = {row["filter"]: row["matching"] for row in rows}
    assert (matching["tag 0.1"], matching["side 0.001"]) == (200, 2)
    assert matching["tag 0.0001"] == 1
    assert matching["not brand"] == 1990


def test_an_overlay_counts_as_the_generation_does(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its items match by their own attributes, and what it moves is where it is now."""
    monkeypatch.setattr(filters, "_BLOCKS", 1)

    filters.run(["--items", "2000", "--dim", "16", "--engine", "exact", "--overlay", "500"])

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    assert rows[0]["matching"] == 2000 + 500 // 5
    assert all(row["returned"] == min(10, row["matching"]) for row in rows)
    assert all(row["recall"] >= 0.999 for row in rows)
