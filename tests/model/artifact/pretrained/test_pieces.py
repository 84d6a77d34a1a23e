"""Words are cut as the library that made the vocabulary cuts them."""

import json
from collections.abc import Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from model.artifact.pretrained.encoders import ENCODERS
from model.artifact.pretrained.pieces import WordPieces
from model.errors import PretrainedTextUnusable

# What `tokenizers` 0.23.3 makes of these with the file of wordllama 0.4.0, without
# special tokens.
GOLDEN = {
    "the north face": [278, 6641, 3700],
    "xbox 360 controller": [921, 1884, 29871, 29941, 29953, 29900, 4701],
    "naïve café": [1055, 30085, 345, 274, 28059],
    "日本語 テキスト": [29871, 30325, 30346, 30968, 29871, 30572, 30454, 30255, 30279],
    "\U0001f9e6 socks": [29871, 243, 162, 170, 169, 577, 4684],
}


def written(
    folder: Path, vocabulary: list[str], merges: Sequence[Any] = (), **changes: Any
) -> Path:
    """Return the path of a tokenizer that has the bytes and these pieces."""
    pieces = [*(f"<0x{byte:02X}>" for byte in range(256)), *vocabulary]
    model = {
        "type": "BPE",
        "byte_fallback": True,
        "vocab": {piece: number for number, piece in enumerate(pieces)},
        "merges": list(merges),
        **changes,
    }
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({"model": model}), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def real() -> WordPieces:
    """Return the vocabulary of the first encoder of the table."""
    spec = ENCODERS["wordllama"]
    return WordPieces(Path(str(distribution(spec.distribution).locate_file(spec.tokenizer))))


@pytest.mark.parametrize("text", GOLDEN)
def test_pieces_are_those_of_the_tokenizers_library(real: WordPieces, text: str) -> None:
    """Merges go by rank, and unknown characters become bytes."""
    assert real.of_words(text.split()) == GOLDEN[text]


def test_what_looks_like_a_control_token_is_text(real: WordPieces) -> None:
    """A query cannot name a token that is no word."""
    number = {"<unk>": 0, "<s>": 1, "</s>": 2}

    for token, control in number.items():
        assert control not in real.of_words([token])


def test_the_leftmost_of_equal_pairs_is_merged_first(tmp_path: Path) -> None:
    """In a run of three the first two become one."""
    path = written(tmp_path, ["\u2581", "a", "aa"], ["a a"])

    assert WordPieces(path).of_words(["aaa"]) == [256, 258, 257]


def test_merges_may_be_written_as_pairs(tmp_path: Path) -> None:
    """The format has had two forms."""
    path = written(tmp_path, ["\u2581", "a", "\u2581a"], [["\u2581", "a"]])

    assert WordPieces(path).of_words(["a"]) == [258]


def test_a_very_long_word_keeps_all_its_characters(real: WordPieces) -> None:
    """What is cut in parts is not cut off."""
    short, long = real.of_words(["q" * 63]), real.of_words(["q" * 6300])

    assert len(long) > 50 * len(short)


def test_very_long_words_are_not_kept(real: WordPieces) -> None:
    """Whoever sends them makes the cache no larger."""
    before = real._of_short_word.cache_info().currsize

    real.of_words(["w" * 64, "v" * 5000, "shortest"])

    assert real._of_short_word.cache_info().currsize == before + 1


@pytest.mark.parametrize(
    "change", [{"type": "Unigram"}, {"byte_fallback": False}, {"vocab": {"a": 0}}]
)
def test_another_kind_of_tokenizer_is_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    """The message names the file."""
    path = written(tmp_path, ["\u2581", "a"], **change)

    with pytest.raises(PretrainedTextUnusable, match=r"tokenizer\.json is not a byte-pair"):
        WordPieces(path)


def test_pieces_over_a_words_end_are_refused(tmp_path: Path) -> None:
    """Words are cut one by one, which such a vocabulary would not allow."""
    path = written(tmp_path, ["\u2581", "a", "a\u2581a"])

    with pytest.raises(PretrainedTextUnusable, match="over a word's end"):
        WordPieces(path)
