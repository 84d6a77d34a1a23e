"""The numpy text path: always a finite unit vector, whatever the text, and without
torch.
"""

import subprocess
import sys

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.encoder import (
    BAG,
    ROWS,
    TextEncoder,
    feature_vectors,
    pack_features,
    unit_rows,
)
from model.errors import GenerationCorrupt

DIM, HIDDEN, NUM_BUCKETS = 8, 5, 64


@pytest.fixture
def encoder_arrays() -> dict[str, NDArray[np.float32]]:
    """Return random weights."""
    rng = np.random.default_rng(3)

    def normal(*shape: int) -> NDArray[np.float32]:
        return rng.normal(size=shape).astype(np.float32)

    arrays = {BAG: normal(NUM_BUCKETS, DIM)}
    for tower in ("query", "item"):
        arrays |= {
            f"{tower}.hidden_weight": normal(HIDDEN, DIM),
            f"{tower}.hidden_bias": normal(HIDDEN),
            f"{tower}.out_weight": normal(DIM, HIDDEN),
            f"{tower}.out_bias": normal(DIM),
        }
    return arrays


@pytest.mark.parametrize("text", ["red mug", "", "?!,", "\u0000", "日本 語", "x" * 100_000, "🛒"])
def test_any_text_gives_a_finite_unit_vector(
    encoder_arrays: dict[str, NDArray[np.float32]], text: str
) -> None:
    """No query can make a server search with NaN."""
    encoder = TextEncoder(encoder_arrays)

    for vector in (encoder.encode(text), encoder.encode_item(text)):
        assert vector.shape == (DIM,)
        assert vector.dtype == np.float32
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-5)


def test_a_text_without_features_is_finite_even_when_all_weights_are_zero(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """A zero vector has no direction; one is chosen."""
    zeros = {name: np.zeros_like(array) for name, array in encoder_arrays.items()}

    vector = TextEncoder(zeros).encode("")

    assert vector.tolist() == [1.0] + [0.0] * (DIM - 1)


def test_spelling_variants_that_normalise_alike_get_the_same_vector(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """Case, punctuation and spaces do not matter."""
    encoder = TextEncoder(encoder_arrays)

    assert np.array_equal(encoder.encode("  Red, MUG! "), encoder.encode("red mug"))


def test_queries_and_items_go_through_their_own_tower(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """The bag is shared, the towers are not."""
    encoder = TextEncoder(encoder_arrays)

    assert not np.allclose(encoder.encode("red mug"), encoder.encode_item("red mug"))


def test_contents_are_what_unit_vectors_are_scaled_from(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """Many texts in one go, empty ones among them, as one by one."""
    encoder = TextEncoder(encoder_arrays)
    texts = ["red mug", "", "lamp", "..."] * 300

    contents = encoder.contents(texts, "item")

    assert contents.dtype == np.float32
    for text, row in zip(texts[:4], contents[-4:], strict=True):
        np.testing.assert_allclose(unit_rows(row), encoder.encode_item(text), atol=1e-6)
    assert encoder.contents([], "query").shape == (0, encoder.dim)


def test_many_texts_at_once_get_the_vectors_of_each(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """Texts without features among them; none at all are no rows."""
    encoder = TextEncoder(encoder_arrays)
    texts = ["red mug", "", "?!,", "日本 語", "red mug"]

    vectors = encoder.encode_all(texts)

    assert vectors.dtype == np.float32
    assert vectors == pytest.approx(np.stack([encoder.encode(text) for text in texts]), abs=1e-6)
    assert encoder.encode_all([]).shape == (0, DIM)


def test_only_features_that_were_trained_take_space(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """All others are zeros, as in a table with a row for each bucket."""
    buckets = np.flatnonzero(np.random.default_rng(0).random(NUM_BUCKETS) < 0.3)
    table = np.zeros((NUM_BUCKETS, DIM), dtype=np.float32)
    table[buckets] = encoder_arrays[BAG][buckets]

    packed = pack_features(encoder_arrays[BAG][buckets], buckets, NUM_BUCKETS)

    assert packed[BAG].shape == (len(buckets) + 1, DIM)
    assert (feature_vectors(packed, np.arange(NUM_BUCKETS)) == table).all()
    whole, small = (TextEncoder({**encoder_arrays, **each}) for each in ({BAG: table}, packed))
    for text in ("red mug", "", "日本 語"):
        assert (small.encode(text) == whole.encode(text)).all()
    texts = ["red mug", "", "blue lamp"]
    assert (small.contents(texts, "item") == whole.contents(texts, "item")).all()


@pytest.mark.parametrize("rows", [[0, NUM_BUCKETS], [-1, 0], [], [[0]]], ids=str)
def test_rows_that_are_not_there_are_refused(
    encoder_arrays: dict[str, NDArray[np.float32]], rows: list[int]
) -> None:
    """When a generation is opened, not when it is asked a text with them."""
    arrays = {**encoder_arrays, ROWS: np.array(rows, dtype=np.int32)}

    with pytest.raises(GenerationCorrupt, match="not among its 64 vectors"):
        TextEncoder(arrays)


@pytest.mark.parametrize("name", ["bag", "query.hidden_bias", "item.out_weight"])
def test_a_missing_array_is_named(
    encoder_arrays: dict[str, NDArray[np.float32]], name: str
) -> None:
    """A generation without its encoder does not load."""
    del encoder_arrays[name]

    with pytest.raises(GenerationCorrupt, match=name):
        TextEncoder(encoder_arrays)


def test_an_array_of_the_wrong_shape_is_named(
    encoder_arrays: dict[str, NDArray[np.float32]],
) -> None:
    """Weights of two generations do not mix."""
    encoder_arrays["item.out_weight"] = encoder_arrays["item.out_weight"][:-1]

    with pytest.raises(GenerationCorrupt, match=r"item\.out_weight"):
        TextEncoder(encoder_arrays)


def test_unit_rows_keeps_directions_and_replaces_zeros() -> None:
    """Scaling only."""
    rows = unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32))

    assert rows.tolist() == [[pytest.approx(0.6), pytest.approx(0.8)], [1.0, 0.0]]


def test_what_a_server_needs_loads_neither_torch_nor_the_stores_library() -> None:
    """A serving image has numpy, protobuf and annoy."""
    code = (
        "import sys, model.artifact.generation, model.artifact.store, model.artifact.encoder, "
        "model.artifact.index.annoy, model.errors, model.publishing.gate; "
        "print([name for name in ('torch', 'rocksdict', 'kafka') if name in sys.modules])"
    )

    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )

    assert loaded.stdout.strip() == "[]"
