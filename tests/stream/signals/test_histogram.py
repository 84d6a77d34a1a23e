"""A histogram that is given arrays says what Prometheus' own would."""

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram

from stream.signals.histogram import ArrayHistogram

BOUNDS = (0.1, 1.0, 10.0)


def array_histogram(registry: CollectorRegistry) -> ArrayHistogram:
    """Return a histogram with two values of its label."""
    return ArrayHistogram(
        "seconds", "S.", label="stage", values=("a", "b"), bounds=BOUNDS, registry=registry
    )


def samples(registry: CollectorRegistry) -> dict[tuple[str, str, str], float]:
    """Return all values but when they were made."""
    return {
        (sample.name, sample.labels["stage"], sample.labels.get("le", "")): sample.value
        for family in registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


def test_arrays_are_counted_as_one_by_one() -> None:
    """Values on a bound are in its bucket, and values without any are there at 0."""
    drawn = np.random.default_rng(3).exponential(1.0, 200)
    seconds = np.concatenate([drawn, BOUNDS, [0.0, 99.0]])
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    plain = Histogram("seconds", "S.", ["stage"], buckets=BOUNDS, registry=theirs)
    for each in seconds.tolist():
        plain.labels("a").observe(each)
    plain.labels("b")
    histogram = array_histogram(ours)
    histogram.observe("a", seconds[:50])
    histogram.observe("a", seconds[50:])

    assert samples(ours) == pytest.approx(samples(theirs))


def test_a_weight_counts_as_so_many() -> None:
    """So records that came together are counted together."""
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    seconds, weights = np.array([0.05, 5.0]), np.array([3, 2])
    array_histogram(ours).observe("b", seconds, weights)
    array_histogram(theirs).observe("b", np.repeat(seconds, weights))

    assert samples(ours) == samples(theirs)
    assert samples(ours)["seconds_count", "b", ""] == 5
