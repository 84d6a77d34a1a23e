"""What walks through sessions count is chosen on edges that the model has not seen."""

from dataclasses import replace

import numpy as np

from model.session_walk import WALK_OFF, WalkScales
from model.training.beside.walk_scales import WalkNodes, choose_walk_scales
from testing.vectors import EDGES, NUM, half_clicked, parts

SOME = WalkScales(query=1.0, item=0.2, new_item=0.3)


def test_walks_that_find_what_the_rest_does_not_count() -> None:
    """Also where they did not before."""
    nodes = parts(WalkNodes, beside_knows=True, rest_knows=False)

    chosen, figures = choose_walk_scales(nodes, EDGES, WALK_OFF)

    assert chosen.query * chosen.item >= 0.2
    assert figures["walk_worth"] > figures["walk_worth_without"]


def test_walks_that_say_nothing_are_switched_off() -> None:
    """Zero is a candidate."""
    loud = WalkScales(query=1.0, item=2.0, new_item=2.0)
    nodes = parts(WalkNodes, beside_knows=False, rest_knows=True)

    chosen, _ = choose_walk_scales(nodes, EDGES, loud)

    assert chosen.is_off


def test_what_stands_stays_where_nothing_is_surely_better() -> None:
    """Noise is no reason to change."""
    both = parts(WalkNodes, beside_knows=True, rest_knows=True)

    assert choose_walk_scales(both, EDGES, WALK_OFF)[0] == WALK_OFF
    assert choose_walk_scales(both, EDGES, SOME)[0] == SOME


def test_few_queries_choose_nothing() -> None:
    """What stands is kept; a query that no walk leads from is none to judge by."""
    few = parts(WalkNodes, beside_knows=True, rest_knows=False)
    few = replace(few, query_directions=few.query_directions * (np.arange(NUM) < 20)[:, None])

    chosen, figures = choose_walk_scales(few, EDGES, SOME)

    assert chosen == SOME
    assert figures == {"walk_edges": 20.0}


def test_items_without_clicks_may_count_more() -> None:
    """Where the rest knows the clicked ones and walks the others, these are not left
    where they were because they are few.
    """
    chosen, _ = choose_walk_scales(half_clicked(WalkNodes), EDGES, WALK_OFF)

    assert chosen.new_item >= chosen.item > 0.0
