"""The pretrained block: unit vectors whose inner product is the network's and the
encoder's, weighed.
"""

import numpy as np
import pytest

from model.artifact.encoder import unit_rows
from model.artifact.pretrained.block import (
    Scales,
    TextBlock,
    extended,
    fitted,
    text_block,
)
from model.artifact.pretrained.encoder import open_encoder
from model.errors import GenerationCorrupt
from stream.dtypes import Float32s

TEXTS = ["red wool sofa", "green couch", "usb cable", "black hdmi cable", "oak table", "desk"]
SCALES = Scales(query=0.5, new_query=0.6, item=0.7, new_item=1.4)


@pytest.fixture(scope="module")
def block() -> TextBlock:
    """Return a block of four numbers."""
    encoder = open_encoder("wordllama")
    return TextBlock(encoder, fitted(encoder.encode(TEXTS), 4), SCALES)


def drawn(count: int) -> Float32s:
    """Return random unit vectors."""
    return unit_rows(np.random.default_rng(0).normal(size=(count, 8)).astype(np.float32))


def test_scores_are_weighed_sums(block: TextBlock) -> None:
    """The lengths of the parts are what their scales say."""
    network, directions = drawn(6), block.directions(TEXTS)
    query = block.extend(network[:1], TEXTS[:1], is_item=False, is_known=True)[0]
    item = block.extend(network[1:2], TEXTS[1:2], is_item=True, is_known=False)[0]

    expected = network[0] @ network[1] + 0.5 * 1.4 * directions[0] @ directions[1]

    lengths = np.sqrt((1 + 0.5**2) * (1 + 1.4**2))
    assert float(query @ item) == pytest.approx(float(expected / lengths), abs=1e-6)
    assert float(np.linalg.norm(query)) == pytest.approx(1.0, abs=1e-6)


def test_a_text_without_a_word_adds_nothing(block: TextBlock) -> None:
    """Its vector is the network's."""
    network = drawn(1)

    vector = block.extend(network, ["..."], is_item=True, is_known=True)

    assert np.array_equal(vector, np.concatenate([network, np.zeros((1, 4), np.float32)], axis=1))


def test_scales_go_by_kind_and_clicks() -> None:
    """Each node has one of four."""
    found = SCALES.of(
        is_item=np.array([False, False, True, True]), is_known=np.array([True, False, True, False])
    )

    assert found == pytest.approx([0.5, 0.6, 0.7, 1.4])


def test_what_is_stored_is_read_again(block: TextBlock) -> None:
    """The same vectors come out."""
    again = text_block(block.arrays(), open_encoder("wordllama"))

    assert np.array_equal(again.directions(TEXTS), block.directions(TEXTS))
    assert again.scales.of(is_item=True, is_known=True) == SCALES.of(is_item=True, is_known=True)


@pytest.mark.parametrize("name", ["mean", "map", "scales"])
def test_a_missing_or_misshapen_array_is_refused(block: TextBlock, name: str) -> None:
    """Before anything is answered with it."""
    arrays = block.arrays()
    missing = {key: array for key, array in arrays.items() if key != f"pretrained.{name}"}
    wrong = {**arrays, f"pretrained.{name}": arrays[f"pretrained.{name}"][1:]}

    for damaged in (missing, wrong):
        with pytest.raises(GenerationCorrupt, match="do not fit an encoder"):
            text_block(damaged, open_encoder("wordllama"))


def test_few_or_no_texts_have_a_projection() -> None:
    """A shop begins without any."""
    encoder = open_encoder("wordllama")

    for texts in ([], ["..."], ["one"]):
        directions = fitted(encoder.encode(texts), 4).directions(encoder.encode(["two", ""]))
        assert np.isfinite(directions).all()
        assert not directions[1].any()


def test_an_extended_vector_stays_one_with_scale_zero() -> None:
    """Off is the network alone."""
    network = drawn(3)

    found = extended(network, drawn(3), np.zeros(3, dtype=np.float32))

    assert np.array_equal(found[:, :8], network)
    assert not found[:, 8:].any()
