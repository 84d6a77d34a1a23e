"""Files of events applied by Freshet, beside DuckDB and Polars building the same edges
and hyperedges of the same file on disk, in one run: ``python -m bench files``.

Each is a process of its own and reports its own CPU time (user and system, all
threads), in turn; the median counts. Where uv or a package registry is missing, Freshet
is measured alone.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.environment import EnvironmentMissing, python_with
from bench.figures import Figure, print_figure, print_header, write_json
from bench.ingest.workbench import reported
from bench.ingest.workload import shop_events
from stream.events.types import Interaction
from stream.reading.reader import open_graph
from stream.settings import StreamSettings

# Known edges per event, as `python -m bench ingest` has them.
_EDGES_PER_EVENT = 0.25
_OTHERS_PACKAGES = ["duckdb==2.0.1", "polars==2.1.0"]
_OTHERS_APP = str(Path(__file__).parent / "others_app.py")
_ENGINES = ("duckdb", "polars")


def run(argv: Sequence[str]) -> None:
    """Measure everything, print a table, then one JSON line a figure."""
    options = _parse(argv)
    with tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder:
        print_header()
        bench = _Bench(Path(folder), options)
        bench.measure_engines()
        bench.measure_forms()
    write_json("files", bench.figures, options.json, {"events": options.events})


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench files", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000, help="lines of each file")
    parser.add_argument("--turns", type=int, default=3, help="runs of each, in turn")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)


class _Bench:
    """The files, and the figures so far."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.figures: list[Figure] = []
        self._folder = folder
        self._num_events: int = options.events
        self._turns: int = options.turns

    def measure_engines(self) -> None:
        """Apply a neutral file, and let the others build the same of it."""
        path = self._written("neutral", _neutral)
        python = _others_python()
        ours: list[float] = []
        theirs: dict[str, list[float]] = {engine: [] for engine in _ENGINES}
        for _ in range(self._turns):
            ours.append(self._apply(path))
            counts = self._counts("neutral")
            for engine in _ENGINES if python else ():
                result = self._build(str(python), engine, path)
                if tuple(result["counts"]) != counts:
                    raise SystemExit(f"{engine} has {result['counts']}, not {counts}")
                theirs[engine].append(result["cpu_seconds"])
        self._add_cost("freshet, neutral lines", median(ours))
        for engine, found in theirs.items():
            if found:
                self._add_cost(f"{engine}, edges and hyperedges alone", median(found))
                self._add(
                    f"freshet / {engine}",
                    median(ours) / median(found),
                    "x",
                    target="<= 2" if engine == "duckdb" else "",
                )

    def measure_forms(self) -> None:
        """Apply the same events in three forms."""
        forms = {"neutral": _neutral, "cloudevents": _cloud_event, "ubi": _ubi}
        paths = {name: self._written(name, form) for name, form in forms.items()}
        costs: dict[str, list[float]] = {name: [] for name in forms}
        for _ in range(self._turns):
            for name, path in paths.items():
                costs[name].append(self._apply(path))
        for name in ("cloudevents", "ubi"):
            if self._hash(name) != self._hash("neutral"):
                raise SystemExit(f"{name} made another graph than neutral lines of the same events")
            self._add_cost(f"freshet, {name} lines", median(costs[name]))
            ratio = median(costs[name]) / median(costs["neutral"])
            self._add(f"{name} / neutral lines", ratio, "x", target="<= 2")

    def _written(self, name: str, form: "Callable[[Interaction], dict[str, Any]]") -> Path:
        path = self._folder / f"{name}.jsonl"
        if not path.exists():
            events = shop_events(
                self._num_events, round(self._num_events * _EDGES_PER_EVENT), seed=1
            )
            with path.open("w", encoding="utf-8") as out:
                out.writelines(json.dumps(form(event)) + "\n" for event in events)
        return path

    def _apply(self, path: Path) -> float:
        """Apply a file to a new store and return the CPU seconds."""
        store = self._store(path.stem)
        shutil.rmtree(store, ignore_errors=True)
        arguments = {"path": str(path), "num_records": self._num_events, "store": str(store)}
        command = [sys.executable, "-m", "bench.ingest.parts", "files", json.dumps(arguments)]
        result = _reported(command)
        if result["events"] != self._num_events:
            raise SystemExit(f"{result['events']} of {self._num_events} events were applied")
        return float(result["cpu_seconds"])

    def _build(self, python: str, engine: str, path: Path) -> dict[str, Any]:
        target = self._folder / engine
        half_life_ms = StreamSettings().half_life_ms
        return _reported([python, _OTHERS_APP, engine, str(path), str(target), str(half_life_ms)])

    def _counts(self, name: str) -> tuple[int, int]:
        with open_graph(self._store(name), StreamSettings()) as graph:
            stats = graph.stats()
            return stats.edges, stats.hyperedges

    def _hash(self, name: str) -> str:
        with open_graph(self._store(name), StreamSettings()) as graph:
            return graph.graph_hash()

    def _store(self, name: str) -> Path:
        return self._folder / f"store of {name}"

    def _add_cost(self, name: str, cpu_seconds: float) -> None:
        micros = cpu_seconds / self._num_events * 1e6
        self._add(name, cpu_seconds, "CPU-s", note=f"{micros:.2f} us an event")

    def _add(self, name: str, value: float, unit: str, *, target: str = "", note: str = "") -> None:
        note = note or f"medians of {self._turns}"
        figure = Figure(name=name, value=float(f"{value:.3g}"), unit=unit, target=target, note=note)
        self.figures.append(figure)
        print_figure(figure)


def _others_python() -> Path | None:
    try:
        return python_with("-".join(_OTHERS_PACKAGES).replace("==", "-"), _OTHERS_PACKAGES)
    except EnvironmentMissing as missing:
        print(f"no comparison with DuckDB and Polars: {missing}", file=sys.stderr)
        return None


def _reported(command: list[str]) -> dict[str, Any]:
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"{command[1:4]} failed:\n{process.stderr[-2000:]}")
    return reported(process.stdout, command[2])


# One event in each form


def _neutral(event: Interaction) -> dict[str, Any]:
    return {"ts_ms": event.ts_ms, "type": event.action.label, **_ids(event)}


def _cloud_event(event: Interaction) -> dict[str, Any]:
    return {
        "specversion": "1.0",
        "id": f"{event.session_id}-{event.ts_ms}",
        "source": "/shop",
        "type": f"freshet.{event.action.label}",
        "time": _iso(event.ts_ms),
        "data": _ids(event),
    }


def _ubi(event: Interaction) -> dict[str, Any]:
    return {
        "application": "shop",
        "action_name": event.action.label.replace("-", "_"),
        "session_id": event.session_id,
        "client_id": event.user_id,
        "timestamp": _iso(event.ts_ms),
        "user_query": event.query or None,
        "message_type": "INFO",
        "event_attributes": {"object": {"object_id": event.item_id, "object_id_field": "sku"}},
    }


def _ids(event: Interaction) -> dict[str, Any]:
    return {
        "session_id": event.session_id,
        "user_id": event.user_id,
        "query": event.query or None,
        "item_id": event.item_id,
    }


def _iso(ts_ms: int) -> str:
    moment = datetime.fromtimestamp(ts_ms / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
