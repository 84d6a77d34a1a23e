"""What new clicks are worth is measured, and changes only where it surely is better."""

from dataclasses import replace
from random import Random

import numpy as np

from model.artifact.encoder import unit_rows
from model.artifact.generation import open_generation
from model.artifact.store import ArtifactStore
from model.data.repeat_clicks import repeat_clicks
from model.feedback import NewClicks, fed_back
from model.publishing.feedback_weight import FIRST_WEIGHT, choose_feedback_weight, click_ranks
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.result import TrainedModel
from stream.dtypes import Float32s
from stream.events.types import Interaction
from stream.graph.arrays import GraphArrays
from testing.small_shop import (
    COLOURS,
    KINDS,
    NOW_MS,
    START_MS,
    MakeArrays,
    click,
    shop_items,
    snapshot_of,
)

SESSIONS = 1200


def fashions(lasts: int) -> list[Interaction]:
    """Return clicks for a kind, each on the colour that is in fashion, which is another
    one every so many sessions.
    """
    random = Random(0)
    events = []
    for number in range(SESSIONS):
        kind, colour = random.choice(KINDS), Random(number // lasts).choice(COLOURS)
        events.append(click(number * 60_000, f"s{number}", kind, f"{kind}-{colour}"))
    return events


def judged(trained: TrainedModel, arrays: GraphArrays) -> TrainedModel:
    """Return a model with vectors, at random, that saw all but the newest sixth."""
    rng = np.random.default_rng(2)
    items = unit_rows(rng.normal(size=(arrays.num_items, 16)).astype(np.float32))
    queries = unit_rows(rng.normal(size=(arrays.num_queries, 16)).astype(np.float32))
    held_out = replace(
        trained.held_out,
        query_vectors=queries,
        item_vectors=items,
        begin_ms=START_MS + SESSIONS * 5 // 6 * 60_000,
    )
    return replace(trained, held_out=held_out)


def test_clicks_that_tell_the_next_ones_count(
    trained: TrainedModel, make_arrays: MakeArrays
) -> None:
    """More than they would without being measured."""
    arrays = make_arrays(fashions(lasts=150), shop_items())

    chosen = choose_feedback_weight(judged(trained, arrays), arrays)

    assert chosen.weight > FIRST_WEIGHT
    assert chosen.figures["feedback_mrr"] > chosen.figures["feedback_mrr_without"]
    assert chosen.figures["feedback_gain_low"] > 0
    assert chosen.figures["feedback_clicks"] > 150


def test_what_costs_unseen_pairs_goes(trained: TrainedModel, make_arrays: MakeArrays) -> None:
    """Whatever it brings for others: here every click is on an item that nobody has
    clicked for its query yet, and the query knew.
    """
    items = [item.item_id for item in shop_items()]
    events = [
        click(number * 60_000, f"s{number}", f"query {number % 60}", items[number // 60])
        for number in range(60 * len(items))
    ]
    arrays = make_arrays(events, shop_items())
    model = judged(trained, arrays)
    next_item = model.held_out.item_vectors[[arrays.item_ids.index(items[-1])]]
    queries = np.repeat(next_item, arrays.num_queries, axis=0)
    begin_ms = START_MS + 60_000 * 60 * (len(items) - 2)
    held_out = replace(model.held_out, query_vectors=queries, begin_ms=begin_ms)

    assert choose_feedback_weight(replace(model, held_out=held_out), arrays, 25.0).weight < 1.6


def test_what_cannot_be_judged_stands(trained: TrainedModel, make_arrays: MakeArrays) -> None:
    """A refresh with a handful of clicks keeps what its parent had."""
    arrays = make_arrays(fashions(lasts=150), shop_items())
    model = judged(trained, arrays)
    newest_ms = int(np.sort(arrays.fact_ms)[-10])
    few = replace(model, held_out=replace(model.held_out, begin_ms=newest_ms))

    assert choose_feedback_weight(few, arrays).weight == FIRST_WEIGHT
    assert choose_feedback_weight(few, arrays, standing=0.1).weight == 0.1


def test_the_manifest_has_the_weight_and_its_figures(
    trained: TrainedModel,
    arrays: GraphArrays,
    settings: ModelSettings,
    artifacts: ArtifactStore,
) -> None:
    """A refresher reads the one, people the other, and the next refresh goes on from
    it.
    """
    snapshot = snapshot_of(arrays)
    parent = publish(trained, arrays, snapshot, artifacts, settings, NOW_MS)
    nothing = replace(trained.held_out, begin_ms=np.iinfo(np.int64).max)
    again = replace(trained, parent=parent, held_out=nothing)
    child = publish(again, arrays, snapshot, artifacts, settings, NOW_MS + 1000)

    chosen = choose_feedback_weight(trained, arrays)
    for name in (parent, child):
        generation = open_generation(artifacts.generation_path(name))
        assert generation.feedback_weight == chosen.weight
    written = artifacts.manifest(parent).evaluation
    assert {name: written[name] for name in chosen.figures} == chosen.figures


def test_ranks_are_those_of_the_moved_vector(arrays: GraphArrays) -> None:
    """Scored in parts and added by weight, as by the vector that is published; items
    that are not shown are passed over.
    """
    rng = np.random.default_rng(3)

    def rows(count: int) -> Float32s:
        return unit_rows(rng.normal(size=(count, 8)).astype(np.float32))

    queries, items = rows(arrays.num_queries), rows(arrays.num_items)
    is_shown = rng.random(arrays.num_items) < 0.8
    clicks = repeat_clicks(arrays, 0, is_shown, most=50)
    before = NewClicks(clicks.place, clicks.sessions, clicks.before, items)

    ranks = click_ranks(clicks, queries, items, is_shown, [0.0, 0.7])

    for weight, found in zip((0.0, 0.7), ranks, strict=True):
        scores = fed_back(queries[clicks.query], before, weight).vectors @ items.T
        own = scores[np.arange(len(clicks)), clicks.item]
        wanted = ((scores > own[:, None]) & is_shown).sum(axis=1) + 1.0
        assert found.tolist() == wanted.tolist()
