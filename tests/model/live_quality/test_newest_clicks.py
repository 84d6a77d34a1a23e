"""How a generation answers the clicks that it has not learned."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.generation import Generation
from model.live_quality.newest_clicks import Evaluation, Figure, Sample, Segment, evaluate_newest
from stream.actions import Action
from stream.events.types import CatalogItem
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, click, shop_events, shop_items

LATER_MS = 10**9  # after all sessions of the shop


def with_clicks(make_arrays: MakeArrays, *pairs: tuple[str, str]) -> GraphArrays:
    """Return the shop's graph with later clicks, each of a session of its own."""
    later = [
        click(LATER_MS + number * 1000, f"late{number}", query, item)
        for number, (query, item) in enumerate(pairs)
    ]
    return make_arrays([*shop_events(400), *later], shop_items())


def evaluated(generation: Generation, arrays: GraphArrays, most: int = 1000) -> Evaluation:
    """Return the evaluation, which there is."""
    found = evaluate_newest(generation, arrays, most, NOW_MS)
    assert found is not None
    return found


def rank_of(generation: Generation, arrays: GraphArrays) -> float:
    """Return the rank of the one pair that is new, by its MRR."""
    return 1.0 / evaluated(generation, arrays).samples[Segment.ALL, Figure.MRR].total


def test_what_was_learned_is_not_asked_for(generation: Generation, arrays: GraphArrays) -> None:
    """Without a new click there is nothing to evaluate on."""
    assert evaluate_newest(generation, arrays, 1000, NOW_MS) is None


def test_a_click_that_fits_ranks_well_and_one_that_does_not_ranks_badly(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """The texts are new to the generation: its encoder answers."""
    fitting = with_clicks(make_arrays, ("a violet mug please", "mug-violet"))
    odd = with_clicks(make_arrays, ("a violet mug please", "backpack-green"))

    assert rank_of(generation, fitting) <= 3
    assert rank_of(generation, odd) > 5
    found = evaluated(generation, fitting)
    assert (found.generation_id, found.num_pairs) == (generation.id, 1)
    assert found.samples[Segment.KNOWN, Figure.MRR] == Sample(0, 0.0, 0.0)


def test_known_queries_are_a_segment_of_their_own(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """A pair is new though its query is known."""
    known = generation.query_texts[0]
    arrays = with_clicks(
        make_arrays, (known, "notebook-amber"), (known, "lamp-blue"), ("unheard of", "mug-red")
    )

    found = evaluated(generation, arrays).samples

    assert found[Segment.ALL, Figure.MRR].num == 2
    assert found[Segment.KNOWN, Figure.MRR].num == 1


def test_what_the_generation_learned_of_a_query_does_not_rank_above(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """Items that were clicked for it before are left out of the ranking."""
    arrays = make_arrays(shop_events(400), shop_items())
    query = int(np.bincount(arrays.edge_query).argmax())
    learned = set(arrays.edge_item[arrays.edge_query == query].tolist())
    row = generation.find_query(arrays.query_texts[query])
    assert row is not None
    order = np.argsort(-(generation.item_vectors @ generation.query_vectors[row]))
    others = [item for item in order.tolist() if item not in learned]
    new = with_clicks(make_arrays, (arrays.query_texts[query], generation.item_ids[others[1]]))

    assert order.tolist().index(others[1]) > 1
    assert rank_of(generation, new) == 2.0


def test_an_item_that_the_generation_lacks_is_not_found(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """It counts, as a miss; the generation could not answer with it."""
    item = CatalogItem(item_id="teapot-red", title="Red Teapot")
    arrays = make_arrays(
        [*shop_events(400), click(LATER_MS, "late", "red teapot", "teapot-red")],
        [*shop_items(), item],
    )

    found = evaluated(generation, arrays).samples

    assert found[Segment.ALL, Figure.RECALL_10] == Sample(1, 0.0, 0.0)
    assert found[Segment.ALL, Figure.MRR] == Sample(1, 0.0, 0.0)


def test_a_backfill_is_not_news(generation: Generation, make_arrays: MakeArrays) -> None:
    """Clicks that were made long before the generation's newest event came after it."""
    backfilled = [
        click(-(10**9) + number * 1000, f"old{number}", "a violet mug please", "backpack-green")
        for number in range(3)
    ]
    arrays = make_arrays([*backfilled, *shop_events(400)], shop_items())

    assert evaluate_newest(generation, arrays, 1000, NOW_MS) is None


def test_an_item_that_is_gone_by_now_is_not_asked_for(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """Nothing could show it."""
    arrays = with_clicks(make_arrays, ("a violet mug please", "mug-violet"))
    gone = arrays.item_ids.index("mug-violet")
    available = arrays.item_available.copy()
    available[gone] = False

    hidden = replace(arrays, item_available=available)

    assert evaluate_newest(generation, hidden, 1000, NOW_MS) is None


def test_of_many_queries_the_newest_are_asked(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """The cost is bounded by the number of queries."""
    arrays = with_clicks(
        make_arrays,
        ("a violet mug please", "backpack-green"),
        ("an amber lamp please", "lamp-amber"),
    )

    newest = evaluated(generation, arrays, most=1)

    assert newest.num_pairs == 1
    assert 1.0 / newest.samples[Segment.ALL, Figure.MRR].total <= 3


def test_a_purchase_out_of_a_search_is_a_pair_like_a_click(
    generation: Generation, make_arrays: MakeArrays
) -> None:
    """And a pair with several clicks counts once."""
    events = [
        click(LATER_MS + number, f"late{number}", "a violet mug please", "mug-violet", action)
        for number, action in enumerate((Action.CLICK, Action.PURCHASE, Action.CLICK))
    ]
    arrays = make_arrays([*shop_events(400), *events], shop_items())

    assert evaluated(generation, arrays).num_pairs == 1


def test_samples_add_up_to_the_whole() -> None:
    """Mean and variance of parts are those of all values."""
    values = np.random.default_rng(1).random(50)
    whole = Sample.of(values[:20]) + Sample.of(values[20:])

    assert whole.num == 50
    assert whole.mean == pytest.approx(values.mean())
    assert whole.mean_variance == pytest.approx(values.var(ddof=1) / 50)
