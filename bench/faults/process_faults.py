"""Faults of processes and of their clocks."""

import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.faults.stack import Stack, another_address, stranger

_ROOT = Path(__file__).resolve().parents[2]

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
    stack.restart("stream", faketime("-1h"))
    return partial(stack.restart, "stream")


def fast_clock_and_no_broker(stack: Stack) -> Repair:
    """The worker's machine is an hour ahead, and the broker dies."""
    stack.restart("stream", faketime("+1h"))
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


def faketime(offset: str) -> dict[str, str]:
    """Return the variables that move a process's clock."""
    return {
        "LD_PRELOAD": str(faketime_library()),
        "FAKETIME": offset,
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
    }


def faketime_library() -> Path:
    """Return where libfaketime is; it need not be there."""
    folders = (Path("/usr/lib"), _ROOT / ".tools" / "usr" / "lib")
    found = [path for folder in folders for path in folder.glob("*/faketime/libfaketimeMT.so.1")]
    return found[0] if found else Path("libfaketimeMT.so.1")
