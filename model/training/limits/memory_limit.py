"""How much memory a device has free, and so whether training goes over the whole graph
or over samples.
"""

import logging
from pathlib import Path
from typing import Literal

import torch

from model.artifact.index.engine import less_memory
from model.data.training_set import TrainingSet
from model.errors import TrainingRefused
from model.network.sampled import batch_counts
from model.settings import ModelSettings
from model.training.limits.memory_estimate import (
    MemoryEstimate,
    estimate_full,
    estimate_publishing,
    estimate_sampled,
    readable_bytes,
)
from model.training.ranks.ranks import ONE_RANK, Ranks

logger = logging.getLogger(__name__)

Propagation = Literal["full", "sampled"]

_ROOT = Path("/")
_LESS = "lower model.dim, model.hidden or model.num_buckets, or raise model.memory_bytes"
# Version 2, then 1: controller in /proc/self/cgroup, where it is mounted, limit, use.
_CGROUPS = (
    ("", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "memory",
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def choose_propagation(
    data: TrainingSet, settings: ModelSettings, device: torch.device, ranks: Ranks = ONE_RANK
) -> Propagation:
    """Return how to propagate: over the whole graph where that fits, unless the
    settings choose.

    On several ranks it has to fit on the one with the least memory.

    Raises:
        TrainingRefused: it does not fit, or the generation that it makes could not be
            written; the message shows the sum.
    """
    propagation = _propagation_that_fits(data, settings, device, ranks)
    ranks.first(lambda: _refuse_writing(data, settings, device))
    return propagation


def _propagation_that_fits(
    data: TrainingSet, settings: ModelSettings, device: torch.device, ranks: Ranks
) -> Propagation:
    shared_by = ranks.per_machine if device.type == "cpu" else 1
    available = ranks.least(settings.memory_bytes or free_bytes(device) // shared_by)
    full = estimate_full(data, settings)
    if settings.propagation != "sampled" and full.total_bytes <= available:
        logger.debug("propagation full needs=%s available_bytes=%d", full, available)
        return "full"
    if settings.propagation == "full":
        less = (
            f"set model.propagation to auto, lower model.batch_size or model.num_negatives, {_LESS}"
        )
        raise _does_not_fit("training over the whole graph", full, available, device, less)
    if settings.pretrain_passes:
        raise TrainingRefused(
            f"pre-training goes over the whole graph, not drawn neighbours; training needs {full}; "
            f"{device.type} has {readable_bytes(available)}; set model.pretrain_passes to 0"
        )
    batch = batch_counts(data, settings)
    footprint = estimate_sampled(
        data, batch, settings, on_host=device.type == "cpu", num_ranks=ranks.size
    )
    if footprint.total_bytes > available:
        less = f"lower model.num_neighbours, model.batch_size or model.num_negatives, {_LESS}"
        raise _does_not_fit("training over drawn neighbours", footprint, available, device, less)
    logger.info("propagation sampled needs=%s available_bytes=%d", footprint, available)
    return "sampled"


def _refuse_writing(data: TrainingSet, settings: ModelSettings, device: torch.device) -> None:
    """Refuse a training whose generation could not be written for want of memory."""
    host = torch.device("cpu")
    limit = settings.memory_bytes if device == host else 0
    available, needs = limit or free_bytes(host), estimate_publishing(data, settings)
    if needs.total_bytes > available:
        less = f"{less_memory(settings.index_engine, settings)}, or {_LESS}"
        raise _does_not_fit("writing the generation", needs, available, host, less)


def free_bytes(device: torch.device, root: Path = _ROOT) -> int:
    """Return what is free on the device.

    On the CPU what both the machine and the cgroup still have.

    Args:
        device: where training runs.
        root: where ``proc`` and ``sys`` are.
    """
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return min((_free_of_machine(root), *_free_of_cgroups(root)))


def _free_of_machine(root: Path) -> int:
    lines = (root / "proc/meminfo").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:"))


def _free_of_cgroups(root: Path) -> list[int]:
    """Return what each limit above this process leaves; the page cache gives way."""
    return [
        left
        for controller, mount, *files in _CGROUPS
        for folder in _cgroup_folders(root, controller, root / mount)
        if (left := _left(folder, *files)) is not None
    ]


def _cgroup_folders(root: Path, controller: str, mount: Path) -> list[Path]:
    """Return this process's cgroup and those it is in.

    In a container the mount itself may be its own.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    named = [line.split(":", 2) for line in lines]
    paths = [
        Path(path).parts[1:]
        for _, controllers, path in named
        if controller in controllers.split(",")
    ]
    return [mount.joinpath(*parts[:depth]) for parts in paths for depth in range(len(parts) + 1)]


def _left(folder: Path, limit: str, used: str, cache: str) -> int | None:
    try:
        bound, in_use = ((folder / name).read_text().strip() for name in (limit, used))
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except OSError:
        return None
    return int(bound) - int(in_use) + int(stat.get(cache, 0)) if bound.isdigit() else None


def _does_not_fit(
    what: str, needs: MemoryEstimate, available: int, device: torch.device, less: str
) -> TrainingRefused:
    has = f"{device.type} has {readable_bytes(available)}"
    return TrainingRefused(f"{what} does not fit: it needs {needs}, and {has}; {less}")
