"""A pretrained encoder: means of pieces, its identity, and what it says when it is not
there.
"""

import json
import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.artifact.pretrained import encoder as opened
from model.artifact.pretrained.encoder import PretrainedEncoder, chosen_encoder, open_encoder
from model.artifact.pretrained.encoders import ENCODERS
from model.artifact.pretrained.weights import read_matrix
from model.errors import PretrainedTextUnusable


@pytest.fixture(scope="module", params=ENCODERS)
def encoder(request: pytest.FixtureRequest) -> PretrainedEncoder:
    """Return each encoder of the table in turn."""
    return open_encoder(request.param)


def test_vectors_have_length_one_and_a_text_without_a_word_none(
    encoder: PretrainedEncoder,
) -> None:
    """Zeros are told apart from every text."""
    vectors = encoder.encode(["red shoe", "", "...", "\u200b"])

    assert vectors.dtype == np.float32
    assert vectors.shape == (4, encoder.dim)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx([1, 0, 0, 0], abs=1e-6)


def test_like_words_are_near_each_other(encoder: PretrainedEncoder) -> None:
    """What it is for: words of one meaning without a letter in common."""
    couch, sofa, cable = encoder.encode(["couch", "sofa", "ethernet cable"])

    assert float(couch @ sofa) > 2 * max(0.0, float(couch @ cable))


@given(st.lists(st.text(max_size=20), max_size=5))
def test_many_texts_are_encoded_as_one_by_one(texts: list[str]) -> None:
    """In any form that has the same normal form."""
    encoder = open_encoder("wordllama")
    each = [encoder.encode([text.upper()])[0] for text in texts if text.isascii()]

    found = encoder.encode([text for text in texts if text.isascii()])

    assert np.array_equal(found, np.array(each, np.float32).reshape(-1, encoder.dim))


def test_identity_is_that_of_the_installed_files(encoder: PretrainedEncoder) -> None:
    """Version for people, sha256 for machines."""
    assert encoder.identity.name in ENCODERS
    assert encoder.identity.version
    assert len(encoder.identity.sha256) == 64


def test_none_of_the_packages_code_is_imported() -> None:
    """Data is read, nothing runs."""
    code = (
        "import sys; from model.artifact.pretrained.encoder import open_encoder;"
        "open_encoder('wordllama').encode(['a']);"
        "sys.exit(any(name in sys.modules for name in ('wordllama', 'tokenizers', 'torch')))"
    )

    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_encoder_that_is_not_installed_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The extra's name is in the message."""

    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(opened, "distribution", missing)
    open_encoder.cache_clear()

    assert not chosen_encoder("auto")
    with pytest.raises(PretrainedTextUnusable, match=r"freshet\[text\]"):
        open_encoder("wordllama")


def test_an_unknown_name_is_not_installed() -> None:
    """A generation may name one that this version does not have."""
    assert not chosen_encoder("another")
    with pytest.raises(PretrainedTextUnusable, match="'another' is not installed"):
        open_encoder("another")


def stored(path: Path, tensors: dict[str, Any], content: bytes) -> Path:
    """Write a safetensors file."""
    header = json.dumps(tensors).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return path


def test_a_matrix_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Metadata is passed over."""
    wanted = np.arange(6, dtype=np.float32).reshape(3, 2)
    tensor = {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}
    path = stored(tmp_path / "w", {"__metadata__": {"a": "b"}, "x": tensor}, wanted.tobytes())

    found = read_matrix(path)

    assert np.array_equal(found, wanted)
    assert not found.flags.writeable


@pytest.mark.parametrize(
    ("tensors", "size"),
    [
        ({"x": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 24]}}, 20),
        ({"x": {"dtype": "F32", "shape": [3, 2], "data_offsets": [0, 20]}}, 24),
        ({"x": {"dtype": "I8", "shape": [3, 2], "data_offsets": [0, 6]}}, 6),
        ({"x": {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]}}, 24),
        ({}, 0),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, tensors: dict[str, Any], size: int) -> None:
    """Cut off, of another type or shape, or empty."""
    path = stored(tmp_path / "w", tensors, bytes(size))

    with pytest.raises(PretrainedTextUnusable, match="not a safetensors file of one matrix"):
        read_matrix(path)
