"""Faults of processes and of their clocks."""

import shutil
import signal
import subprocess
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.faults.stack import Stack, another_address, stranger

_CLOCK = Path(__file__).with_name("clock.c")
_HOUR_SECONDS = 3600

Repair = Callable[[], None]


def kill(name: str, stack: Stack) -> Repair:
    """As a crash would."""
    stack.system.signal(name, signal.SIGKILL)
    return partial(stack.restart, name)


def freeze(name: str, stack: Stack) -> Repair:
    """It holds its ports and answers nothing."""
    stack.system.signal(name, signal.SIGSTOP)
    return partial(stack.system.signal, name, signal.SIGCONT)


def lose_a_worker(stack: Stack) -> Repair:
    """One of three dies, and the others take its shards."""
    system = stack.system
    more = {f"stream-{number}": another_address() for number in (2, 3)}
    source = ("--source", system.source, "--store", system.store)
    for name, address in more.items():
        system.start(name, "stream", *source, "--metrics", address)
    stack.watch(**more)
    system.until(
        lambda: len(stack.monitoring.query('up{job="stream"} == 1')) == len(more) + 1,
        "three workers",
        look_seconds=1.0,
    )
    system.signal("stream-3", signal.SIGKILL)

    def repair() -> None:
        stack.watch()
        system.stop("stream-2")

    return repair


def slow_clock(stack: Stack) -> Repair:
    """The worker's machine is an hour slow."""
    stack.restart("stream", another_clock(stack.folder, -_HOUR_SECONDS))
    return partial(stack.restart, "stream")


def fast_clock_and_no_broker(stack: Stack) -> Repair:
    """The worker's machine is an hour ahead, and the broker dies."""
    stack.restart("stream", another_clock(stack.folder, _HOUR_SECONDS))
    stack.system.until(stack.system.is_caught_up, "the stream goes on")
    stack.broker.kill()

    def repair() -> None:
        stack.broker.start()
        stack.restart("stream")

    return repair


def take_the_port(stack: Stack) -> Repair:
    """The stream is gone, and another program's exporter has its port."""
    stack.system.stop("stream")
    process = stranger(stack.system.metrics["stream"])

    def repair() -> None:
        process.kill()
        process.wait()
        stack.restart("stream")

    return repair


def refuse_all(stack: Stack) -> Repair:
    """The gate wants more than any generation has."""
    stack.restart("tuner", {"FRESHET_MODEL_GATE_MAX_MEAN_COSINE": "0"})
    return partial(stack.restart, "tuner")


def another_clock(folder: Path, ahead_seconds: int) -> dict[str, str]:
    """Return the variables that move a process's wall clock, and that of its children.

    Args:
        folder: where the library is built that does it.
        ahead_seconds: how far; negative: behind.

    Raises:
        CalledProcessError: the C compiler fails.
        SystemExit: there is none.
    """
    library, compiler = folder / "clock.so", shutil.which("cc")
    if compiler is None:
        raise SystemExit("no C compiler: apt-get install gcc libc6-dev")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, _CLOCK], check=True)
    return {"LD_PRELOAD": str(library), "AHEAD_SECONDS": str(ahead_seconds)}


def may_move_clocks() -> bool:
    """Whether `another_clock` can be built."""
    return shutil.which("cc") is not None
