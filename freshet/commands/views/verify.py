"""`freshet verify`: compares a store with the graph that its source makes."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from threading import Event
from uuid import uuid4

import click

from freshet.logs.printable import printable_json
from freshet.process import EXIT_INTERRUPTED, CommandError, begin, stop_event
from freshet.stores.bounded_topics import BoundedTopics
from freshet.stores.ingestion import apply_source
from freshet.terminal import options
from freshet.terminal.options import SourceAddress
from freshet.terminal.output import table
from freshet.terminal.progress import progress
from stream.reading.compare import GraphComparison, compare_graphs
from stream.reading.reader import GraphReader, open_graph
from stream.reading.stats import GraphSummary
from stream.scratch import temporary_folder
from stream.settings import StreamSettings
from stream.sources.files import FileSource
from stream.sources.topics.source import KafkaSource
from stream.store.store import Store
from stream.worker import Source

_EXIT_DIFFERENT = 1  # as of diff
_SYNC_EVERY_MS = 60_000
"""From one sync to disk to the next, in the store that is thrown away: it need not
survive a crash, so the interval is long. Twice as much syncs half as often.
"""


@click.command()
@options.store_option
@click.option(
    "--against",
    "sources",
    type=options.SOURCE,
    multiple=True,
    required=True,
    help=("Source of the store: file:PATH_OR_GLOB (repeatable) or kafka:HOST:PORT[,HOST:PORT]."),
)
@click.option(
    "--catalog",
    "catalogs",
    type=options.SOURCE,
    metavar="file:PATH",
    multiple=True,
    help="Catalogue file, file:PATH (repeatable): compare its items, too.",
)
@options.json_option
@options.config_option
def verify(
    *,
    store: Path,
    sources: tuple[SourceAddress, ...],
    catalogs: tuple[SourceAddress, ...],
    as_json: bool,
    config_file: Path | None,
) -> int:
    """Rebuild a graph from its source, in one thread, and compare it with a store or
    snapshot.

    If they are equal, it prints one line with the graph hash, and the exit code is 0.
    Otherwise it prints the first difference, with both values, and how many edges,
    hyperedges and sessions differ, are missing from the store, or are only in it; the
    exit code is 1.

    The store may be in use. Topics are read up to where the store has read them. Files
    are read whole: let a store that follows files catch up first. The rebuilt store
    needs about as much space as the original, in the temporary folder (TMPDIR), and is
    removed.

    \b
    freshet verify --store shop.store --against file:events.jsonl.gz
    freshet verify --store shop.store --against kafka:localhost:9092
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    if any(catalog.kind != "file" for catalog in catalogs):
        raise click.UsageError("--catalog takes file:PATH", ctx=click.get_current_context())
    if sum(source.kind == "kafka" for source in sources) > 1:
        raise click.UsageError("give at most one kafka: source", ctx=click.get_current_context())
    settings = begin(config_file).stream()
    with (
        stop_event() as stop,
        open_graph(store, settings) as graph,
        temporary_folder("freshet-verify-", store) as folder,
    ):
        settings = _settings_to_rebuild(settings, graph)
        scratch = folder / "store"
        _rebuild(scratch, graph, sources, catalogs, settings, stop)
        with open_graph(scratch, settings) as rebuilt:
            comparison = compare_graphs(graph, rebuilt, with_catalog=bool(catalogs))
        summary = graph.summary() if comparison.is_equal else None
    click.echo(_as_json(comparison, summary) if as_json else _as_text(comparison, summary))
    return 0 if comparison.is_equal else _EXIT_DIFFERENT


def _settings_to_rebuild(settings: StreamSettings, graph: GraphReader) -> StreamSettings:
    """Return settings like those of the store, with a consumer group of its own."""
    return replace(
        settings,
        half_life_seconds=graph.half_life_ms / 1000,
        session_gap_seconds=graph.session_gap_ms / 1000,
        num_shards=1,
        sync_every_ms=_SYNC_EVERY_MS,
        catalog_topic="",
        checkpoints_url="",  # those of the original store must be neither read nor added to
        group_id=f"{settings.group_id}-verify-{uuid4().hex[:8]}",
    )


def _rebuild(
    scratch: Path,
    graph: GraphReader,
    sources: Sequence[SourceAddress],
    catalogs: Sequence[SourceAddress],
    settings: StreamSettings,
    stop: Event,
) -> None:
    """Build a store from the files, then the topics, in this thread.

    Raises:
        CommandError: a signal stopped it.
    """
    paths = [source.value for source in sources if source.kind == "file"]
    files = FileSource(paths, settings, catalog_paths=[catalog.value for catalog in catalogs])
    topics = [
        _topics(source.value, graph, settings) for source in sources if source.kind == "kafka"
    ]
    # As many as the store has: with a fold age, what is late in a file is so by shard.
    num_shards = max((each.num_partitions for each in topics), default=graph.num_shards)
    with Store.create_or_open(scratch, replace(settings, feed_bytes=0), num_shards) as store:
        with progress("rebuilding", "bytes") as advance:
            _apply(
                files, store, settings, stop, lambda: advance(files.bytes_done, files.bytes_total)
            )
        for each in topics:
            with progress("rebuilding", "records") as advance:
                _apply(each, store, settings, stop, partial(each.show, advance))
            click.echo("".join(f"note: {note}\n" for note in each.notes()), err=True, nl=False)


def _apply(
    source: Source,
    store: Store,
    settings: StreamSettings,
    stop: Event,
    show_progress: Callable[[], None],
) -> None:
    """Apply a source.

    Raises:
        CommandError: a signal stopped it.
    """
    apply_source(source, store, settings, stop, show_progress=show_progress)
    if stop.is_set():
        raise CommandError("stopped; nothing was compared", exit_code=EXIT_INTERRUPTED)


def _topics(bootstrap: str, graph: GraphReader, settings: StreamSettings) -> BoundedTopics:
    """Return the topics up to the positions of the store.

    The store has not applied later records yet.

    Raises:
        CommandError: the store has read nothing of them.
    """
    wanted = {settings.clicks_topic, settings.sessions_topic}
    read_too = {settings.erasures_topic}
    ends = {
        position: offset
        for positions in graph.positions().values()
        for position, offset in positions.items()
        if position.source in wanted | read_too
    }
    if not any(position.source in wanted for position in ends):
        raise CommandError(
            f"{graph.path} has read nothing of {' or '.join(sorted(filter(None, wanted)))}; "
            "give --against the files that it was built from, or --config with its topics"
        )
    source = KafkaSource(bootstrap, settings)
    return BoundedTopics(source, ends, _recreated(graph, source.topic_ids))


def _recreated(graph: GraphReader, topic_ids: Mapping[str, str]) -> set[str]:
    """Return the topics that are not the ones that the store has read."""
    return {
        topic
        for _, shard in graph.shards()
        for topic, known in shard.topic_ids().items()
        if topic_ids.get(topic) not in (None, "", known)
    }


def _as_json(comparison: GraphComparison, summary: GraphSummary | None) -> str:
    first = comparison.first
    found = json.dumps(
        {
            "equal": comparison.is_equal,
            "graph_hash": summary.graph_hash if summary else None,
            "first": {
                "kind": first.kind,
                "key": first.key,
                "store": first.left,
                "source": first.right,
            }
            if first
            else None,
            "counts": {kind: asdict(counts) for kind, counts in comparison.counts.items()},
        },
        ensure_ascii=False,
    )
    return printable_json(found)


def _as_text(comparison: GraphComparison, summary: GraphSummary | None) -> str:
    if summary:
        stats = summary.stats
        return (
            f"equal: {stats.edges:,} edges, {stats.hyperedges:,} hyperedges, {stats.sessions:,} "
            "sessions, "
            f"graph hash {summary.graph_hash}"
        )
    first = comparison.first
    assert first is not None  # noqa: S101  # equal graphs have a summary
    key = ", ".join(f"{name} {_short_json(text)}" for name, text in first.key.items())
    rows = [
        (kind, f"{counts.differing:,}", f"{counts.missing:,}", f"{counts.extra:,}")
        for kind, counts in comparison.counts.items()
    ]
    return "\n".join(
        (
            f"different: first at the {first.kind} of {key}",
            f"  the store has   {_short_json(first.left) if first.left else 'nothing'}",
            f"  the source has  {_short_json(first.right) if first.right else 'nothing'}",
            table(("", "differing", "missing", "extra"), rows),
        )
    )


def _short_json(value: object) -> str:
    return printable_json(json.dumps(value, ensure_ascii=False))
