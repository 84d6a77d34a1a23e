"""What pretrained text counts is chosen on edges that the network has not seen."""

from model.artifact.pretrained.block import Scales
from model.training.beside.pretrained_text import NodeParts, choose_scales
from testing.vectors import EDGES, half_clicked, parts

OFF = Scales(query=0.0, new_query=0.0, item=0.0, new_item=0.0)
SOME = Scales(query=0.4, new_query=0.4, item=0.4, new_item=0.8)


def test_text_that_finds_what_the_network_does_not_counts() -> None:
    """Also where it did not count before."""
    nodes = parts(NodeParts, beside_knows=True, rest_knows=False)

    chosen, figures = choose_scales(nodes, EDGES, OFF)

    assert chosen.query * chosen.item >= 0.5
    assert figures["pretrained_worth"] > figures["pretrained_worth_without"]


def test_text_that_says_nothing_is_switched_off() -> None:
    """Zero is a candidate."""
    loud = Scales(query=1.0, new_query=1.0, item=1.0, new_item=1.0)

    chosen, _ = choose_scales(parts(NodeParts, beside_knows=False, rest_knows=True), EDGES, loud)

    assert chosen.query * chosen.item < 0.5


def test_what_stands_stays_where_nothing_is_surely_better() -> None:
    """Noise is no reason to change."""
    chosen, _ = choose_scales(parts(NodeParts, beside_knows=True, rest_knows=True), EDGES, SOME)

    assert chosen == SOME


def test_few_queries_choose_nothing() -> None:
    """What stands is kept."""
    few = EDGES[0][:20], EDGES[1][:20]

    chosen, figures = choose_scales(
        parts(NodeParts, beside_knows=True, rest_knows=False), few, SOME
    )

    assert chosen == SOME
    assert figures == {"pretrained_edges": 20.0}


def test_new_items_may_count_more_than_known_ones() -> None:
    """Where the network knows the clicked ones and text the others."""
    chosen, _ = choose_scales(half_clicked(NodeParts), EDGES, SOME)

    assert chosen.new_item >= chosen.item
