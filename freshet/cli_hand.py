"""The steps of the tuner by hand: snapshot, train."""

from pathlib import Path

import click

from freshet import options


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
