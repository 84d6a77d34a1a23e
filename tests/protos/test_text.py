"""The text rules are a stored format.

These vectors must never change without a new format version.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.text import normalize_query, text_features, text_key

GOLDEN_QUERIES = {
    "Xbox 360": "xbox 360",
    "  Halo:  Reach!! ": "halo reach",
    "X-Box_360": "x box 360",
    "c++ & $5": "c++ $5",
    "ＡＢＣ　１２３": "abc 123",
    "ﬁne Straße": "fine straße",
    "Кофе-машина №1": "кофе машина no1",
    "ノート・パソコン": "ノート パソコン",
    "tab\tnew\nline\x00nul": "tab new line nul",
    "¿Qué?": "qué",
    "نمی\u200cخواهم": "نمی\u200cخواهم",
    "?!…": "",
    "": "",
}

GOLDEN_KEYS = {
    "": 0xE4A6A0577479B2B4,
    "xbox": 0x68D9D9F1DE641C16,
    "café": 0x5777A2BD3192D7E3,
}

GOLDEN_FEATURES = {
    "xbox 360": [
        206246,
        141591,
        144356,
        145004,
        103702,
        84026,
        113498,
        119809,
        247367,
        230108,
        79183,
        74498,
        27496,
        90645,
        211497,
    ],
}


@pytest.mark.parametrize(("typed", "normalized"), GOLDEN_QUERIES.items())
def test_normalize_query_matches_golden_vectors(typed: str, normalized: str) -> None:
    """NFKC, lower case, punctuation and controls to spaces, spaces collapsed.

    Symbols stay.
    """
    assert normalize_query(typed) == normalized


@given(st.text())
def test_normalize_query_is_idempotent(text: str) -> None:
    """A normalised query is its own normal form, for any text in any script."""
    once = normalize_query(text)

    assert normalize_query(once) == once


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_queries_normalise_like_any_other(text: str) -> None:
    """Folding ASCII by the byte gives what the rule for every script gives."""
    # Greek kappa sends the whole text the long way, and stays as it is.
    by_the_rule = normalize_query(text + " κ").removesuffix("κ").strip(" ")
    assert normalize_query(text) == by_the_rule


@given(st.text())
def test_normalized_queries_have_single_inner_spaces(text: str) -> None:
    """No leading, trailing, doubled or exotic white space survives."""
    normalized = normalize_query(text)

    assert normalized == " ".join(normalized.split())


@pytest.mark.parametrize(("text", "key"), GOLDEN_KEYS.items())
def test_text_key_matches_golden_vectors(text: str, key: int) -> None:
    """Keys are BLAKE2b-64, big-endian."""
    assert text_key(text) == key


@given(st.text())
def test_text_key_fits_64_bits(text: str) -> None:
    """Any string has an unsigned 64-bit key, lone surrogates included."""
    assert 0 <= text_key(text) < 1 << 64


@pytest.mark.parametrize(("text", "features"), GOLDEN_FEATURES.items())
def test_text_features_match_golden_vectors(text: str, features: list[int]) -> None:
    """Words, word pairs and character n-grams hash to the same buckets forever."""
    assert text_features(text, 1 << 18) == features


@given(st.text(), st.integers(min_value=1, max_value=1 << 20))
def test_text_features_stay_in_range(text: str, num_buckets: int) -> None:
    """Every feature is a valid row of the embedding bag, whatever the text."""
    assert all(0 <= feature < num_buckets for feature in text_features(text, num_buckets))


def test_text_features_of_misspellings_overlap() -> None:
    """A typo keeps most of the character n-grams.

    What lets an unseen spelling find its items.
    """
    right = set(text_features("playstation controller", 1 << 18))
    wrong = set(text_features("playstaton controller", 1 << 18))

    assert len(right & wrong) > len(right) / 2


def test_text_features_are_bounded() -> None:
    """A pasted page of text costs no more than 64 words of 64 characters."""
    assert len(text_features("x" * 100_000 + " y" * 100_000, 1 << 18)) < 64 * (2 * 64 + 4)
