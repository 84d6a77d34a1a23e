"""The small shop with its store, generations, refresher and server, all real, in one
process.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from threading import Event
from uuid import uuid4

from prometheus_client import CollectorRegistry

from freshet_client import RetrievalClient, RetrieveResult
from model.artifact.generation import Generation
from model.artifact.store import ArtifactStore
from model.data.marked import without_marked
from model.fresh.state import FreshState
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.refresh_settings import RefreshSettings
from model.refresher.loop import run_refresher
from model.refresher.metrics import RefresherMetrics
from model.refresher.parts import Parts
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.events.types import CatalogItem, Interaction, SourcePartition
from stream.feed.reader import open_feed
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import StreamSettings
from stream.store.store import Store
from testing.histories import apply_events
from testing.retrieval_server import DEADLINE_SECONDS
from testing.small_shop import small_settings

QUICK = RefreshSettings(fresh_every_seconds=0.05, poll_seconds=0.01, audit_every_seconds=0.5)


@dataclass(kw_only=True)
class ShopLane:
    """A shop's store and artifacts.

    Attributes:
        root: folder of both.
        num_shards: of the store.
        checkpoints: URL of the shards' checkpoints, from which the feed is read; empty:
            there are none.
    """

    root: Path
    num_shards: int = 1
    checkpoints: str = ""
    _offsets: Iterator[int] = field(default_factory=lambda: count(1))

    @property
    def store(self) -> Path:
        """The store's folder."""
        return self.root / "store"

    @property
    def settings(self) -> StreamSettings:
        """Those of the store."""
        return StreamSettings(checkpoints_url=self.checkpoints)

    @property
    def artifacts(self) -> ArtifactStore:
        """The generations."""
        (self.root / "artifacts").mkdir(exist_ok=True)
        return ArtifactStore(self.root / "artifacts")

    def write(
        self, events: Sequence[Interaction], items: Sequence[CatalogItem] = (), shard: int = 0
    ) -> int:
        """Have events and items applied by a worker that begins and ends with that.

        Returns:
            Up to when, in broker time, the worker says that everything is applied.
        """
        position = {SourcePartition("test", shard): next(self._offsets)}
        with Store.create_or_open(self.store, self.settings, self.num_shards) as store:
            for index in range(self.num_shards):
                store.ownership.acquire(index)
            apply_events(store.shard(shard), events, items, position)
            applied_ms = now_ms()
            for index in range(self.num_shards):
                feed = store.shard(index).feed()
                assert feed is not None
                feed.renew(applied_ms)
        return applied_ms

    def train(self) -> str:
        """Train a generation on the store, make it live, and return its id."""
        path = self.root / f"snapshot-{uuid4().hex}"
        info = take_snapshot(self.store, path, StreamSettings(), now_ms())
        with open_graph(path, StreamSettings()) as graph:
            source = SnapshotInput(snapshot=info, arrays=without_marked(graph.arrays()))
        return train_and_publish(source, self.artifacts, small_settings())

    def parts(
        self, settings: RefreshSettings = QUICK, registry: CollectorRegistry | None = None
    ) -> Parts:
        """Return what a refresher of the shop works with."""

        def vectors_of(generation: Generation) -> FreshState:
            return FreshState(generation)

        return Parts(
            artifacts=self.artifacts,
            open_feed=lambda: open_feed(self.checkpoints or self.store),
            vectors_of=vectors_of,
            settings=settings,
            metrics=RefresherMetrics(registry or CollectorRegistry()),
        )

    @contextmanager
    def refreshing(self, **changes: float) -> Iterator[CollectorRegistry]:
        """Run a refresher in a thread while inside; yield its metrics."""
        registry, stop = CollectorRegistry(), Event()
        settings = RefreshSettings(
            **{
                **{name: getattr(QUICK, name) for name in RefreshSettings.__dataclass_fields__},
                **changes,
            }
        )
        thread = threading.Thread(
            target=run_refresher, args=(self.parts(settings, registry), stop), name="refresher"
        )
        thread.start()
        try:
            yield registry
        finally:
            stop.set()
            thread.join()

    @contextmanager
    def serving(self, metadata: tuple[tuple[str, str], ...] = ()) -> Iterator[RetrievalClient]:
        """Run a server while inside; yield a client of it, whose calls carry that."""
        settings = ServerSettings(
            listen="127.0.0.1:0",
            watch_every_seconds=0.02,
            overlay_every_seconds=0.02,
            grace_seconds=5.0,
            wait_seconds=DEADLINE_SECONDS,  # a test's machine may be slow
        )
        server = RetrievalServer(settings, self.root / "artifacts", CollectorRegistry())
        server.start()
        try:
            with RetrievalClient(
                server.address, timeout_seconds=DEADLINE_SECONDS, retry=None, metadata=metadata
            ) as client:
                yield client
        finally:
            server.stop(grace_seconds=0)


def ids_of(answer: RetrieveResult) -> list[str]:
    """Return the items of an answer, best first."""
    return [hit.item_id for hit in answer.hits]
