"""Words where a script writes spaces, and where it writes none."""

from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.text import normal_form, text_features, text_terms
from protos.words import char_ngrams, ngram_sizes, spaced_words, words_of

NUM_BUCKETS = 1 << 18

GOLDEN_WORDS = {
    "xbox 360": ["xbox", "360"],
    "蓝牙风扇": ["蓝", "牙", "风", "扇"],
    "iphone手机壳 15": ["iphone", "手", "机", "壳", "15"],
    "ワイヤレス扇風機": ["ワイヤレス", "扇", "風", "機"],
    "赤いランプ": ["赤", "いランプ"],
    "人々": ["人", "々"],
    "무선 선풍기": ["무선", "선풍기"],
    "พัดลมusb": ["พัดลม", "usb"],
    "𠮷野": ["𠮷", "野"],
    "größe": ["größe"],
    "": [],
}


@pytest.mark.parametrize(("text", "words"), GOLDEN_WORDS.items())
def test_words_match_golden_vectors(text: str, words: list[str]) -> None:
    """Han by character, Kana and South East Asian scripts by run, others by space."""
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("word", "sizes"),
    [
        ("fan", (3, 4)),
        ("größe", (3, 4)),
        ("พัดลม", (2, 3, 4)),
        ("扇", ()),
        ("선풍기", (2, 3, 4)),
        ("ランプ", (2, 3, 4)),
    ],
)
def test_sizes_of_ngrams(word: str, sizes: tuple[int, ...]) -> None:
    """Of two in scripts whose words are short or not told apart, none of Han."""
    assert ngram_sizes(word) == sizes


def test_ngrams_have_boundary_marks() -> None:
    """By size, from the first to the last."""
    assert list(char_ngrams("扇風", (2, 3))) == ["<扇", "扇風", "風>", "<扇風", "扇風>"]


def test_features_of_han_match_golden_vectors() -> None:
    """Characters, then pairs of neighbours, hashed by CRC-32."""
    wanted = [crc32(gram.encode()) % NUM_BUCKETS for gram in ("w:风", "w:扇", "p:风 扇")]

    assert text_features("风扇", NUM_BUCKETS) == wanted


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("风扇", "青山蓝牙风扇红色第160款"),
        ("扇風機", "青山ワイヤレス扇風機赤色160"),
        ("선풍기", "청산무선선풍기검정색"),
        ("พัดลม", "ภูเขาบลูทูธพัดลมสีแดง"),
        ("កង្ហារ", "ភ្នំប៊្លូធូសកង្ហារក្រហម"),
        ("lautsprecher", "bluetoothlautsprecher"),
        ("fan", "avora bluetooth fan red"),
    ],
)
def test_a_name_within_a_title_shares_features(query: str, title: str) -> None:
    """A quarter of a name's features are in a title that has it, in any script."""
    asked, has = (set(text_features(text, NUM_BUCKETS)) for text in (query, title))

    assert len(asked & has) >= len(asked) / 4


def test_a_space_makes_no_other_words_of_han() -> None:
    """Whether somebody types one or not."""
    assert text_features("蓝牙 风扇", NUM_BUCKETS) == text_features("蓝牙风扇", NUM_BUCKETS)


@given(st.text())
def test_words_are_the_whole_text(text: str) -> None:
    """Cutting loses nothing, and cuts no ASCII."""
    normal = normal_form(text)
    spaced = spaced_words(normal)

    assert "".join(words_of(normal)) == "".join(spaced)
    assert not normal.isascii() or words_of(normal) == spaced


@given(st.text())
def test_terms_have_the_features(text: str) -> None:
    """By term or in a row, the features are the same."""
    by_term = sorted(feature for term in text_terms(text, NUM_BUCKETS) for feature in term)

    assert by_term == sorted(text_features(text, NUM_BUCKETS))


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_has_the_features_it_had(text: str) -> None:
    """Cutting words changes nothing for a text of ASCII."""
    assert text_features(text, NUM_BUCKETS) == text_features(text, NUM_BUCKETS, cuts_words=False)


def test_features_before_words_were_cut() -> None:
    """A generation of before is asked with the features that it was trained on."""
    wanted = ["w:风扇", "<风扇", "风扇>", "<风扇>"]
    hashed = [crc32(gram.encode()) % NUM_BUCKETS for gram in wanted]

    assert text_features("风扇", NUM_BUCKETS, cuts_words=False) == hashed


def test_words_are_bounded() -> None:
    """A pasted page without spaces costs 64 characters of it."""
    assert len(text_features("风" * 100_000, NUM_BUCKETS)) == 2 * 64 - 1
