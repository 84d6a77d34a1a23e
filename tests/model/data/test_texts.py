"""Texts as hashed features, by term."""

import numpy as np

from model.data.texts import hash_texts
from protos.text import text_features


def test_text_features_are_numbered_by_the_buckets_that_occur() -> None:
    """The same word is one term, and has the same rows, wherever it stands."""
    said = ["mug", "", "red mug", "Mug, mug!"]
    texts = hash_texts(said, 1 << 12)

    assert texts.node.tolist() == [0, 2, 2, 2, 3, 3, 3]
    assert texts.num_terms == 4
    node, feature = texts.flat()
    assert (np.diff(node) >= 0).all()
    for number, text in enumerate(said):
        found = texts.buckets[feature[node == number]]
        assert sorted(found.tolist()) == sorted(text_features(text, 1 << 12))
    assert texts.lengths(5).tolist() == [*(len(text_features(text, 1 << 12)) for text in said), 0]
    assert (np.diff(texts.buckets) > 0).all()


def test_texts_that_say_nothing_have_no_terms() -> None:
    """Not even the catalogue of a shop whose titles are dashes."""
    texts = hash_texts(["", "--"], 1 << 12)

    assert texts.num_terms == 0
    assert texts.lengths(2).tolist() == [0, 0]
    assert not len(texts.flat()[0])
