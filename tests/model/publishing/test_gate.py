"""The gate: what may not go live, and why."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.encoder import unit_rows
from model.artifact.generation import Generation
from model.publishing.gate import Candidate, judge
from model.publishing.publish import _candidate
from model.settings import ModelSettings
from model.training.result import TrainedModel
from stream.graph.arrays import GraphArrays


@pytest.fixture
def candidate(trained: TrainedModel, arrays: GraphArrays) -> Candidate:
    """Return the shop's model as it asks to go live."""
    return _candidate(trained, arrays, np.arange(arrays.num_items), 1.0)


def random_rows(like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return random unit vectors of the same shape."""
    return unit_rows(np.random.default_rng(7).normal(size=like.shape).astype(np.float32))


def older(generation: Generation) -> Generation:
    """Return the generation as if it had learned no click at all."""
    assert generation.paths is not None
    paths = generation.paths
    nothing = replace(
        paths, click_starts=np.zeros_like(paths.click_starts), click_items=paths.click_items[:0]
    )
    return replace(generation, paths=nothing)


def test_a_sound_model_passes(candidate: Candidate, settings: ModelSettings) -> None:
    """With nothing to compare it with."""
    verdict = judge(candidate, None, settings)

    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.figures["known_edges_mean_rank"] < 0.2


def test_the_same_model_again_passes(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """It is not worse than itself."""
    verdict = judge(candidate, older(generation), settings)

    assert verdict.passed
    assert verdict.figures["compared_edges"] >= settings.gate_min_edges


@pytest.mark.parametrize("field", ["item_vectors", "query_vectors"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(
    candidate: Candidate, settings: ModelSettings, field: str, value: float
) -> None:
    """One is enough."""
    vectors = getattr(candidate, field).copy()
    vectors[3, 2] = value

    verdict = judge(replace(candidate, **{field: vectors}), None, settings)

    assert not verdict.passed
    assert "not finite" in verdict.reasons[0]


def test_vectors_of_another_length_are_refused(
    candidate: Candidate, settings: ModelSettings
) -> None:
    """The index ranks by distance: only unit vectors rank as their cosine does."""
    vectors = candidate.item_vectors.copy()
    vectors[0] *= 2

    assert "length 1" in judge(replace(candidate, item_vectors=vectors), None, settings).reasons[0]


def test_another_dimension_is_refused(candidate: Candidate, settings: ModelSettings) -> None:
    """A server would not load it."""
    verdict = judge(replace(candidate, dim=candidate.dim + 1), None, settings)

    assert "dimension" in verdict.reasons[0]


def test_collapsed_vectors_are_refused(candidate: Candidate, settings: ModelSettings) -> None:
    """All items in one place answer nothing."""
    one_place = unit_rows(candidate.item_vectors[:1] + 0.01 * candidate.item_vectors)

    verdict = judge(replace(candidate, item_vectors=one_place), None, settings)

    assert any(
        "collapsed" in reason and "model.gate_max_mean_cosine" in reason
        for reason in verdict.reasons
    )


def test_shuffled_vectors_are_refused(candidate: Candidate, settings: ModelSettings) -> None:
    """Each is sound; they belong to other ids."""
    shuffled = np.random.default_rng(1).permutation(candidate.item_vectors)

    verdict = judge(replace(candidate, item_vectors=shuffled), None, settings)

    assert any("do not belong to their ids" in reason for reason in verdict.reasons)


def test_an_index_that_misses_neighbours_is_refused(
    candidate: Candidate, settings: ModelSettings
) -> None:
    """With the setting that mends it."""
    fewer = replace(candidate, index_recall=0.97)
    chosen = replace(settings, index_engine="ivf", index_search_k=3)

    reasons = [
        *judge(fewer, None, chosen).reasons,
        *judge(fewer, None, replace(chosen, index_search_k=0)).reasons,
    ]

    assert "finds 0.970 of the nearest items, less than 0.98" in reasons[0]
    assert "set model.index_search_k (now 3) to 0" in reasons[0]
    assert "set model.index_engine (now ivf) to auto" in reasons[1]
    assert judge(fewer, None, replace(chosen, recall_at_10=0.97)).passed


def test_items_that_are_simply_gone_are_refused(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """A store was lost, or it is another shop's."""
    strangers = [f"other-{item_id}" for item_id in candidate.item_ids]

    verdict = judge(replace(candidate, item_ids=strangers), generation, settings)

    assert any(
        "not in the snapshot at all (model.gate_min_coverage is 0.9)" in reason
        for reason in verdict.reasons
    )


def test_items_that_the_catalogue_took_back_may_go(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """A catalogue may shrink."""
    strangers = [f"other-{item_id}" for item_id in candidate.item_ids]
    taken_back = replace(candidate, item_ids=strangers, hidden_ids=frozenset(candidate.item_ids))

    assert judge(taken_back, generation, settings).passed


def test_a_model_worse_than_the_live_one_is_refused(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """On clicks that neither has seen."""
    worse = replace(candidate, held_out_item_vectors=random_rows(candidate.held_out_item_vectors))

    verdict = judge(worse, older(generation), settings)

    assert any("newest unseen clicks" in reason for reason in verdict.reasons)
    assert verdict.figures["candidate_mrr"] < 0.5 * verdict.figures["current_mrr"]


def test_clicks_that_the_live_one_has_seen_are_not_compared(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """It would win by memory, also of clicks from after its watermark."""
    generation.manifest.snapshot.watermark_ms = 1
    worse = replace(candidate, held_out_item_vectors=random_rows(candidate.held_out_item_vectors))

    verdict = judge(worse, generation, settings)

    assert verdict.passed
    assert verdict.figures["compared_edges"] == 0


def test_a_refresh_that_forgets_is_refused(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """Each vector is sound and still near its own clicks.

    What the live one had learned is not as it was.
    """
    noise = 5.0 * random_rows(candidate.item_vectors)
    blurred = unit_rows((candidate.item_vectors + noise).astype(np.float32))
    refresh = replace(candidate, parent=generation.id)

    verdict = judge(replace(refresh, item_vectors=blurred), generation, settings)
    assert [reason for reason in verdict.reasons if "clicks learned before" in reason]
    assert verdict.figures["kept_candidate_mrr"] < 0.8 * verdict.figures["kept_current_mrr"]

    assert judge(refresh, generation, settings).passed
    other = judge(replace(refresh, parent="another", item_vectors=blurred), generation, settings)
    assert not [reason for reason in other.reasons if "clicks learned before" in reason]


def test_what_came_since_is_not_held_against_a_refresh(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """The live one had not learned it, so there is nothing to keep."""
    verdict = judge(replace(candidate, parent=generation.id), older(generation), settings)

    assert verdict.passed
    assert "kept_candidate_mrr" not in verdict.figures


def test_a_generation_without_a_graph_is_compared_by_its_watermark(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """It was written before graphs were stored."""
    generation.manifest.snapshot.watermark_ms = 1

    verdict = judge(candidate, replace(generation, paths=None), settings)

    assert verdict.passed
    assert verdict.figures["compared_edges"] == len(candidate.held_out[0])


def test_a_few_clicks_decide_nothing(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """Noise must not stop a release."""
    worse = replace(candidate, held_out_item_vectors=random_rows(candidate.held_out_item_vectors))

    assert judge(worse, older(generation), replace(settings, gate_min_edges=10_000)).passed


def test_clicks_of_a_handful_of_queries_decide_nothing(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """However many clicks they are: somebody who tries it out clicks for a few."""
    query, item = candidate.held_out
    of_few = np.flatnonzero(np.isin(query, np.unique(query)[:10]))
    few = replace(
        candidate,
        held_out=(query[of_few], item[of_few]),
        held_out_first_ms=candidate.held_out_first_ms[of_few],
        held_out_item_vectors=random_rows(candidate.held_out_item_vectors),
    )

    verdict = judge(few, older(generation), replace(settings, gate_min_edges=5))

    assert verdict.passed
    assert verdict.figures["compared_queries"] == 10
    assert "candidate_mrr" not in verdict.figures


def test_a_loss_that_may_be_chance_decides_nothing(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """A little more than may be lost, by few queries, while the others are as
    they were; with all of them worse by as much it is refused.
    """
    vectors = candidate.held_out_query_vectors.copy()
    query = np.unique(candidate.held_out[0])
    unlucky = query[: len(query) // 8]
    vectors[unlucky] = random_rows(vectors)[unlucky]
    worse = replace(candidate, held_out_query_vectors=vectors)
    strict = replace(settings, gate_max_quality_drop=0.1)

    verdict = judge(worse, older(generation), strict)

    assert verdict.figures["candidate_mrr"] < 0.9 * verdict.figures["current_mrr"]
    assert verdict.passed
    vectors[query] = random_rows(vectors)[query]
    assert not judge(worse, older(generation), strict).passed


def test_all_reasons_are_given(
    candidate: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """Not only the first."""
    bad = replace(
        candidate,
        index_recall=0.1,
        item_vectors=np.random.default_rng(1).permutation(candidate.item_vectors),
    )

    assert len(judge(bad, generation, settings).reasons) >= 2


@pytest.fixture
def unclicked(candidate: Candidate) -> Candidate:
    """Return the model as if it had learned no click."""
    nothing = np.zeros(0, dtype=np.int64)
    return replace(candidate, known=(nothing, nothing), known_first_ms=nothing)


def test_items_that_their_own_titles_do_not_find_are_refused(
    unclicked: Candidate, settings: ModelSettings
) -> None:
    """Nobody could ever click them."""
    sound = judge(unclicked, None, settings)
    lost = judge(
        replace(unclicked, item_vectors=random_rows(unclicked.item_vectors)), None, settings
    )

    assert sound.passed
    assert sound.figures["own_title_recall_10"] > 0.9
    assert lost.figures["own_title_recall_10"] < 0.5
    assert any("by their exact title, less than 50%" in reason for reason in lost.reasons)


def test_clicked_items_and_hidden_ones_are_not_asked_for_by_their_titles(
    candidate: Candidate, unclicked: Candidate, settings: ModelSettings
) -> None:
    """What is asked is whether new items can be found; of a few none is asked."""
    few = replace(unclicked, shown=np.arange(len(unclicked.shown)) < 5)
    untitled = replace(unclicked, titles=["" for _ in unclicked.titles])

    for each in (candidate, few, untitled):
        assert "own_title_recall_10" not in judge(each, None, settings).figures


def test_a_refresh_whose_parent_found_no_more_by_their_titles_passes(
    unclicked: Candidate, generation: Generation, settings: ModelSettings
) -> None:
    """One from before titles were learned goes on; it makes nothing worse."""
    lost = replace(unclicked, item_vectors=random_rows(unclicked.item_vectors))
    refresh = replace(lost, parent=generation.id)

    def reasons(candidate: Candidate) -> list[str]:
        found = judge(candidate, generation, settings).reasons
        return [reason for reason in found if "title" in reason]

    assert reasons(lost)
    assert not reasons(refresh)
    generation.manifest.evaluation["own_title_recall_10"] = 1.0
    assert reasons(refresh)
