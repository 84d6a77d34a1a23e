"""A real worker as a process: ``python -m testing.processes.worker ROOT SOURCE
SETTINGS_JSON``.

SOURCE is ``kafka:HOST:PORT`` or ``file:PATH``. It prints the number of records applied
after each batch, and ``done`` at the end; SIGTERM stops it.
"""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path
from threading import Event as StopEvent

from prometheus_client import CollectorRegistry

from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine
from stream.settings import StreamSettings
from stream.sources.files import FileSource
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker


def run_and_kill(process: "subprocess.Popen[str]", seconds: float) -> bool:
    """Kill a worker process so long after its first batch.

    Return whether it was done before.

    The time is what makes the kill fall anywhere, in the middle of a write too; nothing
    is waited for.
    """
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.stderr and process.stderr.read()
    with suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
    process.kill()
    process.wait(60)
    return process.returncode == 0


def complaints(lines: Iterable[str]) -> list[str]:
    """Return what a worker process said on standard error that a busy machine, on which
    a broker answers and members rejoin late, does not explain.
    """
    late = (
        "ends of topics not known ",
        "broker away ",
        "broker back ",
        "shards without an owner ",
    )
    return [line for line in lines if not line.startswith(late)]


def say(text: str) -> None:
    """Tell the test."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> None:
    """Run until the source is exhausted or SIGTERM comes."""
    root, (kind, _, where) = Path(sys.argv[1]), sys.argv[2].partition(":")
    settings = StreamSettings(**json.loads(sys.argv[3]))
    # Its client warns where a busy machine stops it for a tenth of a second.
    logging.getLogger("kafka").setLevel(logging.ERROR)
    stop = StopEvent()
    signal.signal(signal.SIGTERM, lambda _number, _frame: stop.set())
    source = KafkaSource(where, settings) if kind == "kafka" else FileSource([where], settings)
    num_shards = source.num_partitions if isinstance(source, KafkaSource) else None
    told = 0

    def on_progress(totals: WorkerTotals) -> None:
        nonlocal told
        if totals.records != told:
            told = totals.records
            say(str(told))

    with (
        Store.create_or_open(root, settings, num_shards) as store,
        closing(FileQuarantine(root / FILE_NAME)) as quarantine,
    ):
        metrics = StreamMetrics(CollectorRegistry())
        run_worker(source, store, quarantine, settings, metrics, stop, on_progress=on_progress)
    say("done")


if __name__ == "__main__":
    main()
