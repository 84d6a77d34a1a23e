"""Text rules that every package must apply identically: entities, query normalisation,
64-bit keys and n-gram features.

Golden vectors in ``tests/protos/test_text.py`` pin the results: a change here is a
change of stored format.
"""

import re
import struct
import unicodedata
from array import array
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from html import unescape
from itertools import chain, pairwise
from zlib import crc32

from protos.characters import INVISIBLE, PLAIN, ZWJ, ZWNJ, without_idle_joiners
from protos.words import NGRAM_SIZES, char_ngrams, ngram_sizes, spaced_words, words_of

# Words whose features are cached, chosen by hand; not tuned. Four bytes a feature: some
# 8 MB of real words, 45 MB of the longest that a stranger sends. Twice as many take
# twice the memory, and save the hashing of rare words.
_CACHED_WORDS = 1 << 15


# An HTML entity as far as it is read: by name or by number, with its semicolon. Some
# names are read without one by browsers, but `drum&notes` means what it says.
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")

# What a capital I with a dot becomes when it is folded.
_DOTTED_I = re.compile("i\u0307+")


def read_entities(text: str) -> str:
    """Return a text with HTML's entities as the characters that they stand for.

    Read once: what comes out of ``&amp;lt;`` is ``&lt;``. Names that HTML does not have
    stay as they are, and so do tags.
    """
    return _ENTITY.sub(lambda found: unescape(found[0]), text) if "&" in text else text


def escape_entities(text: str) -> str:
    """Return a text of which `read_entities` makes this one."""
    return text.replace("&", "&amp;") if _ENTITY.search(text) else text


def normalize_query(text: str) -> str:
    """Return the canonical form of a query: entities read, then the normal form.

    It may be empty. A normalised query is its own canonical form.
    """
    return normal_form(read_entities(text))


def normal_form(text: str) -> str:
    """Return a text without what is not seen or not said: NFKC, case folded, ASCII
    digits, punctuation to spaces, spaces collapsed.

    Invisible characters go, but for `joiners that show
    <protos.characters.without_idle_joiners>`. The Turkish dotted and dotless i are one.
    Punctuation is Unicode's category P; separators (Z) and control characters (Cc)
    become spaces too. Everything else of every script is kept: letters, marks, numbers,
    symbols (``c++``, ``$5``). Idempotent. It may be empty.
    """
    if text.isascii():  # nearly every query of many shops: folded by the byte
        return b" ".join(text.encode().translate(PLAIN_ASCII).split()).decode()
    return " ".join(_plain(text).split())


def normalize_queries(texts: Sequence[str]) -> list[str]:
    """Return the `normalize_query` of each text; many at once cost a fraction."""
    joined = "".join(texts)
    if not joined.isascii() or "&" in joined:
        return [normalize_query(text) for text in texts]
    lines = _LINE_END.join(map(str.encode, texts)).translate(_PLAIN_ASCII_LINES)
    while b"  " in lines:
        lines = lines.replace(b"  ", b" ")
    lines = lines.replace(b" " + _LINE_END, _LINE_END).replace(_LINE_END + b" ", _LINE_END)
    found = lines.strip(b" ").split(_LINE_END) if texts else []
    return [line.decode() for line in found]


def _plain(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text.translate(INVISIBLE)).casefold()
    # A capital I is that of either letter, so no text with it would find the other.
    folded = _DOTTED_I.sub("i", folded.replace("\u0131", "i"))
    plain = unicodedata.normalize("NFKC", folded).translate(PLAIN)
    if ZWNJ in plain or ZWJ in plain:
        shown = without_idle_joiners(plain)
        if shown != plain:  # what was apart may be one letter now
            return _plain(shown)
    return plain


PLAIN_ASCII = "".join(_plain(chr(code)) for code in range(128)).encode().ljust(256)
"""What each ASCII byte becomes; the other half is never asked for."""

_LINE_END = b"\xff"
"""Ends a text among several: no ASCII text has it."""

_PLAIN_ASCII_LINES = PLAIN_ASCII[:-1] + _LINE_END


def text_key(text: str) -> int:
    """Return the 64-bit key of a string: BLAKE2b-64 of its UTF-8 bytes, big-endian, as
    an unsigned int.
    """
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def text_keys(texts: Sequence[str]) -> tuple[int, ...]:
    """Return the `text_key` of each text; many at once cost half."""
    try:
        encoded = list(map(str.encode, texts))
    except UnicodeEncodeError:
        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    return encoded_keys(encoded)


def encoded_keys(encoded: Sequence[bytes]) -> tuple[int, ...]:
    """Return the `text_key` of each text, given as its UTF-8."""
    digests = b"".join([blake2b(each, digest_size=8).digest() for each in encoded])
    return struct.unpack(f">{len(encoded)}Q", digests)


def text_features(text: str, num_buckets: int, *, cuts_words: bool = True) -> list[int]:
    """Return the hashed features of a text, each in ``0..num_buckets - 1``.

    Repeats and order are kept.

    Features are `words <protos.words.words_of>`, pairs of neighbouring words, and
    `character n-grams <protos.words.char_ngrams>` of each word between boundary marks,
    hashed by CRC-32. The same text always gives the same features, in training and in
    serving.

    Args:
        text: in any form; its normal form is hashed.
        num_buckets: how many features there may be.
        cuts_words: whether words are cut where a script has no spaces, and n-grams
            follow the script; False: the features of before that.
    """
    of_words, of_pairs = _terms(text, num_buckets, cuts_words=cuts_words)
    features = [of_word[0] for of_word in of_words]
    features += chain.from_iterable(of_pairs)
    for of_word in of_words:
        features += of_word[1:]
    return features


def text_terms(text: str, num_buckets: int) -> list[tuple[int, ...]]:
    """Return the same features by term: a word with its n-grams, or a pair of words.

    Repeats are kept.
    """
    of_words, of_pairs = _terms(text, num_buckets, cuts_words=True)
    return [*map(tuple, of_words), *of_pairs]


def text_words(text: str, num_buckets: int) -> list[int]:
    """Return the features that are `words <protos.words.words_of>`, without pairs and
    n-grams. Repeats and order are kept.
    """
    words, cut = _words(text, cuts_words=True)
    return [_word_features(word, num_buckets, cut=cut)[0] for word in words]


def _terms(
    text: str, num_buckets: int, *, cuts_words: bool
) -> tuple[list["array[int]"], list[tuple[int, ...]]]:
    words, cut = _words(text, cuts_words=cuts_words)
    of_words = [_word_features(word, num_buckets, cut=cut) for word in words]
    of_pairs: list[tuple[int, ...]] = [
        (_bucket(f"p:{first} {second}", num_buckets),) for first, second in pairwise(words)
    ]
    return of_words, of_pairs


def _words(text: str, *, cuts_words: bool) -> tuple[list[str], bool]:
    """Return the words of a text, and whether they were cut by script."""
    normal = normal_form(text)
    cut = cuts_words and not normal.isascii()
    return (words_of(normal) if cut else spaced_words(normal)), cut


@lru_cache(maxsize=_CACHED_WORDS)
def _word_features(word: str, num_buckets: int, *, cut: bool) -> "array[int]":
    """Return the feature of a word itself, then those of its character n-grams, each an
    unsigned int of 32 bits; nobody may change them.

    Few words are frequent, so results are cached.
    """
    sizes = ngram_sizes(word) if cut else NGRAM_SIZES
    grams = ["w:" + word, *char_ngrams(word, sizes)]
    return array("I", [_bucket(gram, num_buckets) for gram in grams])


def _bucket(gram: str, num_buckets: int) -> int:
    return crc32(gram.encode("utf-8", "surrogatepass")) % num_buckets
