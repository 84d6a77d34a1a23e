"""Asks for items that nobody has clicked by their exact titles."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from protos.text import normalize_query
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

TITLE_SEGMENTS = ("own_title", "own_title_no_session")
# Items of a segment, at most: the share that is found is then known to two hundredths.
# Twice as many take twice as long to ask for, and see 0.7 of the noise.
_MOST_ITEMS = 2000
# Scores of a block: 16 MiB of float32, whatever the number of items, as in
# `model.ranking`. Twice as many take twice the memory.
_BLOCK_SCORES = 1 << 22


@dataclass(frozen=True, kw_only=True)
class TitleQueries:
    """Items that are asked for by their titles.

    Attributes:
        query: ``int64 [num_titles]``, the item's title as a query, by its place in the
            texts.
        items: for each title ``int64 [n]``, the shown items that have it, ascending:
            whoever asks for it may mean any.
        segments: by name of `TITLE_SEGMENTS`, ``bool [num_titles]``: *own title* has
            items that no search led to before, *own title, no session* those of them
            that are in no session either: only the catalogue knows them.
    """

    query: Int64s
    items: list[Int64s]
    segments: dict[str, Bools]

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def none(cls) -> Self:
        """Return no titles."""
        nothing = np.zeros(0, dtype=np.bool_)
        return cls(
            query=np.zeros(0, dtype=np.int64),
            items=[],
            segments=dict.fromkeys(TITLE_SEGMENTS, nothing),
        )


def title_queries(
    arrays: GraphArrays, texts: Sequence[str], most: int = _MOST_ITEMS
) -> tuple[TitleQueries, list[str]]:
    """Return the titles to ask for, and those of them that are not among some texts.

    Items without a title are left out, and those that are not shown.

    Args:
        arrays: the graph; clicks are those out of a search.
        texts: normalised queries that have a place already.
        most: items of a segment. Items are in ascending order of a hash of their id, so
            the first are a sample that does not depend on chance, nor on what else
            there is.

    Returns: The titles; texts to put behind `texts`, where their places point to.
    """
    titles = [normalize_query(title) for title in arrays.item_titles]
    shown = arrays.item_available & ~arrays.item_deleted
    is_asked = shown & np.array([bool(title) for title in titles], dtype=np.bool_)
    is_asked &= np.bincount(arrays.fact_item, minlength=arrays.num_items) == 0
    in_session = np.bincount(arrays.incidence_item, minlength=arrays.num_items) > 0
    chosen = [
        np.flatnonzero(mask)[:most].astype(np.int64) for mask in (is_asked, is_asked & ~in_session)
    ]
    asked = np.union1d(*chosen)
    place = {text: number for number, text in enumerate(texts)}
    new = list(dict.fromkeys(titles[item] for item in asked if titles[item] not in place))
    place |= {text: len(texts) + number for number, text in enumerate(new)}
    same = _by_title(titles, shown)
    queries = TitleQueries(
        query=np.array([place[titles[item]] for item in asked], dtype=np.int64),
        items=[same[titles[item]] for item in asked],
        segments={
            name: np.isin(asked, items) for name, items in zip(TITLE_SEGMENTS, chosen, strict=True)
        },
    )
    return queries, new


def title_ranks(
    scores_of: Callable[[Int64s], Float32s], titles: TitleQueries, arrays: GraphArrays
) -> Float64s:
    """Return the best rank of the items with each title among all shown ones, from 1,
    ``float64 [num_titles]``.

    Items of the same title do not stand in each other's way; others with equal scores
    share the mean of their ranks.

    Args:
        scores_of: returns scores ``float32 [len(queries), num_items]``, which are
            written to.
        titles: to ask for.
        arrays: the graph that has the items.
    """
    ranks = np.zeros(len(titles), dtype=np.float64)
    hidden = np.flatnonzero(~(arrays.item_available & ~arrays.item_deleted))
    size = max(1, _BLOCK_SCORES // max(1, arrays.num_items))
    for start in range(0, len(titles), size):
        rows = np.arange(start, min(start + size, len(titles)))
        scores = scores_of(titles.query[rows])
        own = np.zeros((len(rows), 1), dtype=np.float32)
        for place, row in enumerate(rows.tolist()):
            own[place] = scores[place, titles.items[row]].max()
            scores[place, titles.items[row]] = -np.inf
        scores[:, hidden] = -np.inf
        # Not `>`: a NaN must never look like a good rank.
        above = (~(scores <= own)).sum(axis=1)
        level = (scores == own).sum(axis=1)
        ranks[rows] = above + 1 + level / 2
    return ranks


def _by_title(titles: Sequence[str], shown: Bools) -> dict[str, Int64s]:
    """Return the shown items of each title."""
    found: defaultdict[str, list[int]] = defaultdict(list)
    for item in np.flatnonzero(shown).tolist():
        found[titles[item]].append(item)
    return {title: np.array(items, dtype=np.int64) for title, items in found.items()}
