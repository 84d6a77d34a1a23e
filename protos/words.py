"""Cuts a text in normal form into the words whose features are hashed, also where a
script writes no spaces between them.
"""

import re
from collections.abc import Iterator, Sequence

# Words of a text between spaces that are read; longer than any title. In the hashes as
# well. Twice as many double the longest encoding.
_MAX_WORDS = 64
# Characters of a word that are read; in the hashes as well. Twice as many double the
# n-grams of the longest word.
_MAX_WORD_CHARS = 64

# Han: the blocks of unified ideographs, the iteration mark and the number zero.
_HAN = "\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Hiragana, Katakana, their extensions, and Bopomofo.
_KANA = "\u3041-\u30ff\u3105-\u312f\u31a0-\u31bf\u31f0-\u31ff"
# Thai, Lao, Myanmar and its extensions, Khmer.
_SOUTH_EAST_ASIAN = "\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\ua9e0-\ua9ff\uaa60-\uaa7f"
_HANGUL = "\u1100-\u11ff\uac00-\ud7ff"

_PIECE = re.compile(
    f"[{_HAN}]|[{_KANA}]+|[{_SOUTH_EAST_ASIAN}]+|[^{_HAN}{_KANA}{_SOUTH_EAST_ASIAN}]+"
)
_ONE_HAN = re.compile(f"[{_HAN}]")
_DENSE = re.compile(f"[{_KANA}{_SOUTH_EAST_ASIAN}{_HANGUL}]")

NGRAM_SIZES = (3, 4)
"""Characters of an n-gram; in every encoder's hashes: a change needs a new training."""

# Where a character is a syllable, or a word is not told from its neighbours, two say as
# much as three of others. Measured: without them fewer new items are found by name.
_DENSE_SIZES = (2, 3, 4)


def spaced_words(text: str) -> list[str]:
    """Return the words of a text in normal form as they stand between spaces: at most
    64, of at most 64 characters.
    """
    return [word[:_MAX_WORD_CHARS] for word in text.split(" ")[:_MAX_WORDS] if word]


def words_of(text: str) -> list[str]:
    """Return the words of a text in normal form: those between spaces, each cut where
    its script writes none.

    A Han character is a word. A run of Kana is a word, and so is one of Thai, Lao,
    Myanmar or Khmer, and what stands between such.
    """
    return [piece for word in spaced_words(text) for piece in _PIECE.findall(word)]


def ngram_sizes(word: str) -> Sequence[int]:
    """Return of how many characters the n-grams of a word are.

    None of a Han character, which is a word in itself; of 2 as well with Kana, Hangul
    or a South East Asian script.
    """
    if _ONE_HAN.fullmatch(word):
        return ()
    return _DENSE_SIZES if _DENSE.search(word) else NGRAM_SIZES


def char_ngrams(word: str, sizes: Sequence[int]) -> Iterator[str]:
    """Yield the character n-grams of a word between boundary marks, by size."""
    marked = f"<{word}>"
    for size in sizes:
        for start in range(len(marked) - size + 1):
            yield marked[start : start + size]
