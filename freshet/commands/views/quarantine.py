"""`freshet quarantine`: the rejected records, and why."""

from collections import deque
from pathlib import Path

import click
import msgspec

from freshet.process import CommandError
from freshet.terminal import options
from freshet.terminal.output import table, when, write_lines
from stream.quarantine import FILE_NAME, read_quarantine


@click.group()
def quarantine() -> None:
    """Inspect the rejected records."""


@quarantine.command(name="list")
@options.store_option
@click.option("--reason", help="Only records with this reason.")
@click.option("--limit", type=click.IntRange(min=1), help="Only the newest N records.")
@options.json_option
def quarantine_list(*, store: Path, reason: str | None, limit: int | None, as_json: bool) -> None:
    """List the quarantined records of a store's file sources, oldest first."""
    if not store.is_dir():
        raise CommandError(f"{store}: there is no store; check --store")
    entries = (
        entry for entry in read_quarantine(store / FILE_NAME) if reason in (None, entry.reason)
    )
    found = deque(entries, maxlen=limit)
    if as_json:
        write_lines(msgspec.json.encode(entry).decode() for entry in found)
        return
    columns = ("when", "reason", "source", "partition", "offset", "detail")
    rows = [
        (
            when(entry.at_ms),
            entry.reason,
            entry.source,
            str(entry.partition),
            str(entry.offset),
            entry.detail,
        )
        for entry in found
    ]
    click.echo(table(columns, rows) if rows else "nothing is quarantined")
