"""`freshet sink`: keeps a vector database as fresh as the artifacts folder."""

from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics import metrics_endpoint, name_process, watch_disks
from freshet.process import begin, stop_event
from freshet.stores.artifacts import existing_artifacts
from freshet.terminal import options
from freshet.terminal.addresses import SINK_METRICS
from model.sink.database import INDEXES, SinkDatabase, check_connection
from model.sink.folder import FolderReader
from model.sink.loop import run_sink
from model.sink.metrics import SinkMetrics


@click.command()
@options.artifacts_option
@click.option(
    "--database",
    required=True,
    envvar="FRESHET_SINK_DATABASE",
    metavar="CONNECTION",
    help=(
        "PostgreSQL, as libpq has it: 'host=db dbname=shop', or a URL. Leave the password to "
        "PGPASSFILE or PGPASSWORD."
    ),
)
@click.option(
    "--index",
    type=click.Choice(INDEXES),
    default="hnsw",
    show_default=True,
    help="Index of the vectors: pgvector's graph, or none, for scans of all.",
)
@click.option(
    "--every",
    type=options.DURATION,
    default="1s",
    show_default=True,
    help="Time from one look at the artifacts to the next.",
)
@options.metrics_option(f"{SINK_METRICS}, if it is free")
@options.config_option
def sink(
    *,
    artifacts: Path,
    database: str,
    index: str,
    every: float,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Write the live generation and its overlay to PostgreSQL with pgvector, and follow
    them, until SIGTERM or Ctrl-C.

    Readers ask the view freshet.items: each statement sees one generation. One sink
    writes to a database.

    \b
    freshet sink --artifacts artifacts --database 'host=127.0.0.1 dbname=shop'
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    config = begin(config_file, log_level="INFO")
    check_connection(database)
    registry = CollectorRegistry()
    name_process(registry, "sink")
    watch_disks(registry, {"artifacts": artifacts})
    watch_certificates(registry, {"metrics": config.metrics()})
    store = existing_artifacts(artifacts)
    with (
        metrics_endpoint(metrics, registry, default=SINK_METRICS, settings=config.metrics()),
        stop_event() as stop,
    ):
        run_sink(
            FolderReader(store),
            lambda: SinkDatabase(database, index),
            SinkMetrics(registry),
            every,
            stop,
        )
