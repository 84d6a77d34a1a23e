"""A click brings its item at once, whatever the words of its query."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.generation import Generation
from model.fresh.result import RoundResult
from model.fresh.state import FreshState
from stream.dtypes import Float32s
from stream.events.types import CatalogItem, Interaction
from testing.fresh_rounds import changes_between
from testing.small_shop import click, shop_events

QUERY = "xylophone"
NOVEL = CatalogItem(item_id="novel", title="Zither Quartz")


def clicks(count: int, item: str = NOVEL.item_id) -> list[Interaction]:
    """Return a click for `QUERY` of each of some sessions."""
    return [click(number, f"{item}-{number}", QUERY, item) for number in range(count)]


def query_of(result: RoundResult) -> Float32s:
    """Return the vector that was published for `QUERY`."""
    vector: Float32s = result.query_vectors[result.query_texts.index(QUERY)]
    return vector


def rank(generation: Generation, results: list[RoundResult], item: str) -> int:
    """Return which place an item has for `QUERY`, from 1."""
    vectors = dict(zip(generation.item_ids, generation.item_vectors, strict=True))
    for result in results:
        vectors |= dict(zip(result.item_ids, result.item_vectors, strict=True))
    query = next(query_of(each) for each in reversed(results) if QUERY in each.query_texts)
    scores = {name: float(vector @ query) for name, vector in vectors.items()}
    return 1 + sum(score > scores[item] for score in scores.values())


def reaching(generation: Generation, cosine: float) -> Generation:
    """Return the generation with another cosine of its first pages, whose clicks are
    worth nothing by themselves.
    """
    manifest = type(generation.manifest)()
    manifest.CopyFrom(generation.manifest)
    manifest.first_page_cosine, manifest.feedback_weight = cosine, 0.0
    return replace(generation, manifest=manifest)


def cosine_with(result: RoundResult, text: str, item_id: str) -> float:
    """Return how near a published query is to a published item."""
    query = result.query_vectors[result.query_texts.index(text)]
    return float(query @ result.item_vectors[result.item_ids.index(item_id)])


def weighing(generation: Generation, weight: float) -> Generation:
    """Return the generation with another feedback weight; that alone moves queries."""
    manifest = type(generation.manifest)()
    manifest.CopyFrom(generation.manifest)
    manifest.feedback_weight, manifest.first_page_cosine = weight, 0.0
    return replace(generation, manifest=manifest)


def test_a_new_query_finds_what_was_clicked_for_it(generation: Generation) -> None:
    """One click, and no word in common: the item is the first answer."""
    change, cosines = changes_between([], clicks(1), [NOVEL]), {}
    for weight in (0.0, 0.4):
        result = FreshState(weighing(generation, weight)).apply([change])
        cosines[weight] = float(
            query_of(result) @ result.item_vectors[result.item_ids.index(NOVEL.item_id)]
        )

    assert rank(generation, [result], NOVEL.item_id) == 1
    assert cosines[0.4] > cosines[0.0] + 0.03


def test_a_known_query_moves_further_with_each_session(generation: Generation) -> None:
    """Towards what is clicked now; without a weight it stays nearly where it is."""
    text = shop_events(400)[0].query or ""
    item = next(id_ for id_ in generation.item_ids if not text.endswith(id_.split("-")[0]))
    events = [click(number, f"new-{number}", text, item) for number in range(9)]
    cosines = {}
    for weight in (0.0, 0.4):
        state = FreshState(weighing(generation, weight))
        for before, after in ((0, 1), (1, 9)):
            result = state.apply([changes_between(events[:before], events[:after])])
            query = result.query_vectors[result.query_texts.index(text)]
            cosines[weight, after] = float(query @ result.item_vectors[result.item_ids.index(item)])

    assert cosines[0.4, 1] > cosines[0.0, 1]
    assert cosines[0.4, 9] > cosines[0.4, 1]
    assert cosines[0.4, 9] - cosines[0.0, 9] > cosines[0.4, 1] - cosines[0.0, 1]


def test_a_query_follows_an_item_that_moves(generation: Generation) -> None:
    """It is published again with the item, though nothing of its own has changed."""
    state = FreshState(generation)
    first = state.apply([changes_between([], clicks(1), [NOVEL])])
    renamed = replace(NOVEL, title="Blue Kettle", ts_ms=NOVEL.ts_ms + 1)

    later = state.apply([changes_between([], [], [renamed])])

    assert QUERY in later.query_texts
    assert not np.allclose(query_of(later), query_of(first), atol=0.01)
    assert rank(generation, [first, later], NOVEL.item_id) == 1
    assert state.audit(100) > 0.999


def test_a_query_is_published_again_once_its_items_have_moved_it(generation: Generation) -> None:
    """Not each time that one of them moves, which the network does not tell it here;
    all the time it is nearly where it would be.
    """
    state = FreshState(weighing(generation, 0.1))
    told = query_of(state.apply([changes_between([], clicks(1), [NOVEL])]))
    columns, count = state._graph.nodes.columns, state._graph.nodes.count
    item = int(np.flatnonzero(columns.is_item[:count] & (columns.row[:count] < 0))[0])
    query = np.flatnonzero(~columns.is_item[:count] & (columns.row[:count] < 0))
    aside = np.roll(columns.own[item], 1) * 0.06

    was_told = []
    for _ in range(20):
        columns.own[item] += aside
        columns.unrest[item] = np.inf
        result = state.apply([])
        assert NOVEL.item_id in result.item_ids
        was_told.append(QUERY in result.query_texts)
        told = query_of(result) if was_told[-1] else told
        noted = columns.pull[query].copy()
        assert float(told @ state._rows.queries(query).vectors[0]) > 0.9998  # cos(_FOLLOWS)
        columns.pull[query] = noted

    assert 0 < sum(was_told) < len(was_told)


def test_an_erased_click_is_worth_nothing(generation: Generation) -> None:
    """The query is again what its other clicks make it."""
    state, twice = FreshState(generation), clicks(1) + clicks(1, generation.item_ids[0])
    state.apply([changes_between([], twice, [NOVEL])])

    result = state.apply([changes_between(twice, twice[1:])])
    alone = FreshState(generation).apply([changes_between([], twice[1:], [NOVEL])])

    assert float(query_of(result) @ query_of(alone)) > 0.9999


def test_an_item_without_a_finite_vector_moves_no_query(generation: Generation) -> None:
    """It is poison by itself, and its queries are not."""
    state = FreshState(generation)
    state.apply([changes_between([], clicks(1), [NOVEL])])
    nodes = state._graph.nodes
    nodes.columns.own[np.flatnonzero(nodes.columns.is_item[: nodes.count])] = np.nan

    result = state.apply([changes_between(clicks(1), clicks(2))])

    assert result.poisoned >= 1
    assert np.isfinite(result.query_vectors).all()


def test_a_query_comes_as_near_to_a_new_item_as_a_first_page_goes(
    generation: Generation,
) -> None:
    """A new one with its one click; a known one as far as its new clicks outweigh its
    old ones; to an item of the generation none.
    """
    known = shop_events(400)[0].query or ""
    old = generation.item_ids[0]
    new = [click(0, "n", QUERY, NOVEL.item_id), click(0, "k", known, NOVEL.item_id)]
    change = changes_between([], [*new, click(0, "o", "bassoon", old)], [NOVEL])

    result = FreshState(reaching(generation, 0.9)).apply([change])
    plain = FreshState(reaching(generation, 0.0)).apply([change])

    assert cosine_with(result, QUERY, NOVEL.item_id) == pytest.approx(0.9, abs=1e-3)
    assert cosine_with(plain, QUERY, NOVEL.item_id) < 0.8
    moved, stayed = (cosine_with(each, known, NOVEL.item_id) for each in (result, plain))
    assert stayed < moved < 0.9
    assert cosine_with(result, "bassoon", old) == pytest.approx(
        cosine_with(plain, "bassoon", old), abs=1e-6
    )


@pytest.mark.parametrize("cosine", [1.0, -0.5, float("nan")])
def test_a_cosine_that_says_nothing_asks_nothing(generation: Generation, cosine: float) -> None:
    """Queries are published, as if nobody had measured it."""
    change = changes_between([], clicks(1), [NOVEL])

    result, plain = (
        FreshState(reaching(generation, each)).apply([change]) for each in (cosine, 0.0)
    )

    assert np.array_equal(result.query_vectors, plain.query_vectors)
