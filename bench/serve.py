"""Retrieve's rate and latency, beside an empty gRPC shell's in the same run: ``python
-m bench serve``.
"""

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from bench.found import recall_of
from bench.serving.generations import unseen_text, write_generation, write_overlay
from bench.serving.loads import measure_loads
from bench.serving.overlay import overlay_figures
from bench.serving.ratios import RATIOS, measure_ratios
from bench.serving.swaps import measure_swaps
from freshet.process import take_short_turns
from model.artifact.index.engines import AUTO, ENGINES
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.app import RetrievalServer
from server.live import LiveGeneration
from server.settings import ServerSettings

# Of measurements with an overlay and without. Twice as many: twice as long, and a
# figure that the rest of the machine disturbs less.
_ROUNDS = 3
_RECALL_QUERIES = 500  # some 5,000 places: a recall within .005
_READY = "ready "


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One row of the result; times are of a call as its client sees it, and the recall
    is of the index alone; None: nothing is searched.
    """

    name: str
    items: int
    k: int
    calls_per_second: float
    p50_ms: float
    p99_ms: float
    cpu_ms_per_call: float
    cpu_ratio_to_shell: float
    recall: float | None


def run(argv: Sequence[str]) -> None:
    """Measure and print a table, then one JSON line a row."""
    options = _parse(argv)
    if options.part:
        _serve_part(options.part, Path(options.artifacts))
        return
    for items in options.items:
        if options.ratios or options.swaps or options.loads:
            _run_beside(options, items)
            continue
        _run(argparse.Namespace(**{**vars(options), "items": items}))


def _run_beside(options: argparse.Namespace, items: int) -> None:
    """Measure ratios to other servers, swaps or loads, for one size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_generation(folder, items, options.queries, options.dim, options.engine)
        if options.ratios:
            measure_ratios(folder, options.queries, options.ratios)
        if options.swaps:
            measure_swaps(folder, options.queries, options.swaps, options.workers)
        if options.loads:
            measure_loads(folder, items, options.loads)


def _run(options: argparse.Namespace) -> None:
    """Measure one size, and print it."""
    with tempfile.TemporaryDirectory() as folder:
        write_generation(Path(folder), options.items, options.queries, options.dim, options.engine)
        rows = list(_measure_all(Path(folder), options))
        inside = ""
        if options.overlay:
            rows += _measure_overlay(Path(folder), options, rows)
            with _process("overlay", Path(folder)) as (line, _):
                inside = line
    _print(rows)
    if inside:
        print(inside)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench serve", description=__doc__)
    parser.add_argument(
        "--items", type=int, nargs="+", default=[100_000], help="sizes, each measured"
    )
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--engine", choices=[AUTO, *ENGINES], default=AUTO)
    parser.add_argument(
        "--overlay", type=int, default=10_000, help="items of the overlay; 0: measure without"
    )
    parser.add_argument("--calls", type=int, default=2000, help="calls measured a row")
    parser.add_argument("--clients", type=int, default=2, help="clients calling at once")
    parser.add_argument(
        "--ratios",
        nargs="*",
        choices=RATIOS,
        help="measure ratios instead, all or some: to an empty method and the index query, also "
        "to a naive server with Annoy at the same recall, of two workers to one",
    )
    parser.add_argument(
        "--swaps", type=int, default=0, help="measure so many swaps under load instead"
    )
    parser.add_argument("--workers", type=int, default=1, help="of the server that swaps")
    parser.add_argument(
        "--loads", type=int, default=0, help="load a generation so many times instead"
    )
    parser.add_argument("--part", choices=["server", "shell", "overlay"], help=argparse.SUPPRESS)
    parser.add_argument("--artifacts", default="", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.ratios = None if options.ratios is None else options.ratios or list(RATIOS)
    return options


def _measure_all(folder: Path, options: argparse.Namespace) -> Iterator[Measured]:
    some = range(options.queries)
    known = [retrieval_pb.RetrieveRequest(query=f"query {row}") for row in some]
    unseen = [retrieval_pb.RetrieveRequest(query=unseen_text(row)) for row in some]
    recalls = _recalls(folder)
    for k in (10, 100):
        with _process("shell", folder) as (address, process):
            shell = _measure("empty shell", k, known, address, process, options)
        yield shell
        with _process("server", folder) as (address, process):
            for name, requests in (("known query", known), ("encoded query", unseen)):
                row = _measure(name, k, requests, address, process, options, shell.cpu_ms_per_call)
                yield replace(row, recall=recalls[name, k])


def _recalls(folder: Path) -> dict[tuple[str, int], float]:
    """Return what the index finds of each kind of request, by its name and `k`."""
    store = ArtifactStore(folder)
    # A recall is what is measured here, so none is asked for.
    settings = ServerSettings(canary_floor=0.0)
    live = LiveGeneration.load(store.generation_path(store.current_id() or ""), settings)
    vectors = {
        "known query": list(live.generation.query_vectors[:_RECALL_QUERIES]),
        "encoded query": [live.encoder.encode(unseen_text(row)) for row in range(_RECALL_QUERIES)],
    }
    return {
        (name, k): recall_of(live, some, k) for name, some in vectors.items() for k in (10, 100)
    }


def _measure_overlay(
    folder: Path, options: argparse.Namespace, rows: Sequence[Measured]
) -> Iterator[Measured]:
    """Measure known queries with an overlay and without, in turn, so that both see the
    same machine; the round with the least CPU of each counts.
    """
    shells = {row.k: row.cpu_ms_per_call for row in rows if row.name == "empty shell"}
    known = [retrieval_pb.RetrieveRequest(query=f"query {row}") for row in range(options.queries)]
    measured: dict[tuple[int, str], list[Measured]] = {}
    for _ in range(_ROUNDS):
        for name in ("no overlay", "overlay"):
            if name == "overlay":
                write_overlay(folder, options.overlay)
            with _process("server", folder) as (address, process):
                for k, shell in shells.items():
                    row = _measure(name, k, known, address, process, options, shell)
                    measured.setdefault((k, name), []).append(row)
            if name == "overlay":
                shutil.rmtree(OverlayFolder.of(folder).root)
    write_overlay(folder, options.overlay)
    for key in sorted(measured):
        yield min(measured[key], key=lambda row: row.cpu_ms_per_call)


@contextmanager
def _process(part: str, folder: Path) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Run the server or the shell in a process of its own, so that its CPU time can be
    read apart.
    """
    command = [sys.executable, "-m", "bench.serve", "--part", part, "--artifacts", str(folder)]
    # As `freshet serve` sets it.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith(_READY):
            raise SystemExit(f"the {part} did not start")
        try:
            yield line.removeprefix(_READY).strip(), process
        finally:
            process.terminate()


def _serve_part(part: str, folder: Path) -> None:
    """Serve until standard input closes."""
    settings = ServerSettings(listen="127.0.0.1:0")
    if part == "overlay":
        figures = {"bench": "serve overlay", **asdict(overlay_figures(folder))}
        print(f"{_READY}{json.dumps(figures)}", flush=True)
        return
    if part == "server":
        take_short_turns()
        server = RetrievalServer(settings, folder, CollectorRegistry())
        server.start()
        print(f"{_READY}{server.address}", flush=True)
        sys.stdin.read()
        server.stop()
        return
    shell = grpc.server(ThreadPoolExecutor(settings.num_threads))
    retrieval_grpc.add_RetrievalServiceServicer_to_server(_Shell(), shell)  # type: ignore[abstract]  # nothing else is asked
    port = shell.add_insecure_port(settings.listen)
    shell.start()
    print(f"{_READY}127.0.0.1:{port}", flush=True)
    sys.stdin.read()
    shell.stop(0).wait()


class _Shell(retrieval_grpc.RetrievalServiceServicer):
    """Answers with k constant hits.

    What gRPC and protobuf cost before any work is done.
    """

    def Retrieve(  # noqa: N802  # the contract's name
        self,
        request: retrieval_pb.RetrieveRequest,
        context: grpc.ServicerContext,  # noqa: ARG002  # the contract's signature
    ) -> retrieval_pb.RetrieveResponse:
        hits = [
            retrieval_pb.Hit(item_id=f"item-{n:07d}", score=0.5, title="A title")
            for n in range(request.k)
        ]
        return retrieval_pb.RetrieveResponse(hits=hits)


def _measure(
    name: str,
    k: int,
    requests: list[retrieval_pb.RetrieveRequest],
    address: str,
    process: "subprocess.Popen[str]",
    options: argparse.Namespace,
    shell_cpu_ms: float | None = None,
) -> Measured:
    _call_all(address, _with_k(requests, k, options.calls // 4), options.clients)
    cpu_before, started = _cpu_seconds(process.pid), time.perf_counter()
    seconds = _call_all(address, _with_k(requests, k, options.calls), options.clients)
    wall, cpu = time.perf_counter() - started, _cpu_seconds(process.pid) - cpu_before
    p50, p99 = np.percentile(seconds, [50, 99]) * 1000
    cpu_ms = cpu / len(seconds) * 1000
    return Measured(
        name=name,
        items=options.items,
        k=k,
        calls_per_second=round(len(seconds) / wall, 1),
        p50_ms=round(float(p50), 3),
        p99_ms=round(float(p99), 3),
        cpu_ms_per_call=round(cpu_ms, 3),
        cpu_ratio_to_shell=round(cpu_ms / shell_cpu_ms, 2) if shell_cpu_ms else 1.0,
        recall=None,
    )


def _with_k(
    requests: list[retrieval_pb.RetrieveRequest], k: int, count: int
) -> list[retrieval_pb.RetrieveRequest]:
    some = itertools.islice(itertools.cycle(requests), count)
    return [retrieval_pb.RetrieveRequest(query=request.query, k=k) for request in some]


def _call_all(
    address: str, requests: list[retrieval_pb.RetrieveRequest], num_clients: int
) -> NDArray[np.float64]:
    """Return the seconds each call took, made by `num_clients` clients at once."""

    def client(mine: list[retrieval_pb.RetrieveRequest]) -> list[float]:
        with grpc.insecure_channel(address) as channel:
            return [
                _timed(retrieval_grpc.RetrievalServiceStub(channel).Retrieve, request)
                for request in mine
            ]

    with ThreadPoolExecutor(num_clients) as pool:
        parts = pool.map(client, [requests[start::num_clients] for start in range(num_clients)])
        return np.array([seconds for part in parts for seconds in part])


def _timed(
    call: Callable[[retrieval_pb.RetrieveRequest], retrieval_pb.RetrieveResponse],
    request: retrieval_pb.RetrieveRequest,
) -> float:
    started = time.perf_counter()
    call(request)
    return time.perf_counter() - started


def _cpu_seconds(pid: int) -> float:
    """Return the CPU time, user and system, that a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    ticks_per_second = 100
    return (int(fields[11]) + int(fields[12])) / ticks_per_second


def _print(rows: list[Measured]) -> None:
    print(
        f"{'':14} {'k':>4} {'calls/s':>8} {'p50 ms':>8} {'p99 ms':>8} {'CPU ms/call':>12} "
        f"{'x shell':>8} {'recall':>7}"
    )
    for row in rows:
        print(
            f"{row.name:14} {row.k:>4} {row.calls_per_second:>8.0f} {row.p50_ms:>8.2f} "
            f"{row.p99_ms:>8.2f} "
            f"{row.cpu_ms_per_call:>12.3f} {row.cpu_ratio_to_shell:>8.2f} "
            f"{'' if row.recall is None else f'{row.recall:.4f}':>7}"
        )
    for row in rows:
        print(json.dumps({"bench": "serve", **asdict(row)}))


if __name__ == "__main__":
    run(sys.argv[1:])
