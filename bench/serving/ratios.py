"""Ratios of one run: the product beside an empty method, its own index query, a naive
server with Annoy at the same recall, and itself with several workers.

Every figure of CPU is a median over rounds in which all servers are asked in turn.
"""

import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from bench.found import recall_of
from bench.overload.load import Callers
from bench.serving.callers import Caller, requests_of
from bench.serving.processes import ANNOY_FILE, NUM_TREES, Served, served
from model.artifact.store import ArtifactStore
from server.live import LiveGeneration
from server.settings import ServerSettings

RATIOS = ("parts", "naive", "workers")
"""What can be measured: the product beside an empty method and its index query; the
same, and a naive server; two workers beside one.
"""

KS = (10, 100)
"""Hits of a call: a first page, and what is ranked again."""

# Calls of a block: a tenth of a second of CPU. Rounds: their median is within 2 in 100
# on a busy machine. Twice as many of either: twice as long.
_BLOCK_CALLS, _ROUNDS = 150, 15
_QUESTIONS = 300  # some 3,000 places: a recall within .005
# Candidates that Annoy examines: from the first, each time twice as many, then halved
# between the last that find too little and the first that find enough, so often: within
# a tenth. Twice as often: a tenth of that, and half as long again.
_FIRST_SEARCH_K, _MOST_SEARCH_K, _HALVINGS = 1000, 1_000_000, 3
# Calls at once without a pause for each core, as many as a capacity is measured with,
# each over a connection of its own: with fewer, one of two workers may have most of
# them. And for how long each time, in turn.
_CALLERS, _SECONDS, _RATE_ROUNDS = 32, 3.0, 5
_DEADLINE_SECONDS = 5.0  # of each, which none needs
_READY_SECONDS = 120.0  # for the other server to start, ten times what it takes


@dataclass(frozen=True, kw_only=True)
class Ratios:
    """The figures for one number of hits; CPU in milliseconds a call.

    Attributes:
        k: hits of a call.
        recall: of the product's index.
        naive_recall: of Annoy in the naive server; None: it was left out.
        naive_search_k: what it examines for that; None likewise.
        cpu_ms: of each server; `index` is the index query alone.
        naive_by_product: CPU of the naive server over the product's; None likewise.
        product_by_parts: CPU of the product over that of an empty method, with as many
            constant messages, and its own index query.
        product_by_ready: the same, where the empty method has its answer as bytes.
    """

    k: int
    recall: float
    naive_recall: float | None
    naive_search_k: int | None
    cpu_ms: dict[str, float]
    naive_by_product: float | None
    product_by_parts: float
    product_by_ready: float


@dataclass(frozen=True, kw_only=True)
class Workers:
    """Two workers on two cores against one on one, in turn, callers on the same cores.

    One is half of two servers that are asked at the same time, each on a core of its
    own: what else the machine does then, and the memory that both cores share, are the
    same for both.

    Attributes:
        one: answers a second of ten hits with one worker, a median.
        two: the same with two.
        two_by_one: the one over the other, a median over rounds.
        cpu_ms: of an answer, the server's, with one and with two.
        callers_cpu_ms: the same of its callers.
    """

    one: float
    two: float
    two_by_one: float
    cpu_ms: tuple[float, float]
    callers_cpu_ms: tuple[float, float]


def measure_ratios(folder: Path, num_queries: int, wanted: Sequence[str] = RATIOS) -> None:
    """Measure and print a JSON line for each figure.

    Args:
        folder: artifacts, with a generation that has `num_queries` known queries.
        num_queries: how many.
        wanted: of `RATIOS`; building and tuning the naive server's index takes minutes.
    """
    store = ArtifactStore(folder)
    settings = ServerSettings(canary_floor=0.0)
    live = LiveGeneration.load(store.generation_path(store.current_id() or ""), settings)
    naive = _naive_search_ks(live, folder) if "naive" in wanted else {}
    _say("serve load", {"load": round(os.getloadavg()[0], 1), "cores": os.cpu_count()})
    for k in KS if {"parts", "naive"} & {*wanted} else ():
        _say("serve ratios", asdict(_ratios(live, folder, k, naive, num_queries)))
    if "workers" in wanted:
        _say("serve workers", asdict(_workers(folder, num_queries)))


def _ratios(
    live: LiveGeneration,
    folder: Path,
    k: int,
    naive: dict[int, tuple[int, float]],
    num_queries: int,
) -> Ratios:
    search_ks = [f"{each}={search_k}" for each, (search_k, _) in naive.items()]
    requests = requests_of(k, num_queries)
    found: dict[str, list[float]] = {}
    with ExitStack() as stack:
        servers = [
            stack.enter_context(served("product", folder)),
            stack.enter_context(served("empty", folder)),
            stack.enter_context(served("ready", folder)),
        ]
        if naive:
            servers.append(stack.enter_context(served("naive", folder, *search_ks)))
        callers = {server.name: Caller(server.address) for server in servers}
        for caller in callers.values():
            caller.calls(requests[:_BLOCK_CALLS])
        for number in range(_ROUNDS):
            some = _block(requests, number)
            for server in servers:
                cpu = _cpu_of(server, callers[server.name], some)
                found.setdefault(server.name, []).append(cpu)
            found.setdefault("index", []).append(_index_cpu(live, k, number))
        for caller in callers.values():
            caller.close()
    rounds = np.array([found[name] for name in ("product", "empty", "ready", "index")])
    product, empty, ready, index = rounds
    search_k, naive_recall = naive.get(k, (None, None))
    return Ratios(
        k=k,
        recall=recall_of(live, live.generation.query_vectors[:_QUESTIONS], k),
        naive_recall=naive_recall,
        naive_search_k=search_k,
        cpu_ms={name: round(float(np.median(each)), 3) for name, each in found.items()},
        naive_by_product=_median(np.array(found["naive"]) / product) if naive else None,
        product_by_parts=_median(product / (empty + index)),
        product_by_ready=_median(product / (ready + index)),
    )


def _median(rounds: NDArray[np.float64], digits: int = 2) -> float:
    return round(float(np.median(rounds)), digits)


def _block(requests: Sequence[bytes], number: int) -> list[bytes]:
    start = number * _BLOCK_CALLS
    return [requests[(start + place) % len(requests)] for place in range(_BLOCK_CALLS)]


def _cpu_of(server: Served, caller: Caller, requests: list[bytes]) -> float:
    before = server.cpu_seconds()
    called = caller.calls(requests)
    if called.errors:
        raise SystemExit(f"{called.errors} calls of the server {server.name} failed")
    return 1000 * (server.cpu_seconds() - before) / len(requests)


def _index_cpu(live: LiveGeneration, k: int, number: int) -> float:
    vectors = live.generation.query_vectors
    started = time.thread_time()
    for place in range(_BLOCK_CALLS):
        live.index.search(vectors[(number * _BLOCK_CALLS + place) % len(vectors)], k)
    return 1000 * (time.thread_time() - started) / _BLOCK_CALLS


def _workers(folder: Path, num_queries: int) -> Workers:
    both = [{*sorted(os.sched_getaffinity(0))[:2]}]
    apart = [{core} for core in both[0]]
    if len(apart) == 1:
        raise SystemExit("two workers are measured on two cores, and there is one")
    rounds = np.array(
        [
            [_answered(folder, num_queries, places) for places in (apart, both)]
            for _ in range(_RATE_ROUNDS)
        ]
    )
    one, two = rounds[:, 0], rounds[:, 1]
    return Workers(
        one=round(float(np.median(one[:, 0]) / 2), 1),
        two=round(float(np.median(two[:, 0])), 1),
        two_by_one=_median(2 * two[:, 0] / one[:, 0]),
        cpu_ms=(_median(one[:, 1], 3), _median(two[:, 1], 3)),
        callers_cpu_ms=(_median(one[:, 2], 3), _median(two[:, 2], 3)),
    )


def _answered(
    folder: Path, num_queries: int, places: Sequence[set[int]]
) -> tuple[float, float, float]:
    """Return answers a second of servers that are asked at the same time, and what an
    answer cost them and their callers, in milliseconds of CPU.

    Args:
        folder: artifacts.
        num_queries: known ones.
        places: the cores of each server and of its callers; it has a worker for each.
    """
    ready = threading.Barrier(len(places))

    def ask(cores: set[int]) -> tuple[float, int, float, float]:
        # Of this thread, and of what it starts.
        os.sched_setaffinity(0, cores)
        num_callers = _CALLERS * len(cores)
        with served("product", folder, str(len(cores))) as server:
            callers = Callers(server.address, _DEADLINE_SECONDS, num_queries, num_callers)
            callers.closed_loop(num_callers, _SECONDS / 3)
            ready.wait(_READY_SECONDS)
            before = server.cpu_seconds()
            found = callers.closed_loop(num_callers, _SECONDS)
            cpu = server.cpu_seconds() - before
            ready.wait(_READY_SECONDS)  # the other is asked until both have been
        return found.goodput, found.codes.get("OK", 0), cpu, found.cpu_seconds

    with ThreadPoolExecutor(len(places)) as threads:
        each = list(threads.map(ask, places))
    rates, answers, cpu, callers_cpu = (sum(values) for values in zip(*each, strict=True))
    return rates, 1000 * cpu / answers, 1000 * callers_cpu / answers


def _naive_search_ks(live: LiveGeneration, folder: Path) -> dict[int, tuple[int, float]]:
    """Build the naive index; return for each `k` the least `search_k` that finds what
    the product's finds, and the recall that it has.
    """
    generation = live.generation
    index = AnnoyIndex(generation.manifest.dim, "angular")
    index.set_seed(1)
    for item, vector in enumerate(generation.item_vectors):
        index.add_item(item, vector)
    index.build(NUM_TREES, n_jobs=1)
    index.save(str(folder / ANNOY_FILE))
    found = {}
    vectors = generation.query_vectors[:_QUESTIONS]
    for k in KS:
        wanted = recall_of(live, vectors, k)

        def recall(search_k: int, k: int = k) -> float:
            return _annoy_recall(index, generation.item_vectors, vectors, k, search_k)

        found[k] = _least_enough(recall, wanted)
    return found


def _least_enough(recall: Callable[[int], float], wanted: float) -> tuple[int, float]:
    """Return about the least `search_k` whose recall is what is wanted, and it."""
    few, many = 0, _FIRST_SEARCH_K
    best = recall(many)
    while best < wanted and many < _MOST_SEARCH_K:
        few, many = many, 2 * many
        best = recall(many)
    for _ in range(_HALVINGS):
        middle = (few + many) // 2
        found = recall(middle)
        if found >= wanted:
            many, best = middle, found
        else:
            few = middle
    return many, best


def _annoy_recall(
    index: AnnoyIndex,
    items: NDArray[np.float32],
    vectors: Iterable[NDArray[np.float32]],
    k: int,
    search_k: int,
) -> float:
    shares = []
    for vector in vectors:
        scores = items @ vector
        least = np.partition(scores, len(scores) - k)[len(scores) - k]
        ids = index.get_nns_by_vector(vector, k, search_k)
        shares.append(float((scores[ids] >= least - 1e-6).mean()))
    return round(float(np.mean(shares)), 4)


def _say(name: str, figures: dict[str, object]) -> None:
    print(json.dumps({"bench": name, **figures}), flush=True)


if __name__ == "__main__":
    measure_ratios(Path(sys.argv[1]), int(sys.argv[2]))
