"""The commands that look: status, graph, verify, generations, explain, quarantine,
erasures, config.
"""

import os
from pathlib import Path

import click

from freshet.terminal import options
from freshet.terminal.options import Source


@click.command(short_help="Every process on one screen: up or down, how fresh, why not.")
@click.option(
    "--stream",
    default=options.STREAM_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics of the stream.",
)
@click.option(
    "--tuner",
    default=options.TUNER_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics of the tuner.",
)
@click.option(
    "--server",
    default=options.SERVER_METRICS,
    show_default=True,
    type=options.ADDRESS,
    help="Metrics of the server.",
)
@click.option(
    "--target",
    default=options.SERVER_TARGET,
    show_default=True,
    type=options.ADDRESS,
    help="gRPC of the server.",
)
@options.json_option
def status(*, stream: str, tuner: str, server: str, target: str, as_json: bool) -> int:
    """Show every process on one screen.

    The exit code is 1 when something is down or not ready.
    """
    from freshet.probe import Addresses, show_status

    addresses = Addresses(stream=stream, tuner=tuner, server=server, target=target)
    return show_status(addresses, as_json=as_json)


@click.group(short_help="Look into the graph: hash, dump, stats.")
def graph() -> None:
    """Look into the graph of a store, also while it is written, or of a snapshot."""


@graph.command(name="hash")
@options.graph_options
@options.config_option
def graph_hash(*, store: Path | None, snapshot: Path | None, config_file: Path | None) -> None:
    """Print a hash that depends on the set of facts alone."""
    from freshet.terminal import output as look

    look.graph_hash(options.one_graph(store, snapshot), config_file=config_file)


@graph.command(name="dump")
@options.graph_options
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl"]),
    default="jsonl",
    show_default=True,
    help="JSON lines.",
)
@click.option(
    "--at",
    "at_ms",
    type=int,
    metavar="TIME_MS",
    help="Weights at this time [default: the watermark].",
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
    """Print the graph in a canonical order: one line an edge, then one a hyperedge."""
    from freshet.terminal import output as look

    assert form == "jsonl"  # noqa: S101  # click allows nothing else
    look.graph_dump(options.one_graph(store, snapshot), at_ms, config_file=config_file)


@graph.command(name="stats")
@options.graph_options
@options.json_option
@options.config_option
def graph_stats(
    *, store: Path | None, snapshot: Path | None, as_json: bool, config_file: Path | None
) -> None:
    """Print how large the graph is and how far it reaches."""
    from freshet.terminal import output as look

    look.graph_stats(options.one_graph(store, snapshot), as_json=as_json, config_file=config_file)


@click.command(short_help="Compare a store with what its source makes.")
@options.store_option
@click.option(
    "--against",
    "sources",
    type=options.SOURCE,
    multiple=True,
    required=True,
    help=(
        "What the store was built from: file:PATH_OR_GLOB (may be repeated), "
        "kafka:HOST:PORT[,HOST:PORT]."
    ),
)
@click.option(
    "--catalog",
    "catalogs",
    type=options.SOURCE,
    multiple=True,
    help="A file of catalogue items, file:PATH: compare them too.",
)
@options.json_option
@options.config_option
def verify(
    *,
    store: Path,
    sources: tuple[Source, ...],
    catalogs: tuple[Source, ...],
    as_json: bool,
    config_file: Path | None,
) -> int:
    """Build the graph of a source anew, in one thread, and compare a store or snapshot
    with it.

    Equal: one line with the graph hash, exit code 0. Different: where the first
    difference is in canonical order, with both values, and how many edges, hyperedges
    and sessions differ, are missing from the store or are extra in it; exit code 1.

    The store may be in use. Topics are read up to where the store has read them; files
    are read whole, so let a store that follows files catch up first. The rebuilt store
    is about as large as the one in question; it is made in the temporary folder
    (TMPDIR) and removed.

    \b
    freshet verify --store shop.store --against file:events.jsonl.gz
    freshet verify --store shop.store --against kafka:localhost:9092
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.views import verify as verification

    if any(catalog.kind != "file" for catalog in catalogs):
        raise click.UsageError("--catalog takes file:PATH", ctx=click.get_current_context())
    if sum(source.kind == "kafka" for source in sources) > 1:
        raise click.UsageError("give at most one kafka: source", ctx=click.get_current_context())
    return verification.verify(store, sources, catalogs, as_json=as_json, config_file=config_file)


@click.group(short_help="List, show, and roll back to a generation.")
def generations() -> None:
    """List the generations of an artifacts folder, show one, or make one current."""


@generations.command(name="list")
@options.artifacts_option
@options.json_option
def generations_list(*, artifacts: Path, as_json: bool) -> None:
    """List the generations, oldest first; a star marks the current one."""
    from freshet.terminal import output as look

    look.generations_list(artifacts, as_json=as_json)


@generations.command(name="show")
@click.argument("generation_id", metavar="[ID]", required=False)
@options.artifacts_option
@options.json_option
def generations_show(*, generation_id: str | None, artifacts: Path, as_json: bool) -> None:
    """Show a generation, or the current one.

    Counts, provenance, evaluation, the gate's verdict.
    """
    from freshet.terminal import output as look

    look.generations_show(artifacts, generation_id, as_json=as_json)


@generations.command(name="use")
@click.argument("generation_id", metavar="ID")
@options.artifacts_option
@options.json_option
def generations_use(*, generation_id: str, artifacts: Path, as_json: bool) -> None:
    """Make a generation current, after verifying every file of it.

    Servers swap to it at once.
    """
    from freshet.terminal import output as look

    look.generations_use(artifacts, generation_id, as_json=as_json)


@click.command(short_help="Why an item answers a query: the clicks and sessions that link them.")
@click.argument("query")
@click.argument("item_id")
@options.artifacts_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="The strongest so many paths.",
)
@options.json_option
def explain(*, query: str, item_id: str, artifacts: Path, limit: int, as_json: bool) -> None:
    """Say why an item answers a query.

    Score, attention between channels, and the strongest paths.

    Read from the current generation. A path's strength is its share in what the
    network's channels carry between the two, before training weighs the channels.

    \b
    freshet explain --artifacts artifacts "red shoes" shoe-17
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    from freshet.commands.views import explain as explaining

    explaining.explain(artifacts, query, item_id, limit, as_json=as_json)


@click.group(short_help="List what could not be used, and why.")
def quarantine() -> None:
    """Look at the records that could not be used."""


@quarantine.command(name="list")
@options.store_option
@click.option("--reason", help="Only this reason.")
@click.option("--limit", type=click.IntRange(min=1), help="The newest so many.")
@options.json_option
def quarantine_list(*, store: Path, reason: str | None, limit: int | None, as_json: bool) -> None:
    """List the quarantined records of a store's file sources, oldest first."""
    from freshet.terminal import output as look

    look.quarantine_list(store, reason, limit, as_json=as_json)


@click.command(short_help="List what was erased: what, when, how many facts.")
@options.store_option
@click.option("--id", "text", help="Only what was asked for by this user, session or item id.")
@options.json_option
@options.config_option
def erasures(*, store: Path, text: str | None, as_json: bool, config_file: Path | None) -> None:
    """List what was erased from a store and lifted, oldest first, also while the store
    is written.

    Ids are not kept: each is shown as its 64-bit key. --id computes the key.
    """
    from freshet.commands.jobs import erase as erasing

    erasing.list_erasures(store, text, as_json=as_json, config_file=config_file)


@click.command(short_help="Every setting, its value, and where it comes from.")
@options.config_option
@options.json_option
def config(*, config_file: Path | None, as_json: bool) -> None:
    """Show every setting, its value, where it comes from, and the environment variable
    that overrides it.
    """
    from freshet.config import load_config
    from freshet.terminal import output as look

    look.settings(load_config(config_file, os.environ), as_json=as_json)
