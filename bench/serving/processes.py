"""Servers in processes of their own, whose CPU can be read apart: the product, an empty
method, and what one would write first.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from annoy import AnnoyIndex

from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from protos import retrieval_v1_pb2 as retrieval_pb
from protos.text import normalize_query
from server.service import SERVICE_NAME
from server.settings import ServerSettings

_READY: Final = "ready "
_NANOSECONDS: Final = 1e9
ANNOY_FILE: Final = "naive.ann"
"""Beside the artifacts: the index of the naive server."""
# Trees of it: as many as `model.num_trees` has.
NUM_TREES: Final = 30


@dataclass(frozen=True, kw_only=True)
class Served:
    """A server that runs.

    Attributes:
        name: which.
        address: HOST:PORT.
        pids: its processes.
    """

    name: str
    address: str
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """Return the CPU time that its threads have used, to the nanosecond (Linux)."""
        tasks = [task for pid in self.pids for task in Path(f"/proc/{pid}/task").iterdir()]
        return sum(_ran(task) for task in tasks) / _NANOSECONDS

    def peak_bytes(self) -> int:
        """Return the most memory that its processes had resident, each by itself."""
        return sum(1024 * _status(pid, "VmHWM") for pid in self.pids)


@contextmanager
def served(name: str, folder: Path, *arguments: str) -> Iterator[Served]:
    """Yield a server over an artifacts folder.

    Args:
        name: ``product``, ``empty`` (constant hits as messages), ``ready`` (the same as
            bytes) or ``naive``.
        folder: the artifacts.
        arguments: of the product: how many workers; of the naive one: `search_k` of
            Annoy for each `k`, as ``K=SEARCH_K``.
    """
    command = [sys.executable, "-m", "bench.serving.processes", name, str(folder), *arguments]
    # As `freshet serve` sets it.
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        line = process.stdout.readline() if process.stdout else ""
        if not line.startswith(_READY):
            raise SystemExit(f"the server {name} did not start")
        address, *pids = line.removeprefix(_READY).split()
        try:
            yield Served(name=name, address=address, pids=tuple(map(int, pids)))
        finally:
            process.terminate()


def _ran(task: Path) -> int:
    try:
        return int((task / "schedstat").read_text(encoding="ascii").split()[0])
    except FileNotFoundError:  # it has ended
        return 0


def _status(pid: int, field: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def main(name: str, folder: Path, arguments: list[str]) -> None:
    """Serve until standard input closes, or SIGTERM comes."""
    signal.signal(signal.SIGTERM, lambda *_: os.close(0))
    if name == "product":
        _product(folder, int(arguments[0]) if arguments else 1)
        return
    behavior = _naive(folder, arguments) if name == "naive" else _constant(as_bytes=name == "ready")
    server = grpc.server(ThreadPoolExecutor(ServerSettings().num_threads))
    handler = grpc.unary_unary_rpc_method_handler(
        behavior,
        retrieval_pb.RetrieveRequest.FromString,
        None if name == "ready" else retrieval_pb.RetrieveResponse.SerializeToString,
    )
    server.add_registered_method_handlers(SERVICE_NAME, {"Retrieve": handler})
    generic = grpc.method_handlers_generic_handler(SERVICE_NAME, {"Retrieve": handler})
    server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    _serve(f"127.0.0.1:{port}", [os.getpid()])
    server.stop(0).wait()


def _product(folder: Path, workers: int) -> None:
    from prometheus_client import CollectorRegistry  # the others need none of these

    from freshet.logs.settings import LogSettings
    from freshet.process import return_memory, take_short_turns
    from freshet.serve_worker import worker_command
    from freshet.telemetry.settings import TelemetrySettings
    from server.app import RetrievalServer
    from server.workers.supervisor import Supervisor

    take_short_turns()
    return_memory()
    # A recall is what is measured, so none is asked for. What else the machine does is
    # no overload. And what a server spends a second, whatever it is asked, is no cost
    # of a call (at most a hundredth of a core, on sampling what the index finds).
    settings = ServerSettings(
        listen="127.0.0.1:0",
        canary_floor=0.0,
        wait_seconds=5.0,
        recall_cpu_share=0.0,
        workers=workers,
    )
    if workers == 1:
        server = RetrievalServer(settings, folder, CollectorRegistry())
        server.start()
        _serve(server.address, [os.getpid()])
        server.stop(0)
        return
    command = worker_command(LogSettings(), TelemetrySettings())
    supervisor = Supervisor(settings, folder, CollectorRegistry(), command)
    supervisor.start()
    _serve(supervisor.address, [os.getpid(), *supervisor.pids()])
    supervisor.stop(0)


def _serve(address: str, pids: list[int]) -> None:
    print(f"{_READY}{address} {' '.join(map(str, pids))}", flush=True)
    try:
        sys.stdin.read()
    except OSError:  # SIGTERM came
        return


def _constant(*, as_bytes: bool) -> Any:
    """Return a method that does nothing but answer with k hits."""
    hits = [
        retrieval_pb.Hit(item_id=f"item-{n:07d}", score=0.5, title=f"A product with a title, {n}")
        for n in range(ServerSettings().max_k)
    ]

    def made(k: int) -> retrieval_pb.RetrieveResponse:
        return retrieval_pb.RetrieveResponse(hits=hits[:k])

    ready = {k: made(k).SerializeToString() for k in (10, 100)} if as_bytes else {}

    def retrieve(request: Any, _context: Any) -> Any:
        return ready.get(request.k) or made(request.k)

    return retrieve


def _naive(folder: Path, arguments: list[str]) -> Any:
    """Return the method that one writes first: a dictionary of queries, Annoy, lists of
    strings, a message a hit.
    """
    store = ArtifactStore(folder)
    generation = open_generation(store.generation_path(store.current_id() or ""), verify=False)
    index = AnnoyIndex(generation.manifest.dim, "angular")
    index.load(str(folder / ANNOY_FILE))
    search_k = {int(k): int(found) for k, _, found in (each.partition("=") for each in arguments)}
    rows = {query: row for row, query in enumerate(generation.query_texts)}
    vectors = generation.query_vectors
    ids, titles = list(generation.item_ids), list(generation.item_titles)

    def retrieve(request: Any, _context: Any) -> Any:
        vector = vectors[rows[normalize_query(request.query)]]
        items, distances = index.get_nns_by_vector(
            vector, request.k, search_k[request.k], include_distances=True
        )
        hits = [
            retrieval_pb.Hit(item_id=ids[item], score=1 - distance**2 / 2, title=titles[item])
            for item, distance in zip(items, distances, strict=True)
        ]
        return retrieval_pb.RetrieveResponse(hits=hits, normalized_query=request.query)

    return retrieve


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
