"""What a durable event costs, beside merely polling it, in one run: ``python -m bench
ingest``.

Each measured process is one of its own and reports its own CPU time (user and system,
all threads), from before its first poll until everything is on disk and closed.
"""

import argparse
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from bench.figures import print_header, write_json
from bench.ingest.backup import measure_backup
from bench.ingest.growth import measure_restart, measure_scale, measure_snapshot
from bench.ingest.quix import measure_quix
from bench.ingest.size import measure_size
from bench.ingest.throughput import measure_registry, measure_secured, measure_throughput
from bench.ingest.workbench import Workbench
from deploy.kafka.broker import LocalBroker

_MEASUREMENTS = {
    "throughput": measure_throughput,
    "registry": measure_registry,
    "secured": measure_secured,
    "scale": measure_scale,
    "snapshot": measure_snapshot,
    "restart": measure_restart,
    "backup": measure_backup,
    "size": measure_size,
    "quix": measure_quix,
}


def run(argv: Sequence[str]) -> None:
    """Measure everything, print a table, then one JSON line a figure."""
    options = _parse(argv)
    with (
        _broker(options.kafka) as bootstrap,
        tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder,
    ):
        bench = Workbench(bootstrap, Path(folder), options)
        print_header()
        for name in options.only or _MEASUREMENTS:
            _MEASUREMENTS[name](bench)
    write_json("ingest", bench.figures, options.json, {"events": options.events})


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument(
        "--events",
        type=int,
        default=200_000,
        help="published for each measurement; some thousands at least",
    )
    parser.add_argument("--large", action="store_true", help="grow the store to ten million edges")
    parser.add_argument(
        "--kafka", metavar="HOST:PORT", help="use this broker instead of starting one"
    )
    parser.add_argument(
        "--only", nargs="+", choices=[*_MEASUREMENTS], help="only these measurements"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)


@contextmanager
def _broker(given: str | None) -> Iterator[str]:
    if given:
        yield given
        return
    with LocalBroker() as broker:
        yield broker.bootstrap
