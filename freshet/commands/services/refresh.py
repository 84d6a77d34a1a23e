"""`freshet refresh`: brings changes into answers within seconds."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics import metrics_endpoint, name_process, watch_disks
from freshet.process import begin, stop_event
from freshet.stores.artifacts import writable_artifacts
from freshet.stores.most_asked import most_asked
from freshet.telemetry.sending import sending
from freshet.terminal import options
from freshet.terminal.addresses import REFRESHER_METRICS
from model.artifact.generation import Generation
from model.artifact.overlay.folder import OverlayFolder
from model.fresh.limits import RoundLimits
from model.fresh.state import FreshState
from model.refresher.loop import run_refresher
from model.refresher.memory import keep_memory
from model.refresher.metrics import RefresherMetrics
from model.refresher.parts import Parts
from stream.feed.reader import open_feed
from stream.traces.follower import TraceFollower
from stream.traces.journal import FOLDER as TRACES
from stream.traces.journal import Journal, JournalReader
from stream.traces.tracer import Fan, Stage, Tracer

# Seconds between two looks where what changes is read from a URL, to which it comes
# about once a second: each look is a request, which object stores charge for. Twice as
# many: half the requests, and changes are seen up to half a second later.
_URL_POLL_SECONDS = 0.5


@click.command()
@click.option(
    "--store",
    type=options.FOLDER,
    metavar="DIR",
    help="Folder of the graph store, beside which the stream writes what changes.",
)
@click.option(
    "--checkpoints",
    type=options.TEXT,
    metavar="URL",
    help=(
        "Folder or fsspec URL of the shards' checkpoints, to read what changes from there: "
        "where the streams are on other machines."
    ),
)
@options.artifacts_option
@click.option(
    "--every",
    type=options.DURATION,
    help="Time between two rounds, such as 1s [default: the setting refresh.fresh_every_seconds].",
)
@click.option(
    "--servers",
    type=options.ADDRESSES,
    default=(),
    help="gRPC addresses of servers: what they are asked most is refreshed first.",
)
@options.metrics_option(f"{REFRESHER_METRICS}, if it is free")
@options.config_option
def refresh(
    *,
    store: Path | None,
    checkpoints: str | None,
    artifacts: Path,
    every: float | None,
    servers: tuple[str, ...],
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Recompute about once a second what changed since the live generation.

    Servers that share the artifacts folder answer from it at once. One process an
    artifacts folder does this, until SIGTERM or Ctrl-C; a second one says who does, and
    ends.

    \b
    freshet refresh --store shop.store --artifacts artifacts
    freshet refresh --checkpoints s3://bucket/shop --artifacts artifacts
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    source = _one_source(store, checkpoints)
    config = begin(config_file, log_level="INFO")
    settings, stream_settings = config.refresh(fresh_every_seconds=every), config.stream()
    keep_memory()
    limits = RoundLimits(
        max_round_nodes=settings.max_round_nodes, max_neighbours=settings.max_neighbours
    )
    registry = CollectorRegistry()
    name_process(registry, "refresher")
    watch_disks(registry, {"artifacts": artifacts})
    watch_certificates(registry, {"metrics": config.metrics()})

    def vectors_of(generation: Generation) -> FreshState:
        return FreshState(generation, min_sessions=stream_settings.min_sessions, limits=limits)

    artifact_store = writable_artifacts(artifacts)
    open_feed(source).close()  # a URL that cannot be used is refused here
    if checkpoints is not None:
        poll_seconds = max(settings.poll_seconds, _URL_POLL_SECONDS)
        settings = replace(settings, poll_seconds=poll_seconds)
    with (
        metrics_endpoint(metrics, registry, default=REFRESHER_METRICS, settings=config.metrics()),
        most_asked(servers, settings.asked_every_seconds) as asked,
        sending(config.telemetry(), "refresher", registry) as tracer,
        stop_event() as stop,
    ):
        parts = Parts(
            artifacts=artifact_store,
            open_feed=lambda: open_feed(source),
            vectors_of=vectors_of,
            settings=settings,
            metrics=RefresherMetrics(registry),
            asked=asked,
            on_claim=_follow(tracer, store, artifacts),
        )
        run_refresher(parts, stop)


def _follow(tracer: Tracer | None, store: Path | None, artifacts: Path) -> Callable[[int], object]:
    """Return what is told how far the overlay is; of a store that is elsewhere no trace
    is known.
    """
    if tracer is None or store is None:
        return lambda _: None
    journal = Journal(OverlayFolder.of(artifacts).traces_path)
    reader = JournalReader(store / TRACES)
    return TraceFollower(reader, tracer, Stage.PUBLISH, Fan.ROUND, journal).reached


def _one_source(store: Path | None, checkpoints: str | None) -> Path | str:
    if (store is None) == (checkpoints is None):
        raise click.UsageError(
            "give either --store DIR or --checkpoints URL", ctx=click.get_current_context()
        )
    return str(checkpoints) if store is None else store
