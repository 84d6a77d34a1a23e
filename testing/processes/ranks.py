"""The ranks of a training as processes on this machine, over loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
# Seconds, at most, until all ranks have ended: each loads torch.
_WAIT_SECONDS = 280.0


def run_ranks(
    arguments: Sequence[object],
    settings: Sequence[Mapping[str, str]],
    port: int,
    folder: Path,
) -> list[subprocess.CompletedProcess[str]]:
    """Run ``python -m freshet ARGUMENTS`` on several ranks; return how each ended.

    Args:
        arguments: of the command, the same on each rank.
        settings: environment variables of each rank.
        port: at which the first rank listens.
        folder: for what each prints.
    """
    with started_ranks(arguments, settings, port, folder) as processes:
        return ended(processes, folder)


@contextmanager
def started_ranks(
    arguments: Sequence[object],
    settings: Sequence[Mapping[str, str]],
    port: int,
    folder: Path,
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Start ranks as `run_ranks` does; those that still run at the end are killed."""
    processes = []
    try:
        for rank, each in enumerate(settings):
            with (
                (folder / f"{rank}.out").open("wb") as out,
                (folder / f"{rank}.err").open("wb") as err,
            ):
                process = subprocess.Popen(
                    [sys.executable, "-m", "freshet", *map(str, arguments)],
                    env=rank_environment(rank, len(settings), port) | dict(each),
                    stdout=out,
                    stderr=err,
                )
            processes.append(process)
        yield processes
    finally:
        for process in processes:
            if process.poll() is None:
                process.kill()
            process.wait()


def ended(
    processes: Sequence[subprocess.Popen[bytes]], folder: Path
) -> list[subprocess.CompletedProcess[str]]:
    """Wait until all ranks have ended; return how, and what they printed."""
    return [
        subprocess.CompletedProcess(
            process.args,
            process.wait(_WAIT_SECONDS),
            (folder / f"{rank}.out").read_text(encoding="utf-8"),
            (folder / f"{rank}.err").read_text(encoding="utf-8"),
        )
        for rank, process in enumerate(processes)
    ]


def rank_environment(rank: int, size: int, port: int) -> dict[str, str]:
    """Return the environment that `torchrun` gives a rank, over loopback."""
    return loopback_environment() | {
        "RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_RANK": str(rank),
        "LOCAL_WORLD_SIZE": str(size),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def loopback_environment() -> dict[str, str]:
    """Return an environment in which ranks listen on loopback alone."""
    return {**os.environ, "GLOO_SOCKET_IFNAME": "lo", "PYTHONPATH": str(_ROOT)}
