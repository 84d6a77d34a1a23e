"""The quality measurement, on a small log of our own."""

import gzip
import json
from dataclasses import asdict
from pathlib import Path

import pytest

from bench.quality import read_log, run
from tests.model.conftest import shop_events, shop_items


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a folder with the shop's events and items in the neutral form."""
    folder = tmp_path / "logs" / "shop"
    folder.mkdir(parents=True)
    with gzip.open(folder / "events.jsonl.gz", "wt", encoding="utf-8") as out:
        for event in shop_events(300):
            out.write(json.dumps({**asdict(event), "type": "search_click", "action": None}) + "\n")
    with gzip.open(folder / "items.jsonl.gz", "wt", encoding="utf-8") as out:
        for item in shop_items():
            out.write(json.dumps({"item_id": item.item_id, "title": item.title}) + "\n")
    return folder


def test_what_is_scored_is_not_in_the_graph(log: Path, tmp_path: Path) -> None:
    """Only pairs of the last fifth that the first four fifths do not have, in three segments."""
    arrays, unseen = read_log(log, tmp_path)

    known = set(zip(arrays.edge_query.tolist(), arrays.edge_item.tolist(), strict=True))
    assert not known & set(zip(unseen.query.tolist(), unseen.item.tolist(), strict=True))
    assert unseen.num_known == arrays.num_queries < len(unseen.texts)
    segments = [unseen.of_segment(name) for name in ("frequent", "rare", "new")]
    assert sum(segment.sum() for segment in segments) == len(unseen.query)
    assert (unseen.query[segments[2]] >= unseen.num_known).all()


def test_rows_are_printed_for_every_model_and_segment(
    log: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table for people, then JSON lines."""
    monkeypatch.setenv("FRESHET_DATA", str(log.parent))

    run(
        ["--logs", "shop", "--models", "popularity", "full", "--seeds", "0", "--dim", "16", "--device", "cpu"]
    )

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    means = {(row["model"], row["segment"]): row for row in rows if row["seed"] == -1}
    assert len(means) == 2 * 4
    assert means["full", "all"]["mrr"] > 2 * means["popularity", "all"]["mrr"]
    assert sum(line.startswith("shop") for line in lines) == len(means)
