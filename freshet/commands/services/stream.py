"""Wires the rooms into what a command does.

Stream, tune, serve, snapshot, train, upgrade, replay.
"""

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

import click
from prometheus_client import CollectorRegistry

from freshet.config import Config, load_config
from freshet.process import (
    EXIT_INTERRUPTED,
    CommandError,
    configure_logging,
    metrics_endpoint,
    sigterm_exits,
    stop_event,
)
from freshet.stores.ingestion import apply_source
from freshet.stores.scratch import scratch_folder
from freshet.terminal.options import STREAM_METRICS, TUNER_METRICS, Source
from freshet.terminal.output import when
from freshet.terminal.progress import progress
from stream.clock import now_ms

if TYPE_CHECKING:
    from freshet.shop.replay import ReplayOrder
    from model.artifact.store import ArtifactStore
    from model.publishing.refresh import TrainingInput
    from stream.metrics import StreamMetrics
    from stream.reading.incremental import KnownGraph
    from stream.reading.manifest import SnapshotInfo
    from stream.settings import StreamSettings
    from stream.worker import WorkerTotals

logger = logging.getLogger(__name__)


def stream(  # noqa: PLR0913  # the options of the command
    sources: Sequence[Source],
    catalogs: Sequence[Source],
    store: Path,
    *,
    follow: bool,
    workers: int,
    checkpoints: str | None,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Apply events to the store until the files end, or until told to stop."""
    runs_on = follow or sources[0].kind == "kafka"
    settings = _begin(config_file, log_level="INFO" if runs_on else "WARNING").stream(
        checkpoints_url=checkpoints
    )
    from stream.metrics import StreamMetrics

    registry = CollectorRegistry()
    counted = StreamMetrics(registry)
    with (
        stop_event() as stop,
        metrics_endpoint(metrics, registry, default=STREAM_METRICS if runs_on else ""),
    ):
        if sources[0].kind == "kafka":
            totals = _stream_kafka(sources[0].value, store, settings, counted, stop)
        elif workers > 1:
            totals = _backfill(sources, catalogs, store, settings, workers, stop)
        else:
            paths = [source.value for source in sources]
            totals = _stream_files(
                paths,
                [each.value for each in catalogs],
                store,
                settings,
                counted,
                stop,
                follow=follow,
            )
    click.echo(_sentence(totals), err=True)


def tune(
    store: Path,
    artifacts: Path,
    flags: Mapping[str, object],
    *,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Train and publish again and again, until told to stop."""
    config = _begin(config_file, log_level="INFO")
    settings, stream_settings = config.model(**flags), config.stream()
    artifact_store = _writable_artifacts(artifacts)
    from model.metrics import TunerMetrics
    from model.tuner import run_tuner
    from stream.reading.incremental import KnownGraph

    registry = CollectorRegistry()
    counted, known = TunerMetrics(registry), KnownGraph()

    def snapshots() -> AbstractContextManager["TrainingInput"]:
        return _fresh_snapshot(store, stream_settings, known)

    with metrics_endpoint(metrics, registry, default=TUNER_METRICS):
        with sigterm_exits(0):
            _load_torch()
        with stop_event() as stop:
            run_tuner(snapshots, artifact_store, settings, counted, stop)


def serve(
    artifacts: Path, *, listen: str | None, metrics: str | None, config_file: Path | None
) -> None:
    """Answer queries until told to stop."""
    settings = _begin(config_file, log_level="INFO").server(listen=listen, metrics=metrics)
    from server.app import RetrievalServer

    registry = CollectorRegistry()
    server = RetrievalServer(settings, artifacts, registry)
    with stop_event() as stop, metrics_endpoint(metrics, registry, default=settings.metrics):
        server.start()
        stop.wait()
        server.stop()


def snapshot(store: Path, out: Path, *, config_file: Path | None) -> None:
    """Take a snapshot and say what is in it."""
    settings = _begin(config_file).stream()
    from stream.reading.snapshot import take_snapshot

    info = take_snapshot(store, out, settings, now_ms())
    click.echo(f"{info.counts.facts:,} facts up to {when(info.watermark_ms)}", err=True)
    click.echo(info.snapshot_id)


def train(
    store: Path | None,
    snapshot_path: Path | None,
    artifacts: Path,
    flags: Mapping[str, object],
    *,
    config_file: Path | None,
) -> None:
    """Train one generation, publish it, and print its id."""
    config = _begin(config_file)
    settings, stream_settings = config.model(**flags), config.stream()
    artifact_store = _writable_artifacts(artifacts)
    from model.errors import TrainingStopped
    from model.publishing.refresh import train_once

    _load_torch()
    with (
        stop_event() as stop,
        _graph_to_learn(store, snapshot_path, stream_settings) as source,
        progress("training", "passes") as advance,
    ):
        try:
            generation_id = train_once(
                source,
                artifact_store,
                settings,
                on_progress=lambda each: advance(each.passes, each.max_passes),
                stop=stop.is_set,
            )
        except TrainingStopped:
            raise CommandError(
                "stopped; no generation was published", exit_code=EXIT_INTERRUPTED
            ) from None
    click.echo(generation_id)


def upgrade(store: Path, *, config_file: Path | None) -> None:
    """Bring a store to the present format version."""
    settings = _begin(config_file, log_level="INFO").stream()
    from stream.shard.codec import FORMAT_VERSION
    from stream.store.store import Store, read_manifest

    half_life_seconds = read_manifest(store).half_life_seconds
    with Store.create_or_open(
        store, replace(settings, half_life_seconds=half_life_seconds)
    ) as opened:
        opened.upgrade()
    click.echo(f"{store} has format version {FORMAT_VERSION}", err=True)


def replay(order: "ReplayOrder", brokers: str, *, config_file: Path | None) -> None:
    """Publish event files to Kafka."""
    settings = _begin(config_file).stream()
    from freshet.shop.replay import replay as publish

    with stop_event() as stop, progress("publishing", "bytes") as advance:
        totals = publish(
            order,
            brokers,
            settings,
            on_progress=lambda totals: advance(totals.bytes_done, totals.bytes_total),
            stop=stop,
        )
    click.echo(f"{totals.events:,} events and {totals.items:,} items published", err=True)
    if totals.raw:
        click.echo(
            f"{totals.raw:,} lines published as they are: the stream will quarantine them", err=True
        )


def _begin(config_file: Path | None, log_level: str = "WARNING") -> Config:
    configure_logging(default=log_level)
    return load_config(config_file, os.environ)


def _stream_files(
    paths: Sequence[str],
    catalogs: Sequence[str],
    root: Path,
    settings: "StreamSettings",
    metrics: "StreamMetrics",
    stop: Event,
    *,
    follow: bool,
) -> "WorkerTotals":
    from stream.sources.files import FileSource
    from stream.store.store import Store

    source = FileSource(paths, settings, catalog_paths=catalogs, follow=follow)
    with (
        Store.create_or_open(root, settings, metrics=metrics) as store,
        progress("applying", "bytes") as advance,
    ):
        return apply_source(
            source,
            store,
            settings,
            stop,
            metrics=metrics,
            show_progress=lambda: (
                None if follow else advance(source.bytes_done, source.bytes_total)
            ),
        )


def _backfill(
    sources: Sequence[Source],
    catalogs: Sequence[Source],
    root: Path,
    settings: "StreamSettings",
    num_workers: int,
    stop: Event,
) -> "WorkerTotals":
    from freshet.stores.backfill import History, backfill

    history = History(
        paths=[source.value for source in sources],
        catalogs=[catalog.value for catalog in catalogs],
        root=root,
        settings=settings,
    )
    with progress("applying", "bytes") as advance:
        return backfill(history, num_workers, stop, advance)


def _stream_kafka(
    bootstrap: str, root: Path, settings: "StreamSettings", metrics: "StreamMetrics", stop: Event
) -> "WorkerTotals":
    from stream.quarantine import TopicQuarantine
    from stream.sources.topics import KafkaSource
    from stream.store.store import Store
    from stream.worker import run_worker

    source = KafkaSource(bootstrap, settings)
    with (
        closing(TopicQuarantine(bootstrap, settings)) as quarantine,
        Store.create_or_open(root, settings, source.num_partitions, metrics) as store,
    ):
        return run_worker(source, store, quarantine, settings, metrics, stop)


def _load_torch() -> None:
    """Import what training needs, which takes seconds.

    Whoever calls decides how a signal ends that.
    """
    import model.training.train  # noqa: F401


def _graph_to_learn(
    store: Path | None, snapshot_path: Path | None, settings: "StreamSettings"
) -> AbstractContextManager["TrainingInput"]:
    if store is not None:
        return _fresh_snapshot(store, settings)
    from stream.reading.manifest import read_manifest

    assert snapshot_path is not None  # noqa: S101  # the command line takes one of the two
    return nullcontext(_training_input(snapshot_path, read_manifest(snapshot_path), settings))


@contextmanager
def _fresh_snapshot(
    store: Path, settings: "StreamSettings", known: "KnownGraph | None" = None
) -> Iterator["TrainingInput"]:
    """Yield what a new snapshot of a store holds; the snapshot goes when it was read.

    Args:
        store: the store's folder.
        settings: of the store.
        known: what was read of its earlier snapshots; None: nothing.
    """
    from stream.reading.snapshot import take_snapshot
    from stream.store.store import read_manifest

    read_manifest(store)
    with scratch_folder(store) as folder:
        path = folder / "snapshot"
        source = _training_input(
            path, take_snapshot(store, path, settings, now_ms()), settings, known
        )
    yield source


def _training_input(
    path: Path, info: "SnapshotInfo", settings: "StreamSettings", known: "KnownGraph | None" = None
) -> "TrainingInput":
    from model.publishing.refresh import TrainingInput
    from stream.reading.reader import open_graph

    with open_graph(path, settings) as graph:
        source = TrainingInput(snapshot=info, arrays=graph.arrays(known=known))
    if known is not None:
        logger.info(
            "snapshot read facts=%d shards_in_full=%d", info.counts.facts, known.read_in_full
        )
    return source


def _sentence(totals: "WorkerTotals") -> str:
    parts = [f"{totals.events:,} events applied, {totals.new_facts:,} new facts"]
    if totals.quarantined:
        parts.append(f"{totals.quarantined:,} quarantined")
    if totals.watermark_ms:
        parts.append(f"the graph is complete up to {when(totals.watermark_ms)}")
    return ", ".join(parts)


def _writable_artifacts(artifacts: Path) -> "ArtifactStore":
    from model.artifact.store import ArtifactStore

    try:
        artifacts.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CommandError(f"{artifacts} is not a folder; give another --artifacts") from None
    return ArtifactStore(artifacts)
