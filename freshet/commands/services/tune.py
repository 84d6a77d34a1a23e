"""`freshet tune`: trains and publishes periodically, until SIGTERM or Ctrl-C."""

from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics import metrics_endpoint, name_process, watch_disks
from freshet.process import begin, stop_event
from freshet.stores.artifacts import writable_artifacts
from freshet.stores.ranks import has_followed, launched_ranks, leading
from freshet.stores.refresher_process import refresher_process
from freshet.stores.training_input import store_input
from freshet.telemetry.sending import sending
from freshet.terminal import options
from freshet.terminal.addresses import REFRESHER_METRICS, TUNER_METRICS
from model.metrics import TunerMetrics
from model.publishing.refresh import SnapshotInput
from model.tuner import run_tuner
from stream.reading.incremental import GraphCache


@click.command()
@options.store_option
@options.artifacts_option
@click.option(
    "--every",
    type=options.DURATION,
    help=(
        "Time from one start to the next, such as 10m [default: the setting "
        "model.tune_every_seconds]."
    ),
)
@click.option(
    "--budget",
    type=options.DURATION,
    help=("Longest time for one training, such as 5m [default: the setting model.budget_seconds]."),
)
@click.option(
    "--seed", type=int, help="Seed of all random choices [default: the setting model.seed]."
)
@click.option(
    "--fresh-every",
    type=options.DURATION,
    help="Also run `freshet refresh` beside it, with so much time between two rounds, such as 1s.",
)
@click.option(
    "--fresh-metrics",
    type=options.ADDRESS,
    help=(
        "Address at which that one serves Prometheus metrics "
        f"[default: {REFRESHER_METRICS}, if it is free]."
    ),
)
@click.option(
    "--servers",
    type=options.ADDRESSES,
    default=(),
    help="gRPC addresses of servers: what they are asked most is refreshed first.",
)
@options.metrics_option(f"{TUNER_METRICS}, if it is free")
@options.config_option
def tune(  # noqa: PLR0913  # the options of the command
    *,
    store: Path,
    artifacts: Path,
    every: float | None,
    budget: float | None,
    seed: int | None,
    fresh_every: float | None,
    fresh_metrics: str | None,
    servers: tuple[str, ...],
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Train on the graph, judge the result and publish it, again and again.

    Each training continues from the live generation. A new generation goes live only if
    it passes the gate. A failed training is logged and counted by its reason, and the
    next period tries again; the live generation stays. With --fresh-every, answers
    follow clicks within seconds in between.

    Started by torchrun, ranks train together; only the first one reads, judges,
    publishes and serves metrics.

    \b
    freshet tune --store shop.store --artifacts artifacts --every 10m
    freshet tune --store shop.store --artifacts artifacts --fresh-every 1s
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if fresh_every is None and (servers or fresh_metrics):
        raise click.UsageError(
            "--servers and --fresh-metrics are for --fresh-every", ctx=click.get_current_context()
        )
    config = begin(config_file, log_level="INFO")
    settings = config.model(tune_every_seconds=every, budget_seconds=budget, seed=seed)
    stream_settings = config.stream()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_event())
        ranks = stack.enter_context(launched_ranks(settings))
        if has_followed(ranks, settings, stop.is_set):
            return
        stack.enter_context(leading(ranks))
        artifact_store = writable_artifacts(artifacts)
        registry = CollectorRegistry()
        name_process(registry, "tuner")
        watch_disks(registry, {"store": store, "artifacts": artifacts})
        watch_certificates(registry, {"metrics": config.metrics()})
        counted, known = TunerMetrics(registry), GraphCache()

        def snapshots() -> AbstractContextManager[SnapshotInput]:
            return nullcontext(store_input(store, stream_settings, known))

        refresher: AbstractContextManager[None] = nullcontext()
        if fresh_every is not None:
            config.refresh(fresh_every_seconds=fresh_every)  # refused here, not there
            refresher = refresher_process(
                {
                    "--store": store,
                    "--artifacts": artifacts,
                    "--every": f"{fresh_every}s",
                    "--servers": ",".join(servers),
                    "--metrics": fresh_metrics,
                    "--config": config_file,
                },
                counted.refresher_down,
            )
        with (
            refresher,
            metrics_endpoint(metrics, registry, default=TUNER_METRICS, settings=config.metrics()),
            sending(config.telemetry(), "tuner", registry),
        ):
            import model.training.train  # noqa: F401, PLC0415  # torch takes seconds

            run_tuner(snapshots, artifact_store, settings, counted, stop, ranks=ranks)
