"""Words of titles beside a vector: an inner product that is about the cosine of words,
and nothing where no title has any of them.
"""

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.beside.title_words import WEIGHTS, WordBlock, word_block, word_weights
from model.errors import GenerationCorrupt
from protos.text import text_words
from stream.dtypes import Float32s

TITLES = ["Red Mug", "Blue Mug", "Glass Teapot", "", "红色 杯子"]
BUCKETS = 1 << 12
# Of "red mug" in nine numbers.
GOLDEN = [-0.060, 0.060, 0.495, -0.495, -0.495, 0.495, 0.060, 0.060, 0.060]
WEIGHTS_OF_TITLES = word_weights(TITLES, BUCKETS)


def block(scale: float = 0.5, dim: int = 513) -> WordBlock:
    """Return a block of the titles."""
    return WordBlock(dim=dim, scale=scale, weights=WEIGHTS_OF_TITLES)


def drawn(seed: int, count: int) -> Float32s:
    """Return random unit vectors."""
    return unit_rows(np.random.default_rng(seed).normal(size=(count, 8)).astype(np.float32))


def weight_of(word: str) -> float:
    """Return what a word weighs."""
    (feature,) = text_words(word, BUCKETS)
    return float(WEIGHTS_OF_TITLES[feature])


def test_a_word_weighs_the_more_the_fewer_titles_have_it() -> None:
    """One that none has weighs nothing, however often a title repeats another."""
    assert weight_of("teapot") == pytest.approx(np.log1p(5 / 2))
    assert weight_of("mug") == pytest.approx(np.log1p(5 / 3))
    assert weight_of("kettle") == 0.0
    again = word_weights(["mug mug mug", *TITLES[2:]], BUCKETS)
    assert again[text_words("mug", BUCKETS)[0]] == pytest.approx(np.log1p(4 / 2))


def test_products_are_cosines_of_words() -> None:
    """Up to what folding leaves; in any script, whatever the form of a letter."""
    words = block().directions(TITLES)
    asked = block().directions(["the RED mug", "mug", "红色", "杯子 红色"])
    red, mug = weight_of("red"), weight_of("mug")

    found = asked @ words.T

    assert found[0, 0] == pytest.approx(1.0, abs=1e-6)
    assert found[1, 0] == pytest.approx(mug / np.hypot(red, mug), abs=0.1)
    assert abs(found[1, 2]) < 0.15
    assert found[2].argmax() == found[3].argmax() == 4
    assert found[3, 4] == pytest.approx(1.0, abs=1e-6)


def test_a_text_without_words_of_titles_has_no_direction() -> None:
    """Nor one without any word; and it ranks items as before."""
    asked = block().directions(["kettle", "", "...", "red"])
    vectors = drawn(0, len(TITLES))

    items = block().items(vectors, block().directions(TITLES))
    query = block().queries(drawn(1, 1), asked[:1])

    assert asked.any(axis=1).tolist() == [False, False, False, True]
    assert query @ items.T == pytest.approx(drawn(1, 1) @ vectors.T / np.sqrt(1.25), abs=1e-6)


def test_scores_are_weighed_sums() -> None:
    """Over lengths that all items share, those without words in their title as well."""
    vectors, queries = drawn(0, len(TITLES)), drawn(1, 2)
    words, asked = block().directions(TITLES), block().directions(["red mug", "teapot"])

    found = block().queries(queries, asked) @ block().items(vectors, words).T

    expected = (queries @ vectors.T + 0.25 * asked @ words.T) / 1.25
    assert found == pytest.approx(expected, abs=1e-6)


def test_directions_stay_what_they_are() -> None:
    """They are in stored vectors, and a text's goes by no other text of the call."""
    many = block(dim=10).directions([*TITLES] * 500)

    alone = block(dim=10).directions(["red mug"])

    assert alone[0] == pytest.approx(GOLDEN, abs=1e-3)
    assert many[:: len(TITLES)] == pytest.approx(np.repeat(alone, 500, axis=0), abs=1e-6)


def test_a_block_is_read_as_it_was_stored() -> None:
    """And refused without its weights, or with others' shape."""
    read = word_block(block().arrays(), dim=513, scale=0.5)

    assert read == block()
    assert read.directions(TITLES) == pytest.approx(block().directions(TITLES))
    for arrays in ({}, {WEIGHTS: np.ones((3, 4), dtype=np.float32)}):
        with pytest.raises(GenerationCorrupt, match=r"words\.weights.*train again"):
            word_block(arrays, dim=513, scale=0.5)
