"""Loads history files with several processes, each with its own shards."""

import multiprocessing
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.synchronize import Event as ProcessEvent
from pathlib import Path
from threading import Event
from typing import NamedTuple

from prometheus_client import CollectorRegistry

from freshet.logs.settings import LogSettings
from freshet.process import CommandError, configure_logging, describe_error
from freshet.terminal.progress import Advance
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine
from stream.quarantine.rejections import QuarantineTally
from stream.settings import StreamSettings
from stream.sources.files import FileSource
from stream.sources.verdict import FileVerdicts, judge_files
from stream.store.store import Store
from stream.worker import WorkerTotals, run_worker

_LOOK_SECONDS = 0.2
"""Seconds between two checks for a stop request. Twice as much makes Ctrl-C that much
slower.
"""


@dataclass(frozen=True, kw_only=True)
class BackfillPlan:
    """What to load, and into which store.

    Attributes:
        paths: event files or glob patterns.
        catalogs: catalogue files or glob patterns.
        root: the store's folder.
        settings: of the stream.
        log: of what its processes log.
    """

    paths: Sequence[str]
    catalogs: Sequence[str]
    root: Path
    settings: StreamSettings
    log: LogSettings


class _WorkerReport(NamedTuple):
    """Progress of one process; the last report has its failure, if any, and the
    verdicts of the process that quarantines.
    """

    bytes_done: int
    bytes_total: int
    totals: WorkerTotals
    failure: str = ""
    verdicts: FileVerdicts = FileVerdicts("", ())


def backfill(
    plan: BackfillPlan, num_workers: int, stop: Event, advance: Advance
) -> tuple[WorkerTotals, FileVerdicts]:
    """Load files with several processes.

    Each reads all of them and applies what belongs to its own shards.

    After a stop or a kill, each shard continues where it was, with any number of
    processes.

    Args:
        plan: what is loaded where; the store is made where there is none.
        num_workers: processes; no more than the store has shards are started.
        stop: set: every process finishes its batch and ends.
        advance: called with the progress of the slowest process, in bytes.

    Returns:
        What all processes did, and what is wrong with files as a whole.

    Raises:
        CommandError: a process failed; the message is its own.
        StoreError: the store cannot be opened.
    """
    with Store.create_or_open(plan.root, plan.settings) as store:
        num_shards = store.num_shards
    shares = [
        range(first, num_shards, num_workers) for first in range(min(num_workers, num_shards))
    ]
    context = multiprocessing.get_context("spawn")
    stop_requested = context.Event()
    readers = []
    for share in shares:
        reader, writer = context.Pipe(duplex=False)
        arguments = (plan, list(share), writer, stop_requested)
        context.Process(target=_load, args=arguments, daemon=True).start()
        writer.close()
        readers.append(reader)
    return _follow(readers, stop, stop_requested, advance)


def _follow(
    readers: Sequence[Connection], stop: Event, stop_requested: ProcessEvent, advance: Advance
) -> tuple[WorkerTotals, FileVerdicts]:
    """Collect reports until every process has ended.

    The first that fails stops the others.
    """
    latest: dict[int, _WorkerReport] = {}
    failure = ""
    running = dict(enumerate(readers))
    while running:
        for reader in wait(list(running.values()), _LOOK_SECONDS):
            number = next(number for number, known in running.items() if known is reader)
            try:
                latest[number] = running[number].recv()
            except EOFError:
                running.pop(number).close()
                failure = failure or (
                    latest[number].failure if number in latest else "a loading process died"
                )
        if stop.is_set() or failure:
            stop_requested.set()
        if latest:
            slowest = min(latest.values(), key=lambda report: report.bytes_done)
            advance(slowest.bytes_done, slowest.bytes_total)
    if failure:
        raise CommandError(failure)
    # The first process has shard 0, and with it the quarantine.
    return _sum([report.totals for report in latest.values()]), latest[0].verdicts


def _sum(totals: Sequence[WorkerTotals]) -> WorkerTotals:
    """Return what all processes did.

    Each read every record, and applied its own shards' events.
    """
    watermarks = [each.watermark_ms for each in totals if each.watermark_ms is not None]
    return replace(
        totals[0],
        records=max(each.records for each in totals),
        applied=sum((each.applied for each in totals), Counter()),
        new_facts=sum(each.new_facts for each in totals),
        quarantined=sum(each.quarantined for each in totals),
        batches=sum(each.batches for each in totals),
        watermark_ms=min(watermarks, default=None),
    )


def _load(
    plan: BackfillPlan, own_shards: Sequence[int], report: Connection, stop_requested: ProcessEvent
) -> None:
    """Apply the share of one process, and report its progress until the end."""
    for number in (signal.SIGINT, signal.SIGHUP):  # they reach all processes of a terminal
        signal.signal(number, signal.SIG_IGN)
    configure_logging(plan.log, default="WARNING")
    latest = _WorkerReport(0, 0, WorkerTotals())

    def report_progress(bytes_done: int, bytes_total: int, totals: WorkerTotals) -> None:
        nonlocal latest
        latest = _WorkerReport(bytes_done, bytes_total, totals)
        report.send(latest)

    try:
        verdicts = _apply(plan, own_shards, stop_requested, report_progress)
        report.send(latest._replace(verdicts=verdicts))
    except Exception as error:  # noqa: BLE001  # the parent reports what ended this process
        report.send(latest._replace(failure=describe_error(error)[0]))
    report.close()


def _apply(
    plan: BackfillPlan,
    own_shards: Sequence[int],
    stop_requested: ProcessEvent,
    report_progress: Callable[[int, int, WorkerTotals], None],
) -> FileVerdicts:
    source = FileSource(
        plan.paths, plan.settings, catalog_paths=plan.catalogs, own_shards=own_shards
    )
    parent, stop = multiprocessing.parent_process(), Event()

    def on_progress(totals: WorkerTotals) -> None:
        report_progress(source.bytes_done, source.bytes_total, totals)
        if stop_requested.is_set() or (parent is not None and not parent.is_alive()):
            stop.set()

    with (
        Store.create_or_open(plan.root, plan.settings) as store,
        closing(QuarantineTally(FileQuarantine(plan.root / FILE_NAME))) as quarantine,
    ):
        totals = run_worker(
            source,
            store,
            quarantine,
            plan.settings,
            StreamMetrics(CollectorRegistry()),
            stop,
            on_progress=on_progress,
            own_shards=own_shards,
        )
    report_progress(source.bytes_done, source.bytes_total, totals)
    return judge_files([] if stop.is_set() else source.files_read, quarantine)
