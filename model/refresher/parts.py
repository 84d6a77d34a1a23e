"""What a refresher works with."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from model.artifact.generation import Generation
from model.artifact.store import ArtifactStore
from model.fresh.pauses import Pause, no_pause
from model.fresh.result import RoundResult
from model.refresh_settings import RefreshSettings
from model.refresher.metrics import RefresherMetrics
from stream.clock import now_ms
from stream.feed.changes import ShardChanges, WriterMark
from stream.feed.reader import FeedRead

Asked = Callable[[], Mapping[str, float]]
"""Returns how often each normalised query text is asked."""


class ChangeFeed(Protocol):
    """What was written to the graph since a place in the history of each shard."""

    def read(self, since: Mapping[int, WriterMark]) -> FeedRead:
        """Return what `stream.feed.reader.Feed.read` does."""

    def close(self) -> None:
        """Give back what it holds."""


class Vectors(Protocol):
    """The vectors of what changed since a generation."""

    @property
    def is_partial(self) -> bool:
        """What `model.fresh.state.FreshState.is_partial` says."""

    def apply(
        self,
        changes: Sequence[ShardChanges],
        asked: Mapping[str, float] | None = None,
        pause: Pause = no_pause,
    ) -> RoundResult:
        """Return what `model.fresh.state.FreshState.apply` does."""

    def apply_catalog(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Return what `model.fresh.state.FreshState.apply_catalog` does."""

    def take_out(self, changes: Sequence[ShardChanges]) -> RoundResult:
        """Return what `model.fresh.state.FreshState.take_out` does."""

    def audit(self, count: int) -> float:
        """Return what `model.fresh.state.FreshState.audit` does."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What a refresher works with.

    Attributes:
        artifacts: the generations, and the folder of the overlays.
        open_feed: opens the change feed, for one generation to follow.
        vectors_of: begins the vectors of a generation.
        settings: how often, and how much at once.
        metrics: where everything is counted.
        asked: what the servers are asked most.
        on_claim: is told the broker time up to which the overlay of the live generation
            has everything, again and again.
        clock_ms: the time now, UTC epoch milliseconds.
        monotonic: seconds on a clock that never goes back.
    """

    artifacts: ArtifactStore
    open_feed: Callable[[], ChangeFeed]
    vectors_of: Callable[[Generation], Vectors]
    settings: RefreshSettings
    metrics: RefresherMetrics
    asked: Asked = dict
    on_claim: Callable[[int], object] = lambda _: None
    clock_ms: Callable[[], int] = now_ms
    monotonic: Callable[[], float] = time.monotonic
