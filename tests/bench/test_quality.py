"""The quality measurement, on a small log of our own."""

import json
from pathlib import Path

import pytest

from bench.quality import run


@pytest.fixture(autouse=True)
def _small_model(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"DIM": "16", "LEARNING_RATE": "0.01", "NUM_THREADS": "1"}.items():
        monkeypatch.setenv(f"FRESHET_MODEL_{name}", value)


def test_models_are_judged_and_put_into_a_table(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """JSON lines of each seed and the mean, the differences, then Markdown with the
    best in bold.
    """
    run(
        [
            "--data",
            str(logs),
            "--logs",
            "shop",
            "--models",
            "popularity",
            "full",
            "--seeds",
            "1",
            "--replay",
        ]
    )

    lines = capsys.readouterr().out.splitlines()
    rows = [json.loads(line) for line in lines if line.startswith("{")]
    means = {
        row["model"]: row for row in rows if row.get("seed") == "mean" and row["segment"] == "all"
    }
    assert means["full"]["mrr"] > 2 * means["popularity"]["mrr"]
    assert {row["against"] for row in rows if "against" in row} == {"popularity"}
    assert {row["log"] for row in rows} == {"shop"}
    best = f"**{means['full']['mrr']:.3f}**".replace("**0", "**")
    assert [best in line for line in lines if line.startswith(("| full", "| popularity"))] == [
        False,
        True,
    ]


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
