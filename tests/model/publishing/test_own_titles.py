"""How many items without clicks are found by their own titles."""

import numpy as np

from model.artifact.encoder import TextEncoder, unit_rows
from model.publishing.own_titles import own_title_recall
from model.training.result import TrainedModel
from protos.text import normalize_query
from stream.graph.arrays import GraphArrays


def test_the_items_of_one_title_are_one_answer(trained: TrainedModel) -> None:
    """However many there are: no item is missed for having twins."""
    titles = ["red mug"] * 30
    vectors = unit_rows(np.random.default_rng(2).normal(size=(30, 16)).astype(np.float32))
    nobody = np.zeros(30, dtype=np.bool_)

    assert own_title_recall(TextEncoder(trained.encoder), titles, vectors, nobody) == (30, 1.0)


def test_an_item_is_found_where_fewer_than_ten_others_are_nearer(
    trained: TrainedModel, arrays: GraphArrays
) -> None:
    """By the exact scores of the shown items."""
    encoder = TextEncoder(trained.encoder)
    titles = [normalize_query(title) for title in arrays.item_titles]
    vectors = unit_rows(np.random.default_rng(2).normal(size=(len(titles), 16)).astype(np.float32))
    clicked = np.arange(len(titles)) % 3 == 0

    asked, recall = own_title_recall(encoder, titles, vectors, clicked)

    ranks = [
        int((vectors @ encoder.encode(title) > vectors[item] @ encoder.encode(title)).sum())
        for item, title in enumerate(titles)
        if not clicked[item]
    ]
    assert asked == len(ranks)
    assert recall == np.mean([rank < 10 for rank in ranks])
    assert 0 < recall < 1


def test_nothing_to_ask_for_is_nothing_missed(trained: TrainedModel) -> None:
    """Items without titles, and shops in which all was clicked."""
    encoder = TextEncoder(trained.encoder)
    vectors = np.eye(2, 16, dtype=np.float32)

    for titles, clicked in ((["", ""], [False, False]), (["a", "b"], [True, True])):
        assert own_title_recall(encoder, titles, vectors, np.array(clicked)) == (0, 1.0)
