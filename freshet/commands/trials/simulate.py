"""`freshet simulate`: a shop's events and catalogue, into files or Kafka."""

import os
import shlex
from pathlib import Path

import click

from freshet.config import load_config
from freshet.shop import feed
from freshet.terminal import options


@click.command()
@click.option(
    "--seed", type=int, default=7, show_default=True, help="Seed: the same one gives the same shop."
)
@click.option(
    "--items",
    "num_items",
    type=click.IntRange(min=10),
    metavar="N",
    default=2000,
    show_default=True,
    help="Products in the catalogue.",
)
@click.option(
    "--events",
    "num_events",
    type=click.IntRange(min=0),
    metavar="N",
    help="Stop after N events [default: 50000; no limit when live].",
)
@click.option(
    "--out",
    type=options.FOLDER,
    metavar="DIR",
    help="Write events.jsonl and items.jsonl to this folder.",
)
@click.option(
    "--to", "brokers", type=options.BROKERS, help="Publish to Kafka instead: kafka:HOST:PORT."
)
@click.option("--follow", is_flag=True, help="Continue in real time; append to files that exist.")
@click.option(
    "--rate",
    type=options.NumberType(min=0, min_open=True, max=feed.MOST_RATE),
    metavar="N",
    help="Events per second in real time; implies --follow [default: 20].",
)
@click.option(
    "--start-ms",
    type=options.TIME_MS,
    metavar="N",
    help=("Time of the first event, in ms since 1970 [default: 2026-01-01; now when live]."),
)
@click.option("--bare-titles", is_flag=True, help="Give products titles that do not describe them.")
@options.config_option
def simulate(  # noqa: PLR0913  # an argument an option
    *,
    seed: int,
    num_items: int,
    num_events: int | None,
    out: Path | None,
    brokers: str | None,
    follow: bool,
    rate: float | None,
    start_ms: int | None,
    bare_titles: bool,
    config_file: Path | None,
) -> None:
    """Simulate a shop: its catalogue, searches, sessions, trends and new products.

    The same seed gives the same bytes.

    \b
    freshet simulate --seed 7 --items 2000 --events 50000 --out shop
    freshet simulate --out shop --rate 50
    freshet simulate --to kafka:localhost:9092 --rate 50
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if (out is None) == (brokers is None):
        raise click.UsageError(
            "give either --out DIR or --to kafka:HOST:PORT", ctx=click.get_current_context()
        )
    plan = feed.SimulationPlan(
        seed=seed,
        num_items=num_items,
        num_events=num_events,
        rate=rate if rate is not None else feed.DEFAULT_RATE if follow else None,
        start_ms=start_ms,
        bare_titles=bare_titles,
    )
    if out is not None:
        written, place = feed.to_files(plan, out), f"{out}/"
        sources = ["--source", f"file:{out / 'events.jsonl'}"]
        sources += ["--catalog", f"file:{out / 'items.jsonl'}"]
    else:
        settings = load_config(config_file, os.environ).stream()
        written, place = feed.to_kafka(plan, str(brokers), settings), f"Kafka at {brokers}"
        sources = ["--source", f"kafka:{brokers}"]
    counts = f"{written.num_events:,} events and {written.num_items:,} items"
    following = shlex.join(["freshet", "stream", *sources, "--store", "store"])
    click.echo(f"{counts} in {place}; next: {following}")
