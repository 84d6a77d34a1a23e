"""Goodput above capacity, and beside ten hostile clients: ``python -m bench
overload``.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.overload.load import Callers, Outcome
from bench.overload.served import served
from bench.serving.generations import write_generation
from bench.serving.processes import Served
from model.artifact.index.engines import ENGINES, FIRST_ENGINE

# Of a closed loop: with eight, the server waits for them for a third of the time. Twice
# as many get a tenth more, and four times as many are turned away.
_CLOSED_CALLERS = 32
_FACTORS = (1.0, 2.0, 4.0)
_HONEST_CALLERS = 2
# Seconds until ten hostile clients have all they hold. Twice as many: no other figure.
_ATTACK_SECONDS = 5.0


def run(argv: Sequence[str]) -> None:
    """Measure and print one JSON line a row."""
    options = _parse(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_generation(folder, options.items, options.queries, options.dim, options.engine)
        if "overload" in options.parts:
            with served(folder) as server:
                _overload(server, options)
        if "hostile" in options.parts:
            with served(folder) as server:
                _hostile(server, options)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench overload", description=__doc__)
    parser.add_argument("--items", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--engine", choices=list(ENGINES), default=FIRST_ENGINE)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each row")
    parser.add_argument("--deadline", type=float, default=1.0, help="seconds of each call")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--factors", type=float, nargs="+", default=list(_FACTORS), help="of the capacity"
    )
    parser.add_argument(
        "--parts", nargs="+", choices=["overload", "hostile"], default=["overload", "hostile"]
    )
    return parser.parse_args(argv)


def _overload(server: Served, options: argparse.Namespace) -> None:
    callers = Callers(server.address, options.deadline, options.queries)
    callers.closed_loop(_CLOSED_CALLERS, options.seconds / 4)
    for _ in range(options.rounds):
        for factor in options.factors:
            # Anew for each row: the rest of the machine does not hold still.
            before = callers.closed_loop(_CLOSED_CALLERS, options.seconds / 2)
            cpu_before = server.cpu_seconds()
            outcome = callers.open_loop(factor * before.goodput, options.seconds)
            cpu_seconds = server.cpu_seconds() - cpu_before
            after = callers.closed_loop(_CLOSED_CALLERS, options.seconds / 2)
            capacity = (before.goodput + after.goodput) / 2
            _print(
                "overload",
                outcome,
                wanted=round(factor * before.goodput, 1),
                capacity=round(capacity, 1),
                times=round(outcome.offered / capacity, 2),
                goodput_of_capacity=round(outcome.goodput / capacity, 3),
                server_cores=round(cpu_seconds / outcome.seconds, 2),
            )


def _hostile(server: Served, options: argparse.Namespace) -> None:
    callers = Callers(server.address, options.deadline, options.queries)
    _print("alone", callers.closed_loop(_HONEST_CALLERS, options.seconds))
    with _attackers(server.address):
        callers.closed_loop(_HONEST_CALLERS, _ATTACK_SECONDS)
        _print("hostile", callers.closed_loop(_HONEST_CALLERS, options.seconds))


@contextmanager
def _attackers(address: str) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.overload.hostile", address]
    # What is said of tasks that never ended, when it is ended, is no finding.
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _print(part: str, outcome: Outcome, **more: float) -> None:
    row = {
        "bench": f"overload {part}",
        **more,
        "goodput": round(outcome.goodput, 1),
        "success": round(outcome.success, 5),
        "p50_ms": round(outcome.p50_ms, 1),
        "p99_ms": round(outcome.p99_ms, 1),
        "late_p99_ms": round(outcome.late_ms, 1),
        "callers_cores": round(outcome.cpu_seconds / outcome.seconds, 2),
        "codes": outcome.codes,
    }
    print(json.dumps(row), flush=True)
