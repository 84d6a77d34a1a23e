"""`freshet stream`: reads events from files or Kafka into the graph."""

import os
import socket
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.logs.printable import printable
from freshet.metrics import metrics_endpoint, name_process, watch_disks
from freshet.process import CommandError, begin, stop_event
from freshet.stores.backfill import BackfillPlan, backfill
from freshet.stores.ingestion import apply_source
from freshet.telemetry.sending import sending
from freshet.telemetry.settings import TelemetrySettings
from freshet.terminal import options
from freshet.terminal.addresses import STREAM_METRICS
from freshet.terminal.options import SourceAddress
from freshet.terminal.output import when
from freshet.terminal.progress import progress
from stream.errors import QuarantineUnavailable, SourceUnavailable
from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME
from stream.quarantine.rejections import QuarantineTally
from stream.quarantine.topic import TopicQuarantine
from stream.settings import StreamSettings
from stream.sources.connecting import connected
from stream.sources.content import is_pipe
from stream.sources.files import FileSource
from stream.sources.topics.source import KafkaSource
from stream.sources.traced import TracedSource
from stream.sources.verdict import FileVerdicts, judge_files
from stream.store.store import Store
from stream.traces.journal import ENDING, Journal
from stream.traces.journal import FOLDER as TRACES
from stream.traces.limiter import TraceLimiter
from stream.traces.tracer import Tracer
from stream.waiting import Stopped
from stream.worker import WorkerTotals, run_worker

# More than any machine has cores for; twice as many take 20 GB to begin with.
_MOST_WORKERS = 256


@click.command()
@click.option(
    "--source",
    "sources",
    type=options.SOURCE,
    multiple=True,
    required=True,
    help=("Where to read events: file:PATH_OR_GLOB (repeatable) or kafka:HOST:PORT[,HOST:PORT]."),
)
@click.option(
    "--catalog",
    "catalogs",
    type=options.SOURCE,
    metavar="file:PATH",
    multiple=True,
    help="Catalogue file, file:PATH (repeatable). With Kafka the catalogue is a topic.",
)
@options.store_option
@click.option(
    "--follow", is_flag=True, help="Keep reading: files that grow, and new ones that match."
)
@click.option(
    "--workers",
    type=click.IntRange(min=1, max=_MOST_WORKERS),
    metavar="N",
    default=1,
    help="Load files with N processes, each with its own shards [default: 1].",
)
@click.option(
    "--checkpoints",
    type=options.TEXT,
    metavar="URL",
    help=(
        "Folder or fsspec URL for copies of the shards, from which another machine "
        "can take over. Kafka only."
    ),
)
@options.metrics_option(f"{STREAM_METRICS}, if it is free, and files are not read to their end")
@options.config_option
def stream(  # noqa: PLR0913  # the options of the command
    *,
    sources: tuple[SourceAddress, ...],
    catalogs: tuple[SourceAddress, ...],
    store: Path,
    follow: bool,
    workers: int,
    checkpoints: str | None,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Read events into the graph: files to their end, or Kafka until SIGTERM or Ctrl-C.

    Each batch is one atomic write, together with its position. However often you stop,
    kill and restart it, the graph is the one that a single undisturbed run would have
    made. Records that cannot be used go to the quarantine, each with its reason.

    \b
    freshet stream --source file:log.jsonl.gz --catalog file:items.jsonl --store shop
    zcat old/*.gz | freshet stream --source file:/dev/stdin --store shop.store
    freshet stream --source kafka:localhost:9092 --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    _check_sources(sources, catalogs, follow=follow)
    is_kafka = sources[0].kind == "kafka"
    _check_workers(
        workers, [*sources, *catalogs], is_files=not is_kafka, runs_on=follow or metrics is not None
    )
    if checkpoints and not is_kafka:
        raise click.UsageError(
            "--checkpoints is for a kafka: source", ctx=click.get_current_context()
        )
    runs_on = follow or is_kafka
    config = begin(config_file, log_level="INFO" if runs_on else "WARNING")
    settings = config.stream(checkpoints_url=checkpoints)
    if not runs_on:  # nobody follows a bulk load: a feed would cost more than it tells
        settings = replace(settings, feed_bytes=0)
    plan = BackfillPlan(
        paths=[source.value for source in sources],
        catalogs=[catalog.value for catalog in catalogs],
        root=store,
        settings=settings,
        log=config.log(),
    )
    registry = CollectorRegistry()
    name_process(registry, "stream")
    watch_disks(registry, {"store": store})
    watch_certificates(
        registry,
        {"metrics": config.metrics()},
        {"stream.ssl_certificate_location": settings.ssl_certificate_location},
    )
    counted = StreamMetrics(registry)
    with (
        stop_event() as stop,
        metrics_endpoint(
            metrics,
            registry,
            default=STREAM_METRICS if runs_on else "",
            settings=config.metrics(),
        ),
        sending(config.telemetry(), "stream", registry) as tracer,
    ):
        if is_kafka:
            traced = None if tracer is None else partial(_traced, tracer, config.telemetry(), store)
            totals = _apply_topics(sources[0].value, store, settings, counted, stop, traced)
            verdicts = FileVerdicts("", ())
        elif workers > 1:
            with progress("applying", "bytes") as advance:
                totals, verdicts = backfill(plan, workers, stop, advance)
        else:
            totals, verdicts = _apply_files(plan, counted, stop, follow=follow)
    for doubtful in verdicts.doubtful:
        click.echo(f"freshet: warning: {printable(doubtful)}", err=True)
    click.echo(_as_text(totals), err=True)
    if verdicts.unusable:
        raise CommandError(
            f"{printable(verdicts.unusable)}; the lines are in {store / FILE_NAME}",
        )


def _check_sources(
    sources: Sequence[SourceAddress], catalogs: Sequence[SourceAddress], *, follow: bool
) -> None:
    ctx = click.get_current_context()
    kinds = {source.kind for source in sources}
    if len(kinds) > 1 or (kinds == {"kafka"} and len(sources) > 1):
        raise click.UsageError("give one kafka: source, or any number of file: sources", ctx=ctx)
    if any(catalog.kind != "file" for catalog in catalogs):
        raise click.UsageError("--catalog takes file:PATH", ctx=ctx)
    if kinds == {"kafka"} and (catalogs or follow):
        raise click.UsageError("--catalog and --follow are for file: sources", ctx=ctx)


def _check_workers(
    workers: int, sources: Sequence[SourceAddress], *, is_files: bool, runs_on: bool
) -> None:
    if workers > 1 and (not is_files or runs_on):
        raise click.UsageError(
            "--workers is for file: sources that end, without --follow and --metrics; "
            "with Kafka start freshet stream several times",
            ctx=click.get_current_context(),
        )
    pipes = [source.value for source in sources if is_files and is_pipe(Path(source.value))]
    if workers > 1 and pipes:
        raise click.UsageError(
            f"{pipes[0]} is a pipe, which one process reads; leave --workers out",
            ctx=click.get_current_context(),
        )


def _apply_files(
    plan: BackfillPlan, metrics: StreamMetrics, stop: Event, *, follow: bool
) -> tuple[WorkerTotals, FileVerdicts]:
    settings = plan.settings
    verdicts = FileVerdicts("", ())

    def judge(tally: QuarantineTally) -> None:
        nonlocal verdicts
        if not follow and not stop.is_set():
            verdicts = judge_files(source.files_read, tally)

    source = FileSource(plan.paths, settings, catalog_paths=plan.catalogs, follow=follow)
    with (
        Store.create_or_open(plan.root, settings, metrics=metrics) as store,
        progress("applying", "bytes") as advance,
    ):
        totals = apply_source(
            source,
            store,
            settings,
            stop,
            metrics=metrics,
            show_progress=lambda: (
                None if follow else advance(source.bytes_done, source.bytes_total)
            ),
            judge=judge,
        )
    return totals, verdicts


def _traced(
    tracer: Tracer, settings: TelemetrySettings, store: Path, source: KafkaSource
) -> TracedSource:
    """Return a source whose records' traces are followed."""
    # A name that no other process of the store has.
    journal = Journal(store / TRACES / f"{socket.gethostname()}-{os.getpid()}{ENDING}")
    return TracedSource(source, tracer, journal, TraceLimiter(settings.traced_per_second))


def _apply_topics(  # what it works with
    bootstrap: str,
    root: Path,
    settings: StreamSettings,
    metrics: StreamMetrics,
    stop: Event,
    traced: Callable[[KafkaSource], TracedSource] | None,
) -> WorkerTotals:
    seconds = settings.bootstrap_timeout_seconds
    needed = [settings.quarantine_topic]
    try:
        source = connected(
            lambda: KafkaSource(bootstrap, settings, metrics, needed=needed), seconds, stop
        )
        quarantine = connected(lambda: TopicQuarantine(bootstrap, settings), seconds, stop)
    except Stopped:
        return WorkerTotals()
    except (SourceUnavailable, QuarantineUnavailable):
        if stop.is_set():  # nobody waits for that broker any more
            return WorkerTotals()
        raise
    with (
        closing(quarantine),
        Store.create_or_open(root, settings, source.num_partitions, metrics) as store,
    ):
        read = source if traced is None else traced(source)
        return run_worker(read, store, quarantine, settings, metrics, stop)


def _as_text(totals: WorkerTotals) -> str:
    parts = [f"{totals.events:,} events applied, {totals.new_facts:,} new facts"]
    if totals.items:
        older = f" ({totals.older_items:,} older than known)" if totals.older_items else ""
        parts.append(f"{totals.items:,} catalogue items{older}")
    if totals.searches:
        parts.append(f"{totals.searches:,} searches")
    if totals.ignored:
        parts.append(f"{totals.ignored:,} ignored")
    if totals.quarantined:
        parts.append(f"{totals.quarantined:,} quarantined")
    if totals.watermark_ms:
        parts.append(f"the graph is complete up to {when(totals.watermark_ms)}")
    return ", ".join(parts)
