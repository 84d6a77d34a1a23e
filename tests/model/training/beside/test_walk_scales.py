"""What walks through sessions count is chosen on edges that the model has not seen."""

from dataclasses import replace

import numpy as np

from model.beside.session_walk import WALK_OFF, WalkScales
from model.training.beside.walk_scales import FIRST_SCALES, WalkNodes, choose_walk_scales
from testing.vectors import EDGES, NUM, half_clicked, noise, parts

SOME = WalkScales(query=1.0, new_query=0.0, item=0.2, new_item=0.3)


def test_walks_that_find_what_the_rest_does_not_count() -> None:
    """Also where they did not before."""
    nodes = parts(WalkNodes, beside_knows=True, rest_knows=False)

    chosen, figures = choose_walk_scales(nodes, EDGES, WALK_OFF)

    assert chosen.query * chosen.item >= 0.2
    assert figures["walk_worth"] > figures["walk_worth_without"]


def test_walks_that_say_nothing_are_switched_off() -> None:
    """Zero is a candidate."""
    loud = WalkScales(query=1.0, new_query=0.0, item=2.0, new_item=2.0)
    nodes = parts(WalkNodes, beside_knows=False, rest_knows=True)

    chosen, _ = choose_walk_scales(nodes, EDGES, loud)

    assert chosen.is_off


def test_what_stands_stays_where_nothing_is_surely_better() -> None:
    """Noise is no reason to change."""
    both = parts(WalkNodes, beside_knows=True, rest_knows=True)

    assert choose_walk_scales(both, EDGES, WALK_OFF)[0] == WALK_OFF
    assert choose_walk_scales(both, EDGES, SOME)[0] == SOME


def test_few_queries_choose_nothing() -> None:
    """What stands is kept."""
    few = EDGES[0][:20], EDGES[1][:20]

    chosen, figures = choose_walk_scales(
        parts(WalkNodes, beside_knows=True, rest_knows=False), few, SOME
    )

    assert chosen == SOME
    assert figures == {"walk_edges": 20.0, "walk_new_edges": 0.0}


def half_asked(*, words_tell: bool) -> WalkNodes:
    """Return nodes of which walks know every query's item, but every second query has
    no direction; whether its vector tells what it would be.
    """
    nodes = parts(WalkNodes, beside_knows=True, rest_knows=False)
    has = (np.arange(NUM) % 2 == 0)[:, None]
    if words_tell:
        nodes = replace(nodes, item_directions=nodes.query_vectors)
        return replace(nodes, query_directions=nodes.query_vectors * has)
    return replace(nodes, query_directions=nodes.query_directions * has)


def test_guesses_count_where_words_tell_where_walks_lead() -> None:
    """Beside directions."""
    chosen, figures = choose_walk_scales(half_asked(words_tell=True), EDGES, WALK_OFF)

    assert chosen.query * chosen.item > 0.0
    assert chosen.new_query > 0.0
    assert figures["walk_edges"] == figures["walk_new_edges"] == NUM / 2


def test_few_known_queries_choose_what_is_first_or_nothing() -> None:
    """All together: not the best of many."""
    new = EDGES[0][1::2], EDGES[1][1::2]
    loud = replace(FIRST_SCALES, item=2.0, new_item=2.0)
    lost = replace(half_asked(words_tell=False), item_vectors=noise(1))

    assert choose_walk_scales(half_asked(words_tell=True), new, WALK_OFF)[0] == FIRST_SCALES
    assert choose_walk_scales(lost, new, loud)[0] in (WALK_OFF, FIRST_SCALES)


def test_what_is_first_stands_until_something_is_surely_better() -> None:
    """Where there is enough to judge by."""
    both = parts(WalkNodes, beside_knows=True, rest_knows=True)
    few = EDGES[0][:20], EDGES[1][:20]

    assert choose_walk_scales(both, EDGES, WALK_OFF, FIRST_SCALES)[0] == FIRST_SCALES
    assert choose_walk_scales(both, few, WALK_OFF, FIRST_SCALES)[0] == WALK_OFF


def test_guesses_that_say_nothing_do_not_count() -> None:
    """However sure directions are."""
    chosen, _ = choose_walk_scales(half_asked(words_tell=False), EDGES, WALK_OFF)

    assert chosen.query * chosen.item > 0.0
    assert chosen.new_query == 0.0


def test_items_without_clicks_may_count_more() -> None:
    """Where the rest knows the clicked ones and walks the others, these are not left
    where they were because they are few.
    """
    chosen, _ = choose_walk_scales(half_clicked(WalkNodes), EDGES, WALK_OFF)

    assert chosen.new_item >= chosen.item > 0.0
