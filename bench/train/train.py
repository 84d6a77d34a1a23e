"""What training costs, beside the same model in plain PyG: ``python -m bench train``.

Parts: `epoch` (ours and plain PyG in turn, on a synthetic graph, and on a log where
there is one), `cold` and `warm` (a log, as `freshet tune` trains), `scale` (a large
synthetic graph, against memory bandwidth), `ranks` (a log, on several numbers of ranks
of this machine). On a CPU, seconds are CPU seconds unless it
says otherwise: others on the machine do not add to them. Settings of the model come
from the environment (`freshet config`).
"""

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import numpy as np

from bench.figures import Figure, print_figure, print_header, write_json
from bench.quality.logs import data_folder
from bench.train.child import LEARNERS, Child, open_child
from bench.train.graph import Size, save_set, synthetic
from bench.train.ranks import train_on_ranks
from bench.train.refresh import Read, Refresh, cold, warm
from freshet.config import load_config
from freshet.evaluation.event_log import EventLog, open_log
from model.data.training_set import TrainingSet, build_training_set
from model.settings import ModelSettings
from stream.settings import StreamSettings

_LOG = "lastfm_hetrec"
_FLOAT_BYTES = 4  # of a float32
# Graphs of the parts `epoch` and `scale`: those that the targets are stated for.
_SMALL = Size(nodes=200_000, edges=1_000_000, incidences=500_000)
_LARGE = Size(nodes=2_000_000, edges=20_000_000, incidences=10_000_000)
_BUDGET_SECONDS = 600.0  # of a training: the target for a cold one


@dataclass(kw_only=True)
class Bench:
    """What is measured, and what came out so far."""

    options: argparse.Namespace
    folder: Path
    settings: ModelSettings
    stream: StreamSettings
    device: str
    figures: list[Figure] = field(default_factory=list)
    refreshes: dict[str, list[Refresh]] = field(default_factory=dict)

    def add(self, name: str, value: float, unit: str, *, target: str = "", note: str = "") -> None:
        """Keep a figure and print it."""
        self.figures.append(Figure(name=name, value=value, unit=unit, target=target, note=note))
        print_figure(self.figures[-1])

    def saved(self, name: str, data: TrainingSet) -> Path:
        """Write a training set for learners to read."""
        path = self.folder / f"{name}.npz"
        save_set(data, path)
        return path


def run(argv: Sequence[str]) -> None:
    """Measure the parts that are asked for, print a table, then one
    JSON line a figure.
    """
    options = _parse(argv)
    config = load_config(None, os.environ)
    flags = {"budget_seconds": options.budget, "num_threads": options.threads}
    with TemporaryDirectory(prefix="freshet-bench-") as folder:
        bench = Bench(
            options=options,
            folder=Path(folder),
            settings=config.model(**flags),
            stream=config.stream(),
            device=_device(options.device),
        )
        print_header()
        for part in options.only:
            _PARTS[part](bench)
    libraries = {name: version(name) for name in ("torch", "torch-geometric")}
    write_json(
        "train", bench.figures, options.json, {"device": _device_name(bench.device), **libraries}
    )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench train", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(_PARTS), default=list(_PARTS), help="these parts"
    )
    parser.add_argument(
        "--data", type=Path, help="the folder of logs; FRESHET_DATA where it is left out"
    )
    parser.add_argument("--log", default=_LOG, help="the folder in it")
    parser.add_argument(
        "--nodes", type=int, help="of the synthetic graph; the default depends on the part"
    )
    parser.add_argument("--edges", type=int, help="the same")
    parser.add_argument("--incidences", type=int, help="the same")
    parser.add_argument(
        "--steps", type=int, default=5, help="steps measured, after one that is not"
    )
    parser.add_argument("--seeds", type=int, default=3, help="trainings of the parts cold and warm")
    parser.add_argument(
        "--dims", type=int, nargs="+", default=[64, 128], help="dimensions of the part scale"
    )
    parser.add_argument(
        "--ranks", type=int, nargs="+", default=[1, 2], help="numbers of ranks of the part ranks"
    )
    parser.add_argument("--device", default="auto", choices=["auto", "cpu", "cuda"])
    parser.add_argument("--threads", type=int, help="of torch; 0: one less than there are cores")
    parser.add_argument(
        "--budget", type=float, default=_BUDGET_SECONDS, help="seconds, at most, of a training"
    )
    parser.add_argument("--json", type=Path, help="write the JSON lines to this file, too")
    return parser.parse_args(argv)


def _epoch(bench: Bench) -> None:
    """Time steps of ours and of plain PyG in turn."""
    size = _size(bench, _SMALL)
    _compare(
        bench,
        f"{size.nodes:,} nodes",
        bench.saved("synthetic", synthetic(size, bench.settings.seed)),
    )
    if _has_log(bench):
        with _reading(bench) as read:
            data = build_training_set(read(None), bench.settings)
        _compare(bench, bench.options.log, bench.saved("log", data))
    else:
        print(f"no log {bench.options.log} to measure an epoch on; give --data a folder of logs")


def _compare(bench: Bench, name: str, path: Path) -> None:
    settings, device = bench.settings, bench.device
    with ExitStack() as stack:
        children = {
            each: stack.enter_context(open_child(each, path, settings, device)) for each in LEARNERS
        }
        measured = _in_turn(children, bench.options.steps)
    steps = _steps_of_an_epoch(path, settings)
    for learner, one in measured.items():
        label, note = (
            ("ours" if learner == "ours" else "plain PyG"),
            f"{steps} steps of {one.seconds:.3g} s",
        )
        bench.add(f"epoch, {name}, {label}", _rounded(steps * one.seconds), "s", note=note)
        bench.add(
            f"memory, {name}, {label}",
            _rounded(one.peak_bytes / 2**20),
            "MiB",
            note="beside data and imports",
        )
    ours, plain = measured["ours"], measured["plain"]
    bench.add(f"speed, {name}", _rounded(plain.seconds / ours.seconds), "x plain", target=">= 5")
    bench.add(
        f"memory, {name}", _rounded(ours.peak_bytes / plain.peak_bytes), "x plain", target="<= 0.5"
    )


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The median step of a learner, and the most memory it had."""

    seconds: float
    peak_bytes: float


def _in_turn(children: dict[str, Child], num_steps: int) -> dict[str, Measured]:
    answers: dict[str, list[dict[str, float]]] = {name: [] for name in children}
    for _ in range(1 + num_steps):
        for name, child in children.items():
            answers[name].append(child.step())
    return {
        name: Measured(
            seconds=float(np.median([answer["seconds"] for answer in each[1:]])),
            peak_bytes=each[-1]["peak_bytes"],
        )
        for name, each in answers.items()
    }


def _cold(bench: Bench) -> None:
    """Train from scratch on a log's first 80%."""
    each = _refreshed(bench, "cold")
    by_clock = f"{_mean(each, 'seconds'):.0f} s of CPU, {_mean(each, 'passes'):.0f} passes"
    wall = _mean(each, "wall_seconds")
    bench.add("cold training", _rounded(wall), "s", target="<= 600", note=by_clock)
    _add_quality(bench, "cold training", each)


def _warm(bench: Bench) -> None:
    """Warm-start on the last 1% of the facts; compare with a cold training at the same
    moment.
    """
    cold_ones, warm_ones = _refreshed(bench, "cold"), _refreshed(bench, "warm")
    by_clock = (
        f"{warm_ones[0].new_share:.1%} new; {_mean(warm_ones, 'wall_seconds'):.0f} s on the clock"
    )
    seconds = _mean(warm_ones, "seconds")
    bench.add("warm refresh", _rounded(seconds), "CPU s", note=by_clock)
    _add_quality(bench, "warm refresh", warm_ones)
    bench.add(
        "time of warm", _rounded(seconds / _mean(cold_ones, "seconds")), "x cold", target="<= 0.1"
    )
    refused = sum(one.refused for one in warm_ones)
    note = f"the gate refused {refused}: of the generations before" if refused else ""
    for figure in ("mrr", "recall_10"):
        ratio = _quality(warm_ones, figure) / (_quality(cold_ones, figure) or 1.0)
        bench.add(f"{figure} of warm", _rounded(ratio), "x cold", target=">= 0.99", note=note)


def _refreshed(bench: Bench, name: str) -> list[Refresh]:
    """Return the results of trainings, one a seed; each is done once."""
    if name not in bench.refreshes:
        train = cold if name == "cold" else warm
        with _reading(bench) as read:
            bench.refreshes[name] = [
                train(read, replace(bench.settings, device=bench.device, seed=seed))
                for seed in range(bench.options.seeds)
            ]
    return bench.refreshes[name]


def _mean(each: list[Refresh], name: str) -> float:
    return float(np.mean([getattr(one, name) for one in each]))


def _quality(each: list[Refresh], figure: str) -> float:
    return float(np.mean([getattr(one.quality, figure) for one in each]))


def _add_quality(bench: Bench, name: str, each: list[Refresh]) -> None:
    note = f"{each[0].quality.num_edges:,} unseen pairs; {len(each)} seeds"
    for figure in ("mrr", "recall_10"):
        bench.add(f"{name}, {figure}", _rounded(_quality(each, figure)), "", note=note)


def _scale(bench: Bench) -> None:
    """Time steps on a large graph, against what its sparse products must move."""
    size = _size(bench, _LARGE if bench.device == "cuda" else _SMALL)
    data = synthetic(size, bench.settings.seed)
    path = bench.saved("large", data)
    name = f"{size.nodes:,} nodes"
    for dim in bench.options.dims:
        settings = replace(bench.settings, dim=dim)
        with open_child("ours", path, settings, bench.device) as child:
            one = _in_turn({"ours": child}, bench.options.steps)["ours"]
            bandwidth = child.bandwidth()
        steps, floor = _steps_of_an_epoch(path, settings), floor_bytes(data, settings) / bandwidth
        note = f"{steps:,} steps of {one.seconds:.3g} s"
        bench.add(f"epoch, {name}, {dim} dims", _rounded(steps * one.seconds), "s", note=note)
        bench.add(f"memory, {name}, {dim} dims", _rounded(one.peak_bytes / 2**30), "GiB")
        note = f"{floor:.3g} s a step at {bandwidth / 1e9:.3g} GB/s"
        bench.add(
            f"step, {name}, {dim} dims",
            _rounded(one.seconds / floor),
            "x floor",
            target="<= 3",
            note=note,
        )


def _ranks(bench: Bench) -> None:
    """Train on a log's graph on each number of ranks, with the same settings."""
    from model.training.ranks.packed import packed

    path = bench.folder / "graph.npz"
    with _reading(bench) as read:
        np.savez(path, **packed(read(None)))  # type: ignore[arg-type]
    for size in bench.options.ranks:
        each = [
            train_on_ranks(path, replace(bench.settings, device=bench.device, seed=seed), size)
            for seed in range(bench.options.seeds)
        ]
        mean = {
            name: _rounded(float(np.mean([getattr(one, name) for one in each])))
            for name in ("pass_seconds", "cpu_seconds", "peak_bytes", "passes", "mrr", "recall_10")
        }
        label = f"{size} rank{'s' if size > 1 else ''}, {bench.settings.propagation}"
        note = f"{mean['passes']:g} passes, {len(each)} seeds"
        bench.add(f"pass, {label}", mean["pass_seconds"], "s", note=note)
        bench.add(f"CPU of a pass, {label}", mean["cpu_seconds"], "CPU s", note="of all ranks")
        bench.add(f"memory, {label}", _rounded(mean["peak_bytes"] / 2**20), "MiB", note="a rank")
        bench.add(f"mrr, {label}", mean["mrr"], "", note="held-out edges")
        bench.add(f"recall_10, {label}", mean["recall_10"], "", note="the same")


def floor_bytes(data: TrainingSet, settings: ModelSettings) -> int:
    """Return what the sparse products of a step move at least, forward and backward.

    Each entry of a pattern reads a row of `dim` floats, and each row of a result is
    written once: both directions of the edges in every layer, nodes to hyperedges and
    back, features to terms to texts.
    """
    part, texts = data.train, data.texts
    edges = settings.num_layers * 2 * (2 * len(part.edge_query) + part.num_nodes)
    incidences = 2 * (2 * len(part.incidence_node) + part.num_hyperedges + part.num_nodes)
    features = (
        2 * (len(texts.node) + len(texts.owner) + texts.num_terms)
        + part.num_nodes
        + len(texts.buckets)
    )
    return _FLOAT_BYTES * settings.dim * (edges + incidences + features)


def _steps_of_an_epoch(path: Path, settings: ModelSettings) -> int:
    with np.load(path) as arrays:
        return max(1, round(len(arrays["train.edge_query"]) / settings.batch_size))


def _size(bench: Bench, default: Size) -> Size:
    asked = {name: getattr(bench.options, name) for name in ("nodes", "edges", "incidences")}
    return replace(default, **{name: value for name, value in asked.items() if value is not None})


def _has_log(bench: Bench) -> bool:
    folder = bench.options.data or (data_folder() if "FRESHET_DATA" in os.environ else None)
    return folder is not None and (folder / bench.options.log).is_dir()


@contextmanager
def _reading(bench: Bench) -> Iterator[Read]:
    """Yield a function that reads the log's graph as the events
    before a time made it.
    """
    folder = (bench.options.data or data_folder()) / bench.options.log
    if not folder.is_dir():
        raise SystemExit(
            f"no event log at {folder}; give --data the folder it is in, and --log its name"
        )
    files = EventLog(
        graph=None, events=[folder / "events.jsonl.gz"], items=[folder / "items.jsonl.gz"]
    )
    with open_log(files, bench.stream, Event()) as graph:
        yield lambda before_ms: graph.arrays(before_ms=before_ms)


def _device(name: str) -> str:
    import torch

    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise SystemExit("torch finds no GPU; leave --device out or give it cpu")
    return name


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device


def _rounded(value: float) -> float:
    return float(f"{value:.4g}")


_PARTS: dict[str, Callable[[Bench], None]] = {
    "epoch": _epoch,
    "cold": _cold,
    "warm": _warm,
    "scale": _scale,
    "ranks": _ranks,
}
