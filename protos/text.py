"""Text rules that every package must apply identically: query normalisation, 64-bit
keys and n-gram features.

Golden vectors in ``tests/protos/test_text.py`` pin the results: a change here is a
change of stored format.
"""

import unicodedata
from functools import lru_cache
from hashlib import blake2b
from itertools import chain, pairwise
from zlib import crc32

# Characters of an n-gram; in every encoder's hashes, so a change needs a new training.
CHAR_NGRAM_SIZES = (3, 4)
# Words of a text that are hashed; longer than any title. In the hashes as well. Twice
# as many double the longest encoding.
_MAX_WORDS = 64
# Characters of a word that are hashed; in the hashes as well. Twice as many double the
# n-grams of the longest word.
_MAX_WORD_CHARS = 64
# Words whose features are cached, chosen by hand; not tuned. Twice as many take twice
# the memory, and save the hashing of rare words.
_CACHED_WORDS = 1 << 15


class _PunctuationToSpace(dict[int, int]):
    """A `str.translate` table, filled as characters are met.

    What separates words becomes a space.
    """

    def __missing__(self, code: int) -> int:
        category = unicodedata.category(chr(code))
        kept = category[0] not in "PZ" and category != "Cc"
        self[code] = code if kept else ord(" ")
        return self[code]


_PUNCTUATION_TO_SPACE = _PunctuationToSpace()


def normalize_query(text: str) -> str:
    """Return the canonical form of a query: NFKC, lower case, punctuation to spaces,
    spaces collapsed.

    Punctuation is Unicode's category P; separators (Z) and control characters (Cc)
    become spaces too. Everything else of every script is kept: letters, marks, numbers,
    symbols (``c++``, ``$5``), joiners. Idempotent. It may be empty.
    """
    if text.isascii():  # nearly every query of many shops: folded by the byte
        return b" ".join(text.encode().translate(_FOLDED_ASCII).split()).decode()
    return _normalized(text)


def _normalized(text: str) -> str:
    folded = unicodedata.normalize("NFKC", text).lower()
    if not folded.isascii():
        folded = unicodedata.normalize("NFKC", folded)
    return " ".join(folded.translate(_PUNCTUATION_TO_SPACE).split())


_FOLDED_ASCII = "".join(_normalized(chr(code)) or " " for code in range(128)).encode().ljust(256)
"""What each ASCII byte becomes; the other half is never asked for."""


def text_key(text: str) -> int:
    """Return the 64-bit key of a string: BLAKE2b-64 of its UTF-8 bytes, big-endian, as
    an unsigned int.
    """
    return int.from_bytes(
        blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big"
    )


def text_features(text: str, num_buckets: int) -> list[int]:
    """Return the hashed features of a text, each in ``0..num_buckets - 1``.

    Repeats and order are kept.

    Features are words, pairs of neighbouring words, and character n-grams of sizes
    `CHAR_NGRAM_SIZES` of each word between boundary marks, hashed by CRC-32. At most 64
    words of 64 characters are read. The same text always gives the same features, in
    training and in serving.
    """
    of_words, of_pairs = _terms(text, num_buckets)
    features = [of_word[0] for of_word in of_words]
    features += chain.from_iterable(of_pairs)
    for of_word in of_words:
        features += of_word[1:]
    return features


def text_terms(text: str, num_buckets: int) -> list[tuple[int, ...]]:
    """Return the same features by term: a word with its n-grams, or a pair of words.

    Repeats are kept.
    """
    of_words, of_pairs = _terms(text, num_buckets)
    return of_words + of_pairs


def _terms(text: str, num_buckets: int) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
    words = [
        word[:_MAX_WORD_CHARS] for word in normalize_query(text).split(" ")[:_MAX_WORDS] if word
    ]
    of_words = [_word_features(word, num_buckets) for word in words]
    of_pairs: list[tuple[int, ...]] = [
        (_bucket(f"p:{first} {second}", num_buckets),) for first, second in pairwise(words)
    ]
    return of_words, of_pairs


@lru_cache(maxsize=_CACHED_WORDS)
def _word_features(word: str, num_buckets: int) -> tuple[int, ...]:
    """Return the feature of a word itself, then those of its character n-grams.

    Few words are frequent, so results are cached.
    """
    marked = f"<{word}>"
    grams = [
        marked[start : start + size]
        for size in CHAR_NGRAM_SIZES
        for start in range(len(marked) - size + 1)
    ]
    return tuple(_bucket(gram, num_buckets) for gram in ["w:" + word, *grams])


def _bucket(gram: str, num_buckets: int) -> int:
    return crc32(gram.encode("utf-8", "surrogatepass")) % num_buckets
