"""What swaps cost callers: calls by the clock with one swap after the other, in turn
with the same calls without, and beside an empty method at the same time.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc

from bench.serving.callers import Called, Caller, requests_of
from bench.serving.processes import served
from model.artifact.generation import open_generation
from model.artifact.manifest import MANIFEST_NAME
from model.artifact.store import ArtifactStore, new_generation_id
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from stream.clock import now_ms
from stream.files import replace_file

# Calls a second of each server: a tenth of what one core answers. Twice as many leave
# less room for swaps on two cores.
_RATE = 60.0
_K = 10
# Swaps in a row, before as long without any: what else the machine does is then the
# same with and without. Twice as many: twice as far apart.
_SWAPS_IN_A_ROW = 10
# Seconds after such swaps that count as with them: the memory of the last generation
# before goes then. Twice as long would water down what swaps cost.
_AFTER_SECONDS = 0.3
# Seconds of calls without swaps, of all turns together.
_MOST_CONTROL_SECONDS = 120.0
# Between two looks whether a swap is done: a call of its own. Twice as long makes swaps
# rarer.
_LOOK_SECONDS = 0.05
_SWAP_SECONDS = 120.0  # after which one is given up


@dataclass(frozen=True, kw_only=True)
class SwapFigures:
    """What callers saw; times in milliseconds.

    Attributes:
        workers: of the server.
        swaps: how many there were.
        seconds_each: from a new pointer to an answer from it, a mean.
        errors: calls that failed, with swaps and without.
        calls: how many there were, with swaps and without.
        p50: median of the product and of the empty method, with swaps and without.
        p99: the same of one in a hundred.
        p99_by_without: of the product, with swaps over without.
        empty_p99_by_without: the same of the empty method, which has no swaps: what
            else the machine did meanwhile.
        peak_mib: most resident memory of all processes.
        bare_mib: the same of a server that has no generation: Python, its libraries.
        two_generations_mib: files of two generations.
        peak_by_two_generations: the first over the last.
        more_by_two_generations: what is more than the bare server has, over the last.
    """

    workers: int
    swaps: int
    seconds_each: float
    errors: tuple[int, int]
    calls: tuple[int, int]
    p50: dict[str, tuple[float, float]]
    p99: dict[str, tuple[float, float]]
    p99_by_without: float
    empty_p99_by_without: float
    peak_mib: int
    bare_mib: int
    two_generations_mib: int
    peak_by_two_generations: float
    more_by_two_generations: float


def measure_swaps(folder: Path, num_queries: int, swaps: int, workers: int) -> None:
    """Measure and print a JSON line.

    Args:
        folder: artifacts, with a generation that has `num_queries` known queries.
        num_queries: how many.
        swaps: how many.
        workers: of the server.
    """
    ids = _two_generations(folder)
    requests = requests_of(_K, num_queries)
    store = ArtifactStore(folder)
    two_generations = 2 * _bytes_of(store.generation_path(ids[0]))
    with served("product", folder / "nothing", str(workers)) as product:
        bare = product.peak_bytes()
    with ExitStack() as stack:
        product = stack.enter_context(served("product", folder, str(workers)))
        empty = stack.enter_context(served("empty", folder))
        addresses = {"product": product.address, "empty": empty.address}
        now = threading.Event()
        _while_called(addresses, requests[:100], now, lambda: time.sleep(1.0))
        took: list[float] = []
        both = _while_called(
            addresses,
            requests,
            now,
            lambda: took.extend(_swap(folder, ids, product.address, swaps, now)),
        )
        peak = product.peak_bytes()
    p99 = {name: tuple(each.quantile_ms(0.99) for each in pair) for name, pair in both.items()}
    figures = SwapFigures(
        workers=workers,
        swaps=swaps,
        seconds_each=round(sum(took) / swaps, 2),
        errors=(both["product"][0].errors, both["product"][1].errors),
        calls=(len(both["product"][0].latencies), len(both["product"][1].latencies)),
        p50={
            name: (pair[0].quantile_ms(0.5), pair[1].quantile_ms(0.5))
            for name, pair in both.items()
        },
        p99={name: (each[0], each[1]) for name, each in p99.items()},
        p99_by_without=round(p99["product"][0] / p99["product"][1], 2),
        empty_p99_by_without=round(p99["empty"][0] / p99["empty"][1], 2),
        peak_mib=peak >> 20,
        bare_mib=bare >> 20,
        two_generations_mib=two_generations >> 20,
        peak_by_two_generations=round(peak / two_generations, 2),
        more_by_two_generations=round((peak - bare) / two_generations, 2),
    )
    load = {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()}
    print(json.dumps({"bench": "serve swaps", **asdict(figures), **load}), flush=True)


def _two_generations(folder: Path) -> tuple[str, str]:
    """Return the current generation and a copy of it under a later id."""
    store = ArtifactStore(folder)
    first = store.current_id() or ""
    generation = open_generation(store.generation_path(first), verify=False)
    second = new_generation_id(max(now_ms(), generation.manifest.created_ms + 1))
    shutil.copytree(store.generation_path(first), store.generation_path(second))
    manifest = store.generation_path(second) / MANIFEST_NAME
    text = manifest.read_text(encoding="utf-8").replace(first, second)
    manifest.write_text(text, encoding="utf-8")
    return first, second


def _bytes_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _swap(
    folder: Path, ids: tuple[str, str], address: str, swaps: int, has_swaps: threading.Event
) -> list[float]:
    """Make one generation after the other live, and now and then none for a while;
    return how long each took.

    Args:
        folder: the artifacts.
        ids: the generations.
        address: of the server.
        swaps: how many.
        has_swaps: is set while there are.
    """
    found: list[float] = []
    turns = -(-swaps // _SWAPS_IN_A_ROW)
    with grpc.insecure_channel(address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        for first in range(0, swaps, _SWAPS_IN_A_ROW):
            started = time.perf_counter()
            has_swaps.set()
            found += [
                _swap_to(ids[(number + 1) % len(ids)], folder, stub)
                for number in range(first, min(swaps, first + _SWAPS_IN_A_ROW))
            ]
            time.sleep(_AFTER_SECONDS)
            has_swaps.clear()
            took = time.perf_counter() - started
            time.sleep(min(took, _MOST_CONTROL_SECONDS / turns))
    return found


def _swap_to(wanted: str, folder: Path, stub: retrieval_grpc.RetrievalServiceStub) -> float:
    """Make a generation live; return how long that took."""
    replace_file(folder / "CURRENT", wanted.encode())
    started = time.perf_counter()
    while _live(stub) != wanted:
        time.sleep(_LOOK_SECONDS)
        if time.perf_counter() - started > _SWAP_SECONDS:
            raise SystemExit(f"{wanted} was not live after {_SWAP_SECONDS:g} s")
    return time.perf_counter() - started


def _live(stub: retrieval_grpc.RetrievalServiceStub) -> str:
    answer = stub.GetFreshness(retrieval_pb.GetFreshnessRequest(), timeout=_SWAP_SECONDS)
    return answer.receipt.generation


def _while_called(
    addresses: dict[str, str],
    requests: list[bytes],
    has_swaps: threading.Event,
    work: Callable[[], object],
) -> dict[str, tuple[Called, Called]]:
    """Return what became of calls to each server, made by the clock while `work` is
    done: with swaps, and without.

    A call is of what there was when it began.
    """
    done = threading.Event()
    found: dict[str, tuple[Called, Called]] = {}

    def call(name: str, address: str) -> None:
        caller, number = Caller(address), 0
        latencies: dict[bool, list[float]] = {True: [], False: []}
        errors = {True: 0, False: 0}
        started = time.perf_counter()
        while not done.is_set():
            is_with = has_swaps.is_set()
            took = caller.call(number, requests[number % len(requests)])
            if took is None:
                errors[is_with] += 1
            else:
                latencies[is_with].append(took)
            number += 1
            done.wait(max(0.0, started + number / _RATE - time.perf_counter()))
        seconds = time.perf_counter() - started
        caller.close()
        of_both = (
            Called(seconds=seconds, latencies=tuple(latencies[each]), errors=errors[each])
            for each in (True, False)
        )
        found[name] = next(of_both), next(of_both)

    threads = [threading.Thread(target=call, args=each) for each in addresses.items()]
    for thread in threads:
        thread.start()
    try:
        work()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    return found
