"""The measurement of training, on tiny graphs.

What it prints, and that both models learn.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bench.train.graph import Size, load_set, save_set, synthetic
from bench.train.plain_pyg import PlainLearner
from bench.train.train import floor_bytes, run
from model.data.training_set import TrainingSet
from model.settings import ModelSettings
from model.training.step import Learner

CPU = torch.device("cpu")
TINY = Size(nodes=120, edges=600, incidences=300)
SYNTHETIC = [
    "--nodes",
    "120",
    "--edges",
    "600",
    "--incidences",
    "300",
    "--steps",
    "1",
    "--threads",
    "1",
]


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the model of the environment small, and let no log be found."""
    monkeypatch.delenv("FRESHET_DATA", raising=False)
    for name, value in {"DIM": "8", "HIDDEN": "8", "BATCH_SIZE": "64", "MAX_PASSES": "2"}.items():
        monkeypatch.setenv(f"FRESHET_MODEL_{name}", value)


def rows(output: str) -> dict[str, dict[str, Any]]:
    """Return the figures by name."""
    figures = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert {figure["bench"] for figure in figures} == {"train"}
    return {figure["name"]: figure for figure in figures}


@pytest.mark.parametrize("make", [Learner, PlainLearner])
def test_both_learn_from_the_same_batch(
    make: Callable[[TrainingSet, ModelSettings, torch.device], Learner | PlainLearner],
    settings: ModelSettings,
) -> None:
    """Ours and plain PyG's loss on a batch that is repeated falls by
    a tenth at least.
    """
    torch.manual_seed(0)
    learner = make(synthetic(TINY, seed=0), settings, CPU)
    batch = np.arange(0, TINY.edges, 9)

    losses = [learner.step(batch) for _ in range(30)]

    assert losses[-1] < 0.9 * losses[0]


def test_the_plain_model_cannot_read_what_it_is_asked(settings: ModelSettings) -> None:
    """Supervised edges and the hyperedges of their sessions are hidden, as in ours."""
    data = synthetic(TINY, seed=0)
    plain = PlainLearner(data, settings, CPU)
    batch = np.arange(0, TINY.edges, 9)

    edge, hyperedge, _ = plain._hide(torch.from_numpy(batch))

    sessions = data.train.source_hyperedge[np.isin(data.train.source_edge, batch)]
    assert not edge[batch].any()
    assert not hyperedge[sessions].any()
    assert edge.float().mean() > 0.5


def test_a_synthetic_graph_is_heavy_tailed_and_survives_the_disk(tmp_path: Path) -> None:
    """It has the size that was asked for, no pair twice, and the same seed gives the
    same one.
    """
    size = Size(nodes=2000, edges=10_000, incidences=5000)
    data = synthetic(size, seed=1)
    save_set(data, tmp_path / "set.npz")
    part, again = data.train, load_set(tmp_path / "set.npz").train

    pairs = np.stack([part.edge_query, part.edge_item], axis=1)
    assert len(np.unique(pairs, axis=0)) == len(pairs) == size.edges
    assert (part.num_nodes, len(part.incidence_node)) == (size.nodes, size.incidences)
    assert np.all(np.diff(part.source_edge) >= 0)
    degree = np.sort(np.bincount(part.edge_item, minlength=part.num_items))
    assert degree[-10:].mean() > 10 * np.median(degree)
    np.testing.assert_array_equal(again.edge_item, part.edge_item)
    np.testing.assert_array_equal(again.edge_item, synthetic(size, seed=1).train.edge_item)


def test_more_pairs_than_there_can_be_are_refused() -> None:
    """Instead of drawing for ever."""
    with pytest.raises(SystemExit, match="ask for more nodes"):
        synthetic(Size(nodes=10, edges=20, incidences=5), seed=0)


def test_the_floor_counts_each_product_both_ways(settings: ModelSettings) -> None:
    """On a graph whose entries can be counted by hand."""
    data = synthetic(Size(nodes=20, edges=10, incidences=10), seed=0)
    # A layer: 20 entries, 20 rows. Sessions: 2 of them, 20 nodes. Texts: 80 mentions of
    # 10 terms, 70 features of those, 20 nodes, 20 buckets.
    floats = 2 * 2 * (20 + 20) + 2 * (20 + 2 + 20) + (2 * 70 + 10 + 20) + (2 * 80 + 20 + 10)
    assert floor_bytes(data, settings) == 4 * settings.dim * floats


@pytest.mark.usefixtures("small")
def test_an_epoch_is_measured_beside_plain_pyg(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Time and memory of both, their ratios with targets.

    The same lines in the file; no log is needed.
    """
    run(["--only", "epoch", *SYNTHETIC, "--device", "cpu", "--json", str(tmp_path / "out.json")])

    output = capsys.readouterr().out
    figures = rows(output)
    assert "no log" in output
    ours, plain = (figures[f"epoch, 120 nodes, {name}"]["value"] for name in ("ours", "plain PyG"))
    assert figures["speed, 120 nodes"]["value"] == pytest.approx(plain / ours, rel=0.01)
    assert figures["speed, 120 nodes"]["target"] == ">= 5"
    assert figures["memory, 120 nodes"]["target"] == "<= 0.5"
    assert {figure["device"] for figure in figures.values()} == {"cpu"}
    assert rows((tmp_path / "out.json").read_text(encoding="utf-8")) == figures


@pytest.mark.usefixtures("small")
def test_scale_is_measured_against_bandwidth(capsys: pytest.CaptureFixture[str]) -> None:
    """An epoch, its memory, and the distance to the floor."""
    run(["--only", "scale", *SYNTHETIC, "--dims", "8", "--device", "cpu"])

    figures = rows(capsys.readouterr().out)
    assert list(figures) == [f"{name}, 120 nodes, 8 dims" for name in ("epoch", "memory", "step")]
    assert "GB/s" in figures["step, 120 nodes, 8 dims"]["note"]


@pytest.mark.usefixtures("small")
def test_a_warm_refresh_is_compared_with_a_cold_training(
    logs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both are asked the same unseen pairs.

    The cold training is done once for both parts.
    """
    run(
        [
            "--only",
            "cold",
            "warm",
            "--data",
            str(logs),
            "--log",
            "shop",
            "--threads",
            "1",
            "--device",
            "cpu",
        ]
    )

    figures = rows(capsys.readouterr().out)
    assert figures["cold training"]["target"] == "<= 600"
    cold, warm = (figures[f"{name}, mrr"]["value"] for name in ("cold training", "warm refresh"))
    assert figures["mrr of warm"]["value"] == pytest.approx(warm / cold, rel=0.01)
    assert figures["time of warm"]["target"] == "<= 0.1"
    assert len(figures) == 9


def test_a_log_that_is_not_there_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(SystemExit, match=r"no event log at .*gone; give --data"):
        run(["--only", "cold", "--data", str(tmp_path), "--log", "gone", "--device", "cpu"])
