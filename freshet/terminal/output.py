"""What the looking commands print.

The graph, generations, quarantine, settings, and a server's answers.
"""

import json
import os
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from freshet.config import Config, load_config
from freshet.process import CommandError

if TYPE_CHECKING:
    from model.artifact.store import ArtifactStore
    from protos.manifest_v1_pb2 import Generation
    from stream.settings import StreamSettings

_LINES_AT_ONCE = 1000
_CONTROLS = dict.fromkeys((*range(0x20), *range(0x7F, 0xA0)), "\N{REPLACEMENT CHARACTER}")


def query(text: str, num_hits: int, target: str, timeout_seconds: float, *, as_json: bool) -> None:
    """Ask a server and print its answer."""
    from freshet_client import RetrievalClient

    with RetrievalClient(target, timeout_seconds=timeout_seconds, retry=None) as client:
        if as_json:
            click.echo(client.retrieve_json(text, num_hits))
            return
        answer = client.retrieve(text, num_hits)
    rows = [
        (str(rank), f"{hit.score:.3f}", hit.item_id, hit.title)
        for rank, hit in enumerate(answer.hits, start=1)
    ]
    click.echo(table(("", "score", "item", "title"), rows))
    receipt = answer.receipt
    click.echo(
        f"\ngeneration {receipt.generation}, everything up to {when(receipt.watermark_ms)} "
        "reflected"
        f" ({duration(receipt.watermark_age_seconds)} ago), query {answer.path or 'unknown'}",
        err=True,
    )


def graph_hash(path: Path, *, config_file: Path | None) -> None:
    """Print the hash of the facts."""
    from stream.reading.reader import open_graph

    with open_graph(path, _stream_settings(config_file)) as graph:
        click.echo(graph.graph_hash())


def graph_dump(path: Path, at_ms: int | None, *, config_file: Path | None) -> None:
    """Print the graph, one JSON line an edge or hyperedge."""
    from stream.reading.reader import open_graph

    with open_graph(path, _stream_settings(config_file)) as graph:
        _write_lines(graph.dump(at_ms))


def graph_stats(path: Path, *, as_json: bool, config_file: Path | None) -> None:
    """Print the size of the graph."""
    from stream.reading.reader import open_graph

    with open_graph(path, _stream_settings(config_file)) as graph:
        stats = asdict(graph.stats())
    if as_json:
        click.echo(json.dumps(stats))
        return
    rows = [(name.replace("_", " "), _readable(name, value)) for name, value in stats.items()]
    click.echo(table(("", ""), rows))


def generations_list(artifacts: Path, *, as_json: bool) -> None:
    """Print one line a generation, oldest first."""
    store = artifact_store(artifacts)
    current = _current_id(store)
    found = {name: _manifest_or_problem(store, name) for name in store.generation_ids()}
    if as_json:
        entries = [
            _list_entry(name, each, is_current=name == current) for name, each in found.items()
        ]
        click.echo(json.dumps(entries))
        return
    if not found:
        raise CommandError(f"{artifacts} has no generation yet; make one with `freshet train`")
    rows = [
        ("*" if name == current else "", name, *_list_cells(each)) for name, each in found.items()
    ]
    click.echo(table(("", "generation", "items", "queries", "gate", "evaluation"), rows))


def generations_show(artifacts: Path, generation_id: str | None, *, as_json: bool) -> None:
    """Print a generation's manifest."""
    from google.protobuf import json_format

    store = artifact_store(artifacts)
    chosen = generation_id or store.current_id()
    if chosen is None:
        raise CommandError(f"{artifacts} has no current generation; make one with `freshet train`")
    manifest = store.manifest(chosen)
    if as_json:
        shown = json_format.MessageToJson(
            manifest, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
        click.echo(shown)
        return
    summary = _summary(manifest, is_current=chosen == store.current_id())
    rows = [(name.replace("_", " "), _readable(name, value)) for name, value in summary.items()]
    rows += [(f"model {name}", value) for name, value in sorted(manifest.model.items())]
    click.echo(table(("", ""), rows))


def generations_use(artifacts: Path, generation_id: str, *, as_json: bool) -> None:
    """Make a generation current."""
    from model.publishing.publish import use_generation

    store = artifact_store(artifacts)
    before = _current_id(store)
    use_generation(store, generation_id)
    if as_json:
        click.echo(json.dumps({"current": generation_id, "before": before}))
    else:
        click.echo(f"{generation_id} is current now (before: {before or 'none'})")


def quarantine_list(store: Path, reason: str | None, limit: int | None, *, as_json: bool) -> None:
    """Print the quarantined records of a store."""
    from stream.quarantine import FILE_NAME, read_quarantine

    if not store.is_dir():
        raise CommandError(f"{store}: there is no store; check --store")
    entries = (
        entry for entry in read_quarantine(store / FILE_NAME) if reason in (None, entry.reason)
    )
    found = deque(entries, maxlen=limit)
    if as_json:
        _write_lines(msgspec.json.encode(entry).decode() for entry in found)
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


def settings(config: Config, *, as_json: bool) -> None:
    """Print every setting."""
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in config.entries], default=str, indent=2))
        return
    rows = [
        (f"{entry.table}.{entry.key}", _as_toml(entry.value), entry.source, entry.variable)
        for entry in config.entries
    ]
    click.echo(table(("key", "value", "from", "environment variable"), rows))


def table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows as aligned columns under their headers.

    No headers, no header line.
    """
    lines = [
        [printable(cell) for cell in line] for line in ([headers, *rows] if any(headers) else rows)
    ]
    widths = [
        max((len(line[column]) for line in lines), default=0) for column in range(len(headers))
    ]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def printable(text: str) -> str:
    """Return a text that others wrote without control characters.

    A terminal would act on them.
    """
    return text.translate(_CONTROLS)


def when(time_ms: int) -> str:
    """Return a time as people read it, in UTC."""
    return f"{datetime.fromtimestamp(time_ms / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"


def duration(seconds: float) -> str:
    """Return a duration in its two largest units, such as ``2 h 05
    min`` or ``12 s``.
    """
    whole = round(seconds)
    if whole < 60:  # noqa: PLR2004  # a minute
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:  # noqa: PLR2004  # an hour
        return f"{minutes} min {rest:02} s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:  # noqa: PLR2004  # two days
        return f"{hours} h {minutes:02} min"
    return f"{hours // 24:,} d {hours % 24} h"


def _stream_settings(config_file: Path | None) -> "StreamSettings":
    return load_config(config_file, os.environ).stream()


def artifact_store(artifacts: Path) -> "ArtifactStore":
    """Return the artifacts folder.

    Raises:
        CommandError: there is no such folder.
    """
    from model.artifact.store import ArtifactStore

    if not artifacts.is_dir():
        raise CommandError(
            f"{artifacts}: there is no such folder; give the one that `freshet train` fills"
        )
    return ArtifactStore(artifacts)


def _current_id(store: "ArtifactStore") -> str | None:
    """Return the current generation.

    A pointer that names none is told and may then be mended.
    """
    from model.errors import ArtifactError

    try:
        return store.current_id()
    except ArtifactError as error:
        click.echo(f"freshet: {error}", err=True)
        return None


def _manifest_or_problem(store: "ArtifactStore", generation_id: str) -> "Generation | str":
    """Return a manifest, or what is wrong with it.

    One bad generation must not hide the good ones.
    """
    from model.errors import ArtifactError

    try:
        return store.manifest(generation_id)
    except ArtifactError as error:
        return str(error)


def _list_entry(
    generation_id: str, found: "Generation | str", *, is_current: bool
) -> dict[str, object]:
    if isinstance(found, str):
        return {"generation_id": generation_id, "current": is_current, "error": found}
    return _summary(found, is_current=is_current)


def _list_cells(found: "Generation | str") -> tuple[str, str, str, str]:
    if isinstance(found, str):
        return "", "", f"unreadable: {found}", ""
    gate = "passed" if found.gate.passed else f"refused: {'; '.join(found.gate.reasons)}"
    evaluation = " ".join(f"{name}={value:.3f}" for name, value in sorted(found.evaluation.items()))
    return f"{found.num_items:,}", f"{found.num_queries:,}", gate, evaluation


def _summary(manifest: "Generation", *, is_current: bool) -> dict[str, object]:
    return {
        "generation_id": manifest.generation_id,
        "current": is_current,
        "parent": manifest.parent,
        "created_ms": manifest.created_ms,
        "watermark_ms": manifest.snapshot.watermark_ms,
        "snapshot_ms": manifest.snapshot.taken_ms,
        "num_items": manifest.num_items,
        "num_queries": manifest.num_queries,
        "num_indexed": manifest.num_indexed,
        "gate_passed": manifest.gate.passed,
        "gate_reasons": list(manifest.gate.reasons),
        "evaluation": dict(sorted(manifest.evaluation.items())),
    }


def _readable(name: str, value: object) -> str:
    if name.endswith("_ms") and isinstance(value, int):
        return when(value) if value else "none yet"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, dict):
        return " ".join(f"{key}={number:.4g}" for key, number in value.items())
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return str(value) if value not in (None, "") else "none"


def _as_toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {number:g}" for key, number in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False, default=str)


def _write_lines(lines: Iterable[str]) -> None:
    """Write lines to stdout in blocks.

    A line a write would cost more than making it.
    """
    block: list[str] = []
    for line in lines:
        block.append(line)
        if len(block) == _LINES_AT_ONCE:
            sys.stdout.write("\n".join(block) + "\n")
            block.clear()
    if block:
        sys.stdout.write("\n".join(block) + "\n")
