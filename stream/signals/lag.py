"""What waits in a source, and whether the broker answers, as gauges."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from prometheus_client import CollectorRegistry, Gauge


@dataclass(frozen=True, slots=True, kw_only=True)
class Lag:
    """What waits in a source.

    Attributes:
        records: how many records are not applied yet, by topic and partition, where
            that is known.
        seconds: how long the oldest of them has waited, by topic and partition; 0: none
            waits. Of files, one for all.
        stuck_seconds: how long some have waited without one being applied, by topic and
            partition; 0: none waits, or they move.
        silent_seconds: how long ago the broker was last heard, once it does not answer;
            0: it does.
    """

    records: Mapping[tuple[str, int], int] = field(default_factory=dict)
    seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    stuck_seconds: Mapping[tuple[str, int], float] = field(default_factory=dict)
    silent_seconds: float = 0.0


class LagMetrics:
    """The gauges of a `Lag`, and of the broker.

    Args:
        registry: where they are registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        gauge = partial(Gauge, registry=registry)
        place = ["topic", "partition"]
        self._behind_records = gauge(
            "freshet_stream_behind_records",
            "Records not applied yet, by topic and partition (consumer lag).",
            place,
        )
        self._behind_seconds = gauge(
            "freshet_stream_behind_seconds",
            "How long the oldest record that is not applied has waited, over all partitions, "
            "by when it arrived; 0: none waits. While the broker is away, at least since then.",
        )
        self._partition_behind_seconds = gauge(
            "freshet_stream_partition_behind_seconds", "The same of one partition.", place
        )
        self._partition_stuck_seconds = gauge(
            "freshet_stream_partition_stuck_seconds",
            "How long records of a partition have waited while none of it was applied; 0: they "
            "move, or none waits.",
            place,
        )
        self._broker_silent_seconds = gauge(
            "freshet_stream_broker_silent_seconds",
            "Time since the broker was last heard, once it does not answer; 0: it does.",
        )
        self._broker_up = gauge(
            "freshet_stream_broker_up",
            "1: the broker answers this process; 0: it does not. Absent: events come from files.",
            ["bootstrap"],
        )
        self._broker_error = gauge(
            "freshet_stream_broker_error_info",
            "1 at the last error of a broker that does not answer; none: it does.",
            ["bootstrap", "error"],
        )

    def set(self, lag: Lag) -> None:
        """Set all gauges; those of other partitions are removed."""
        self._behind_seconds.set(max([lag.silent_seconds, *lag.seconds.values()]))
        self._broker_silent_seconds.set(lag.silent_seconds)
        for gauge, waiting in (
            (self._behind_records, lag.records),
            (self._partition_behind_seconds, lag.seconds),
            (self._partition_stuck_seconds, lag.stuck_seconds),
        ):
            gauge.clear()
            for (topic, partition), value in waiting.items():
                gauge.labels(topic, partition).set(value)

    def set_broker(self, bootstrap: str, error: str) -> None:
        """Set why the broker does not answer; empty: it does."""
        self._broker_up.labels(bootstrap).set(not error)
        self._broker_error.clear()
        if error:
            self._broker_error.labels(bootstrap, error).set(1)
