"""`freshet erasures`: what was erased from a store, and when."""

import json
from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from freshet.terminal.output import table, when
from protos.text import text_key
from stream.changes.erase import audit_entries
from stream.reading.reader import open_graph
from stream.shard.codec import AuditEntry


@click.command()
@options.store_option
@click.option("--id", "text", help="Only erasures of this user, session or item.")
@options.json_option
@options.config_option
def erasures(*, store: Path, text: str | None, as_json: bool, config_file: Path | None) -> None:
    """List what was erased from a store, and what was lifted, oldest first.

    The store may be in use. Ids are not kept: each is shown as its 64-bit key. --id
    computes the key of an id.
    """
    key = None if text is None else text_key(text)
    with open_graph(store, begin(config_file).stream()) as graph:
        found = [
            (index, record)
            for index, shard in graph.shards()
            for record in audit_entries(shard)
            if key in (None, record.key)
        ]
    found.sort(key=lambda entry: entry[1].done_ms)
    if as_json:
        click.echo(json.dumps([{"shard": index, **_entry(record)} for index, record in found]))
        return
    columns = ("asked", "done", "shard", "what", "kind", "key", "facts", "sessions")
    rows = [_row(index, record) for index, record in found]
    click.echo(table(columns, rows) if rows else "nothing was erased")


def _entry(record: AuditEntry) -> dict[str, object]:
    return {**record._asdict(), "key": _hex(record.key)}


def _row(shard: int, record: AuditEntry) -> tuple[str, ...]:
    counts = f"{record.facts:,}", f"{record.sessions:,}"
    times = when(record.asked_ms), when(record.done_ms)
    return (*times, str(shard), record.deed, record.kind, _hex(record.key), *counts)


def _hex(key: int) -> str:
    return f"{key:016x}"
