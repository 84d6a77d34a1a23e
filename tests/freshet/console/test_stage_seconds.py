"""Tests of the stages' durations, beside Prometheus' own definition."""

import math

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram

from freshet.console.stage_seconds import WINDOW_SECONDS, StageTimes
from freshet.probe import Samples

_BOUNDS = (0.1, 0.5, 1.0, 5.0)


def _samples(registry: CollectorRegistry) -> Samples:
    found: Samples = {}
    for family in registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return found


def _histogram(registry: CollectorRegistry) -> Histogram:
    return Histogram("freshet_refresh_embedded_seconds", "x", registry=registry, buckets=_BOUNDS)


def test_quantiles_are_of_what_came_since_the_last_look() -> None:
    """What was there before the first look is not of the last minutes."""
    registry, times = CollectorRegistry(), StageTimes()
    histogram = _histogram(registry)
    for _ in range(100):
        histogram.observe(4.0)
    times.add(0.0, {"a": _samples(registry)})
    before = times.now()["embedded"]
    for _ in range(90):
        histogram.observe(0.05)
    for _ in range(10):
        histogram.observe(0.75)
    times.add(2.0, {"a": _samples(registry)})
    now = times.now()["embedded"]

    assert (before.count, before.median) == (0.0, None)
    assert now.count == 100
    # Linear within a bucket: the 50th of 90 up to .1, the 9th of 10 from .5 to 1.
    assert now.median == pytest.approx(0.1 * 50 / 90)
    assert now.p99 == pytest.approx(0.5 + 0.5 * 9 / 10)


def test_a_quantile_is_within_the_bucket_of_the_true_one() -> None:
    """For any durations, of processes added up; beyond the last bound that bound."""
    random, times = np.random.default_rng(3), StageTimes()
    registries = [CollectorRegistry() for _ in range(3)]
    histograms = [_histogram(each) for each in registries]
    looks = {str(at): each for at, each in enumerate(registries)}
    times.add(0.0, {name: _samples(each) for name, each in looks.items()})
    seconds = random.exponential(0.8, 999)
    for at, value in enumerate(seconds):
        histograms[at % 3].observe(float(value))
    times.add(1.0, {name: _samples(each) for name, each in looks.items()})
    found = times.now()["embedded"]

    true = float(np.median(seconds))
    bounds = (0.0, *_BOUNDS, math.inf)
    place = int(np.searchsorted(bounds, true)) - 1
    assert found.median is not None
    assert bounds[place] <= found.median <= bounds[place + 1]
    assert found.p99 is not None
    assert found.p99 <= _BOUNDS[-1]


def test_a_restart_counts_from_zero_and_a_silence_counts_nothing() -> None:
    """A process that begins again has only new counts; one that is away has none."""
    times = StageTimes()
    for at, count in enumerate((5, 2, None, 4)):
        registry = CollectorRegistry()
        histogram = _histogram(registry)
        for _ in range(count or 0):
            histogram.observe(0.2)
        times.add(float(at), {} if count is None else {"a": _samples(registry)})

    assert times.now()["embedded"].count == 2 + 2


def test_what_is_older_than_the_window_is_forgotten() -> None:
    """After five minutes without any, none passed."""
    registry, times = CollectorRegistry(), StageTimes()
    histogram = _histogram(registry)
    times.add(0.0, {"a": _samples(registry)})
    histogram.observe(0.2)
    times.add(1.0, {"a": _samples(registry)})
    assert times.now()["embedded"].count == 1
    times.add(2.0 + WINDOW_SECONDS, {"a": _samples(registry)})

    assert times.now()["embedded"].count == 0
