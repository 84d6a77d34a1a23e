"""What a session is worth is measured, and is nothing unless it surely is something."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from model.context import NO_CONTEXT, ContextWeights, shifted
from model.data.session_clicks import SessionClicks, session_clicks
from model.publishing.context_weights import ClickVectors, choose_context_weights, click_ranks
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainedModel
from model.training.train import train
from stream.dtypes import Float32s
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, browsing_events, shop_items, snapshot_of


@pytest.fixture(scope="module")
def browsed(make_arrays: MakeArrays) -> GraphArrays:
    """Return a graph whose sessions tell what its queries do not."""
    return make_arrays(browsing_events(1300, follows_intent=True), shop_items())


@pytest.fixture(scope="module")
def browsed_model(browsed: GraphArrays, settings: ModelSettings) -> TrainedModel:
    """Return a model trained on it."""
    return train(browsed, settings)


def test_a_session_that_follows_an_intent_counts(
    browsed_model: TrainedModel, browsed: GraphArrays
) -> None:
    """Its items say what is wanted next."""
    chosen = choose_context_weights(browsed_model, browsed)

    assert chosen.weights.items > 0
    assert chosen.figures["context_mrr"] > chosen.figures["context_mrr_without"]
    assert chosen.figures["context_gain_low"] > 0
    assert chosen.figures["context_clicks"] > 100


def test_a_session_at_random_does_not_count(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Whatever the draws of a few hundred clicks look like."""
    arrays = make_arrays(browsing_events(1300, follows_intent=False), shop_items())

    chosen = choose_context_weights(train(arrays, settings), arrays)

    assert chosen.figures["context_clicks"] > 100
    assert chosen.weights == NO_CONTEXT


def test_what_cannot_be_judged_stands(browsed_model: TrainedModel, browsed: GraphArrays) -> None:
    """A refresh with a handful of clicks keeps what its parent had."""
    newest_ms = int(np.sort(browsed.fact_ms)[-10])
    few = replace(browsed_model, held_out=replace(browsed_model.held_out, begin_ms=newest_ms))

    assert choose_context_weights(few, browsed).weights == NO_CONTEXT
    parents = ContextWeights(items=0.4)
    assert choose_context_weights(few, browsed, parents).weights == parents


def test_a_weight_that_surely_hurts_goes(make_arrays: MakeArrays, settings: ModelSettings) -> None:
    """Also where the parent had it."""
    arrays = make_arrays(browsing_events(1300, follows_intent=False), shop_items())
    trained = train(arrays, settings)
    # Queries that say all there is to say, after sessions that say nothing.
    clicks = session_clicks(arrays, trained.held_out.begin_ms)
    queries = trained.held_out.query_vectors.copy()
    queries[clicks.query] = trained.held_out.item_vectors[clicks.item]
    sure = replace(trained, held_out=replace(trained.held_out, query_vectors=queries))

    assert choose_context_weights(sure, arrays, ContextWeights(items=3.0)).weights.items < 0.5


def test_the_manifest_has_the_weight_and_its_figures(
    browsed_model: TrainedModel,
    browsed: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
) -> None:
    """A server reads the one, people the other."""
    published = publish(browsed_model, browsed, snapshot_of(browsed), artifacts, settings, NOW_MS)

    generation = open_generation(artifacts.generation_path(published))
    chosen = choose_context_weights(browsed_model, browsed)
    assert generation.context_weights == chosen.weights
    assert generation.context_weights.items > 0
    for name, value in chosen.figures.items():
        assert generation.manifest.evaluation[name] == value


def test_a_refresh_goes_on_from_the_weight_of_its_parent(
    browsed_model: TrainedModel,
    browsed: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
) -> None:
    """Of the generation that it says it was started from, and of no other."""
    snapshot = snapshot_of(browsed)
    parent = publish(browsed_model, browsed, snapshot, artifacts, settings, NOW_MS)
    nothing = replace(browsed_model.held_out, begin_ms=np.iinfo(np.int64).max)
    weights = {}
    for name in (parent, ""):
        again = replace(browsed_model, parent=name, held_out=nothing)
        child = publish(again, browsed, snapshot, artifacts, settings, NOW_MS + 1000)
        weights[name] = open_generation(artifacts.generation_path(child)).context_weights
        parent_weights = open_generation(artifacts.generation_path(parent)).context_weights

    assert weights == {parent: parent_weights, "": NO_CONTEXT}
    assert parent_weights.items > 0


def test_ranks_are_those_of_the_shifted_vector(browsed: GraphArrays) -> None:
    """Scored in parts and added by weight, as by the vector that a server has.

    Items that are not shown, or were clicked for the same query before, are passed
    over.
    """
    rng = np.random.default_rng(3)

    def rows(count: int) -> Float32s:
        return unit_rows(rng.normal(size=(count, 8)).astype(np.float32))

    vectors = ClickVectors(
        queries=rows(browsed.num_queries),
        items=rows(browsed.num_items),
        is_shown=rng.random(browsed.num_items) < 0.8,
    )
    clicks = session_clicks(browsed, 0, most=50)
    weights = ContextWeights(items=0.7, queries=0.3)

    ranks = click_ranks(clicks, vectors, [weights])[0]

    assert ranks.tolist() == [_rank(clicks, vectors, weights, row) for row in range(len(clicks))]


def _rank(clicks: SessionClicks, vectors: ClickVectors, weights: ContextWeights, row: int) -> float:
    vector = shifted(
        vectors.queries[clicks.query[row]],
        vectors.items[clicks.items[row]],
        vectors.queries[clicks.queries[row]],
        weights,
    )
    scores = vectors.items @ vector
    passed_over = set(np.flatnonzero(~vectors.is_shown).tolist()) | set(
        clicks.answered[row].tolist()
    )
    better = set(np.flatnonzero(scores > scores[clicks.item[row]]).tolist()) - passed_over
    return len(better - {int(clicks.item[row])}) + 1.0
