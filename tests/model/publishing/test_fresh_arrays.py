"""What is stored of a generation for the fresh lane."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.fresh_arrays import FRESH_PREFIX, FreshArrays, check_fresh_arrays
from model.artifact.generation import Generation, open_generation
from model.artifact.paths import PathGraph
from model.artifact.store import ArtifactStore
from model.errors import GenerationCorrupt
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainedModel
from model.training.train import train
from protos.text import text_key
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, shop_events, shop_items, snapshot_of


def parts(generation: Generation) -> tuple[FreshArrays, PathGraph]:
    """Return the state and the graph, which are both there."""
    assert generation.fresh is not None
    assert generation.paths is not None
    return generation.fresh, generation.paths


def test_layers_are_those_of_the_network(generation: Generation, settings: ModelSettings) -> None:
    """Each follows from the one before it along the stored clicks, by definition."""
    fresh, paths = parts(generation)
    assert len(fresh.layers) == settings.num_layers
    num_queries, num_nodes = paths.num_queries, len(paths.node_weights)
    adjacency = np.zeros((num_nodes, num_nodes))
    query = np.repeat(np.arange(num_queries), np.diff(paths.click_starts))
    adjacency[query, num_queries + paths.click_items] = np.log1p(paths.click_sessions)
    adjacency += adjacency.T
    weights = adjacency.sum(axis=1)
    root = np.sqrt(np.maximum(weights, 1e-9))
    layer = fresh.own.astype(np.float64)

    for stored in fresh.layers:
        layer = (adjacency / root[:, None] / root) @ layer
        np.testing.assert_allclose(stored, layer, atol=5e-3)
    back = (adjacency**2) @ np.divide(1.0, weights, out=np.zeros(num_nodes), where=weights > 0)
    np.testing.assert_allclose(fresh.returns, back, rtol=1e-5)


def test_hypergraph_is_the_mean_over_hyperedges_of_their_members(generation: Generation) -> None:
    """Of what these carry, by the transposed hyperedges, which have every member."""
    fresh, paths = parts(generation)
    fed = float(generation.warm["weight.fed_bipartite"].reshape(-1)[0])
    carried = fresh.own + fed * np.sum(fresh.layers, axis=0, dtype=np.float64)
    edges = [
        fresh.hyperedge_nodes[start:end]
        for start, end in zip(fresh.hyperedge_starts, fresh.hyperedge_starts[1:], strict=False)
    ]
    assert [len(edge) for edge in edges] == paths.hyperedge_sizes.tolist()
    for node in range(len(paths.node_weights)):
        row = paths.node_hyperedges[paths.node_starts[node] : paths.node_starts[node + 1]]
        if not len(row) or len(row) < paths.node_degrees[node]:
            continue
        means = [carried[edges[edge]].mean(axis=0) for edge in row]
        np.testing.assert_allclose(fresh.hypergraph[node], np.mean(means, axis=0), atol=5e-3)


def test_clicks_by_item_are_those_by_query(generation: Generation) -> None:
    """All of them, queries ascending in a row."""
    fresh, paths = parts(generation)
    query = np.repeat(np.arange(paths.num_queries), np.diff(paths.click_starts))
    item = np.repeat(np.arange(len(fresh.item_keys)), np.diff(fresh.item_starts))
    by_query = zip(paths.click_items, query, paths.click_sessions, strict=True)

    by_item = list(zip(item, fresh.item_queries, fresh.item_sessions, strict=True))

    assert by_item == sorted(by_query)
    assert fresh.item_keys.tolist() == [text_key(item_id) for item_id in generation.item_ids]


def test_what_the_catalogue_called_gone_is_told_with_its_time(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Deleted items are not in a generation, unavailable ones are; both are gone."""
    listed = [replace(item, ts_ms=5) for item in shop_items()]
    deleted = CatalogItem(item_id=listed[0].item_id, deleted=True, ts_ms=7)
    unavailable = replace(listed[1], available=False, ts_ms=9)
    arrays = make_arrays(shop_events(200), [*listed[2:], deleted, unavailable])
    trained = train(arrays, replace(settings, max_passes=1))
    lenient = replace(settings, gate_max_mean_cosine=1.0)

    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, lenient, NOW_MS)

    generation = open_generation(artifacts.generation_path(generation_id))
    fresh = generation.fresh
    assert fresh is not None
    gone = dict(zip(fresh.gone_ids, fresh.gone_catalog_ms.tolist(), strict=True))
    assert gone == {deleted.item_id: 7, unavailable.item_id: 9}
    assert generation.find_item(deleted.item_id) is None
    row = generation.find_item(unavailable.item_id)
    assert row is not None
    times = fresh.item_catalog_ms.tolist()
    assert times.pop(row) == 9
    assert set(times) == {5}
    assert len(fresh.own) == generation.manifest.num_queries + generation.manifest.num_items


@pytest.mark.parametrize("left_out", ["own", "layer.2", "gone_ids.offsets"])
def test_a_part_that_is_missing_is_refused(
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
    left_out: str,
) -> None:
    """By who reads it; who does not can open the generation."""
    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)
    path = artifacts.generation_path(generation_id)
    (path / f"{FRESH_PREFIX}{left_out}.npy").unlink()

    with pytest.raises(GenerationCorrupt, match=left_out):
        open_generation(path)
    assert open_generation(path, has_fresh=False).fresh is None


def test_an_array_of_another_shape_is_refused(generation: Generation) -> None:
    """A manifest vouches for bytes, not for what belongs together."""
    fresh = generation.fresh
    assert fresh is not None
    short = replace(fresh, returns=fresh.returns[1:])
    dim = generation.network_dim

    check_fresh_arrays(fresh, generation.paths, dim)
    with pytest.raises(GenerationCorrupt, match=r"fresh\.returns\.npy"):
        check_fresh_arrays(short, generation.paths, dim)
    with pytest.raises(GenerationCorrupt, match=r"paths"):
        check_fresh_arrays(fresh, None, dim)


def test_it_can_be_left_out(
    arrays: GraphArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Where nobody runs the fresh lane."""
    without = replace(settings, fresh_state=False, max_passes=1)
    trained = train(arrays, without)
    assert trained.states is None
    lenient = replace(without, gate_max_mean_cosine=1.0)

    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, lenient, NOW_MS)

    assert open_generation(artifacts.generation_path(generation_id)).fresh is None


def test_a_log_without_queries_has_none(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Titles stand in for queries then, and are in no generation."""
    views = [replace(event, query="") for event in shop_events(200)]
    arrays = make_arrays(views, shop_items())

    assert train(arrays, replace(settings, max_passes=1)).states is None
