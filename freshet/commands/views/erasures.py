"""`freshet erasures`: what was erased from a store, and when."""

import json
import math
from collections.abc import Sequence
from pathlib import Path

import click

from freshet.process import begin
from freshet.terminal import options
from freshet.terminal.output import table, when
from protos.text import text_key
from stream.backup.manifest import Backup
from stream.backup.repository import Backups
from stream.quarantine.redactions import Redaction, read_redactions
from stream.reading.reader import open_graph
from stream.shard.codec import AuditEntry, Purge
from stream.store.purge_log import AuditedPurge, audited_purges

_COLUMNS = (
    *("asked", "done", "shard", "what", "kind", "key", "facts", "sessions"),
    *("files", "checkpoints", "quarantine", "backups"),
)


@click.command()
@options.store_option
@click.option(
    "--id", "text", type=options.TEXT, help="Only erasures of this user, session or item."
)
@click.option(
    "--backups",
    "url",
    type=options.TEXT,
    metavar="URL",
    help="Of the backups  [default: stream.backups_url]",
)
@options.json_option
@options.config_option
def erasures(
    *, store: Path, text: str | None, url: str | None, as_json: bool, config_file: Path | None
) -> None:
    """List what was erased from a store, and what was lifted, oldest first.

    The store may be in use. Ids are not kept: each is shown as its 64-bit key. --id
    computes the key of an id. "done" is when it left the graph, "files" and
    "checkpoints" when the last of its bytes left those, "quarantine" when the
    quarantine file was redacted of it (freshet quarantine redact), "backups" how many
    backups were made before its bytes left the files, and so still have them.
    """
    key = None if text is None else text_key(text)
    settings = begin(config_file).stream()
    with open_graph(store, settings) as graph:
        found = [
            (index, entry)
            for index, shard in graph.shards()
            for entry in audited_purges(shard)
            if key in (None, entry.record.key)
        ]
    found.sort(key=lambda each: each[1].record.done_ms)
    redactions = read_redactions(store)
    backups = _backup_times(url or settings.backups_url)
    if as_json:
        entries = [{"shard": index, **_entry(entry, redactions, backups)} for index, entry in found]
        click.echo(json.dumps(entries))
        return
    rows = [_row(index, entry, redactions, backups) for index, entry in found]
    click.echo(table(_COLUMNS, rows) if rows else "nothing was erased")


def _backup_times(url: str) -> list[float] | None:
    """Return when each backup was taken, in epoch milliseconds; of one that nobody can
    read, before everything. None: nobody said where they are.
    """
    if not url:
        return None
    found = Backups(url).read_all().values()
    return [each.taken_ms if isinstance(each, Backup) else -math.inf for each in found]


def _num_backups(entry: AuditedPurge, backups: Sequence[float] | None) -> int | None:
    """Return how many backups have the bytes of what was erased; None: not known."""
    if backups is None or entry.record.deed == "lifted":
        return None
    gone_ms = entry.files.done_ms if entry.files else math.inf
    return sum(taken_ms < gone_ms for taken_ms in backups)


def _entry(
    entry: AuditedPurge, redactions: Sequence[Redaction], backups: Sequence[float] | None
) -> dict[str, object]:
    record, files, checkpoints = entry
    return {
        **record._asdict(),
        "key": _hex(record.key),
        "files_done_ms": files and files.done_ms,
        "checkpoints_done_ms": checkpoints and checkpoints.done_ms,
        "has_checkpoints": files and files.has_checkpoints,
        "quarantine_done_ms": _redacted_ms(record, redactions),
        "num_backups": _num_backups(entry, backups),
    }


def _row(
    shard: int,
    entry: AuditedPurge,
    redactions: Sequence[Redaction],
    backups: Sequence[float] | None,
) -> tuple[str, ...]:
    record, files, checkpoints = entry
    redacted_ms = _redacted_ms(record, redactions)
    times = when(record.asked_ms), when(record.done_ms)
    counts = f"{record.facts:,}", f"{record.sessions:,}"
    kept = _purged(record, checkpoints)
    if files and not files.has_checkpoints:
        kept = "-"
    num_backups = _num_backups(entry, backups)
    in_backups = "-" if num_backups is None else f"in {num_backups}" if num_backups else "gone"
    quarantine = when(redacted_ms) if redacted_ms else "-"
    places = _purged(record, files), kept, quarantine, in_backups
    return (*times, str(shard), record.deed, record.kind, _hex(record.key), *counts, *places)


def _redacted_ms(record: AuditEntry, redactions: Sequence[Redaction]) -> int | None:
    """Return when the quarantine file was first redacted of what was erased."""
    if record.deed == "lifted":
        return None
    place = record.kind, _hex(record.key)
    times = [each.done_ms for each in redactions if (each.kind, each.key) == place]
    return min((time_ms for time_ms in times if time_ms >= record.done_ms), default=None)


def _purged(record: AuditEntry, purge: Purge | None) -> str:
    """Say when bytes left a place; a lifting leaves none."""
    if record.deed == "lifted":
        return "-"
    return when(purge.done_ms) if purge else "waits"


def _hex(key: int) -> str:
    return f"{key:016x}"
