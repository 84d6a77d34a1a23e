"""The metrics of several workers as those of one server."""

import math

from prometheus_client import CollectorRegistry

from server.metrics.answering import ServerMetrics
from server.metrics.calls import CallMetrics, Refused
from server.metrics.index import IndexMetrics
from server.metrics.overlay import OverlayMetrics
from server.quality.answers import Given
from server.retrieve import QueryPath
from server.swaps.refusals import RefusalReason
from server.workers.joined import Counted, families_of, joined, samples_of


class Worker:
    """A worker's metrics, in its place."""

    def __init__(self) -> None:
        self.place = Counted()
        self.begin()

    def begin(self) -> None:
        """Begin anew, with nothing counted."""
        self.registry = CollectorRegistry()
        self.server = ServerMetrics(self.registry, RefusalReason)
        self.calls = CallMetrics(self.registry)
        self.index = IndexMetrics(self.registry)
        OverlayMetrics(self.registry)

    def told(self) -> Counted:
        """Return the place, with what the worker says now."""
        self.place.now = families_of(samples_of(self.registry))
        return self.place


GIVEN = Given(reflected_ms=1, snapshot_ms=1, now_ms=2, num_items=10, num_from_overlay=0)


def values(*workers: Worker, parent: CollectorRegistry | None = None) -> dict[str, float]:
    """Return the joined samples, by name and values of labels."""
    families = families_of(samples_of(parent or CollectorRegistry()))
    metrics = joined([worker.told() for worker in workers], families)
    return {
        " ".join([sample.name, *sample.labels.values()]): sample.value
        for metric in metrics
        for sample in metric.samples
    }


def test_what_is_counted_is_added_up() -> None:
    """Counters and histograms; labels that one worker alone has."""
    first, second = Worker(), Worker()
    for worker, seconds in ((first, 0.003), (second, 0.003), (second, 3.0)):
        worker.server.queried(QueryPath.KNOWN, {}, GIVEN)
        worker.calls.ended("Retrieve", "OK", seconds)
    second.calls.ended("Retrieve", "CANCELLED", 0.0)
    second.calls.refused(Refused.OVERLOAD)

    found = values(first, second)

    assert found["freshet_server_queries_total known"] == 3
    assert found["freshet_server_requests_total Retrieve OK"] == 3
    assert found["freshet_server_requests_total Retrieve CANCELLED"] == 1
    assert found["freshet_server_calls_refused_total overload"] == 1
    assert found["freshet_server_request_seconds_bucket Retrieve 0.005"] == 3
    assert found["freshet_server_request_seconds_count Retrieve"] == 4


def test_what_a_worker_counted_stays_when_it_ends() -> None:
    """A counter never goes back, and nothing is counted twice."""
    first, second = Worker(), Worker()
    for worker in (first, second, second):
        worker.server.queried(QueryPath.KNOWN, {}, GIVEN)
    before = values(first, second)
    second.place.is_gone()
    while_it_is_gone = joined([first.told(), second.place], {})
    second.begin()
    second.server.queried(QueryPath.KNOWN, {}, GIVEN)

    samples = {
        s.name + s.labels.get("path", ""): s.value for m in while_it_is_gone for s in m.samples
    }
    assert before["freshet_server_queries_total known"] == 3
    assert samples["freshet_server_queries_totalknown"] == 3
    assert values(first, second)["freshet_server_queries_total known"] == 4


def test_a_swap_of_all_is_one() -> None:
    """Each worker does it by itself; one that began again did one more."""
    first, second = Worker(), Worker()
    for worker in (first, second):
        worker.server.swapped(None, "a", 1000)
        worker.server.swapped("a", "b", 2000)
    second.place.is_gone()
    second.begin()
    second.server.swapped(None, "b", 3000)

    found = values(first, second)

    assert found["freshet_server_swaps_total"] == 2
    assert found["freshet_server_generation_info b"] == 1
    assert found["freshet_server_last_swap_timestamp_seconds"] == 3


def test_of_states_the_worst_is_told() -> None:
    """Ready is who is ready everywhere; not known is what nobody knows."""
    first, second = Worker(), Worker()
    for worker, live in ((first, None), (second, object())):
        worker.calls.watch(lambda: 2, lambda: 3)
        worker.server.watch(lambda live=live: live and None)  # type: ignore[misc]
    first.index.sampled(0.97)
    first.server.answers.compared(0.2)
    second.server.answers.compared(0.9)

    found = values(first, second)

    assert found["freshet_server_ready"] == 0
    assert found["freshet_server_open_calls"] == 4
    assert found["freshet_server_waiting_calls"] == 6
    assert found["freshet_server_index_recall"] == 0.97
    assert found["freshet_server_generation_overlap"] == 0.2
    assert math.isnan(found["freshet_server_watermark_age_seconds"])


def test_who_loads_generations_says_what_is_refused() -> None:
    """The workers refuse none themselves."""
    registry, worker = CollectorRegistry(), Worker()
    parent = ServerMetrics(registry, RefusalReason)
    parent.refused(RefusalReason.CORRUPT)
    parent.newest_refused(is_refused=True)

    found = values(worker, parent=registry)

    assert found["freshet_server_swap_refused_total corrupt"] == 1
    assert found["freshet_server_newest_refused"] == 1
