"""The probe's Prometheus metrics."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from freshet.prober.walk import STEPS, Step

# Seconds, as the fresh lane's stages: a step takes about one, and a minute is lost.
# Twice as many would tell no alert more.
_SECONDS = (0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 30, 60)


class ProbeMetrics:
    """What a probe tells, in a registry of the caller's."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._sent = Counter(
            "freshet_probe_sent",
            "Marked records published, by step: an item, a click, a deletion",
            ["step"],
            registry=registry,
        )
        self._answered = Counter(
            "freshet_probe_answered", "Those that an answer showed", ["step"], registry=registry
        )
        self._lost = Counter(
            "freshet_probe_lost",
            "Those that no answer showed in time",
            ["step"],
            registry=registry,
        )
        self._lost_in_a_row = Gauge(
            "freshet_probe_lost_in_a_row",
            "Those lost since an answer last showed one",
            ["step"],
            registry=registry,
        )
        self._seconds = Histogram(
            "freshet_probe_seconds",
            "From when the broker had the record to when an answer showed it",
            ["step"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._errors = Counter(
            "freshet_probe_errors",
            "Tries that failed: publish, no broker took the record; ask, no server answered",
            ["what"],
            registry=registry,
        )
        self._last = Gauge(
            "freshet_probe_last_answer_timestamp_seconds",
            "When an answer last showed a record of the probe, Unix time; 0: none did",
            registry=registry,
        )
        for step in STEPS:
            for counter in (self._sent, self._answered, self._lost):
                counter.labels(step)
            self._lost_in_a_row.labels(step)
            self._seconds.labels(step)
        for what in ("publish", "ask"):
            self._errors.labels(what)

    def sent(self, step: Step) -> None:
        """A record was published."""
        self._sent.labels(step).inc()

    def answered(self, step: Step, seconds: float) -> None:
        """An answer showed it after `seconds`."""
        self._answered.labels(step).inc()
        self._lost_in_a_row.labels(step).set(0)
        self._seconds.labels(step).observe(seconds)
        self._last.set_to_current_time()

    def lost(self, step: Step) -> None:
        """No answer showed it in time."""
        self._lost.labels(step).inc()
        self._lost_in_a_row.labels(step).inc()

    def failed(self, what: str) -> None:
        """A try failed: to publish, or to ask."""
        self._errors.labels(what).inc()
