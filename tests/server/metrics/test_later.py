"""What is counted later is counted when somebody looks."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from server.metrics.later import Later

PUT = 1000


@pytest.fixture
def registry() -> CollectorRegistry:
    """An empty registry."""
    return CollectorRegistry()


@pytest.fixture
def later(registry: CollectorRegistry) -> Later:
    """What puts counting off, of `registry`."""
    return Later(registry)


def counter_of(registry: CollectorRegistry) -> Counter:
    """Return a counter of what a test counts."""
    return Counter("things", "What is counted", registry=registry)


def test_a_reader_finds_all_of_it(registry: CollectorRegistry, later: Later) -> None:
    """Whatever waits, and also where nothing does."""
    counter = counter_of(registry)
    for count in (3, 0, 500):
        before = registry.get_sample_value("things_total") or 0
        for _ in range(count):
            later.put(counter.inc, 2)

        assert f"things_total {before + 2 * count}" in generate_latest(registry).decode()


def test_it_waits_for_some_calls_to_end(later: Later) -> None:
    """And for no more of them, so that nothing is kept for long."""
    counted: list[int] = []
    ended = 0
    while not counted:
        later.put(counted.append, ended)
        later.call_ended()
        ended += 1

    assert 1 < ended < 100
    assert counted == list(range(ended))


def test_what_waits_is_bounded(later: Later) -> None:
    """Where no call ends, too."""
    counted: list[int] = []
    for number in range(PUT):
        later.put(counted.append, number)

    assert PUT - len(counted) < PUT // 2


def test_threads_lose_nothing(registry: CollectorRegistry, later: Later) -> None:
    """While others count and read."""
    counter = counter_of(registry)

    def call(_: int) -> None:
        later.put(counter.inc)
        later.call_ended()

    with ThreadPoolExecutor(4) as pool:
        reads = [pool.submit(generate_latest, registry) for _ in range(20)]
        list(pool.map(call, range(PUT)))
        assert all(read.result() for read in reads)

    assert registry.get_sample_value("things_total") == PUT


def test_what_cannot_be_counted_holds_nothing_up(
    registry: CollectorRegistry, later: Later, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the rest is counted."""
    counter = counter_of(registry)
    wrong: Callable[..., object] = [].pop
    for count in (counter.inc, wrong, counter.inc):
        later.put(count)

    with caplog.at_level(logging.ERROR):
        assert registry.get_sample_value("things_total") == 2

    assert "not_counted" in caplog.text
