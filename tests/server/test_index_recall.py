"""What the index finds of real queries is measured beside the answers."""

import math
import threading
import weakref
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from model.settings import ModelSettings
from server.index_recall import RecallSampler, index_recall
from server.live import LiveGeneration
from server.metrics.index import IndexMetrics
from server.settings import ServerSettings
from testing.small_generations import Artifacts, make_catalogue

QUERIES = [f"query {number}" for number in range(40)]


def load(folder: Path, name: str, settings: ModelSettings) -> LiveGeneration:
    """Return a generation of 500 items, some of them hidden."""
    catalogue = replace(make_catalogue(500, QUERIES), settings=settings)
    catalogue.hidden = frozenset(range(0, 500, 7))
    artifacts = Artifacts(folder / name)
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveGeneration.load(path, ServerSettings(canary_floor=0.0))


@pytest.fixture(scope="module")
def poor(tmp_path_factory: pytest.TempPathFactory) -> LiveGeneration:
    """A generation whose index looks at one cell of 68."""
    settings = ModelSettings(index_engine="ivf", index_search_k=1)
    return load(tmp_path_factory.mktemp("poor"), "artifacts", settings)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> LiveGeneration:
    """A generation whose index misses nothing."""
    return load(tmp_path_factory.mktemp("good"), "artifacts", ModelSettings(index_engine="exact"))


@pytest.fixture
def registry() -> CollectorRegistry:
    """An empty registry."""
    return CollectorRegistry()


@pytest.fixture
def sampler(registry: CollectorRegistry) -> Iterator[RecallSampler]:
    """A sampler that may use all of a core."""
    made = RecallSampler(ServerSettings(recall_cpu_share=1.0), IndexMetrics(registry))
    yield made
    made.stop()


def value(registry: CollectorRegistry, name: str) -> float:
    """Return a metric's value."""
    found = registry.get_sample_value(name)
    assert found is not None
    return found


def test_the_recall_of_a_query_is_that_of_a_whole_scan(poor: LiveGeneration) -> None:
    """Over what is indexed; hidden items are not missed."""
    indexed = poor.generation.item_vectors[poor.generation.index_items]
    for vector in poor.generation.query_vectors:
        nearest = set(np.argsort(-(indexed @ vector), kind="stable")[:10].tolist())
        found = set(poor.index.search(vector, 10)[0].tolist())

        assert index_recall(poor, vector) == len(nearest & found) / 10


def test_an_exact_index_finds_all(good: LiveGeneration) -> None:
    """Whatever is asked."""
    assert {index_recall(good, vector) for vector in good.generation.query_vectors} == {1.0}


def test_the_recall_is_told_once_it_is_known(
    sampler: RecallSampler, registry: CollectorRegistry, poor: LiveGeneration, good: LiveGeneration
) -> None:
    """As the mean of the last queries, of one generation alone."""
    vectors = poor.generation.query_vectors
    for vector in vectors[:19]:
        sampler.measure(poor, vector)
    assert math.isnan(value(registry, "freshet_server_index_recall"))

    for vector in vectors[19:]:
        sampler.measure(poor, vector)
    expected = np.mean([index_recall(poor, vector) for vector in vectors])
    assert value(registry, "freshet_server_index_recall") == pytest.approx(expected)
    assert expected < 0.9
    assert value(registry, "freshet_server_index_recall_samples_total") == len(vectors)

    sampler.measure(good, vectors[0])
    assert math.isnan(value(registry, "freshet_server_index_recall"))


def test_what_the_gate_certified_is_told_beside_it(
    sampler: RecallSampler, registry: CollectorRegistry, good: LiveGeneration
) -> None:
    """Not a number where a manifest does not say."""
    sampler.measure(good, good.generation.query_vectors[0])
    assert math.isnan(value(registry, "freshet_server_index_certified_recall"))

    manifest = type(good.generation.manifest)()
    manifest.CopyFrom(good.generation.manifest)
    manifest.evaluation["index_recall_10"] = 0.97
    told = replace(good, generation=replace(good.generation, id="other", manifest=manifest))
    sampler.measure(told, good.generation.query_vectors[0])

    assert value(registry, "freshet_server_index_certified_recall") == 0.97


def test_one_query_at_a_time_is_asked_again_and_the_rest_passed_over(
    sampler: RecallSampler, good: LiveGeneration, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request never waits for it."""
    begun, go_on, asked = threading.Event(), threading.Event(), []

    def slow(live: LiveGeneration, vector: np.ndarray) -> float:
        assert live is good
        asked.append(vector)
        begun.set()
        assert go_on.wait(60)
        return 0.0

    monkeypatch.setattr(sampler, "measure", slow)
    first, second = good.generation.query_vectors[:2]
    sampler.offer(good, first)  # not started: nobody would take it
    sampler.start()
    sampler.offer(good, first)
    assert begun.wait(60)

    sampler.offer(good, second)
    go_on.set()
    sampler.stop()

    assert len(asked) == 1
    assert asked[0] is first


def test_a_query_that_fails_ends_no_sampling(
    sampler: RecallSampler,
    good: LiveGeneration,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It is logged, and the next one is asked."""
    monkeypatch.setattr("server.index_recall._LEAST_PAUSE_SECONDS", 0.0)
    seen = threading.Semaphore(0)

    def fail(live: LiveGeneration, vector: np.ndarray) -> float:
        seen.release()
        raise ValueError("broken")

    monkeypatch.setattr(sampler, "measure", fail)
    sampler.start()
    for _ in range(2):
        while not seen.acquire(timeout=0.01):
            sampler.offer(good, good.generation.query_vectors[0])
    sampler.stop()

    assert "could not be measured" in caplog.text


def test_a_share_of_nothing_samples_nothing(
    registry: CollectorRegistry, good: LiveGeneration
) -> None:
    """Who does not want it pays nothing."""
    sampler = RecallSampler(ServerSettings(recall_cpu_share=0.0), IndexMetrics(registry))
    sampler.start()
    sampler.offer(good, good.generation.query_vectors[0])
    sampler.stop()

    assert value(registry, "freshet_server_index_recall_samples_total") == 0


def test_a_generation_that_was_measured_is_not_kept(
    sampler: RecallSampler, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in the pause after it, nor while nobody asks: it may be replaced."""
    monkeypatch.setattr("server.index_recall._LEAST_PAUSE_SECONDS", 3600.0)
    live = load(tmp_path, "artifacts", ModelSettings(index_engine="exact"))
    gone, measured = threading.Event(), threading.Event()
    weakref.finalize(live, gone.set)

    def measure(*_: object) -> float:
        measured.set()
        return 0.0

    monkeypatch.setattr(sampler, "measure", measure)
    sampler.start()

    sampler.offer(live, live.generation.query_vectors[0])
    assert measured.wait(10)
    del live

    assert gone.wait(10)
