"""`freshet replay`: publishes event files to Kafka."""

from pathlib import Path
from typing import Literal

import click

from freshet.process import begin, stop_event
from freshet.shop import replay as files
from freshet.terminal import options
from freshet.terminal.progress import progress


@click.command()
@click.option(
    "--events",
    multiple=True,
    metavar="FILE",
    help="Event file or glob (repeatable).",
)
@click.option(
    "--items",
    multiple=True,
    metavar="FILE",
    help="Catalogue file or glob (repeatable); published first. No ts_ms: as of its last change.",
)
@click.option(
    "--to",
    "brokers",
    type=options.BROKERS,
    required=True,
    help="Brokers to publish to: kafka:HOST:PORT[,HOST:PORT].",
)
@click.option(
    "--speed",
    type=options.SPEED,
    default="1",
    show_default=True,
    help="How many times faster than real time, or max.",
)
@click.option(
    "--encoding",
    type=click.Choice(["protobuf", "json"]),
    default="protobuf",
    show_default=True,
    help="Encoding of the messages.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    metavar="N",
    default=1,
    show_default=True,
    help="Events per message (protobuf only).",
)
@options.config_option
def replay(
    *,
    events: tuple[str, ...],
    items: tuple[str, ...],
    brokers: str,
    speed: float,
    encoding: Literal["protobuf", "json"],
    batch: int,
    config_file: Path | None,
) -> None:
    """Publish event files to Kafka in the order of time, keyed and encoded as a real
    producer would.

    \b
    freshet replay --events log.jsonl.gz --items items.jsonl --to kafka:localhost:9092
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if not (events or items):
        raise click.UsageError(
            "give --events FILE, --items FILE or both", ctx=click.get_current_context()
        )
    plan = files.ReplayPlan(
        events=events, items=items, speed=speed, encoding=encoding, batch_size=batch
    )
    settings = begin(config_file).stream()
    with stop_event() as stop, progress("publishing", "bytes") as advance:
        totals = files.replay(
            plan,
            brokers,
            settings,
            on_progress=lambda totals: advance(totals.bytes_done, totals.bytes_total),
            stop=stop,
        )
    click.echo(f"{totals.events:,} events and {totals.items:,} items published", err=True)
    if totals.raw:
        click.echo(
            f"{totals.raw:,} lines cannot be decoded: published unchanged, the stream will "
            "quarantine them",
            err=True,
        )
