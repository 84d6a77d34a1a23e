"""`freshet erasures`: what was erased from a store, and when."""

import json
from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from freshet.terminal.output import table, when
from protos.text import text_key
from stream.reading.reader import open_graph
from stream.shard.codec import AuditEntry, Purge
from stream.store.purge_log import AuditedPurge, audited_purges

_COLUMNS = (
    *("asked", "done", "shard", "what", "kind", "key", "facts", "sessions"),
    *("files", "checkpoints"),
)


@click.command()
@options.store_option
@click.option("--id", "text", help="Only erasures of this user, session or item.")
@options.json_option
@options.config_option
def erasures(*, store: Path, text: str | None, as_json: bool, config_file: Path | None) -> None:
    """List what was erased from a store, and what was lifted, oldest first.

    The store may be in use. Ids are not kept: each is shown as its 64-bit key. --id
    computes the key of an id. "done" is when it left the graph, "files" and
    "checkpoints" when the last of its bytes left those.
    """
    key = None if text is None else text_key(text)
    with open_graph(store, begin(config_file).stream()) as graph:
        found = [
            (index, entry)
            for index, shard in graph.shards()
            for entry in audited_purges(shard)
            if key in (None, entry.record.key)
        ]
    found.sort(key=lambda each: each[1].record.done_ms)
    if as_json:
        click.echo(json.dumps([{"shard": index, **_entry(entry)} for index, entry in found]))
        return
    rows = [_row(index, entry) for index, entry in found]
    click.echo(table(_COLUMNS, rows) if rows else "nothing was erased")


def _entry(entry: AuditedPurge) -> dict[str, object]:
    record, files, checkpoints = entry
    return {
        **record._asdict(),
        "key": _hex(record.key),
        "files_done_ms": files and files.done_ms,
        "checkpoints_done_ms": checkpoints and checkpoints.done_ms,
        "has_checkpoints": files and files.has_checkpoints,
    }


def _row(shard: int, entry: AuditedPurge) -> tuple[str, ...]:
    record, files, checkpoints = entry
    times = when(record.asked_ms), when(record.done_ms)
    counts = f"{record.facts:,}", f"{record.sessions:,}"
    places = _purged(record, files), _purged(record, checkpoints)
    if files and not files.has_checkpoints:
        places = places[0], "-"
    return (*times, str(shard), record.deed, record.kind, _hex(record.key), *counts, *places)


def _purged(record: AuditEntry, purge: Purge | None) -> str:
    """Say when bytes left a place; a lifting leaves none."""
    if record.deed == "lifted":
        return "-"
    return when(purge.done_ms) if purge else "waits"


def _hex(key: int) -> str:
    return f"{key:016x}"
