"""The quality measurement, on a small log of our own."""

import gzip
import json
from pathlib import Path

import pytest

from bench.quality.quality import run


@pytest.fixture(autouse=True)
def _small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DIM": "16", "LEARNING_RATE": "0.01", "NUM_THREADS": "1"}.items():
        monkeypatch.setenv(f"FRESHET_MODEL_{name}", value)


def test_models_are_judged_and_put_into_a_table(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON lines of each seed and the mean, the differences, then Markdown with the
    best in bold, and what is lost.
    """
    models = ["--models", "popularity", "full", "--against", "popularity"]
    run(["--data", str(logs), "--logs", "shop", *models, "--seeds", "1", "--replay"])

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    means = {
        row["model"]: row for row in rows if row.get("seed") == "mean" and row["segment"] == "all"
    }
    assert means["full"]["mrr"] > 2 * means["popularity"]["mrr"]
    assert {row["against"] for row in rows if "against" in row} == {"popularity"}
    assert {row["log"] for row in rows} == {"shop"}
    best = f"**{means['full']['mrr']:.3f}**".replace("**0", "**")
    table, difference = (line for line in lines if line.startswith("| shop | all ("))
    assert f"| {best} / " in table
    gain = means["full"]["mrr"] - means["popularity"]["mrr"]
    assert f"| +{gain:.3f}".replace("+0", "+") in difference
    assert lines[-1] == "shop, full: lost beyond noise: none"


def test_a_log_of_views_with_a_wider_catalogue(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The name says both; items that nobody clicked are asked for by their titles."""
    (logs / "wider").mkdir()
    with gzip.open(logs / "wider" / "items.jsonl.gz", "wt", encoding="utf-8") as out:
        for number in range(7):
            out.write(json.dumps({"item_id": f"w{number}", "title": f"Wider {number}"}) + "\n")
    names = ["shop", "shop+wider@80"]
    run(["--data", str(logs), "--logs", *names, "--models", "bm25", "--replay"])

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    means = {(row["log"], row["segment"]): row for row in rows if row["seed"] == "mean"}
    assert means["shop", "all"]["edges"] == means["shop+wider@80", "all"]["edges"]
    assert means["shop+wider@80", "new_queries"]["edges"] > means["shop", "new_queries"]["edges"]
    titles = [row for row in lines if row.startswith("| shop+wider@80 | own title no session (7)")]
    assert [row.split(" | ")[2] for row in titles] == ["**1.000**, 1 |"]


def test_a_simulated_shop_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a folder of logs."""
    run(["--logs", "simulated_bare@95", "--models", "popularity", "--replay"])

    rows = capsys.readouterr().out.splitlines()
    assert any(row.startswith("| simulated_bare@95 | session pairs (") for row in rows)


@pytest.mark.parametrize("name", ["", "a@b", "a+", "a@100", "a+b+c"])
def test_a_name_of_another_form_is_refused(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With the form that it should have."""
    with pytest.raises(SystemExit):
        run(["--logs", name])
    assert "FOLDER[+CATALOGUE][@PERCENT]" in capsys.readouterr().err


def test_a_log_is_replayed(
    logs: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the folder from the environment.

    A JSON line a segment and a system, then the table.
    """
    monkeypatch.setenv("FRESHET_DATA", str(logs))
    monkeypatch.setenv("FRESHET_MODEL_MAX_PASSES", "2")

    run(["--logs", "shop", "--models", "--replay", "shop", "--refresh-every", "40", "--days", "1"])

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    assert [row["system"] for row in rows if "system" in row] == ["nightly", "streamed", "fresh"]
    assert sum(line.startswith("| all | ") for line in lines) == 2
    assert f"| {rows[0]['clicks']:,} | " in next(
        line for line in lines if line.startswith("| all | ")
    )
