"""Reads what a training learns from: a snapshot, or one taken of a store for it."""

import logging
from pathlib import Path

from model.data.marked import without_marked
from model.publishing.refresh import SnapshotInput
from stream.clock import now_ms
from stream.reading import manifest
from stream.reading.incremental import GraphCache
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.scratch import scratch_folder
from stream.settings import StreamSettings
from stream.store import store as stores

logger = logging.getLogger(__name__)


def snapshot_input(path: Path, settings: StreamSettings) -> SnapshotInput:
    """Return what a snapshot holds.

    Raises:
        StreamError: it cannot be read.
    """
    info = manifest.read_manifest(path)
    with open_graph(path, settings) as graph:
        return SnapshotInput(snapshot=info, arrays=without_marked(graph.arrays()))


def store_input(
    store: Path, settings: StreamSettings, known: GraphCache | None = None
) -> SnapshotInput:
    """Return what a new snapshot of a store holds; the snapshot itself is removed.

    Args:
        store: the store's folder.
        settings: of the store.
        known: what was read of its earlier snapshots; None: nothing.

    Raises:
        StreamError: there is no store, or it cannot be read.
    """
    stores.read_manifest(store)
    with scratch_folder(store) as folder:
        path = folder / "snapshot"
        info = take_snapshot(store, path, settings, now_ms())
        with open_graph(path, settings) as graph:
            arrays = graph.arrays(known=known)
    if known is not None:
        logger.info(
            "snapshot read facts=%d shards_in_full=%d", info.counts.facts, known.read_in_full
        )
    return SnapshotInput(snapshot=info, arrays=without_marked(arrays))
