"""What a scrape sees."""

import math

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from server.freshness import Receipt
from server.metrics.answering import ServerMetrics
from server.metrics.calls import CallMetrics
from server.quality.answers import AnswerMetrics, Given
from server.retrieve import QueryPath
from server.session.shift import MemberOutcome
from server.swaps.refusals import RefusalReason


@pytest.fixture
def registry() -> CollectorRegistry:
    """An empty registry."""
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> ServerMetrics:
    """The server's metrics in `registry`."""
    return ServerMetrics(registry, RefusalReason)


_NOW_MS = 1_800_000_000_000
GIVEN = Given(
    reflected_ms=_NOW_MS, snapshot_ms=_NOW_MS, now_ms=_NOW_MS, num_items=10, num_from_overlay=3
)


def make_receipt(*, watermark_age_seconds: float, snapshot_age_seconds: float) -> Receipt:
    """Return a receipt with the given ages."""
    return Receipt(
        generation="g",
        watermark_ms=1,
        watermark_age_seconds=watermark_age_seconds,
        snapshot_ms=2,
        snapshot_age_seconds=snapshot_age_seconds,
        live_since_ms=3,
        overlay_sequence=0,
        reflected_ms=0,
        age_seconds=0.0,
    )


def test_ages_are_computed_at_the_scrape(
    registry: CollectorRegistry, metrics: ServerMetrics
) -> None:
    """Each scrape asks for the receipt of that moment.

    There is no age before a generation is live.
    """
    receipts: list[Receipt] = []
    metrics.watch(lambda: receipts[-1] if receipts else None)

    assert math.isnan(registry.get_sample_value("freshet_server_watermark_age_seconds") or 0)
    assert math.isnan(registry.get_sample_value("freshet_server_snapshot_age_seconds") or 0)
    assert registry.get_sample_value("freshet_server_ready") == 0

    for age in (5.0, 9.0):
        receipts.append(make_receipt(watermark_age_seconds=age, snapshot_age_seconds=age + 1))
        assert registry.get_sample_value("freshet_server_watermark_age_seconds") == age
        assert registry.get_sample_value("freshet_server_snapshot_age_seconds") == age + 1
        assert registry.get_sample_value("freshet_server_ready") == 1


def test_a_swap_leaves_one_generation_label(
    registry: CollectorRegistry, metrics: ServerMetrics
) -> None:
    """The label of the generation that was swapped out goes, also after a roll back."""
    metrics.swapped(None, "one", 1000)
    metrics.swapped("one", "two", 2000)
    metrics.swapped("two", "one", 3000)

    assert registry.get_sample_value("freshet_server_generation_info", {"generation": "one"}) == 1
    assert (
        registry.get_sample_value("freshet_server_generation_info", {"generation": "two"}) is None
    )
    assert registry.get_sample_value("freshet_server_swaps_total") == 3
    assert registry.get_sample_value("freshet_server_last_swap_timestamp_seconds") == 3.0


def test_known_labels_exist_before_their_first_event(
    registry: CollectorRegistry, metrics: ServerMetrics
) -> None:
    """A first refusal is an increase from 0, which an alert on increase() needs."""
    for reason in RefusalReason:
        assert (
            registry.get_sample_value("freshet_server_swap_refused_total", {"reason": reason}) == 0
        )
    for path in QueryPath:
        assert registry.get_sample_value("freshet_server_queries_total", {"path": path}) == 0
    for outcome in MemberOutcome:
        members = {"outcome": str(outcome)}
        assert registry.get_sample_value("freshet_server_context_members_total", members) == 0

    metrics.refused(RefusalReason.CORRUPT)

    assert (
        registry.get_sample_value("freshet_server_swap_refused_total", {"reason": "corrupt"}) == 1
    )


def test_requests_are_counted_and_timed(
    registry: CollectorRegistry, metrics: ServerMetrics
) -> None:
    """A call counts once by method and status, and its time goes
    into the histogram.
    """
    CallMetrics(registry).ended("Retrieve", "OK", 0.004)
    metrics.queried(QueryPath.ENCODED, {MemberOutcome.USED: 2, MemberOutcome.UNKNOWN: 1}, GIVEN)

    labels = {"method": "Retrieve", "code": "OK"}
    assert registry.get_sample_value("freshet_server_requests_total", labels) == 1
    assert (
        registry.get_sample_value("freshet_server_request_seconds_sum", {"method": "Retrieve"})
        == 0.004
    )
    assert registry.get_sample_value("freshet_server_queries_total", {"path": "encoded"}) == 1
    members = "freshet_server_context_members_total"
    assert registry.get_sample_value(members, {"outcome": "used"}) == 2
    assert registry.get_sample_value(members, {"outcome": "unknown"}) == 1
    assert b"freshet_server_request_seconds_bucket" in generate_latest(registry)


@pytest.mark.parametrize(
    ("is_told", "age", "snapshot_age", "counted"),
    [
        (True, 59.0, 900.0, "fresh"),
        (True, 61.0, 900.0, "stale"),
        (False, 0.0, 900.0, "unknown"),
        (False, 0.0, 30.0, "fresh"),
    ],
    ids=["fresh", "stale", "no-refresher", "no-refresher-new-snapshot"],
)
def test_an_answer_is_counted_by_its_own_receipt(
    registry: CollectorRegistry, age: float, snapshot_age: float, counted: str, *, is_told: bool
) -> None:
    """An age of 0 that nobody vouches for makes no answer fresh."""
    given = GIVEN._replace(
        reflected_ms=_NOW_MS - round(1000 * age) if is_told else 0,
        snapshot_ms=_NOW_MS - round(1000 * snapshot_age),
    )
    AnswerMetrics(registry, 60.0).answered(given)

    counts = {
        freshness: registry.get_sample_value(
            "freshet_server_answers_total", {"freshness": freshness}
        )
        for freshness in ("fresh", "stale", "unknown")
    }
    assert counts == {name: float(name == counted) for name in counts}
    hits = "freshet_server_hits_total"
    assert registry.get_sample_value(hits, {"source": "overlay"}) == 3
    assert registry.get_sample_value(hits, {"source": "generation"}) == 7
    ages = registry.get_sample_value("freshet_server_answer_age_seconds_sum")
    assert ages == (age if is_told else snapshot_age)
    assert registry.get_sample_value("freshet_server_objective_seconds") == 60
