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
    """Bring a store that an earlier version wrote to the present format, in place.

    freshet stream does it too, when it opens the store; killed half-way, it is taken up
    again. Copy the store first if the earlier version may be wanted back: it does not
    read the present format.

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
