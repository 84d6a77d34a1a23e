"""Random deliveries against the graph's laws: ``python -m bench laws``.

A case is a random set of events, some without a session, of searches that some of them
name, of catalogue items and of erasures, in every encoding, spread over files or topics
by one partitioner or several, in order or not, with a bound on how late an event may be
that some are exactly at. They are delivered with repeats, in random batches, over up to
three shards, with crashes between any two writes, and with shards that move between
workers or come back from a checkpoint. Afterwards hash, dump, catalogue, counts and
indexes must be those of a plain build of what the definition makes of the logs. Most
cases run over an in-memory twin of RocksDB, whose crashes may also be power cuts, some
over RocksDB itself. A case follows from the seed and its number alone.
"""

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from testing.laws.case import Case, random_case
from testing.laws.checks import broken_laws
from testing.laws.delivery import Delivery
from testing.laws.stores import CaseShards, MemoryShards, RocksShards

_CHUNK_CASES = 100  # cases a process takes at once: some seconds of work
_FAST_DISK = Path("/dev/shm")  # noqa: S108  # where temporary stores cost least
_COUNTED = {
    "cases": "cases",
    "rocksdb cases": "of them over RocksDB",
    "event": "events",
    "late": "of them too late",
    "erasure": "erasures",
    "write": "batches written",
    "crash": "crashes",
    "restart": "restarts",
    "move": "shards moved",
    "checkpoint": "checkpoints",
    "restore": "shards that came back from one",
}


@dataclass(slots=True)
class Outcome:
    """The result of some cases.

    Attributes:
        counts: how much there was of everything in the table.
        failures: a report for each case that broke a law.
    """

    counts: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)

    def add(self, other: "Outcome") -> None:
        """Add the result of other cases."""
        self.counts += other.counts
        self.failures += other.failures


def run(argv: Sequence[str]) -> None:
    """Run the cases, print a table and one JSON line.

    Leave with status 1 where a law was broken.
    """
    options = _parse(argv)
    numbers = range(options.cases) if options.case is None else [options.case]
    began = time.monotonic()
    outcome = run_cases(options.seed, numbers, options.rocksdb_every, options.workers)
    _print(outcome, options.seed, time.monotonic() - began)
    if outcome.failures:
        sys.exit(1)


def run_cases(
    seed: int, numbers: Sequence[int], rocksdb_every: int, num_workers: int = 1
) -> Outcome:
    """Run cases, with several workers in processes of their own.

    Stop soon after the first failure.

    Args:
        seed: of all cases.
        numbers: which cases.
        rocksdb_every: one case in so many runs over RocksDB; 0: none does.
        num_workers: processes.
    """
    chunks = [
        numbers[start : start + _CHUNK_CASES] for start in range(0, len(numbers), _CHUNK_CASES)
    ]
    outcome = Outcome()
    with _mapped(num_workers) as each:
        for done in each(partial(_run_chunk, seed, rocksdb_every), chunks):
            outcome.add(done)
            if outcome.failures:
                break
    return outcome


def run_case(seed: int, number: int, folder: Path, *, over_rocksdb: bool) -> Outcome:
    """Deliver one case and check the laws.

    Args:
        seed: of all cases.
        number: of this one.
        folder: for temporary files.
        over_rocksdb: whether it runs over RocksDB.
    """
    case, draw = random_case(seed, number)
    with tempfile.TemporaryDirectory(dir=folder) as own:
        kind = RocksShards if over_rocksdb else MemoryShards
        shards: CaseShards = kind(Path(own), case.num_shards)
        delivery = Delivery(case, shards, draw)
        broken = _broken(case, delivery, shards)
    counts = Counter({"cases": 1, "rocksdb cases": int(over_rocksdb), "event": case.num_events})
    failures = [_report(seed, case, delivery.steps, broken)] if broken else []
    return Outcome(counts + delivery.counts, failures)


def _broken(case: Case, delivery: Delivery, shards: CaseShards) -> list[str]:
    """Return the laws that are broken.

    An error on the way breaks the first of them: that delivery ends.
    """
    try:
        delivery.run()
        return broken_laws(case, shards)
    except Exception as error:  # noqa: BLE001  # whatever it is, the case must be printed
        return [f"{type(error).__name__}: {error}"]


def _run_chunk(seed: int, rocksdb_every: int, numbers: Iterable[int]) -> Outcome:
    outcome = Outcome()
    parent = _FAST_DISK if os.access(_FAST_DISK, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="freshet-laws-", dir=parent) as folder:
        for number in numbers:
            over_rocksdb = rocksdb_every > 0 and number % rocksdb_every == 0
            outcome.add(run_case(seed, number, Path(folder), over_rocksdb=over_rocksdb))
            if outcome.failures:
                break
    return outcome


@contextmanager
def _mapped(num_workers: int) -> Iterator[Callable[..., Iterator[Outcome]]]:
    """Yield a `map` that runs in this process, or in several others."""
    if num_workers == 1:
        yield map
        return
    with ProcessPoolExecutor(num_workers, multiprocessing.get_context("spawn")) as executor:
        yield executor.map
        executor.shutdown(cancel_futures=True)


def _report(seed: int, case: Case, steps: Sequence[str], broken: Sequence[str]) -> str:
    lines = [
        f"case {case.number} of seed {seed}, {case.num_shards} shards, {case.num_workers} workers:",
        f"retention {case.retention_ms} ms",
    ]
    for log in case.logs:
        lines += [
            f"  {log.position.source}/{log.position.partition}",
            *(f"    {number}: {e}" for number, e in enumerate(log.entries())),
        ]
    lines += [
        "happened:",
        *(f"  {step}" for step in steps),
        "broken:",
        *(f"  {law}" for law in broken),
    ]
    again = f"again: python -m bench laws --seed {seed} --case {case.number}"
    return "\n".join([*lines, again])


def _print(outcome: Outcome, seed: int, seconds: float) -> None:
    for failure in outcome.failures:
        print(failure, end="\n\n")
    figures = {title: outcome.counts[name] for name, title in _COUNTED.items()}
    figures |= {"failures": len(outcome.failures), "seconds": round(seconds)}
    for title, figure in figures.items():
        print(f"{figure:>12,}  {title}")
    named = {name.replace(" ", "_"): outcome.counts[name] for name in _COUNTED}
    print(
        json.dumps(
            {"seed": seed, **named, "failures": len(outcome.failures), "seconds": round(seconds, 1)}
        )
    )


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench laws", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--case", type=int, help="run this one alone")
    parser.add_argument(
        "--rocksdb-every", type=int, default=50, help="one case in so many over RocksDB"
    )
    return parser.parse_args(argv)
