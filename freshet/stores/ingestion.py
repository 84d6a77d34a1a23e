"""Applies a source to an open store in this thread, with the quarantine file of the
store beside it.
"""

from collections.abc import Callable
from contextlib import closing
from threading import Event
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry

if TYPE_CHECKING:
    from stream.metrics import StreamMetrics
    from stream.settings import StreamSettings
    from stream.store.store import Store
    from stream.worker import Source, WorkerTotals


def apply_source(
    source: "Source",
    store: "Store",
    settings: "StreamSettings",
    stop: Event,
    *,
    metrics: "StreamMetrics | None" = None,
    show_progress: Callable[[], None] = lambda: None,
) -> "WorkerTotals":
    """Apply what a source gives until it ends or `stop` is set.

    What cannot be used is put away.

    Args:
        source: closed at the end.
        store: opened for writing; stays open.
        settings: sizes of batches, limits of events.
        stop: asked between batches.
        metrics: what is counted; None: nobody looks.
        show_progress: called after each batch and each poll that found nothing.

    Raises:
        StreamError: the source, the store or the quarantine failed.
    """
    from stream.metrics import StreamMetrics
    from stream.quarantine import FILE_NAME, FileQuarantine
    from stream.worker import run_worker

    counted = metrics or StreamMetrics(CollectorRegistry())
    with closing(FileQuarantine(store.root / FILE_NAME)) as quarantine:
        return run_worker(
            source,
            store,
            quarantine,
            settings,
            counted,
            stop,
            on_progress=lambda _totals: show_progress(),
        )
