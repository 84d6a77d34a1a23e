"""Builds the graph of a source anew, in one thread, and says whether a store holds the
same one.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event
from typing import TYPE_CHECKING
from uuid import uuid4

import click

from freshet.config import load_config
from freshet.process import EXIT_INTERRUPTED, CommandError, configure_logging, stop_event
from freshet.stores.ingestion import apply_source
from freshet.terminal.options import Source
from freshet.terminal.output import table
from freshet.terminal.progress import Advance, progress

if TYPE_CHECKING:
    from stream.events.types import Position, RecordBatch
    from stream.reading.compare import Comparison
    from stream.reading.reader import GraphReader, GraphSummary
    from stream.settings import StreamSettings
    from stream.sources.topics import KafkaSource
    from stream.store.store import Store
    from stream.worker import Source as WorkerSource

_EXIT_DIFFERENT = 1
_SYNC_EVERY_MS = 60_000


def verify(
    path: Path,
    sources: Sequence[Source],
    catalogs: Sequence[Source],
    *,
    as_json: bool,
    config_file: Path | None,
) -> int:
    """Compare a store or snapshot with what its sources make, print the outcome, return
    the exit code.
    """
    configure_logging(default="WARNING")
    settings = load_config(config_file, os.environ).stream()
    from stream.reading.compare import compare_graphs
    from stream.reading.reader import open_graph

    with (
        stop_event() as stop,
        open_graph(path, settings) as graph,
        TemporaryDirectory(prefix="freshet-verify-") as folder,
    ):
        settings = _settings_to_rebuild(settings, graph)
        scratch = Path(folder) / "store"
        _rebuild(scratch, graph, sources, catalogs, settings, stop)
        with open_graph(scratch, settings) as rebuilt:
            comparison = compare_graphs(graph, rebuilt, with_catalog=bool(catalogs))
        summary = graph.summary() if comparison.is_equal else None
    click.echo(_as_json(comparison, summary) if as_json else _as_text(comparison, summary))
    return 0 if comparison.is_equal else _EXIT_DIFFERENT


def _settings_to_rebuild(settings: "StreamSettings", graph: "GraphReader") -> "StreamSettings":
    """Return the settings of a store like the one in question, read by a consumer group
    of its own.
    """
    return replace(
        settings,
        half_life_seconds=graph.half_life_ms / 1000,
        session_gap_seconds=graph.session_gap_ms / 1000,
        num_shards=1,
        sync_every_ms=_SYNC_EVERY_MS,
        catalog_topic="",
        checkpoints_url="",  # those of the store in question must be neither read nor added to
        group_id=f"{settings.group_id}-verify-{uuid4().hex[:8]}",
    )


def _rebuild(
    scratch: Path,
    graph: "GraphReader",
    sources: Sequence[Source],
    catalogs: Sequence[Source],
    settings: "StreamSettings",
    stop: Event,
) -> None:
    """Build a store from the files, then the topics, in this thread.

    Raises:
        CommandError: it was told to stop.
    """
    from stream.sources.files import FileSource
    from stream.store.store import Store

    paths = [source.value for source in sources if source.kind == "file"]
    files = FileSource(paths, settings, catalog_paths=[catalog.value for catalog in catalogs])
    topics = [
        _topics(source.value, graph, settings) for source in sources if source.kind == "kafka"
    ]
    num_shards = max((each.num_partitions for each in topics), default=1)
    with Store.create_or_open(scratch, settings, num_shards) as store:
        with progress("rebuilding", "bytes") as advance:
            _apply(
                files, store, settings, stop, lambda: advance(files.bytes_done, files.bytes_total)
            )
        for each in topics:
            with progress("rebuilding", "records") as advance:
                _apply(each, store, settings, stop, partial(each.show, advance))
            click.echo("".join(f"note: {note}\n" for note in each.notes()), err=True, nl=False)


def _apply(
    source: "WorkerSource",
    store: "Store",
    settings: "StreamSettings",
    stop: Event,
    show_progress: Callable[[], None],
) -> None:
    """Apply a source.

    Raises:
        CommandError: it was told to stop.
    """
    apply_source(source, store, settings, stop, show_progress=show_progress)
    if stop.is_set():
        raise CommandError("stopped; nothing was compared", exit_code=EXIT_INTERRUPTED)


def _topics(bootstrap: str, graph: "GraphReader", settings: "StreamSettings") -> "TopicsUpTo":
    """Return the topics up to the positions of the store.

    What comes after, it has not applied yet.

    Raises:
        CommandError: the store has read nothing of them.
    """
    from stream.sources.topics import KafkaSource

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
    return TopicsUpTo(KafkaSource(bootstrap, settings), ends)


class TopicsUpTo:
    """A source that ends where another store had read to, so that a store which is
    written can be compared.

    Args:
        source: the topics, from their beginning.
        ends: where to end in each partition; of others nothing is read.
    """

    shards_by_partition = True

    def __init__(self, source: "KafkaSource", ends: "Mapping[Position, int]") -> None:
        self.num_partitions = source.num_partitions
        self._source = source
        self._ends = ends
        self._begins: dict[Position, int] = {}
        self._reached: dict[Position, int] = {}

    def start(self, store: "Store") -> None:
        """Join a group of its own."""
        self._source.start(store)

    def poll(self, max_wait_seconds: float) -> "Sequence[RecordBatch]":
        """Return the next records before the ends."""
        wanted = []
        for batch in self._source.poll(max_wait_seconds):
            self._begins.setdefault(batch.position, batch.offsets[0])
            self._reached[batch.position] = batch.next_offset
            head = batch.before(self._ends.get(batch.position, 0))
            if len(head):
                wanted.append(head)
        return wanted

    def idle(self, seconds: float) -> None:
        """Wait, as a member of the group."""
        self._source.idle(seconds)

    @property
    def rebalances(self) -> int:
        """How often partitions moved."""
        return self._source.rebalances

    def show(self, advance: Advance) -> None:
        """Show how far it is."""
        passed = sum(
            min(self._reached.get(position, 0), end) for position, end in self._ends.items()
        )
        advance(passed, sum(self._ends.values()))

    @property
    def exhausted(self) -> bool:
        """Whether every partition was read to its end, or has nothing more."""
        behind = self._source.behind_records()
        return all(
            self._reached.get(position, 0) >= end
            or behind.get((position.source, position.partition)) == 0
            for position, end in self._ends.items()
        )

    @property
    def is_behind(self) -> bool:
        """Whether something waits to be read."""
        return not self.exhausted

    def behind_records(self) -> "Mapping[tuple[str, int], int]":
        """Return how many records wait, by topic and partition, those after the ends
        included.
        """
        return self._source.behind_records()

    def applied(self, positions: "Mapping[Position, int]") -> None:
        """Take note of what is in the store."""
        self._source.applied(positions)

    def close(self) -> None:
        """Disconnect."""
        self._source.close()

    def notes(self) -> list[str]:
        """Say which partitions no longer have what the store had read.

        It shows as extra.
        """
        notes = []
        for position, end in sorted(
            self._ends.items(), key=lambda each: (each[0].source, each[0].partition)
        ):
            place = f"{position.source} partition {position.partition}"
            if self._begins.get(position, 0) > 0:
                notes.append(
                    f"{place} begins at offset {self._begins[position]}: what came before is gone"
                )
            if self._reached.get(position, 0) < end:
                notes.append(f"{place} ends before offset {end}, where the store had read to")
        return notes


def _as_json(comparison: "Comparison", summary: "GraphSummary | None") -> str:
    first = comparison.first
    return json.dumps(
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
            "counts": {kind: asdict(tally) for kind, tally in comparison.tallies.items()},
        },
        ensure_ascii=False,
    )


def _as_text(comparison: "Comparison", summary: "GraphSummary | None") -> str:
    if summary:
        stats = summary.stats
        return (
            f"equal: {stats.edges:,} edges, {stats.hyperedges:,} hyperedges, {stats.sessions:,} "
            "sessions, "
            f"graph hash {summary.graph_hash}"
        )
    first = comparison.first
    assert first is not None  # noqa: S101  # equal graphs have a summary
    key = ", ".join(f"{name} {_compact(text)}" for name, text in first.key.items())
    rows = [
        (kind, f"{tally.differing:,}", f"{tally.missing:,}", f"{tally.extra:,}")
        for kind, tally in comparison.tallies.items()
    ]
    return "\n".join(
        (
            f"different: first at the {first.kind} of {key}",
            f"  the store has   {_compact(first.left) if first.left else 'nothing'}",
            f"  the source has  {_compact(first.right) if first.right else 'nothing'}",
            table(("", "differing", "missing", "extra"), rows),
        )
    )


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
