"""`freshet snapshot`: a consistent picture of the graph."""

from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from freshet.terminal.output import when
from stream.clock import now_ms
from stream.reading.snapshot import take_snapshot


@click.command()
@options.store_option
@click.option(
    "--out",
    type=options.FOLDER,
    required=True,
    metavar="DIR",
    help="New folder for the snapshot.",
)
@options.config_option
def snapshot(*, store: Path, out: Path, config_file: Path | None) -> None:
    """Take a consistent snapshot of the graph, also of a store in use.

    It consists of hard links and a manifest, and takes well under a second.

    \b
    freshet snapshot --store shop.store --out monday.snapshot
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    info = take_snapshot(store, out, begin(config_file).stream(), now_ms())
    click.echo(f"{info.counts.facts:,} facts up to {when(info.watermark_ms)}", err=True)
    click.echo(info.snapshot_id)
