"""What `freshet erase` and `freshet erasures` do.

Publish an erasure, carry it out, list the audit.
"""

import json
import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from freshet.config import load_config
from freshet.process import configure_logging
from freshet.terminal.output import table, when
from stream.clock import now_ms

if TYPE_CHECKING:
    from stream.settings import StreamSettings
    from stream.shard.codec import AuditRecord, ErasureKind


def publish(kind: "ErasureKind", text: str, brokers: str, *, config_file: Path | None) -> None:
    """Publish an erasure to the erasures topic."""
    settings = _settings(config_file)
    from stream.events.types import Erasure
    from stream.kafka.producer import EventProducer

    with closing(EventProducer(brokers, settings)) as producer:
        producer.publish_erasure(Erasure(kind=kind, id=text, ts_ms=now_ms()))
        producer.flush()
    click.echo(
        f"published to {settings.erasures_topic}: the streams erase it as they read it", err=True
    )


def erase_in_store(
    kind: "ErasureKind",
    text: str,
    root: Path,
    *,
    lift: bool,
    compact: bool,
    config_file: Path | None,
) -> None:
    """Erase in every shard of a resting store, or lift it there."""
    settings = _settings(config_file)
    from stream.changes import erase
    from stream.events.types import Erasure
    from stream.store.store import Store, read_manifest

    manifest = read_manifest(root)
    settings = replace(
        settings,
        half_life_seconds=manifest.half_life_seconds,
        session_gap_seconds=manifest.session_gap_seconds,
    )
    asked = Erasure(kind=kind, id=text, ts_ms=now_ms())
    num_facts = num_lifted = 0
    with Store.create_or_open(root, settings) as store:
        for index in range(store.num_shards):
            shard = store.shard(index)
            if lift:
                num_lifted += erase.lift(shard, kind, text, now_ms())
            else:
                num_facts += erase.erase(shard, [asked], now_ms())
            if compact:
                shard.compact()
            store.close_shard(index)
    click.echo(_sentence(num_facts, num_lifted, lift=lift), err=True)


def list_erasures(root: Path, text: str | None, *, as_json: bool, config_file: Path | None) -> None:
    """Print the audit of all shards, oldest first."""
    from protos.text import text_key
    from stream.changes.erase import audit_records
    from stream.reading.reader import open_graph

    key = None if text is None else text_key(text)
    with open_graph(root, _settings(config_file)) as graph:
        found = [
            (index, record)
            for index, shard in graph.shards()
            for record in audit_records(shard)
            if key in (None, record.key)
        ]
    found.sort(key=lambda entry: entry[1].done_ms)
    if as_json:
        click.echo(json.dumps([{"shard": index, **_entry(record)} for index, record in found]))
        return
    columns = ("asked", "done", "shard", "what", "kind", "key", "facts", "sessions")
    rows = [_row(index, record) for index, record in found]
    click.echo(table(columns, rows) if rows else "nothing was erased")


def _entry(record: "AuditRecord") -> dict[str, object]:
    return {**record._asdict(), "key": _hex(record.key)}


def _row(shard: int, record: "AuditRecord") -> tuple[str, ...]:
    counts = f"{record.facts:,}", f"{record.sessions:,}"
    times = when(record.asked_ms), when(record.done_ms)
    return (*times, str(shard), record.deed, record.kind, _hex(record.key), *counts)


def _hex(key: int) -> str:
    return f"{key:016x}"


def _sentence(num_facts: int, num_lifted: int, *, lift: bool) -> str:
    if not lift:
        return f"erased: {num_facts:,} facts are gone"
    return (
        f"lifted in {num_lifted} shards: its events count again"
        if num_lifted
        else "it was not erased"
    )


def _settings(config_file: Path | None) -> "StreamSettings":
    configure_logging(default="WARNING")
    return load_config(config_file, os.environ).stream()
