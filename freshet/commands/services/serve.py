"""`freshet serve`: answers queries from the newest generation."""

from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics import metrics_endpoint, name_process
from freshet.process import CommandError, begin, return_memory, stop_event, take_short_turns
from freshet.serve_worker import worker_command
from freshet.telemetry.sending import sending
from freshet.terminal import options
from server.app import RetrievalServer
from server.quality.traces import traces_of
from server.workers.supervisor import Supervisor


@click.command()
@options.artifacts_option
@click.option(
    "--listen",
    type=options.ADDRESS,
    metavar="HOST:PORT",
    help="Address at which to serve gRPC [default: the setting server.listen].",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes that answer at that address [default: the setting server.workers, 1].",
)
@options.metrics_option("the setting server.metrics")
@options.config_option
def serve(
    *,
    artifacts: Path,
    listen: str | None,
    workers: int | None,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Answer queries over gRPC, and swap to each new generation without a pause.

    \b
    freshet serve --artifacts artifacts --listen 127.0.0.1:50051
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    take_short_turns()
    return_memory()
    config = begin(config_file, log_level="INFO")
    settings = config.server(listen=listen, metrics=metrics, workers=workers)
    registry = CollectorRegistry()
    name_process(registry, "server")
    watch_certificates(
        registry,
        {"server": settings, "metrics": config.metrics()},
    )
    with (
        stop_event() as stop,
        metrics_endpoint(metrics, registry, default=settings.metrics, settings=config.metrics()),
        sending(config.telemetry(), "server", registry) as tracer,
    ):
        if settings.workers > 1:
            server: RetrievalServer | Supervisor = Supervisor(
                settings, artifacts, registry, worker_command(config.log(), config.telemetry())
            )
        else:
            traces = traces_of(artifacts, tracer)
            server = RetrievalServer(settings, artifacts, registry, traces=traces)
        server.start()
        if isinstance(server, Supervisor):
            server.on_failure(stop.set)
        stop.wait()
        server.stop()
    if isinstance(server, Supervisor) and server.has_failed:
        raise CommandError("no worker lives, and none can be started; see the log")
