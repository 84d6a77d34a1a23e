"""`freshet probe`: walks the path from a topic to an answer, again and again."""

import math
import re
import socket
from pathlib import Path

import click
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics import metrics_endpoint, name_process
from freshet.prober.loop import Probe, run_probe
from freshet.prober.metrics import ProbeMetrics
from freshet.prober.walk import Walker
from freshet.process import begin, stop_event
from freshet.terminal import options
from freshet.terminal.addresses import PROBE_METRICS
from freshet_client import Access, RetrievalClient
from protos.marks import PROBE_METADATA
from stream.kafka.producer import EventProducer

_HOUR_SECONDS = 3600  # as long as a session of a probe

# Letters, digits and what names of hosts have: it stands in ids, in a title that must
# come back as it was sent, and in metrics. 128 characters: names of hosts have 64 at
# most, and twice as many would still leave room in an id.
_NAME = re.compile(r"[\w.-]{1,128}")


@click.command()
@click.option(
    "--to", "brokers", type=options.BROKERS, required=True, help="Kafka: kafka:HOST:PORT."
)
@options.target_option
@click.option(
    "--every",
    type=options.DURATION,
    default="15s",
    show_default=True,
    help="Time from one walk to the next.",
)
@click.option(
    "--timeout",
    type=options.DURATION,
    default="30s",
    show_default=True,
    help="Time after which a step is lost.",
)
@click.option(
    "--name",
    default=lambda: re.sub(r"[^\w.-]", "-", socket.gethostname()),
    show_default="the host's name",
    help="Name of this probe; two on one system need two.",
)
@options.metrics_option(f"{PROBE_METRICS}, if it is free")
@options.config_option
def probe(  # the options of the command
    *,
    brokers: str,
    target: str,
    every: float,
    timeout: float,
    name: str,
    metrics: str | None,
    config_file: Path | None,
) -> None:
    """Publish a marked product, a click on it and its deletion, and ask until answers
    show each.

    What is marked is never learnt from, and in no shopper's answer. Until SIGTERM or
    Ctrl-C; then the product is deleted, and the clicks are erased.

    \b
    freshet probe --to kafka:localhost:9092 --target 127.0.0.1:50051
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if every < 1 or timeout < 1:
        raise click.UsageError(
            "--every and --timeout take 1s at the least", ctx=click.get_current_context()
        )
    if not _NAME.fullmatch(name):
        raise click.UsageError(
            f"--name {name!r} is no name for a probe: give letters, digits, '_', '.' and '-', "
            "128 at the most",
            ctx=click.get_current_context(),
        )
    config = begin(config_file, log_level="INFO")
    settings = config.stream()
    registry = CollectorRegistry()
    name_process(registry, "probe")
    watch_certificates(
        registry,
        {"metrics": config.metrics()},
        {"stream.ssl_certificate_location": settings.ssl_certificate_location},
    )
    told = ProbeMetrics(registry)
    marked = ((PROBE_METADATA, "1"),)
    with (
        metrics_endpoint(metrics, registry, default=PROBE_METRICS, settings=config.metrics()),
        RetrievalClient(
            target, retry=None, access=Access.from_environment(), metadata=marked
        ) as client,
        stop_event() as stop,
    ):
        run_probe(
            Probe(
                walker=Walker(name, math.ceil(_HOUR_SECONDS / every)),
                connect=lambda: EventProducer(brokers, settings),
                client=client,
                metrics=told,
                every_seconds=every,
                timeout_seconds=timeout,
            ),
            stop,
        )
