"""What is done by hand: a snapshot, a training, an upgrade of a store, an erasure."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet import options

if TYPE_CHECKING:
    from stream.codec import ErasureKind


@click.command(short_help="Take a consistent snapshot of the graph.")
@options.store_option
@click.option(
    "--out", type=options.FOLDER, required=True, metavar="DIR", help="The snapshot's folder, a new one."
)
@options.config_option
def snapshot(*, store: Path, out: Path, config_file: Path | None) -> None:
    """Take a consistent snapshot of the graph: hard links and a manifest, in well under a second.

    \b
    freshet snapshot --store shop.store --out monday.snapshot
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet import run

    run.snapshot(store, out, config_file=config_file)


@click.command(short_help="Train one generation and publish it.")
@options.graph_options
@options.artifacts_option
@click.option("--budget", type=options.DURATION, help="The longest that training may take, such as 5m.")
@click.option("--seed", type=int, help="Seed of everything random.")
@options.config_option
def train(
    *,
    store: Path | None,
    snapshot: Path | None,
    artifacts: Path,
    budget: float | None,
    seed: int | None,
    config_file: Path | None,
) -> None:
    """Train one generation and publish it; the last line on stdout is its id.

    \b
    freshet train --store shop.store --artifacts artifacts --budget 5m
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet import run

    options.one_graph(store, snapshot)
    flags = {"budget_seconds": budget, "seed": seed}
    run.train(store, snapshot, artifacts, flags, config_file=config_file)


@click.command(short_help="Bring a store that an earlier version wrote to the present format.")
@options.store_option
@options.config_option
def upgrade(*, store: Path, config_file: Path | None) -> None:
    """Bring a store that an earlier version wrote to the present format, in place.

    freshet stream does it too, when it opens the store; killed half-way, it is taken up again. Copy the store
    first if the earlier version may be wanted back: it does not read the present format.

    \b
    freshet upgrade --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet import run

    run.upgrade(store, config_file=config_file)


@click.command(short_help="Forget a user, a session or an item, for good.")
@click.argument("kind", type=click.Choice(["user", "session", "item"]))
@click.argument("text", metavar="ID")
@click.option("--kafka", type=options.BROKERS, help="Publish it: every shard that reads the topic erases it.")
@click.option("--store", type=options.FOLDER, metavar="DIR", help="Erase it in a store that nobody writes.")
@click.option("--lift", is_flag=True, help="Let its events count again, in --store; what is gone stays gone.")
@click.option(
    "--compact", is_flag=True, help="Rewrite the files of --store, so that its bytes leave the disk."
)
@options.config_option
def erase(
    *,
    kind: "ErasureKind",
    text: str,
    kafka: str | None,
    store: Path | None,
    lift: bool,
    compact: bool,
    config_file: Path | None,
) -> None:
    """Forget a user, a session or an item for good: what it made goes, and replays bring nothing back.

    \b
    freshet erase user u-4711 --kafka localhost:9092
    freshet erase item sku-12 --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet import erasing

    if (kafka is None) == (store is None):
        raise click.UsageError(
            "give either --kafka HOST:PORT or --store DIR", ctx=click.get_current_context()
        )
    if store is None and (lift or compact):
        raise click.UsageError("--lift and --compact go with --store", ctx=click.get_current_context())
    if store is not None:
        erasing.erase_in_store(kind, text, store, lift=lift, compact=compact, config_file=config_file)
    elif kafka is not None:
        erasing.publish(kind, text, kafka, config_file=config_file)
