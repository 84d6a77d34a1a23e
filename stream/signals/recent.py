"""What happened lately, as gauges, for whoever sees one moment alone."""

import time
from collections.abc import Callable
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from stream.reasons import REASONS
from stream.signals.recent_counts import RecentCounts

LOSSES = ("lost", "skipped", "recreated")
"""Values of the label `kind`: retention was faster, a batch could not be unpacked, a
topic is another one than was read.
"""

_MESSAGES = "messages"


class RecentMetrics:
    """The gauges of the last five minutes, and of when records were lost.

    Rules go by the counters beside them.

    Args:
        registry: where they are registered.
        clock: seconds since 1970.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        registry: CollectorRegistry,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._came = RecentCounts(monotonic)
        self._rejected = RecentCounts(monotonic)
        messages = Gauge(
            "freshet_stream_recent_messages",
            "Events and other messages applied, ignored or quarantined in the last five minutes",
            registry=registry,
        )
        messages.set_function(partial(self._came.of, _MESSAGES))
        rejected = Gauge(
            "freshet_stream_recent_quarantined",
            "Those of them that were quarantined, by reason",
            ["reason"],
            registry=registry,
        )
        for reason in REASONS:
            rejected.labels(reason).set_function(partial(self._rejected.of, str(reason)))
        self._last_loss = Gauge(
            "freshet_stream_last_loss_timestamp_seconds",
            "When records were last found to be lost or skipped, or a topic recreated, Unix "
            "time; 0: never since this process started",
            ["kind"],
            registry=registry,
        )
        for kind in LOSSES:
            self._last_loss.labels(kind)

    def came(self, count: int) -> None:
        """Count messages that were applied or ignored."""
        self._came.add(_MESSAGES, count)

    def rejected(self, reason: str, count: int) -> None:
        """Count messages that were quarantined."""
        self._came.add(_MESSAGES, count)
        self._rejected.add(str(reason), count)

    def lost(self, kind: str) -> None:
        """Record a loss of now, of one of `LOSSES`."""
        self._last_loss.labels(kind).set(self._clock())
