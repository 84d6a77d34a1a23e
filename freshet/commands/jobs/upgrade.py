"""`freshet upgrade`: brings a store to the present format."""

from dataclasses import replace
from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from stream.shard.codec import FORMAT_VERSION
from stream.store.store import Store, read_manifest


@click.command()
@options.store_option
@options.config_option
def upgrade(*, store: Path, config_file: Path | None) -> None:
    """Convert a store of an earlier version to today's format, in place.

    freshet stream does the same when it opens the store. If it is killed half-way, the
    next run continues. The earlier version cannot read the new format: copy the store
    first if you may want to go back.

    \b
    freshet upgrade --store shop.store
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    settings = begin(config_file, log_level="INFO").stream()
    half_life_seconds = read_manifest(store).half_life_seconds
    with Store.create_or_open(
        store, replace(settings, half_life_seconds=half_life_seconds)
    ) as opened:
        opened.upgrade()
    click.echo(f"{store} has format version {FORMAT_VERSION}", err=True)
