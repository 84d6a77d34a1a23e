"""The text rules are a stored format.

These vectors must never change without a new format version.
"""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.characters import INVISIBLE, PLAIN
from protos.text import (
    _word_features,
    escape_entities,
    normal_form,
    normalize_queries,
    normalize_query,
    read_entities,
    text_features,
    text_key,
    text_keys,
    text_words,
)

GOLDEN_QUERIES = {
    "Xbox 360": "xbox 360",
    "  Halo:  Reach!! ": "halo reach",
    "X-Box_360": "x box 360",
    "c++ & $5": "c++ $5",
    "ＡＢＣ　１２３": "abc 123",
    "ﬁne Straße": "fine strasse",
    "Кофе-машина №1": "кофе машина no1",
    "ノート・パソコン": "ノート パソコン",
    "tab\tnew\nline\x00nul": "tab new line nul",
    "¿Qué?": "qué",
    "نمی\u200cخواهم": "نمی\u200cخواهم",
    "ΟΔΟΣ οδος": "οδοσ οδοσ",
    "İSTANBUL Iğdır ışık": "istanbul iğdir işik",
    "۱۲ ١٢ १२ ๑๒": "12 12 12 12",
    "ﾊﾝｶﾞｰ １２": "ハンガー 12",
    "a&amp;b &quot;x&quot; 5&#39; &eacute;t&#xE9;": "a b x 5 été",
    "drum&notes &amp;lt; &nosuch;": "drum notes lt nosuch",
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
    """NFKC, case folded, ASCII digits, punctuation to spaces, spaces collapsed.

    Symbols stay.
    """
    assert normalize_query(typed) == normalized


@pytest.mark.parametrize(
    "unseen",
    [
        *("\u00ad", "\u034f", "\u061c", "\u180e", "\u200b", "\u200c", "\u200d", "\u200e"),
        *("\u200f", "\u202a", "\u202e", "\u2060", "\u2066", "\u2069", "\u3164", "\ufe0f"),
        *("\ufeff", "\uffa0", "\U000e0001", "\U000e0100"),
    ],
)
def test_invisible_characters_make_no_other_query(unseen: str) -> None:
    """Whatever nobody sees is nothing, wherever it stands, and however often."""
    for text in (f"{unseen}red shoes", f"red{unseen} shoes", f"red sh{unseen * 2}oes{unseen}"):
        assert normalize_query(text) == "red shoes"
    assert normalize_query(unseen) == ""


@pytest.mark.parametrize("blank", ["\u00a0", "\u2007", "\u202f", "\u3000", "\u2800", "\u2028"])
def test_other_spaces_are_spaces(blank: str) -> None:
    """What looks like a space is one."""
    assert normalize_query(f"red{blank}shoes{blank}") == "red shoes"


JOINERS_THAT_SHOW = [
    "می\u200cخواهم",  # Persian: letters that would join
    "مِ\u200cخ",  # with a vowel sign between
    "क्\u200dष",  # Devanagari: a half form, not a conjunct
    "क्\u200cष",  # a virama that shows
    "র\u200d্য",  # Bengali: before the virama
    "👩\u200d💻",
    "👩🏽\u200d💻",
    "❤\u200d🔥",
]


@pytest.mark.parametrize("text", JOINERS_THAT_SHOW)
def test_joiners_that_show_stay(text: str) -> None:
    """Where a script or an emoji needs one, it is another text with it than without."""
    assert normalize_query(text) == text


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("کار\u200cها", "کارها"),  # the letter before never joins the next one
        ("می\u200c", "می"),
        ("می\u200c خ", "می خ"),
        ("می\u200c\u200cخ", "می\u200cخ"),
        ("می\u200dخ", "میخ"),
        ("❤\ufe0f\u200d🔥", "❤\u200d🔥"),
        ("👩\u200da", "👩a"),
        ("i\u200c\u0307", "i"),
    ],
)
def test_joiners_that_do_not_show_go(text: str, seen: str) -> None:
    """Between letters that do not join anyway, at an end, doubled, or elsewhere."""
    assert normalize_query(text) == seen


@given(
    st.text(
        st.sampled_from("iIİıaé \u0301\u0307\u0345\u094d\u200c\u200d\u200b\ufe0fکاریخक👩💻🏽-ⓘ&;")
    )
)
def test_normalize_query_is_idempotent_for_joiners_and_marks(text: str) -> None:
    """Also where taking one character away brings others together."""
    once = normalize_query(text)

    assert normalize_query(once) == once


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Tom &amp; Jerry&#39;s", "Tom & Jerry's"),
        ("&quot;5&Prime;&quot; &lt;b&gt;", '"5″" <b>'),
        ("&#x1F600;&#128;", "😀€"),
        ("&amp;amp;", "&amp;"),
        ("AT&T R&D drum&notes a&lt b", "AT&T R&D drum&notes a&lt b"),
        ("&nosuch; &; &#; &#xfffffff;", "&nosuch; &; &#; &#xfffffff;"),
    ],
)
def test_entities_are_read_once(text: str, read: str) -> None:
    """With their semicolon, those that HTML has; what comes out is not read again."""
    assert read_entities(text) == read
    assert read_entities(escape_entities(text)) == text


@given(st.text("&amp;#39x;l t", max_size=20))
def test_escaped_entities_are_read_as_the_text(text: str) -> None:
    """Reading undoes escaping, for any text."""
    assert read_entities(escape_entities(text)) == text


@given(st.text(st.characters(max_codepoint=127)))
def test_ascii_is_folded_like_the_rest(text: str) -> None:
    """The fast path of ASCII gives what the full rules give."""
    assert normal_form(text) == normal_form(text + "\u200b")


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


@given(st.lists(st.text() | st.text(st.characters(max_codepoint=127)) | st.just("a &amp; b")))
def test_many_queries_are_normalised_as_each_is(texts: list[str]) -> None:
    """Blank, empty and foreign texts among them change nothing."""
    assert normalize_queries(texts) == [normalize_query(text) for text in texts]


@given(st.lists(st.text(st.sampled_from(" -aB\t\n"))))
def test_many_ascii_queries_are_normalised_as_each_is(texts: list[str]) -> None:
    """Spaces at an end of one do not reach its neighbours."""
    assert normalize_queries(texts) == [normalize_query(text) for text in texts]


@given(st.lists(st.text(st.characters())))
def test_many_keys_are_those_of_each(texts: list[str]) -> None:
    """Also where one of them cannot be encoded."""
    texts = [*texts, "\ud800"]
    assert list(text_keys(texts)) == [text_key(text) for text in texts]


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


def test_text_words_are_the_features_of_words_alone() -> None:
    """First among all features, in any script, repeats as well."""
    for text in ("Red mug, red!", "红色 mug", "", "..."):
        words = text_words(text, 1 << 17)
        assert words == text_features(text, 1 << 17)[: len(words)]
    assert len(text_words("Red mug, red!", 1 << 17)) == 3
    assert len(text_words("红色 mug", 1 << 17)) == 3


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


def test_a_stranger_makes_tables_of_characters_grow_no_further_than_a_plane() -> None:
    """Every character there is is read, and remembered only where languages live."""
    for start in range(0, 0x110000, 1 << 16):
        normalize_query("".join(map(chr, range(start, start + (1 << 16)))))

    assert normalize_query("\U0001d7d8\U0001f3ae\U000e0041 \U0001e950") == "0\U0001f3ae 0"
    assert max(INVISIBLE) < 1 << 16
    assert max(PLAIN) < 1 << 16


def test_a_stranger_makes_words_take_little_memory() -> None:
    """The features of the longest words take some four bytes each."""
    _word_features.cache_clear()
    words = [chr(0xAC00 + number) * 64 for number in range(64)]
    tracemalloc.start()
    try:
        text_features(" ".join(words), 1 << 17)
        kept = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()

    assert _word_features.cache_info().currsize == len(words)
    assert kept / len(words) < 2000
