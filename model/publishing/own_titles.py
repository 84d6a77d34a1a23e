"""Pure: how many items without clicks are found by their own titles."""

from typing import NamedTuple

import numpy as np

from model.artifact.encoder import TextEncoder
from model.data.titles import title_numbers
from stream.dtypes import Bools, Float32s, Int64s

# Titles that are asked for: a recall of 0.97 is then known to about 0.01, in 3 s of a
# core at a million items of 128 dimensions. Twice as many: to 0.7 of that, in twice the
# time.
_TITLES = 500
# Items that are looked through for it: a first page of results.
_K = 10
# Scores of a block: 16 MB. Twice as many take twice the memory and no less time.
_SCORES = 1 << 22


class OwnTitles(NamedTuple):
    """What asking for titles gave.

    Attributes:
        asked: how many items were asked for.
        recall: share of them that were among the first ten; 1 where none was asked for.
    """

    asked: int
    recall: float


def own_title_recall(
    encoder: TextEncoder, titles: list[str], vectors: Float32s, clicked: Bools
) -> OwnTitles:
    """Ask for a sample of the items without clicks by their exact titles.

    The items of one title are one answer: it is found where fewer than ten items of
    other titles score higher than the best of them.

    Args:
        encoder: of the model.
        titles: normalised, of the items that are shown; empty ones are not asked for.
        vectors: ``float32 [len(titles), dim]``, theirs.
        clicked: ``bool [len(titles)]``: has been clicked from a search.
    """
    name = title_numbers(titles)
    wanted = np.flatnonzero((name >= 0) & ~clicked)
    wanted = wanted[:: max(1, len(wanted) // _TITLES)][:_TITLES]
    if not len(wanted):
        return OwnTitles(0, 1.0)
    found = 0
    for block in np.array_split(wanted, max(1, len(wanted) * len(titles) // _SCORES)):
        asked = encoder.encode_all([titles[item] for item in block])
        found += int(_found(asked @ vectors.T, name, block).sum())
    return OwnTitles(len(wanted), found / len(wanted))


def _found(scores: Float32s, name: Int64s, block: Int64s) -> Bools:
    is_answer = name[block][:, None] == name
    best = np.where(is_answer, scores, -np.inf).max(axis=1)
    found: Bools = (scores > best[:, None]).sum(axis=1) < _K
    return found
