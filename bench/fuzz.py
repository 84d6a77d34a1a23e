"""Bytes that nobody wrote, given to everything that reads bytes: ``python -m bench
fuzz``.

Valid records, entries, files and manifests are changed a few times each: bits, pieces,
numbers at which layouts overflow, values of JSON (`testing/fuzzing/`). Where a checksum
stands before a reader it is made to fit. A reader must take an input or refuse it by
its own error, within some seconds and within bounds of memory; anything else is a
fault. Each target runs in a process of its own, so that one that is killed is told with
its case. A case follows from the seed, its target and its number alone.
"""

import argparse
import json
import logging
import multiprocessing
import resource
import signal
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from types import FrameType
from typing import Any

from testing.fuzzing.target import Prepared, Target
from testing.fuzzing.targets import TARGETS

_FAST_DISK = Path("/dev/shm")  # noqa: S108  # where temporary files cost least
# Seconds of CPU for one input, thousands of times what one takes; then it is a hang.
_HANG_SECONDS = 10.0
# The same where the reader does not come back to Python: the process is killed.
_DEAF_SECONDS = 30.0
# Bytes that a process may take beyond what it has with its seeds read: hundreds of
# times an input, and far below what a server has. Twice as many find half as much.
_MOST_BYTES = 1 << 30
_MOST_FAULTS = 10  # of a target that are told; more are the same ones


@dataclass(kw_only=True)
class Outcome:
    """What became of the inputs of a target.

    Attributes:
        target: its name.
        inputs: how many were read.
        refused: how many of them were refused by an error that is meant for that.
        seconds: of CPU.
        slowest_ms: of CPU, of one input.
        grown_mib: how much more memory the process had at its peak than with the valid
            inputs.
        faults: a report for each input that was neither taken nor refused.
    """

    target: str
    inputs: int = 0
    refused: int = 0
    seconds: float = 0.0
    slowest_ms: float = 0.0
    grown_mib: float = 0.0
    faults: list[str] = field(default_factory=list)


class _Hang(BaseException):
    """An input took too long; no reader may mistake it for an error of its own."""


def run(argv: Sequence[str]) -> int:
    """Fuzz, print a table and a JSON line; return 1 where there was a fault."""
    options = _parse(argv)
    targets = [TARGETS[name] for name in options.target or TARGETS]
    if options.case is not None:
        return _again(targets[0], options.seed, options.case)
    print(f"{'target':22} {'inputs':>9} {'refused':>9} {'slowest ms':>11} {'MiB more':>9} faults")
    outcomes = []
    shares = sum(target.share for target in targets)
    for target in targets:
        count = max(1, round(options.inputs * target.share / shares))
        outcomes.append(fuzz(target, options.seed, range(count)))
        _print(outcomes[-1])
    total = sum(outcome.inputs for outcome in outcomes)
    faults = sum(len(outcome.faults) for outcome in outcomes)
    print(f"{total:,} inputs of seed {options.seed}, {faults} faults")
    print(json.dumps({"seed": options.seed, "targets": [asdict(each) for each in outcomes]}))
    return 1 if faults else 0


def fuzz(target: Target, seed: int, cases: Sequence[int]) -> Outcome:
    """Read some cases of a target in a process of its own.

    Args:
        target: which must be one of `TARGETS`.
        seed: of all cases.
        cases: their numbers, ascending.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.fuzz"])
    ours, theirs = context.Pipe(duplex=False)
    case = context.RawValue("q", cases[0])
    process = context.Process(target=_child, args=(target.name, seed, cases, case, theirs))
    process.start()
    theirs.close()
    try:
        outcome: Outcome = ours.recv()
    except EOFError:
        outcome = Outcome(target=target.name, inputs=case.value - cases[0])
    process.join()
    if process.exitcode:
        outcome.faults.append(f"{target.name} {case.value}: the process ended ({process.exitcode})")
    return outcome


def _child(name: str, seed: int, cases: Sequence[int], case: Any, pipe: Connection) -> None:
    def note(number: int) -> None:
        case.value = number

    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGVTALRM, _hang)
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    with tempfile.TemporaryDirectory(dir=_FAST_DISK) as folder:
        pipe.send(read_cases(TARGETS[name], Path(folder), seed, cases, note))
    pipe.close()


def read_cases(
    target: Target,
    folder: Path,
    seed: int,
    cases: Iterable[int],
    on_case: Callable[[int], None] = lambda _case: None,
) -> Outcome:
    """Read some cases of a target in this process.

    Args:
        target: what reads them.
        folder: an empty one.
        seed: of all cases.
        cases: their numbers.
        on_case: called with each before it is read: it may end the process.
    """
    prepared = target.prepare(folder)
    outcome = Outcome(target=target.name)
    for number, content in enumerate(prepared.seeds):
        if not target.takes(prepared, number, target.seal(number, content)):
            outcome.faults.append(f"{target.name}: refuses its valid input {number}")
    before = _peak_bytes()
    resource.setrlimit(resource.RLIMIT_AS, (_mapped_bytes() + _MOST_BYTES, -1))
    for case in cases:
        on_case(case)
        _read_case(target, prepared, seed, case, outcome)
        if len(outcome.faults) >= _MOST_FAULTS:
            break
    resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
    prepared.close()
    outcome.grown_mib = round((_peak_bytes() - before) / 2**20, 1)
    return outcome


def _read_case(target: Target, prepared: Prepared, seed: int, case: int, outcome: Outcome) -> None:
    number, content = target.input_of(prepared.seeds, case, seed)
    began = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, _HANG_SECONDS)
    signal.setitimer(signal.ITIMER_PROF, _DEAF_SECONDS)
    try:
        outcome.refused += not target.takes(prepared, number, content)
    except (Exception, _Hang) as error:  # noqa: BLE001  # whatever it is, it must be told
        where = traceback.extract_tb(error.__traceback__)[-1]
        outcome.faults.append(
            f"{target.name} {case}: {type(error).__name__}: {str(error)[:200]} "
            f"({Path(where.filename).name}:{where.lineno})"
        )
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.setitimer(signal.ITIMER_PROF, 0)
    seconds = time.process_time() - began
    outcome.inputs += 1
    outcome.seconds = round(outcome.seconds + seconds, 6)
    outcome.slowest_ms = max(outcome.slowest_ms, round(seconds * 1000, 1))


def _again(target: Target, seed: int, case: int) -> int:
    """Read one case without a net, and show it."""
    with tempfile.TemporaryDirectory(dir=_FAST_DISK) as folder:
        prepared = target.prepare(Path(folder))
        number, content = target.input_of(prepared.seeds, case, seed)
        print(f"seed input {number}, {len(content)} bytes: {content[:2000]!r}")
        print("taken" if target.takes(prepared, number, content) else "refused")
    return 0


def _hang(_signal: int, _frame: FrameType | None) -> Any:
    raise _Hang(f"more than {_HANG_SECONDS:.0f} s of CPU")


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _mapped_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    return pages * resource.getpagesize()


def _print(outcome: Outcome) -> None:
    print(
        f"{outcome.target:22} {outcome.inputs:9,} {outcome.refused:9,} "
        f"{outcome.slowest_ms:11.1f} {outcome.grown_mib:9.1f} {len(outcome.faults)}",
        flush=True,
    )
    for fault in outcome.faults:
        print(f"  {fault}", flush=True)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench fuzz", description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000, help="of all targets together")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--target", action="append", choices=list(TARGETS), help="only this one (repeatable)"
    )
    parser.add_argument("--case", type=int, help="only this one of the target, without a net")
    options = parser.parse_args(argv)
    if options.case is not None and len(options.target or ()) != 1:
        parser.error("--case wants one --target")
    return options
