"""Training: better than popularity, deterministic, on time, and never
a broken model.
"""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from model.artifact.encoder import unit_rows
from model.artifact.generation import Generation
from model.beside.joined import directions
from model.data.training_set import build_training_set
from model.errors import TrainingCancelled, TrainingFailed, TrainingRefused
from model.ranking import edge_ranks, quality_of
from model.settings import ModelSettings
from model.training.limits.budget import Budget
from model.training.passes.early_stopping import BestPass
from model.training.passes.run import Run
from model.training.result import TrainedModel, TrainingProgress
from model.training.step import Learner
from model.training.train import fit, train
from model.training.warm_start import open_warm_start
from stream.actions import Action
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from testing.small_shop import MakeArrays, click, shop_events, shop_items, with_titles


def same(left: TrainedModel, right: TrainedModel) -> bool:
    """Whether two models are equal to the last bit."""
    return all(
        np.array_equal(getattr(left, name), getattr(right, name))
        for name in ("query_vectors", "item_vectors", "query_attention", "item_attention")
    ) and all(np.array_equal(left.encoder[name], right.encoder[name]) for name in left.encoder)


def begun(settings: ModelSettings) -> Run:
    """Return where a training begins."""
    budget = Budget.of(settings, 30, time.monotonic())
    return Run(rng=np.random.default_rng(0), budget=budget, best=BestPass())


def is_sound(trained: TrainedModel, arrays: GraphArrays) -> bool:
    """Whether every vector is there, finite and of length one, and
    the encoder works.
    """
    vector = trained.text_encoder().encode("anything")
    return (
        trained.query_vectors.shape == (arrays.num_queries, trained.dim)
        and trained.item_vectors.shape == (arrays.num_items, trained.dim)
        and np.allclose(np.linalg.norm(trained.query_vectors, axis=1), 1, atol=1e-4)
        and np.allclose(np.linalg.norm(trained.item_vectors, axis=1), 1, atol=1e-4)
        and bool(np.isfinite(vector).all())
        and vector.shape == (trained.dim,)
    )


def best_items(trained: TrainedModel, arrays: GraphArrays, text: str, k: int = 3) -> list[str]:
    """Return what a server would answer to a query never seen."""
    scores = trained.item_vectors @ trained.text_encoder().encode(text)
    return [arrays.item_ids[item] for item in np.argsort(-scores)[:k]]


def test_the_model_beats_popularity_by_far_on_edges_it_has_not_seen(trained: TrainedModel) -> None:
    """On the newest edges, which it was not trained on."""
    assert trained.evaluation["validation_edges"] >= 20
    assert trained.evaluation["validation_mrr"] > 3 * trained.evaluation["popularity_mrr"]


def test_an_unseen_spelling_finds_what_it_means(trained: TrainedModel, arrays: GraphArrays) -> None:
    """Through the text encoder alone."""
    assert "scarf-violet" in best_items(trained, arrays, "violett scarfs")
    assert "kettle-red" in best_items(trained, arrays, "kettle in red")


def test_the_best_pass_is_what_is_kept(trained: TrainedModel) -> None:
    """The reported figure is that of the exported weights, without pretrained text."""
    held_out = trained.held_out
    data = (held_out.query, held_out.item)
    seen = (np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    queries, items = (
        unit_rows(vectors[:, : trained.settings.dim])
        for vectors in (held_out.query_vectors, held_out.item_vectors)
    )
    ranks = edge_ranks(queries, items, data, seen)

    # Without masking known items ranks can only be worse.
    assert quality_of(ranks, held_out.query).mrr <= trained.evaluation["validation_mrr"]
    assert quality_of(ranks, held_out.query).mrr > 0.5 * trained.evaluation["validation_mrr"]


def test_the_newest_facts_are_in_the_exported_vectors(trained: TrainedModel) -> None:
    """What was held out to stop in time is propagated over in the end."""
    query, item = trained.held_out.query, trained.held_out.item
    without = (trained.held_out.query_vectors[query] * trained.held_out.item_vectors[item]).sum(
        axis=1
    )
    exported = (trained.query_vectors[query] * trained.item_vectors[item]).sum(axis=1)

    assert exported.mean() > without.mean()


def test_the_same_seed_gives_the_same_model(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """To the last bit, on the CPU."""
    assert same(train(arrays, settings), trained)


def test_another_seed_gives_another_model(
    trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """The seed is used."""
    assert not same(train(arrays, replace(settings, seed=1)), trained)


def test_progress_is_told_after_every_pass(arrays: GraphArrays, settings: ModelSettings) -> None:
    """For a progress bar."""
    told: list[TrainingProgress] = []

    train(arrays, replace(settings, max_passes=3), on_progress=told.append)

    assert [(each.passes, each.max_passes) for each in told] == [(1, 3), (2, 3), (3, 3)]
    assert all(each.mrr is not None and np.isfinite(each.loss) for each in told)


def test_the_budget_ends_training(arrays: GraphArrays, settings: ModelSettings) -> None:
    """With a working model, long before the passes are done."""
    endless = replace(settings, max_passes=10_000, patience=10_000, budget_seconds=1.5)

    trained = train(arrays, endless)

    assert trained.evaluation["passes"] < 10_000
    assert is_sound(trained, arrays)


def test_a_budget_too_small_for_one_step_is_said_so(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """An untrained model is not returned."""
    with pytest.raises(TrainingFailed, match="budget"):
        train(arrays, replace(settings, budget_seconds=0.0))


def test_a_stop_ends_training_between_steps(arrays: GraphArrays, settings: ModelSettings) -> None:
    """Nothing is returned."""
    asked: list[bool] = []

    def stop() -> bool:
        asked.append(len(asked) >= 3)
        return asked[-1]

    with pytest.raises(TrainingCancelled):
        train(arrays, settings, is_cancelled=stop)

    assert len(asked) == 4


def test_a_loss_that_is_not_a_number_ends_training(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """It never becomes a generation."""
    learner = Learner(build_training_set(arrays, settings), settings, torch.device("cpu"))
    with torch.no_grad():
        learner.network.content.bag.fill_(torch.nan)

    with pytest.raises(TrainingFailed, match="loss became nan"):
        fit(learner, begun(settings), 1, is_cancelled=lambda: False)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_gpu_that_is_not_there_is_said_so(arrays: GraphArrays, settings: ModelSettings) -> None:
    """Not torch's own words."""
    with pytest.raises(TrainingRefused, match=r"model\.device"):
        train(arrays, replace(settings, device="cuda"))


def test_one_item_gives_a_working_model(make_arrays: MakeArrays, settings: ModelSettings) -> None:
    """There is nothing to rank, and nothing breaks."""
    arrays = make_arrays([click(0, "s", "mug", "a"), click(1, "t", "cup", "a")])

    assert is_sound(train(arrays, settings), arrays)


def test_no_session_of_two_items_gives_a_working_model(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """The hypergraph channel is silent."""
    events = [replace(event, session_id=f"s{n}") for n, event in enumerate(shop_events(100))]
    arrays = make_arrays(events, shop_items())

    trained = train(arrays, settings)

    assert is_sound(trained, arrays)
    assert (trained.item_attention[:, 2] == 0).all()


def test_identical_sessions_give_a_working_model(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Nothing to tell items apart but their place in the graph."""
    events = [
        click(n * 10 + m, f"s{n}", "mug", item)
        for n in range(30)
        for m, item in enumerate(("a", "b", "c"))
    ]
    arrays = make_arrays(events)

    assert is_sound(train(arrays, settings), arrays)


@pytest.mark.parametrize("title", ["", "?!", "same words"])
def test_titles_that_say_nothing_give_a_working_model(
    arrays: GraphArrays, settings: ModelSettings, title: str
) -> None:
    """The graph tells the items apart; known queries still find their clicks."""
    dumb = with_titles(arrays, title)

    trained = train(dumb, settings)

    assert is_sound(trained, dumb)
    assert trained.evaluation["validation_mrr"] > trained.evaluation["popularity_mrr"]


def test_a_log_without_queries_gives_a_model_of_titles(
    make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Sessions and titles are enough for a text encoder and item vectors."""
    views = [replace(event, query="", action=Action.VIEW) for event in shop_events(300)]
    arrays = make_arrays(views, shop_items())

    trained = train(arrays, settings)

    assert arrays.num_queries == 0
    assert is_sound(trained, arrays)
    assert "mug-amber" in best_items(trained, arrays, "amber mug")
    assert len(trained.warm["query_ids"]) == 0


def test_an_empty_graph_is_refused(make_arrays: MakeArrays, settings: ModelSettings) -> None:
    """With what to do."""
    with pytest.raises(TrainingRefused, match="freshet stream"):
        train(make_arrays([], [CatalogItem(item_id="a", title="Mug")]), settings)


def test_where_nothing_happened_since_training_changes_nothing(
    generation: Generation, trained: TrainedModel, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """All that the parent learned is left as it was."""
    warm = train(arrays, settings, warm=generation)

    assert warm.parent == generation.id
    assert warm.evaluation["steps"] == 0
    assert "validation_mrr" not in warm.evaluation
    np.testing.assert_allclose(warm.item_vectors, trained.item_vectors, atol=1e-5)
    np.testing.assert_allclose(warm.query_vectors, trained.query_vectors, atol=1e-5)


def test_a_refresh_learns_the_clicks_since_its_parent_and_forgets_nothing(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """New queries lead to a new item, old ones to what they led to.

    The figures are from before.
    """
    new = [click(10**9 + n, f"new{n}", f"zorb number {n}", "zorb") for n in range(30)]
    grown = make_arrays(
        [*shop_events(400), *new], [*shop_items(), CatalogItem(item_id="zorb", title="")]
    )

    warm = train(grown, settings, warm=generation)

    assert warm.evaluation["passes"] == 0
    assert warm.evaluation["validation_edges"] == 30
    assert warm.evaluation["validation_mrr"] < 0.5
    assert best_items(warm, grown, "a zorb")[0] == "zorb"
    assert "scarf-violet" in best_items(warm, grown, "violett scarfs")


def test_a_refresh_learns_clicks_that_come_late(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """A phone was offline: what it did is older than what the parent has learned, and
    no less worth.
    """
    late = [click(1_000_000 + n, f"late{n}", f"zorb number {n}", "zorb") for n in range(30)]
    grown = make_arrays(
        [*shop_events(400), *late], [*shop_items(), CatalogItem(item_id="zorb", title="")]
    )
    assert grown.watermark_ms == generation.manifest.snapshot.watermark_ms

    warm = train(grown, settings, warm=generation)

    assert warm.evaluation["validation_edges"] == 30
    assert best_items(warm, grown, "a zorb")[0] == "zorb"
    assert "scarf-violet" in best_items(warm, grown, "violett scarfs")


def test_a_refresh_without_time_to_learn_fails(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Its watermark would say that it knows clicks which it never learned."""
    grown = make_arrays([*shop_events(400), click(10**9, "new", "zorb", "mug-red")], shop_items())

    with pytest.raises(TrainingFailed, match="budget"):
        train(grown, replace(settings, budget_seconds=0.0), warm=generation)


def test_a_refresh_after_a_long_time_stops_by_what_is_newest(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """As a training from scratch does.

    The parent's share of the log is only gone over in part.
    """
    later = [replace(event, ts_ms=event.ts_ms + 10**9) for event in shop_events(300, seed=1)]
    grown = make_arrays([*shop_events(400), *later], shop_items())

    warm = train(grown, settings, warm=generation)

    assert 1 <= warm.evaluation["passes"] <= settings.warm_passes
    assert warm.evaluation["validation_mrr"] > 3 * warm.evaluation["popularity_mrr"]


def test_known_nodes_keep_their_id_vectors_by_id_not_by_row(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """New queries and items shift every row.

    At a learning rate of next to nothing all known vectors stay.
    """
    more = [click(10**9 + n, f"new{n}", f"new query {n}", f"new-item-{n}") for n in range(40)]
    grown = make_arrays([*shop_events(400), *more], shop_items())
    still = replace(settings, learning_rate=1e-6, warm_passes=1)

    warm = train(grown, still, warm=generation)

    old_row = {item_id: row for row, item_id in enumerate(generation.item_ids)}
    moved = [old_row.get(item_id, -1) for item_id in grown.item_ids]
    known = [row for row, old in enumerate(moved) if old >= 0]
    assert any(moved[row] != row for row in known)
    old_vectors = generation.warm["item_ids"][[moved[row] for row in known]]
    assert np.abs(warm.warm["item_ids"][known] - old_vectors).max() < 1e-4
    new = [row for row, old in enumerate(moved) if old < 0]
    assert np.abs(warm.warm["item_ids"][new]).max() < 1e-4
    old_query = {text: row for row, text in enumerate(generation.query_texts)}
    for row, text in enumerate(grown.query_texts):
        expected = generation.warm["query_ids"][old_query[text]] if text in old_query else 0.0
        assert np.abs(warm.warm["query_ids"][row] - expected).max() < 1e-4


@pytest.mark.parametrize("change", [{"dim": 8}, {"num_buckets": 1 << 10}, {"hidden": 4}], ids=str)
def test_a_generation_of_another_shape_is_no_warm_start(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    change: dict[str, int],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Training starts from scratch, and says so."""
    other = replace(settings, max_passes=1, **change)  # type: ignore[arg-type]

    trained = train(arrays, other, warm=generation)

    assert trained.parent == ""
    assert is_sound(trained, arrays)
    assert "warm start ignored" in caplog.text


@pytest.mark.parametrize("kind", ["query", "item"])
@pytest.mark.parametrize("name", ["score", "bias", "degree", "project.weight"])
def test_a_generation_with_another_number_of_channels_is_ignored(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    kind: str,
    name: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """An attention of another shape does not end every training that would start there.

    Training starts from scratch, and says so.
    """
    stored = f"weight.attention.{kind}.{name}"
    older = {**generation.warm, stored: generation.warm[stored][:-1]}

    trained = train(arrays, replace(settings, max_passes=1), warm=replace(generation, warm=older))

    assert trained.parent == ""
    assert is_sound(trained, arrays)
    assert "warm start ignored" in caplog.text
    assert f"attention.{kind}.{name}" in caplog.text


def test_a_generation_that_lacks_a_shared_weight_is_started_from(
    generation: Generation, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """One from before the weight was there: it keeps what the network begins with."""
    older = {name: array for name, array in generation.warm.items() if "offset" not in name}
    assert len(older) < len(generation.warm)

    assert train(arrays, settings, warm=replace(generation, warm=older)).parent == generation.id


def test_every_stored_weight_has_its_shape_checked(
    generation: Generation, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """Whatever parameters the network has, none that is stored fails to fit later."""
    for name, array in generation.warm.items():
        other = {**generation.warm, name: np.concatenate([array, array])}
        assert open_warm_start(replace(generation, warm=other), arrays, settings) is None, name
    assert open_warm_start(generation, arrays, settings) is not None


def test_a_generation_with_nan_is_no_warm_start(
    generation: Generation,
    arrays: GraphArrays,
    settings: ModelSettings,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A broken parent has no children."""
    poisoned = dict(generation.warm)
    poisoned["item_ids"] = np.full_like(poisoned["item_ids"], np.nan)

    trained = train(
        arrays, replace(settings, max_passes=1), warm=replace(generation, warm=poisoned)
    )

    assert trained.parent == ""
    assert is_sound(trained, arrays)
    assert "not finite" in caplog.text


def test_pre_training_changes_what_training_begins_from_and_ends_well(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """With it the generation is another one, repeatable, and still far better than
    popularity.
    """
    with_it = replace(settings, pretrain_passes=3)
    first, again, without = train(arrays, with_it), train(arrays, with_it), train(arrays, settings)

    assert np.array_equal(first.item_vectors, again.item_vectors)
    assert not np.allclose(first.item_vectors, without.item_vectors)
    assert first.evaluation["validation_mrr"] > 1.5 * first.evaluation["popularity_mrr"]


def test_pre_training_ends_when_it_is_asked_to_stop(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """As a training does: nothing is returned."""
    with pytest.raises(TrainingCancelled):
        train(arrays, replace(settings, pretrain_passes=10_000), is_cancelled=lambda: True)


def test_held_out_facts_are_learnt_from_once_they_have_been_judged_by(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """The figures and what the gate sees stay as they were.

    The newest edges' items come nearer.
    """
    with_it, without = (train(arrays, replace(settings, newest_passes=passes)) for passes in (6, 0))

    def mean_score(trained: TrainedModel) -> float:
        query, item = trained.held_out.query, trained.held_out.item
        return float((trained.query_vectors[query] * trained.item_vectors[item]).sum(axis=1).mean())

    assert with_it.evaluation["validation_mrr"] == without.evaluation["validation_mrr"]
    assert np.array_equal(with_it.held_out.item_vectors, without.held_out.item_vectors)
    assert mean_score(with_it) > mean_score(without)


def test_pretrained_text_stands_beside_the_network_and_outlives_a_refresh(
    trained: TrainedModel, generation: Generation, arrays: GraphArrays, settings: ModelSettings
) -> None:
    """A refresh keeps its parent's projection; switched off, it leaves nothing."""
    assert trained.pretrained is not None
    assert trained.dim == settings.dim + settings.pretrained_dim
    assert generation.manifest.pretrained_text.sha256 == trained.pretrained.identity.sha256
    assert generation.network_dim == settings.dim

    refreshed = train(arrays, settings, warm=generation)
    without = train(arrays, replace(settings, pretrained_text="off"), warm=generation)

    assert refreshed.pretrained is not None
    assert np.array_equal(
        refreshed.pretrained.block.projection.matrix, trained.pretrained.block.projection.matrix
    )
    assert without.pretrained is None
    assert without.parent == generation.id
    assert without.dim == settings.dim


def test_a_refresh_has_the_pretrained_directions_of_all_queries(
    generation: Generation, make_arrays: MakeArrays, settings: ModelSettings
) -> None:
    """Those that its parent has, read off its vectors, and new ones."""
    arrays = make_arrays(shop_events(600), shop_items())
    is_known = np.isin(arrays.query_keys, generation.query_keys)

    refreshed = train(arrays, settings, warm=generation)

    assert 0 < is_known.sum() < len(is_known)
    assert refreshed.pretrained is not None
    first, dim = settings.dim, refreshed.pretrained.block.dim
    assert directions(refreshed.query_vectors[:, first : first + dim]) == pytest.approx(
        refreshed.pretrained.block.directions(arrays.query_texts), abs=1e-5
    )
