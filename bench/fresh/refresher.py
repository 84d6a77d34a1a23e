"""What a round of the fresh lane costs as the graph grows, and how near its vectors
come to a full pass: ``python -m bench refresher``.

For each size: a synthetic shop, a network with random weights whose channels count
alike, a generation of it, rounds of some 1,000 named queries and items in a process of
its own, and a full pass of torch's network over the graph afterwards. Seconds are CPU
seconds: others on the machine do not add to them.
"""

import argparse
import json
import pickle
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bench.figures import Figure, print_figure, print_header, write_json
from bench.fresh.shop import graph_of, make_shop, next_round
from model.artifact.fresh_arrays import FRESH_PREFIX
from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.errors import GateRefused
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainedModel
from stream.dtypes import Float32s
from stream.feed.changes import ShardChanges
from stream.graph.arrays import GraphArrays
from testing.fresh_rounds import full_pass, untrained
from testing.small_shop import NOW_MS, snapshot_of

_EDGES_OF_NODE = 10  # edges for each query and item
_GROWTH_TARGET = 1.5  # times the smallest graph's CPU seconds
_COSINE_TARGET = 0.999


@dataclass(kw_only=True)
class Bench:
    """What is measured, and what came out so far."""

    options: argparse.Namespace
    folder: Path
    settings: ModelSettings
    figures: list[Figure] = field(default_factory=list)

    def add(self, name: str, value: float, unit: str, *, target: str = "", note: str = "") -> None:
        """Keep a figure and print it."""
        self.figures.append(Figure(name=name, value=value, unit=unit, target=target, note=note))
        print_figure(self.figures[-1])


def run(argv: Sequence[str]) -> None:
    """Measure each size, print a table, then one JSON line a figure."""
    options = _parse(argv)
    with TemporaryDirectory(prefix="freshet-bench-", dir=options.folder) as folder:
        bench = Bench(
            options=options,
            folder=Path(folder),
            settings=ModelSettings(
                dim=options.dim, device="cpu", index_engine="exact", gate_max_mean_cosine=1.0
            ),
        )
        print_header()
        for edges in options.edges:
            _measure(bench, edges)
        _add_growth(bench)
        write_json("refresher", bench.figures, options.json, {"rounds": options.rounds})


def _measure(bench: Bench, edges: int) -> None:
    """Measure one size of graph."""
    shop = make_shop(edges, max(1000, edges // _EDGES_OF_NODE), seed=1)
    graph = graph_of(shop)
    generation = _published(bench, edges, graph)
    rounds: list[ShardChanges] = []
    for number in range(bench.options.rounds + 1):
        shop, changes = next_round(shop, bench.options.nodes, seed=100 + number)
        rounds.append(changes)
    measured, vectors = _rounds(bench, generation, rounds)
    seconds = measured["seconds"]
    bench.add(
        f"round, {edges:,} edges",
        round(float(np.median(seconds)), 3),
        "CPU s",
        note=f"{np.median(measured['recomputed']):.0f} recomputed, "
        f"{np.median(measured['named']):.0f} of them named; "
        f"slowest {max(seconds):.3f}, first {measured['first']:.3f}",
    )
    bench.add(f"open, {edges:,} edges", round(measured["open"], 3), "CPU s")
    bench.add(f"peak memory, {edges:,} edges", round(measured["peak_mib"]), "MiB")
    if bench.options.full_pass:
        whole = full_pass(generation, graph_of(shop), bench.settings, graph)
        _add_cosines(bench, edges, whole, vectors)


def _published(bench: Bench, edges: int, arrays: GraphArrays) -> Generation:
    """Return an untrained generation, and say what the fresh lane's state in it
    costs.
    """
    trained = untrained(arrays, bench.settings)
    store = ArtifactStore(bench.folder / f"artifacts-{edges}")
    seconds: dict[bool, float] = {}
    for has_states in (False, True):
        model = trained if has_states else replace(trained, states=None)
        began = time.process_time()
        name = _publish(model, arrays, store, bench.settings)
        seconds[has_states] = time.process_time() - began
    files = [path for path in store.generation_path(name).iterdir() if path.is_file()]
    fresh = sum(each.stat().st_size for each in files if each.name.startswith(FRESH_PREFIX))
    others = sum(each.stat().st_size for each in files) - fresh
    bench.add(
        f"state in a generation, {edges:,} edges",
        round(fresh / (1 << 20), 1),
        "MiB",
        note=f"beside {others / (1 << 20):.1f} MiB",
    )
    bench.add(
        f"publishing with the state, {edges:,} edges",
        round(seconds[True], 2),
        "CPU s",
        note=f"{seconds[False]:.2f} without",
    )
    return open_generation(store.generation_path(name), verify=False)


def _publish(
    trained: TrainedModel,
    arrays: GraphArrays,
    store: ArtifactStore,
    settings: ModelSettings,
) -> str:
    """Publish whatever the gate says; return the id."""
    try:
        return publish(trained, arrays, snapshot_of(arrays), store, settings, NOW_MS)
    except GateRefused as refused:
        return refused.generation_id


def _rounds(
    bench: Bench, generation: Generation, rounds: Sequence[ShardChanges]
) -> tuple[dict[str, Any], dict[str, dict[str, Float32s]]]:
    """Apply rounds in a process of its own; return its figures, and the newest vectors
    of queries and of items.
    """
    asked, answered = bench.folder / "rounds.pickle", bench.folder / "vectors.pickle"
    asked.write_bytes(pickle.dumps(list(rounds)))
    paths = [str(path) for path in (generation.path, asked, answered)]
    child = [sys.executable, "-m", "bench.fresh.child", *paths]
    done = subprocess.run(child, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout), pickle.loads(answered.read_bytes())  # noqa: S301  # our own


def _add_cosines(
    bench: Bench,
    edges: int,
    whole: tuple[dict[str, Float32s], dict[str, Float32s]],
    vectors: dict[str, dict[str, Float32s]],
) -> None:
    cosines = np.array(
        [
            float(vector @ there[name])
            for kind, there in zip(("query", "item"), whole, strict=True)
            for name, vector in vectors[kind].items()
        ]
    )
    below = int((cosines < _COSINE_TARGET).sum())
    bench.add(
        f"worst cosine to a full pass, {edges:,} edges",
        round(float(cosines.min()), 6),
        "",
        target=f">= {_COSINE_TARGET}",
        note=f"of {len(cosines)}; {below} below, median {np.median(cosines):.6f}",
    )


def _add_growth(bench: Bench) -> None:
    """Say how much more a round costs in the largest graph than in the smallest."""
    seconds = [figure.value for figure in bench.figures if figure.name.startswith("round,")]
    if len(seconds) > 1:
        bench.add(
            "growth from the smallest to the largest",
            round(seconds[-1] / seconds[0], 2),
            "times",
            target=f"< {_GROWTH_TARGET}",
        )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench refresher", description=__doc__)
    parser.add_argument(
        "--edges", type=int, nargs="+", default=[100_000, 1_000_000], help="sizes, ascending"
    )
    parser.add_argument("--nodes", type=int, default=1000, help="named in a round")
    parser.add_argument("--rounds", type=int, default=9, help="measured, after a first one")
    parser.add_argument("--dim", type=int, default=128, help="length of vectors")
    parser.add_argument(
        "--no-full-pass", dest="full_pass", action="store_false", help="leave cosines out"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where generations are written")
    parser.add_argument("--json", type=Path, default=None, help="write the figures there, too")
    return parser.parse_args(argv)
