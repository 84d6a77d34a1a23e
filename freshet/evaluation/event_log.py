"""Opens the graph of a log to evaluate on: a store, a snapshot, or a scratch store."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

import click

from freshet.logs.printable import printable
from freshet.process import EXIT_INTERRUPTED, CommandError, stop_event
from freshet.stores.ingestion import apply_source
from model.errors import TrainingCancelled
from model.evaluation.cancellation import refuse_if_cancelled
from stream.quarantine.rejections import QuarantineTally
from stream.reading.reader import GraphReader, open_graph
from stream.settings import StreamSettings
from stream.sources.files import FileSource
from stream.sources.verdict import FileOptions, judge_files
from stream.store.store import Store

_OPTIONS = FileOptions("--events", "--items")


@dataclass(frozen=True, kw_only=True)
class EventLog:
    """Where the graph comes from.

    Attributes:
        graph: a store's or snapshot's folder; None: it is built from the files.
        events: event files.
        items: catalogue files.
    """

    graph: Path | None
    events: Sequence[Path]
    items: Sequence[Path]


@contextmanager
def until_stopped() -> Iterator[Event]:
    """Yield an event that a signal sets, and print one line when it is set."""
    try:
        with stop_event() as stop:
            yield stop
    except TrainingCancelled:
        raise CommandError(
            "stopped before the evaluation was done", exit_code=EXIT_INTERRUPTED
        ) from None


@contextmanager
def open_log(log: EventLog, settings: StreamSettings, stop: Event) -> Iterator[GraphReader]:
    """Yield the graph of a log.

    Raises:
        TrainingCancelled: `stop` was set while it was built.
        StreamError: it cannot be read or built.
    """
    if log.graph is not None:
        with open_graph(log.graph, settings) as graph:
            yield graph
        return
    with TemporaryDirectory(prefix="freshet-evaluate-") as folder:
        root = Path(folder) / "store"
        _build(log, root, settings, stop)
        with open_graph(root, settings) as graph:
            yield graph


def _judge(source: FileSource, tally: QuarantineTally, stop: Event) -> None:
    """Check that the files are logs.

    Raises:
        CommandError: nothing in one of them can be used.
    """
    unusable = "" if stop.is_set() else judge_files(source.files_read, tally, _OPTIONS).unusable
    if unusable:
        raise CommandError(
            f"{printable(unusable)}; `freshet try-events FILE` gives each line's reason"
        )


def _build(log: EventLog, root: Path, settings: StreamSettings, stop: Event) -> None:
    paths = [str(path) for path in log.events]
    source = FileSource(paths, settings, catalog_paths=[str(path) for path in log.items])
    with Store.create_or_open(root, replace(settings, feed_bytes=0)) as store:
        totals = apply_source(
            source, store, settings, stop, judge=lambda tally: _judge(source, tally, stop)
        )
    refuse_if_cancelled(stop.is_set)
    if totals.quarantined:
        click.echo(
            f"note: {totals.quarantined:,} events could not be used; see them with `freshet "
            "stream`, which "
            "puts them into the store's quarantine",
            err=True,
        )
