"""What pretrained text counts is chosen on edges that the network has not seen."""

from dataclasses import replace

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.artifact.pretrained.block import Scales
from model.training.pretrained_text import NodeParts, choose_scales
from stream.dtypes import Float32s, Int64s

NUM = 120
OFF = Scales(query=0.0, new_query=0.0, item=0.0, new_item=0.0)
SOME = Scales(query=0.4, new_query=0.4, item=0.4, new_item=0.8)


def noise(seed: int, dim: int = 8) -> Float32s:
    """Return random unit vectors."""
    return unit_rows(np.random.default_rng(seed).normal(size=(NUM, dim)).astype(np.float32))


def nodes(*, text_knows: bool, network_knows: bool) -> NodeParts:
    """Return queries and items, of which the item of each query is known to text, to
    the network, or to neither.
    """
    nothing = np.zeros(0, dtype=np.int64)
    return NodeParts(
        query_vectors=noise(1),
        item_vectors=noise(1) if network_knows else noise(2),
        query_directions=noise(3),
        item_directions=noise(3) if text_knows else noise(4),
        seen=(nothing, nothing),
    )


@pytest.fixture
def unseen() -> tuple[Int64s, Int64s]:
    """Return an edge from each query to the item of its number."""
    return np.arange(NUM), np.arange(NUM)


def test_text_that_finds_what_the_network_does_not_counts(unseen: tuple[Int64s, Int64s]) -> None:
    """Also where it did not count before."""
    chosen, figures = choose_scales(nodes(text_knows=True, network_knows=False), unseen, OFF)

    assert chosen.query * chosen.item >= 0.5
    assert figures["pretrained_worth"] > figures["pretrained_worth_without"]


def test_text_that_says_nothing_is_switched_off(unseen: tuple[Int64s, Int64s]) -> None:
    """Zero is a candidate."""
    loud = Scales(query=1.0, new_query=1.0, item=1.0, new_item=1.0)

    chosen, _ = choose_scales(nodes(text_knows=False, network_knows=True), unseen, loud)

    assert chosen.query * chosen.item < 0.5


def test_what_stands_stays_where_nothing_is_surely_better(
    unseen: tuple[Int64s, Int64s],
) -> None:
    """Noise is no reason to change."""
    chosen, _ = choose_scales(nodes(text_knows=True, network_knows=True), unseen, SOME)

    assert chosen == SOME


def test_few_queries_choose_nothing(unseen: tuple[Int64s, Int64s]) -> None:
    """What stands is kept."""
    few = unseen[0][:20], unseen[1][:20]

    chosen, figures = choose_scales(nodes(text_knows=True, network_knows=False), few, SOME)

    assert chosen == SOME
    assert figures == {"pretrained_edges": 20.0}


def test_new_items_may_count_more_than_known_ones() -> None:
    """Where the network knows the clicked ones and text the others."""
    known = np.arange(NUM) < NUM // 2
    base = nodes(text_knows=True, network_knows=True)
    mixed = replace(
        base,
        item_vectors=np.where(known[:, None], base.item_vectors, noise(5)),
        seen=((np.arange(NUM) + 1)[known] % NUM, np.arange(NUM)[known]),
    )

    chosen, _ = choose_scales(mixed, (np.arange(NUM), np.arange(NUM)), SOME)

    assert chosen.new_item >= chosen.item
