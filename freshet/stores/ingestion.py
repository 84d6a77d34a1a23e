"""Applies a source to an open store, in this thread."""

from collections.abc import Callable
from contextlib import closing
from threading import Event

from prometheus_client import CollectorRegistry

from stream.metrics import StreamMetrics
from stream.quarantine.file import FILE_NAME, FileQuarantine
from stream.quarantine.rejections import QuarantineTally
from stream.settings import StreamSettings
from stream.store.store import Store
from stream.worker import Source, WorkerTotals, run_worker


def apply_source(
    source: Source,
    store: Store,
    settings: StreamSettings,
    stop: Event,
    *,
    metrics: StreamMetrics | None = None,
    show_progress: Callable[[], None] = lambda: None,
    judge: Callable[[QuarantineTally], None] = lambda _tally: None,
) -> WorkerTotals:
    """Apply what a source gives until it ends or `stop` is set.

    What cannot be used goes to the quarantine file beside the store.

    Args:
        source: closed at the end.
        store: opened for writing; stays open.
        settings: sizes of batches, limits of events.
        stop: checked between batches.
        metrics: what counts the batches; None: they are not counted.
        show_progress: called after each batch and each poll that found nothing.
        judge: called at the end with what was rejected of each source.

    Raises:
        StreamError: the source, the store or the quarantine failed.
    """
    counted = metrics or StreamMetrics(CollectorRegistry())
    with closing(QuarantineTally(FileQuarantine(store.root / FILE_NAME))) as quarantine:
        totals = run_worker(
            source,
            store,
            quarantine,
            settings,
            counted,
            stop,
            on_progress=lambda _totals: show_progress(),
        )
        judge(quarantine)
    return totals
