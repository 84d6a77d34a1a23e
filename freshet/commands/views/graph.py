"""`freshet graph`: the hash, the lines and the size of a graph."""

import json
import os
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path

import click

from freshet.config import load_config
from freshet.logs.printable import printable_json
from freshet.terminal import options
from freshet.terminal.output import named_values, table, write_lines
from stream.reading.reader import GraphReader, open_graph


@click.group()
def graph() -> None:
    """Inspect the graph of a store, even while it is written, or of a snapshot."""


@graph.command(name="hash")
@options.graph_options
@options.config_option
def graph_hash(*, store: Path | None, snapshot: Path | None, config_file: Path | None) -> None:
    """Print a hash of the graph: equal facts give equal hashes."""
    with _opened(store, snapshot, config_file) as opened:
        click.echo(opened.graph_hash())


@graph.command(name="dump")
@options.graph_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl"]),
    default="jsonl",
    show_default=True,
    help="Output format.",
)
@click.option(
    "--at",
    "at_ms",
    type=options.TIME_MS,
    metavar="TIME_MS",
    help="Weights as of this time, in ms since 1970 [default: the watermark].",
)
@options.config_option
def graph_dump(
    *,
    store: Path | None,
    snapshot: Path | None,
    form: str,
    at_ms: int | None,
    config_file: Path | None,
) -> None:
    """Print the graph in a fixed order: a line per edge, then one per hyperedge."""
    assert form == "jsonl"  # noqa: S101  # click allows nothing else
    with _opened(store, snapshot, config_file) as opened:
        write_lines(map(printable_json, opened.dump(at_ms)))


@graph.command(name="stats")
@options.graph_options
@options.json_option
@options.config_option
def graph_stats(
    *, store: Path | None, snapshot: Path | None, as_json: bool, config_file: Path | None
) -> None:
    """Print the size of the graph, and the time up to which it is complete."""
    with _opened(store, snapshot, config_file) as opened:
        stats = asdict(opened.stats())
    click.echo(json.dumps(stats) if as_json else table(("", ""), named_values(stats)))


def _opened(
    store: Path | None, snapshot: Path | None, config_file: Path | None
) -> AbstractContextManager[GraphReader]:
    path = options.one_graph(store, snapshot)
    return open_graph(path, load_config(config_file, os.environ).stream())
