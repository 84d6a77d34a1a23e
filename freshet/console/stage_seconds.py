"""How long events took from one stage to the next lately, by the processes' counts."""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from freshet.probe import Samples

# Seconds that count, as in the recording rules of the stages.
WINDOW_SECONDS = 300.0

STAGES = ("broker", "consumed", "durable", "embedded", "published", "served", "end_to_end")
"""In the order that an event passes them; the last is from the broker to answers."""

# The metric of each stage; that of the stream has the stage as a label.
_OF_STREAM = "freshet_stream_stage_seconds_bucket"
_METRICS = {
    "freshet_refresh_embedded_seconds_bucket": "embedded",
    "freshet_refresh_published_seconds_bucket": "published",
    "freshet_server_overlay_published_seconds_bucket": "served",
    "freshet_server_overlay_end_to_end_seconds_bucket": "end_to_end",
}

Buckets = dict[tuple[str, float], float]
"""Counts by stage and upper bound, cumulative over bounds."""


@dataclass(frozen=True, kw_only=True)
class StageSeconds:
    """How long one stage took.

    Attributes:
        count: events, records or overlay segments that passed it.
        median: of their seconds; None: none passed.
        p99: the 99th percentile.
    """

    count: float
    median: float | None
    p99: float | None


class StageTimes:
    """The stages' durations over the last `WINDOW_SECONDS`, from one look to the next.

    Where a process was started again, its counts begin at 0, and all are new.
    """

    def __init__(self) -> None:
        self._before: dict[str, Buckets] = {}
        self._added: deque[tuple[float, Buckets]] = deque()

    def add(self, at_seconds: float, samples: Mapping[str, Samples]) -> None:
        """Take in what processes count now, by their addresses."""
        added: Buckets = {}
        for address, found in samples.items():
            counts, before = _buckets(found), self._before.get(address)
            if before is not None:
                for key, count in counts.items():
                    known = before.get(key, 0.0)
                    more = count - known if count >= known else count
                    added[key] = added.get(key, 0.0) + more
            self._before[address] = counts
        self._added.append((at_seconds, added))
        while self._added[0][0] <= at_seconds - WINDOW_SECONDS:
            self._added.popleft()

    def now(self) -> dict[str, StageSeconds]:
        """Return each stage's durations."""
        merged: dict[str, dict[float, float]] = {stage: {} for stage in STAGES}
        for _, added in self._added:
            for (stage, bound), count in added.items():
                merged[stage][bound] = merged[stage].get(bound, 0.0) + count
        return {
            stage: StageSeconds(
                count=buckets.get(math.inf, 0.0),
                median=_quantile(buckets, 0.5),
                p99=_quantile(buckets, 0.99),
            )
            for stage, buckets in merged.items()
        }


def _buckets(samples: Samples) -> Buckets:
    found: Buckets = {}
    for name in (_OF_STREAM, *_METRICS):
        for labels, value in samples.get(name, []):
            stage = _METRICS.get(name, labels.get("stage", ""))
            if stage in STAGES and math.isfinite(value):
                key = (stage, float(labels.get("le", "nan")))
                found[key] = found.get(key, 0.0) + value
    return found


def _quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return a quantile as Prometheus' `histogram_quantile` has it: linear within its
    bucket, the last finite bound above that.
    """
    total = buckets.get(math.inf, 0.0)
    if not total:
        return None
    rank, lower, below = share * total, 0.0, 0.0
    for bound in sorted(buckets):
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound):
                return lower
            return lower + (bound - lower) * (rank - below) / max(count - below, 1e-12)
        lower, below = bound, count
    return lower
