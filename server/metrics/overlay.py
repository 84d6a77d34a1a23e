"""Metrics of the live overlay: how fresh it is, and what of it was refused."""

import math
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from model.artifact.overlay.segment import Segment
from server.freshness import age_seconds
from server.overlay.refusals import REASONS
from server.overlay.view import LiveView

# Seconds. A segment is served 0.1 s after it was published and a click some 1.5 s after
# it was; a bucket for each doubling or so tells these from what is slow. The last tells
# minutes from an hour. Twice as many would be finer, and double the series.
_STAGE_SECONDS_BUCKETS = (0.05, 0.1, 0.2, 0.5, 1.0, 1.5, 2.0, 4.0, 10.0, 30.0, 60.0, 300.0)


class OverlayMetrics:
    """The metrics of a server's overlay.

    Args:
        registry: where the metrics are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sequence = Gauge(
            "freshet_server_overlay_sequence",
            "The newest segment of the live overlay; 0: none is",
            registry=registry,
        )
        self._rows = Gauge(
            "freshet_server_overlay_rows",
            "Items and queries with a vector in the live overlay, and items that are gone",
            ["kind"],
            registry=registry,
        )
        self._shown = Gauge(
            "freshet_server_shown_items",
            "Items that answers can have now: indexed or of the overlay, and not gone",
            registry=registry,
        )
        self._age = Gauge(
            "freshet_server_overlay_age_seconds",
            "How long ago the broker time was up to which every record is in answers; NaN: "
            "not known",
            registry=registry,
        )
        self._silence = Gauge(
            "freshet_server_overlay_silence_seconds",
            "How long ago the refresher last said how fresh the live overlay is; NaN: never",
            registry=registry,
        )
        self._segments = Counter(
            "freshet_server_overlay_segments",
            "Segments of the live overlay that were taken as they came",
            registry=registry,
        )
        self._refusals = Counter(
            "freshet_server_overlay_refused",
            "Tries to read segments, pointers or the list of gone items that failed, by reason",
            ["reason"],
            registry=registry,
        )
        self._went_back = Counter(
            "freshet_server_overlay_went_back",
            "Times that answers became less fresh, because what was to go live had waited for "
            "too long to catch up",
            registry=registry,
        )
        self._published_seconds = Histogram(
            "freshet_server_overlay_published_seconds",
            "From when a segment was published to when answers had it",
            buckets=_STAGE_SECONDS_BUCKETS,
            registry=registry,
        )
        self._end_to_end_seconds = Histogram(
            "freshet_server_overlay_end_to_end_seconds",
            "From when the oldest record of a segment reached the broker to when answers had it",
            buckets=_STAGE_SECONDS_BUCKETS,
            registry=registry,
        )
        for reason in REASONS:
            self._refusals.labels(reason)

    def watch(self, view_now: Callable[[], LiveView | None], clock_ms: Callable[[], int]) -> None:
        """Compute gauges at each scrape, from the live view."""

        def value(
            read: Callable[[LiveView], float], missing: float = math.nan
        ) -> Callable[[], float]:
            def now() -> float:
                view = view_now()
                return missing if view is None else read(view)

            return now

        def since(then_ms: int) -> float:
            return age_seconds(then_ms, clock_ms()) if then_ms else math.nan

        self._sequence.set_function(value(lambda view: view.overlay.sequence, 0))
        self._shown.set_function(value(lambda view: view.num_shown, 0))
        self._age.set_function(value(lambda view: since(view.claim.reflected_ms)))
        self._silence.set_function(
            value(lambda view: since(view.newest.written_ms if view.newest else 0))
        )
        counts: dict[str, Callable[[LiveView], float]] = {
            "items": lambda view: len(view.overlay.rows.item_ids),
            "queries": lambda view: len(view.overlay.queries),
            "gone_items": lambda view: view.overlay.num_gone_items,
        }
        for kind, count in counts.items():
            self._rows.labels(kind).set_function(value(count, 0))

    def served(self, segments: Iterable[Segment], now_ms: int) -> None:
        """Record that answers have some new segments as of `now_ms`."""
        for segment in segments:
            self._segments.inc()
            self._published_seconds.observe(age_seconds(segment.created_ms, now_ms))
            if segment.oldest.record_ms:
                self._end_to_end_seconds.observe(age_seconds(segment.oldest.record_ms, now_ms))

    def refused(self, reason: str) -> None:
        """Count something that was not taken."""
        self._refusals.labels(reason).inc()

    def went_back(self) -> None:
        """Count that a less fresh view went live."""
        self._went_back.inc()
