"""The worker: records of a source become the graph of a store."""

from stream.worker.loop import run_worker
from stream.worker.source import Source
from stream.worker.totals import WorkerTotals

__all__ = ["Source", "WorkerTotals", "run_worker"]
