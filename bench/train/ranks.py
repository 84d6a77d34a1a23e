"""Trains one graph on several numbers of ranks, each a process of this machine."""

import multiprocessing
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any

import numpy as np

from deploy.kafka.broker import free_port
from model.settings import ModelSettings
from model.training.ranks.launch import launch_of, open_ranks

_WAIT_SECONDS = 3600.0  # for a whole training


@dataclass(frozen=True, kw_only=True)
class RankedTraining:
    """What a training on so many ranks took, and how good it was.

    Attributes:
        pass_seconds: by the clock, the median pass with its validation.
        cpu_seconds: of all ranks, a pass.
        peak_bytes: resident, of the rank with the most.
        passes: until early stopping.
        mrr: of the held-out edges.
        recall_10: the same.
    """

    pass_seconds: float
    cpu_seconds: float
    peak_bytes: float
    passes: float
    mrr: float
    recall_10: float


def train_on_ranks(graph: Path, settings: ModelSettings, size: int) -> RankedTraining:
    """Train on ranks of this machine, over loopback.

    Args:
        graph: arrays of `model.training.ranks.packed.packed`, as ``.npz``.
        settings: of the model.
        size: number of ranks.
    """
    context = multiprocessing.get_context("spawn")
    answers: Queue[Mapping[str, Any]] = context.Queue()
    port = free_port()
    processes = [
        context.Process(target=_answer, args=(graph, settings, rank, size, port, answers))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    found = [answers.get(timeout=_WAIT_SECONDS) for _ in processes]
    for process in processes:
        process.join()
    (first,) = (each for each in found if each["rank"] == 0)
    return RankedTraining(
        pass_seconds=first["pass_seconds"],
        cpu_seconds=sum(each["cpu_seconds"] for each in found) / first["passes"],
        peak_bytes=max(each["peak_bytes"] for each in found),
        passes=first["passes"],
        mrr=first["mrr"],
        recall_10=first["recall_10"],
    )


def _answer(
    graph: Path,
    settings: ModelSettings,
    rank: int,
    size: int,
    port: int,
    answers: "Queue[Mapping[str, Any]]",
) -> None:
    """Be one rank: train, and answer what that took."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    launch = launch_of(
        {
            "RANK": str(rank),
            "WORLD_SIZE": str(size),
            "LOCAL_RANK": str(rank),
            "LOCAL_WORLD_SIZE": str(size),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(port),
        }
    )
    if launch is None:
        answers.put(_train(graph, settings, None))
        return
    os.environ |= {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    with open_ranks(launch, settings) as ranks:
        answers.put(_train(graph, settings, ranks))


def _train(graph: Path, settings: ModelSettings, ranks: Any) -> Mapping[str, Any]:
    from model.training.ranks.packed import unpacked
    from model.training.ranks.ranks import ONE_RANK
    from model.training.train import train_on

    with np.load(graph) as arrays:
        source = unpacked(dict(arrays))
    times: list[tuple[float, float]] = []
    trained = train_on(
        ranks or ONE_RANK,
        source,
        replace(settings, newest_passes=0),
        on_progress=lambda _: times.append((time.monotonic(), time.process_time())),
    )
    seconds, cpu = (np.diff([each[place] for each in times]) for place in (0, 1))
    figures = trained.evaluation if trained else {}
    return {
        "rank": ranks.rank if ranks else 0,
        "pass_seconds": float(np.median(seconds)),
        "cpu_seconds": float(cpu.mean() * len(times)),
        "peak_bytes": _peak_bytes(),
        "passes": float(len(times)),
        "mrr": figures.get("validation_mrr", 0.0),
        "recall_10": figures.get("validation_recall_10", 0.0),
    }


def _peak_bytes() -> float:
    """Return the most that this process had in memory.

    By its own memory map: what `resource` says a child inherits from its parent.
    """
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))
