"""The commands for trying Freshet out: demo, simulate, replay, query."""

import os
from pathlib import Path
from typing import Literal

import click

from freshet.terminal import options


@click.command(short_help="The whole system in two minutes, on this machine.")
@click.option(
    "--events",
    type=options.FILE,
    metavar="FILE",
    help="Your own event log instead of the simulated shop.",
)
@click.option(
    "--items", type=options.FILE, metavar="FILE", help="The catalogue of your own event log."
)
@click.option("--keep", is_flag=True, help="Leave everything running at the end.")
@click.option("--stop", is_flag=True, help="Stop what --keep left running.")
@click.option(
    "--dir",
    "folder",
    type=options.FOLDER,
    default=Path(".freshet-demo"),
    show_default=True,
    metavar="DIR",
    help="Work folder; a second run goes on from it.",
)
@click.option(
    "--seed",
    type=int,
    default=options.DEMO_SEED,
    show_default=True,
    help="Which shop is simulated.",
)
@click.option(
    "--shop-items",
    type=click.IntRange(min=50),
    default=options.DEMO_ITEMS,
    show_default=True,
    help="Its products.",
)
@click.option(
    "--shop-events",
    type=click.IntRange(min=500),
    default=options.DEMO_EVENTS,
    show_default=True,
    help="Its history.",
)
def demo(  # noqa: PLR0913  # an argument an option
    *,
    events: Path | None,
    items: Path | None,
    keep: bool,
    stop: bool,
    folder: Path,
    seed: int,
    shop_items: int,
    shop_events: int,
) -> None:
    """Watch shopping events flow through the whole system, and retrieval answers change
    because of them.

    Stream, tuner and server run as separate processes on loopback. Ctrl-C at any moment
    ends all of them.
    """
    from freshet.demo.demo import DemoPlan, run_demo, stop_demo

    if items is not None and events is None:
        raise click.UsageError("--items goes with --events", ctx=click.get_current_context())
    if stop:
        stop_demo(folder)
        return
    plan = DemoPlan(
        folder=folder,
        events=events,
        items=items,
        seed=seed,
        shop_items=shop_items,
        shop_events=shop_events,
        keep=keep,
    )
    run_demo(plan)


@click.command(short_help="A shop that never sleeps: events and a catalogue, by seed.")
@click.option(
    "--seed", type=int, default=7, show_default=True, help="The same seed gives the same shop."
)
@click.option(
    "--items",
    "num_items",
    type=click.IntRange(min=10),
    default=2000,
    show_default=True,
    help="Products in the catalogue.",
)
@click.option(
    "--events",
    "num_events",
    type=click.IntRange(min=0),
    help="Stop after so many events [default: 50000; none when live].",
)
@click.option(
    "--out", type=options.FOLDER, metavar="DIR", help="Write DIR/events.jsonl and DIR/items.jsonl."
)
@click.option(
    "--to", "brokers", type=options.BROKERS, help="Publish to Kafka instead: kafka:HOST:PORT."
)
@click.option("--follow", is_flag=True, help="Go on in real time, appending to what is there.")
@click.option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    help="Events a second in real time; implies --follow [default: 20].",
)
@click.option(
    "--start-ms",
    type=click.IntRange(min=0),
    help="Event time of the beginning [default: a fixed day; now when live].",
)
@click.option("--bare-titles", is_flag=True, help="Titles that do not tell what a product is.")
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
    """Simulate a shop: a catalogue, searches, sessions, trends, new products and a long
    tail.

    The same seed gives the same bytes.

    \b
    freshet simulate --seed 7 --items 2000 --events 50000 --out shop
    freshet simulate --out shop --rate 50
    freshet simulate --to kafka:localhost:9092 --rate 50
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.config import load_config
    from freshet.shop import feed

    if (out is None) == (brokers is None):
        raise click.UsageError(
            "give either --out DIR or --to kafka:HOST:PORT", ctx=click.get_current_context()
        )
    order = feed.Order(
        seed=seed,
        num_items=num_items,
        num_events=num_events,
        rate=rate if rate is not None else feed.DEFAULT_RATE if follow else None,
        start_ms=start_ms,
        bare_titles=bare_titles,
    )
    if out is not None:
        feed.to_files(order, out)
    else:
        settings = load_config(config_file, os.environ).stream()
        feed.to_kafka(order, str(brokers), settings)


@click.command(short_help="Publish event files to Kafka at N times real time.")
@click.option(
    "--events",
    multiple=True,
    required=True,
    metavar="FILE",
    help="An event file or glob; may be repeated.",
)
@click.option("--items", multiple=True, metavar="FILE", help="A catalogue file, published first.")
@click.option(
    "--to", "brokers", type=options.BROKERS, required=True, help="kafka:HOST:PORT[,HOST:PORT]."
)
@click.option(
    "--speed", type=options.SPEED, default="1", show_default=True, help="Times real time, or max."
)
@click.option(
    "--encoding",
    type=click.Choice(["protobuf", "json"]),
    default="protobuf",
    show_default=True,
    help="Of the messages.",
)
@click.option(
    "--batch",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    help="Events in one message (protobuf).",
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
    """Publish event files to Kafka, keyed and encoded as a real producer would.

    \b
    freshet replay --events log.jsonl.gz --items items.jsonl --to kafka:localhost:9092
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.services import stream as run
    from freshet.shop.replay import ReplayOrder

    order = ReplayOrder(
        events=events, items=items, speed=speed, encoding=encoding, batch_size=batch
    )
    run.replay(order, brokers, config_file=config_file)


@click.command(short_help="Ask a running server.")
@click.argument("text")
@click.option(
    "-k",
    "num_hits",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="How many items.",
)
@click.option(
    "--target",
    type=options.ADDRESS,
    default=options.SERVER_TARGET,
    show_default=True,
    metavar="HOST:PORT",
    help="The server.",
)
@click.option(
    "--timeout", type=options.DURATION, default="5s", show_default=True, help="The longest wait."
)
@options.json_option
def query(*, text: str, num_hits: int, target: str, timeout: float, as_json: bool) -> None:
    """Ask a running server, and see how fresh the answer is.

    \b
    freshet query "wireless headphones" -k 10 --target 127.0.0.1:50051 --json
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.terminal import output as look

    look.query(text, num_hits, target, timeout, as_json=as_json)
