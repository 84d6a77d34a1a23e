"""Cuts words into the pieces of a byte-pair vocabulary, as Hugging Face's
``tokenizers`` does with the same file.

Only what the files of the table use: a word begins with a mark that stands for the
space before it, no piece goes over a word's end, and a character that the vocabulary
lacks becomes its bytes. Text that looks like a control token (``<s>``) is text.
"""

import json
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

from model.errors import PretrainedTextUnusable
from stream.errors import PARSE_ERRORS

_SPACE = "\u2581"
# Words whose pieces are kept, of words that are cut as one: some 10 MB, 40 of the
# longest that a stranger sends. Twice as many take twice the memory, and save the
# cutting of rare words, 20 us each.
_CACHED_WORDS = 1 << 15
# Characters of a word that are cut as one: merging takes the square of them. Longer
# ones, which are no words, are cut in parts first; twice as many take four times as
# long for each.
_LONGEST_WORD = 64


class WordPieces:
    """A byte-pair vocabulary: the numbers of a word's pieces.

    Immutable but for its cache, so any number of threads may share one.

    Args:
        path: a tokenizer's JSON file.

    Raises:
        PretrainedTextUnusable: it is not one, or not of this kind.
    """

    def __init__(self, path: Path) -> None:
        try:
            model = _model_of(json.loads(path.read_text(encoding="utf-8")))
            self._number: dict[str, int] = model["vocab"]
            self._merged = _merges(model["merges"], self._number)
            self._bytes = [self._number[f"<0x{byte:02X}>"] for byte in range(256)]
        except (OSError, *PARSE_ERRORS, KeyError, TypeError) as error:
            raise PretrainedTextUnusable(
                f"{path} is not a byte-pair tokenizer that this version reads ({error!r}); "
                "install the version of its package that constraints.txt names"
            ) from error
        # A cache of this vocabulary alone: a decorated method would share one.
        self._of_short_word = lru_cache(maxsize=_CACHED_WORDS)(self._of_word)

    def __len__(self) -> int:
        """Return how many pieces there are."""
        return len(self._number)

    def of_words(self, words: Sequence[str]) -> list[int]:
        """Return the pieces of words that a space is before, in order."""
        found: list[int] = []
        for word in words:
            is_kept = len(word) < _LONGEST_WORD
            found += self._of_short_word(word) if is_kept else self._of_word(word)
        return found

    def _of_word(self, word: str) -> "array[int]":
        """Return the pieces of a word, each an unsigned int of 32 bits."""
        word = _SPACE + word
        parts = (
            word[start : start + _LONGEST_WORD] for start in range(0, len(word), _LONGEST_WORD)
        )
        return array("I", [piece for part in parts for piece in self._cut(part)])

    def _cut(self, part: str) -> list[int]:
        """Merge the pair that the vocabulary merged first, the leftmost of equals, as
        long as there is one.
        """
        pieces = [piece for character in part for piece in self._characters(character)]
        while len(pieces) > 1:
            merges = [
                (self._merged[pair], place)
                for place, pair in enumerate(pairwise(pieces))
                if pair in self._merged
            ]
            if not merges:
                break
            (_, merged), place = min(merges)
            pieces[place : place + 2] = [merged]
        return pieces

    def _characters(self, character: str) -> list[int]:
        number = self._number.get(character)
        if number is not None:
            return [number]
        return [self._bytes[byte] for byte in character.encode("utf-8", "surrogatepass")]


def _model_of(tokenizer: dict[str, Any]) -> dict[str, Any]:
    model: dict[str, Any] = tokenizer["model"]
    if model["type"] != "BPE" or not model["byte_fallback"]:
        raise ValueError("its model is not BPE with byte_fallback")
    crossing = [piece for piece in model["vocab"] if piece.strip(_SPACE).count(_SPACE)]
    if crossing:
        raise ValueError(f"its piece {crossing[0]!r} goes over a word's end")
    return model


def _merges(
    merges: Sequence[str | Sequence[str]], number: dict[str, int]
) -> dict[tuple[int, int], tuple[int, int]]:
    """Return the rank and the piece that each pair of pieces becomes."""
    found = {}
    for rank, merge in enumerate(merges):
        left, right = merge.split(" ") if isinstance(merge, str) else merge
        found[number[left], number[right]] = (rank, number[left + right])
    return found
