"""One store grown by scales: the cost of an event, a snapshot and a restart there."""

import shutil
import time
from itertools import pairwise, product
from operator import itemgetter
from typing import Any

from bench.ingest.topics import publish
from bench.ingest.workbench import Workbench, await_first, result_of
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings

_CPU = itemgetter("cpu_seconds")
_TURNS = 3  # probes of each scale, in turn; the best counts, since others use the machine
_SECONDS_AFTER = 3.0  # of writing after the snapshot, so that batches end on both sides of it


def measure_scale(bench: Workbench) -> None:
    """Grow a store, keep a copy of each size, and measure in turn what an event costs
    there apart from Kafka.

    The stores are compacted before, so that no event pays for what was filled in, and
    their names are known, as they are some time after a start.
    """
    store, filled = bench.store("grown"), 0
    for num_edges in bench.scales:
        bench.run("fill", store=str(store), first_edge=filled, num_edges=num_edges - filled)
        shutil.copytree(store, bench.store(f"at {num_edges}"))
        filled = num_edges
    results: dict[int, list[dict[str, Any]]] = {num_edges: [] for num_edges in bench.scales}
    for turn, num_edges in product(range(_TURNS), bench.scales):
        arguments = {"num_events": bench.num_probes, "num_edges": num_edges, "seed": 10 + turn}
        results[num_edges].append(
            bench.run("memory", store=str(bench.store(f"at {num_edges}")), **arguments)
        )
    costs = {
        num_edges: min(map(_CPU, found)) / bench.num_probes * 1e6
        for num_edges, found in results.items()
    }
    for num_edges, found in results.items():
        warm, peak = (
            min(map(itemgetter("warm_seconds"), found)),
            max(map(itemgetter("peak_mib"), found)),
        )
        note = f"best of {_TURNS}; names loaded in {warm:.1f} s of CPU; peak {peak:.0f} MiB"
        bench.add(f"CPU an event at {num_edges:,} edges", costs[num_edges], "us", note=note)
    growth = costs[bench.scales[-1]] / costs[bench.scales[0]]
    bench.add(
        f"growth from {bench.scales[0]:,} to {bench.scales[-1]:,} edges",
        growth,
        "x",
        target="< 1.5",
    )


def measure_snapshot(bench: Workbench) -> None:
    """Take a snapshot of the grown store while a process writes it as
    fast as it can.
    """
    store, num_edges = bench.grown(), bench.scales[-1]
    with bench.process("endless", store=str(store), num_edges=num_edges, seed=20) as process:
        await_first(process)
        began = time.monotonic()
        take_snapshot(
            store, bench.folder / "snapshot", StreamSettings(snapshot_timeout_seconds=60), 0
        )
        ended = time.monotonic()
        time.sleep(_SECONDS_AFTER)
        batch_ends = result_of(process, "endless")["batch_ends"]
    note = (
        f"{num_edges:,} edges; hashing and counting them by hand takes "
        f"{_seconds_to_hash(bench):.1f} s"
    )
    bench.add("snapshot while ingesting", ended - began, "s", target="< 1", note=note)
    pauses = [(earlier, later) for (earlier, _), (later, _) in pairwise(batch_ends)]
    meanwhile = [
        later - earlier for earlier, later in pauses if earlier <= ended and later >= began
    ]
    usual = sorted(later - earlier for earlier, later in pauses)[len(pauses) // 2]
    note = f"from one batch applied to the next; the median over the run is {usual:.3f} s"
    bench.add("longest batch meanwhile", max(meanwhile), "s", note=note)


def measure_restart(bench: Workbench) -> None:
    """Kill a process that writes the grown store, and time the next from its start to
    its first event.
    """
    store, topic = bench.grown(), publish(bench, batch_size=1)
    with bench.process(
        "stream", **bench.stream_arguments(topic, bench.num_events, store.name)
    ) as process:
        await_first(process)
        process.kill()
        process.wait()
    began = time.monotonic()
    with bench.process(
        "stream", **bench.stream_arguments(topic, bench.num_events, store.name)
    ) as process:
        seconds = await_first(process) - began
    note = f"{bench.scales[-1]:,} edges, Kafka, imports included"
    bench.add("restart after kill -9 to the first event", seconds, "s", target="< 10", note=note)


def _seconds_to_hash(bench: Workbench) -> float:
    began = time.monotonic()
    with open_graph(bench.folder / "snapshot", StreamSettings()) as graph:
        graph.summary()
    return time.monotonic() - began
