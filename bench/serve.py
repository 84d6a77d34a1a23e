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
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import grpc
import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry

from bench.found import recall_of
from bench.serving.ratios import measure_ratios
from bench.serving.swaps import measure_swaps
from model.artifact.attributes.build import build_attributes
from model.artifact.encoder import TextEncoder, unit_rows
from model.artifact.generation import open_generation
from model.artifact.index.engine import load_engine
from model.artifact.index.engines import AUTO, ENGINES
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim, no_rows
from model.artifact.store import ArtifactStore, new_generation_id
from model.artifact.writer import GenerationWriter
from model.publishing.index.choice import build_index
from model.publishing.index.questions import Kind
from model.settings import ModelSettings
from protos import manifest_v1_pb2 as manifest_pb
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from protos.text import text_key
from server.app import RetrievalServer
from server.live import LiveGeneration
from server.overlay.loading import load_segments
from server.overlay.search import search
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, retrieve
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.files import new_directory, replace_file
from stream.graph.attributes import attribute_columns

_HIDDEN, _NUM_BUCKETS = 128, 1 << 17  # of the encoder: the model settings' defaults
# Vectors lie in clusters, as trained ones do, not in pure noise; chosen by hand.
_CLUSTERS, _SPREAD = 200, 0.5
# How far an item of the overlay has moved, as a share of its length; chosen by hand.
_MOVED = 0.3
# Of measurements with an overlay and without. Twice as many: twice as long, and a
# figure that the rest of the machine disturbs less.
_ROUNDS = 3
# Calls of a block, a twentieth of a second of CPU, and blocks of each kind: the median
# of so many is within 2 in 100 on a busy machine. Twice as many: twice as long.
_BLOCK_CALLS, _BLOCKS = 25, 40
_RECALL_QUERIES = 500  # some 5,000 places: a recall within .005
_QUESTIONS = 200  # as a training asks (`model.publishing.index.questions`)
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
        if options.ratios or options.swaps:
            _run_beside(options, items)
            continue
        _run(argparse.Namespace(**{**vars(options), "items": items}))


def _run_beside(options: argparse.Namespace, items: int) -> None:
    """Measure ratios to other servers, or swaps, for one size."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_generation(folder, items, options.queries, options.dim, options.engine)
        if options.ratios:
            measure_ratios(folder, options.queries)
        if options.swaps:
            measure_swaps(folder, options.queries, options.swaps, options.workers)


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
        action="store_true",
        help="measure ratios instead: to a naive server with Annoy at the same recall, to an "
        "empty method and the index query, of two workers to one",
    )
    parser.add_argument(
        "--swaps", type=int, default=0, help="measure so many swaps under load instead"
    )
    parser.add_argument("--workers", type=int, default=1, help="of the server that swaps")
    parser.add_argument("--part", choices=["server", "shell", "overlay"], help=argparse.SUPPRESS)
    parser.add_argument("--artifacts", default="", help=argparse.SUPPRESS)
    return parser.parse_args(argv)


def _measure_all(folder: Path, options: argparse.Namespace) -> Iterator[Measured]:
    known = [retrieval_pb.RetrieveRequest(query=f"query {row}") for row in range(options.queries)]
    unseen = [retrieval_pb.RetrieveRequest(query=_unseen(row)) for row in range(options.queries)]
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
        "encoded query": [live.encoder.encode(_unseen(row)) for row in range(_RECALL_QUERIES)],
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


def write_generation(
    root: Path,
    num_items: int,
    num_queries: int,
    dim: int,
    engine_name: str = AUTO,
    *,
    attributes_of: Callable[[NDArray[np.float32]], Sequence[Mapping[str, str]]] | None = None,
) -> None:
    """Publish a synthetic generation of clustered unit vectors under `root` and make it
    current.

    Args:
        root: the artifacts folder.
        num_items: how many items.
        num_queries: how many known queries.
        dim: length of the vectors.
        engine_name: of the index, or `AUTO`.
        attributes_of: returns the attributes of items by their vectors, ``float32
            [num_items, dim]``; None: they have none.
    """
    random = np.random.default_rng(0)
    now = now_ms()
    generation_id = new_generation_id(now)
    items, queries = _clustered(random, num_items, dim), _clustered(random, num_queries, dim)
    texts = sorted((f"query {row}" for row in range(num_queries)), key=text_key)
    with new_directory(ArtifactStore(root).generation_path(generation_id)) as folder:
        writer = GenerationWriter(folder)
        writer.add_strings(
            "item_ids", sorted((f"item-{row:07d}" for row in range(num_items)), key=text_key)
        )
        writer.add_strings(
            "item_titles", [f"A product with a title, number {row}" for row in range(num_items)]
        )
        writer.add_strings("query_texts", texts)
        arrays = _arrays(random, items, queries, texts)
        for name, array in arrays.items():
            writer.add_array(name, array)
        if attributes_of is not None:
            columns = attribute_columns(attributes_of(items))
            writer.add_attributes(build_attributes(columns, np.arange(num_items)))
        settings = ModelSettings(index_engine=engine_name, seed=1)
        index = build_index(items, _questions(queries, arrays), folder, settings)
        writer.seal(
            manifest_pb.Generation(
                generation_id=generation_id,
                created_ms=now,
                dim=dim,
                metric=load_engine(index.trial.engine).metric,
                num_items=num_items,
                num_queries=num_queries,
                num_indexed=num_items,
                snapshot=manifest_pb.SnapshotRef(taken_ms=now, watermark_ms=now),
                index=index.manifest(),
            )
        )
    replace_file(root / "CURRENT", generation_id.encode())


def _unseen(number: int) -> str:
    return f"red running shoe {number} size"


def _questions(
    queries: NDArray[np.float32], arrays: dict[str, NDArray[np.generic]]
) -> dict[Kind, NDArray[np.float32]]:
    """Return what the index is chosen by; recall is then measured with others."""
    encoder = TextEncoder(
        {
            name.removeprefix("encoder."): array.astype(np.float32, copy=False)
            for name, array in arrays.items()
            if name.startswith("encoder.")
        }
    )
    unseen = np.array([encoder.encode(_unseen(-row)) for row in range(1, _QUESTIONS + 1)])
    return {Kind.KNOWN: queries[-_QUESTIONS:], Kind.UNSEEN: unseen}


def write_overlay(root: Path, num_items: int) -> None:
    """Publish an overlay of the current generation: four in five of its items are of
    the generation and moved a little, one is new.
    """
    store = ArtifactStore(root)
    generation = open_generation(store.generation_path(store.current_id() or ""))
    random, dim = np.random.default_rng(1), generation.manifest.dim
    known = random.choice(len(generation.item_ids), num_items * 4 // 5, replace=False)
    noise = random.standard_normal((len(known), dim)) * (_MOVED / np.sqrt(dim))
    moved = unit_rows((generation.item_vectors[known] + noise).astype(np.float32))
    num_new = num_items - len(known)
    ids = [*(generation.item_ids[item] for item in known), *map("new-{}".format, range(num_new))]
    rows = replace(
        no_rows(dim),
        item_ids=tuple(ids),
        item_titles=tuple(f"A title of {item}" for item in ids),
        item_attributes=("",) * len(ids),
        item_shown=np.ones(len(ids), dtype=np.bool_),
        item_catalog_ms=np.zeros(len(ids), dtype=np.int64),
        item_vectors=np.concatenate([moved, _clustered(random, num_new, dim)]),
    )
    folder = OverlayFolder.of(root)
    publisher = OverlayPublisher(folder, generation.id, dim, GoneList(folder.gone_path))
    publisher.publish(rows, Claim(reflected_ms=now_ms()))


@dataclass(frozen=True, kw_only=True)
class OverlayFigures:
    """What an overlay does to answers, measured without gRPC around them.

    Attributes:
        index_recall_10: recall@10 of the index alone, against an exact scan of what it
            has.
        overlay_recall_10: of index and overlay together, against one of both.
        num_queries: how many were asked.
        cpu_ms: CPU of a `retrieve`, by ``k=<k>`` and ``overlay k=<k>``.
    """

    index_recall_10: float
    overlay_recall_10: float
    num_queries: int
    cpu_ms: dict[str, float]


def overlay_figures(root: Path) -> OverlayFigures:
    """Compare answers with exact scans, and what they cost with and without the overlay
    that is there.
    """
    store = ArtifactStore(root)
    path = store.generation_path(store.current_id() or "")
    # A recall is what is measured here, so none is asked for.
    settings = ServerSettings(canary_floor=0.0)
    bare = LiveView.bare(LiveGeneration.load(path, settings))
    folder = OverlayFolder.of(root)
    newest = folder.newest(bare.generation_id)
    if newest is None:
        raise SystemExit(f"{folder.root} has no overlay")
    view = load_segments(folder, newest, bare).view
    generation, rows = bare.live.generation, view.overlay.rows
    queries = generation.query_vectors[:_RECALL_QUERIES]
    items = dict(zip(generation.item_ids, generation.item_vectors, strict=True))
    merged = {**items, **dict(zip(rows.item_ids, rows.item_vectors, strict=True))}
    return OverlayFigures(
        index_recall_10=_recall(bare, items, queries),
        overlay_recall_10=_recall(view, merged, queries),
        num_queries=len(queries),
        cpu_ms=_cpu_inside(bare, view),
    )


def _cpu_inside(bare: LiveView, view: LiveView) -> dict[str, float]:
    """Return the CPU of a `retrieve` in milliseconds: medians over blocks of calls,
    with the overlay and without in turn.
    """
    texts = list(bare.live.generation.query_texts)[: _BLOCKS * _BLOCK_CALLS]
    found: dict[str, list[float]] = {}
    for k in (10, 100):
        for block in range(0, len(texts), _BLOCK_CALLS):
            for name, each in ((f"k={k}", bare), (f"overlay k={k}", view)):
                started = time.thread_time()
                for text in texts[block : block + _BLOCK_CALLS]:
                    retrieve(each, RetrievalQuery(query=text, k=k))
                seconds = time.thread_time() - started
                found.setdefault(name, []).append(1000 * seconds / _BLOCK_CALLS)
    return {name: round(float(np.median(blocks)), 3) for name, blocks in found.items()}


def _recall(
    view: LiveView, vectors: dict[str, NDArray[np.float32]], queries: NDArray[np.float32]
) -> float:
    ids, matrix = list(vectors), np.array(list(vectors.values()))
    generation, rows = view.live.generation, view.overlay.rows
    found = 0
    for query in queries:
        exact = {ids[row] for row in np.argpartition(-(matrix @ query), 10)[:10].tolist()}
        nearest = search(view.live, view.overlay, query, 10)
        pairs = zip(nearest.from_overlay.tolist(), nearest.rows.tolist(), strict=True)
        answer = {rows.item_ids[row] if fresh else generation.item_ids[row] for fresh, row in pairs}
        found += len(exact & answer)
    return round(found / (10 * len(queries)), 4)


def _clustered(random: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    centres = random.standard_normal((_CLUSTERS, dim))
    noise = random.standard_normal((count, dim)) * _SPREAD
    return unit_rows((centres[random.integers(0, len(centres), count)] + noise).astype(np.float32))


def _arrays(
    random: np.random.Generator,
    items: NDArray[np.float32],
    queries: NDArray[np.float32],
    texts: list[str],
) -> dict[str, NDArray[np.generic]]:
    dim = items.shape[1]
    arrays: dict[str, NDArray[np.generic]] = {
        "item_vectors": items,
        "item_shown": np.ones(len(items), dtype=np.bool_),
        "index_items": np.arange(len(items), dtype=np.int64),
        "query_keys": np.array([text_key(text) for text in texts], dtype=np.uint64),
        "query_vectors": queries,
        "channel_attention_items": np.full((len(items), 3), 1 / 3, dtype=np.float32),
        "channel_attention_queries": np.full((len(queries), 3), 1 / 3, dtype=np.float32),
        "encoder.bag": random.standard_normal((_NUM_BUCKETS, dim)).astype(np.float32),
    }
    for tower in ("query", "item"):
        arrays[f"encoder.{tower}.hidden_weight"] = random.standard_normal((_HIDDEN, dim)).astype(
            np.float32
        )
        arrays[f"encoder.{tower}.hidden_bias"] = np.zeros(_HIDDEN, dtype=np.float32)
        arrays[f"encoder.{tower}.out_weight"] = random.standard_normal((dim, _HIDDEN)).astype(
            np.float32
        )
        arrays[f"encoder.{tower}.out_bias"] = np.zeros(dim, dtype=np.float32)
    return arrays


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
