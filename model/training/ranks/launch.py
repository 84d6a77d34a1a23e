"""The ranks that a launcher started, by the environment that `torchrun` sets."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from model.errors import RankLost, SettingsInvalid, TrainingRefused
from model.settings import ModelSettings

if TYPE_CHECKING:
    from torch._C._distributed_c10d import Store

    from model.training.ranks.group import RankGroup

# What ranks may wait for the first one beside the budget of a training: it reads a
# store, judges and publishes meanwhile. A rank that died is noticed at once, by its
# closed connection; this is for one that hangs. Twice as long: noticed that much later.
_PATIENCE = timedelta(hours=1)

# How long to wait for a store at an address that may be of an attempt before: one that
# is there answers within milliseconds. Twice as long: so much later after a restart.
_CONNECT = timedelta(seconds=3)
_RETRY_SECONDS = 0.2  # until the address is asked for again
_STORE_PORT = "freshet/store_port"


@dataclass(frozen=True, kw_only=True)
class Launch:
    """What the launcher says of this process.

    Attributes:
        rank: its number, from 0.
        size: how many processes there are.
        local_rank: its number on this machine, from 0.
        per_machine: how many there are on this machine.
        address: of the first rank, ``HOST:PORT``.
    """

    rank: int
    size: int
    local_rank: int
    per_machine: int
    address: str


def launch_of(environment: Mapping[str, str]) -> Launch | None:
    """Return what the launcher says, or None where there is none, or one process.

    Raises:
        SettingsInvalid: it says only half of it, or numbers that cannot be.
    """
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    found = {name: environment[name] for name in names if environment.get(name)}
    if "WORLD_SIZE" not in found or found["WORLD_SIZE"] == "1":
        return None
    missing = [name for name in names if name not in found]
    if missing:
        raise SettingsInvalid(
            f"WORLD_SIZE is {found['WORLD_SIZE']}, but {' and '.join(missing)} is not set; start "
            "the ranks with torchrun, or unset WORLD_SIZE"
        )
    try:
        rank, size = int(found["RANK"]), int(found["WORLD_SIZE"])
        local_rank = int(environment.get("LOCAL_RANK", "0"))
        per_machine = int(environment.get("LOCAL_WORLD_SIZE", "1"))
        is_possible = 0 <= rank < size and 0 <= local_rank < per_machine
    except ValueError:
        is_possible = False
    if not is_possible:
        raise SettingsInvalid(
            f"RANK is {found['RANK']} and WORLD_SIZE {found['WORLD_SIZE']}, which cannot be; "
            "start the ranks with torchrun"
        )
    return Launch(
        rank=rank,
        size=size,
        local_rank=local_rank,
        per_machine=per_machine,
        address=f"{found['MASTER_ADDR']}:{found['MASTER_PORT']}",
    )


def _fresh_store(launch: Launch, of_launcher: "Store", timeout: timedelta) -> "Store":
    """Return a store that the first rank made for this attempt.

    The launcher's own is there for all attempts: after a restart it still has the
    addresses of ranks that are dead. So it is asked for one thing only, the address of
    the first rank's store, and asked again where nobody is there any more.
    """
    from torch._C._distributed_c10d import TCPStore  # noqa: PLC0415  # takes seconds

    host = launch.address.rpartition(":")[0]
    if launch.rank == 0:
        own = TCPStore(
            host, 0, launch.size, is_master=True, timeout=timeout, wait_for_workers=False
        )
        of_launcher.set(_STORE_PORT, str(own.port))
        return own
    deadline = time.monotonic() + _PATIENCE.total_seconds()
    while True:
        port = int(of_launcher.get(_STORE_PORT))
        try:
            found = TCPStore(host, port, is_master=False, timeout=_CONNECT)
        except RuntimeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_RETRY_SECONDS)
        else:
            found.set_timeout(timeout)
            return found


@contextmanager
def open_ranks(launch: Launch, settings: ModelSettings) -> "Iterator[RankGroup]":
    """Meet the other ranks; leave them when the context ends.

    CPUs talk over gloo, GPUs over NCCL, each rank with a GPU of its own.

    Args:
        launch: of `launch_of`.
        settings: `device` and `budget_seconds` are used.

    Raises:
        RankLost: the others cannot be reached.
        TrainingRefused: ranks differ in settings or version, see
            `model.training.ranks.agreement`, or this one lacks the GPU that the
            settings want.
    """
    # Take seconds: only who trains on several ranks pays for them.
    import torch  # noqa: PLC0415
    import torch.distributed as dist  # noqa: PLC0415
    from torch.distributed.rendezvous import rendezvous  # noqa: PLC0415

    from model.training.ranks.agreement import check_alike  # noqa: PLC0415
    from model.training.ranks.group import RankGroup  # noqa: PLC0415

    has_gpu = settings.device != "cpu" and torch.cuda.is_available()
    if settings.device == "cuda" and not has_gpu:
        raise TrainingRefused(
            f"model.device is cuda, but torch finds no GPU on rank {launch.rank}; set it to auto "
            "or cpu on all ranks"
        )
    device = torch.device("cpu")
    if has_gpu:
        device = torch.device("cuda", launch.local_rank % torch.cuda.device_count())
        torch.cuda.set_device(device)
    timeout = _PATIENCE + timedelta(seconds=settings.budget_seconds)
    try:
        # The first rank may serve it: it has to outlive the meeting.
        of_launcher, _, _ = next(rendezvous("env://", timeout=timeout))
        dist.init_process_group(
            "cpu:gloo,cuda:nccl" if has_gpu else "gloo",
            store=_fresh_store(launch, of_launcher, timeout),
            rank=launch.rank,
            world_size=launch.size,
            timeout=timeout,
        )
    except (RuntimeError, ValueError) as error:
        raise RankLost(
            f"rank {launch.rank} cannot reach the first one at {launch.address} ({error}); check "
            "address, port and network, and start all ranks again"
        ) from error
    try:
        group = RankGroup(device, launch.per_machine)
        check_alike(group, settings)
        yield group
    finally:
        dist.destroy_process_group()
        del of_launcher
