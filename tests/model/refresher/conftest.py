"""A refresher over small generations, a feed in memory and a clock to be turned."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from model.artifact.generation import Generation
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.pointer import Newest
from model.artifact.overlay.segment import OverlayRows
from model.refresh_settings import RefreshSettings
from model.refresher.loop import Refresher
from model.refresher.metrics import RefresherMetrics
from model.refresher.parts import Parts
from testing.refresher.feeds import MemoryFeed, NamedVectors
from testing.small_generations import DIM, NOW_MS, Artifacts


@dataclass
class Clock:
    """The time, by both clocks."""

    ms: int = NOW_MS

    def __call__(self) -> int:
        """The time now, UTC epoch milliseconds."""
        return self.ms

    def monotonic(self) -> float:
        """Seconds."""
        return self.ms / 1000


@dataclass(kw_only=True)
class Bench:
    """What a refresher works with here, and what it has published."""

    artifacts: Artifacts
    clock: Clock
    feed: MemoryFeed
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    settings: RefreshSettings = field(default_factory=RefreshSettings)
    vectors: dict[str, NamedVectors] = field(default_factory=dict)
    asked: dict[str, float] = field(default_factory=dict)
    metrics: RefresherMetrics = field(init=False)

    def __post_init__(self) -> None:
        self.metrics = RefresherMetrics(self.registry, clock=self.clock.monotonic)

    @property
    def folder(self) -> OverlayFolder:
        """The folder of the overlays."""
        return OverlayFolder.of(self.artifacts.root)

    def parts(self, **changes: Any) -> Parts:
        """Return what a refresher works with."""
        parts: dict[str, Any] = {
            "artifacts": self.artifacts.store,
            "open_feed": lambda: self.feed,
            "vectors_of": self.begin_vectors,
            "settings": self.settings,
            "metrics": self.metrics,
            "asked": lambda: self.asked,
            "clock_ms": self.clock,
            "monotonic": self.clock.monotonic,
        }
        return Parts(**{**parts, **changes})

    def begin_vectors(self, generation: Generation) -> NamedVectors:
        """Return new vectors of a generation, which the test may look into."""
        self.vectors[generation.id] = NamedVectors(dim=DIM)
        return self.vectors[generation.id]

    def refresher(self, **changes: Any) -> Refresher:
        """Return a refresher that has opened what is live."""
        refresher = Refresher(self.parts(**changes))
        self.open(refresher)
        return refresher

    def open(self, refresher: Refresher) -> None:
        """Step until what `CURRENT` names has its lane; the clock stands still."""
        current = self.artifacts.store.current_id()
        for _ in range(50_000):
            refresher.step()
            if current in [lane.generation_id for lane in refresher.lanes]:
                return
            # The thread that opens it takes milliseconds.
            Event().wait(0.002)
        pytest.fail(f"{current} was not opened")

    def go(self, refresher: Refresher, seconds: float = 1.0) -> None:
        """Let time pass and step; what the stream says of the topics passes with it."""
        self.clock.ms += round(seconds * 1000)
        if self.feed.reflected_ms:
            self.feed.reflected_ms = self.clock.ms
        refresher.step()

    def turn(self, milliseconds: int) -> None:
        """Let time pass while the refresher works."""
        self.clock.ms += milliseconds

    def newest(self, generation_id: str) -> Newest:
        """Return what the overlay of a generation claims."""
        newest = self.folder.newest(generation_id)
        assert newest is not None
        return newest

    def rows(self, generation_id: str) -> OverlayRows:
        """Return all rows of the overlay of a generation."""
        newest = self.newest(generation_id)
        numbers = range(newest.first_sequence, newest.sequence + 1)
        segments = [self.folder.segment(generation_id, number, dim=DIM) for number in numbers]
        return merge_rows([segment.rows for segment in segments])

    def metric(self, name: str, labels: Mapping[str, str] | None = None) -> float | None:
        """Return the value of a metric."""
        return self.registry.get_sample_value(f"freshet_refresh_{name}", dict(labels or {}))

    def behind(self) -> tuple[str, str] | None:
        """Return the reason why it is behind, and its detail; None: it is not."""
        for family in self.registry.collect():
            for sample in family.samples:
                if sample.name == "freshet_refresh_behind_info" and sample.value == 1:
                    return sample.labels["reason"], sample.labels["detail"]
        return None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """A refresher's surroundings; the feed is empty, and its stream is up to date."""
    artifacts = Artifacts(tmp_path / "published")
    return Bench(artifacts=artifacts, clock=Clock(), feed=MemoryFeed(reflected_ms=NOW_MS))
