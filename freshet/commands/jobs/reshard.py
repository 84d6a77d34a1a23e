"""`freshet reshard`: gives a store more shards."""

from dataclasses import replace
from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from stream.store.store import Store, read_manifest


@click.command()
@options.store_option
@click.option(
    "--shards",
    "num_shards",
    type=click.IntRange(min=1),
    metavar="N",
    required=True,
    help="How many shards the store has afterwards: as many as the topics have partitions.",
)
@options.config_option
def reshard(*, store: Path, num_shards: int, config_file: Path | None) -> None:
    """Give a store more shards, before or after its topics were given more partitions.

    freshet stream does the same by itself when it reads topics with more partitions, so
    this is for whoever wants to do it at a time of their own, with no stream running.

    No fact moves: the new shards are empty, sessions and edges that have facts in
    several shards are joined as they are read, and the graph stays as it is all the
    while. It is one atomic change of store.json: it can be killed at any moment and
    repeated. A store cannot have fewer shards than before.

    \b
    freshet reshard --store shop.store --shards 8
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    settings = begin(config_file, log_level="INFO").stream()
    manifest = read_manifest(store)
    settings = replace(
        settings,
        half_life_seconds=manifest.half_life_seconds,
        session_gap_seconds=manifest.session_gap_seconds,
        checkpoints_url="",
    )
    with Store.create_or_open(store, settings) as opened:
        opened.check_free()
        opened.grow(num_shards)
    click.echo(f"{store} has {num_shards} shards", err=True)
