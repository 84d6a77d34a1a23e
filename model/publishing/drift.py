"""Pure: how far a new generation is from the live one, in answers and in vectors."""

import numpy as np

from model.artifact.generation import Generation
from model.data.parent import ParentRows
from stream.dtypes import Bools, Float32s, Int64s

FIRST_PAGE_OVERLAP = "first_page_overlap"
"""The manifest's figure: share of the first ten answers that the live generation has,
too, mean of known queries.
"""
ITEM_COSINE_MEAN = "item_cosine_mean"
ITEM_COSINE_WORST = "item_cosine_worst"
"""The manifest's figures: cosines of the two vectors of the items that both have."""

# Queries that are compared: the mean is known to about .02, in a second of a core at a
# million items of 128 dimensions. Twice as many: to .7 of that, in twice the time.
_QUERIES = 200
# Fewer are not told of: a mean of 20 is known to about .06. Twice as many: small shops
# are told of later.
_LEAST_QUERIES = 20
# A first page of results. Twice as many compare what hardly anybody sees.
_K = 10
# Scores or vector components of a block: 16 MB. Twice as many take twice the memory and
# no less time.
_BLOCK = 1 << 22


def drift(
    current: Generation,
    rows: ParentRows,
    query_vectors: Float32s,
    items: tuple[Float32s, Bools],
    *,
    is_warm: bool,
) -> dict[str, float]:
    """Return how far a candidate is from the live generation, as figures of a manifest.

    The queries are the first that both know, in order of their keys. Keys are hashes:
    that is a random sample, and the same one for as long as the queries are known. All
    items are compared with them, so that no index adds to the difference.

    Args:
        current: the live generation.
        rows: where it has the candidate's queries and items.
        query_vectors: ``float32 [num_queries, dim]``, the candidate's.
        items: its item vectors, ``float32 [num_items, dim]``, and which are shown,
            ``bool [num_items]``.
        is_warm: it was trained from the live one on. Spaces of two trainings from
            scratch have nothing in common: their cosines say nothing.

    Returns:
        `FIRST_PAGE_OVERLAP`, 0 to 1, unless fewer than 20 queries are known to both;
        `ITEM_COSINE_MEAN` and `ITEM_COSINE_WORST`, -1 to 1, where both have items of
        one space.
    """
    item_vectors, shown = items
    figures: dict[str, float] = {}
    known = np.flatnonzero(rows.query >= 0)[:_QUERIES]
    shown_rows = np.flatnonzero(shown)
    if len(known) >= _LEAST_QUERIES and len(shown_rows) and len(current.index_items):
        after = _first_pages(query_vectors[known], item_vectors, shown_rows)
        before = _first_pages(
            current.query_vectors[rows.query[known]], current.item_vectors, current.index_items
        )
        figures[FIRST_PAGE_OVERLAP] = _overlap(before, rows.item[after])
    both = np.flatnonzero(rows.item >= 0)
    if is_warm and len(both) and current.manifest.dim == item_vectors.shape[1]:
        cosines = _cosines(item_vectors, current.item_vectors, both, rows.item[both])
        figures[ITEM_COSINE_MEAN] = float(cosines.mean())
        figures[ITEM_COSINE_WORST] = float(cosines.min())
    return figures


def _first_pages(queries: Float32s, vectors: Float32s, shown: Int64s) -> Int64s:
    """Return the rows of the nearest items, ``int64 [num_queries, min(10, shown)]``."""
    hidden = np.ones(len(vectors), dtype=np.bool_)
    hidden[shown] = False
    k, size = min(_K, len(shown)), max(1, _BLOCK // len(vectors))
    pages = []
    for start in range(0, len(queries), size):
        scores = queries[start : start + size] @ vectors.T
        scores[:, hidden] = -np.inf
        pages.append(np.argpartition(-scores, k - 1, axis=1)[:, :k])
    return np.concatenate(pages).astype(np.int64)


def _overlap(before: Int64s, after: Int64s) -> float:
    """Return the mean share of pages, as rows of the live generation, that stayed."""
    stayed = (before[:, :, None] == after[:, None, :]).any(axis=2).sum(axis=1)
    return float((stayed / max(before.shape[1], after.shape[1])).mean())


def _cosines(new: Float32s, old: Float32s, new_rows: Int64s, old_rows: Int64s) -> Float32s:
    """Return the cosine of each pair of unit vectors, ``float32 [len(new_rows)]``."""
    size = max(1, _BLOCK // max(1, new.shape[1]))
    parts = [
        np.einsum("nd,nd->n", new[new_rows[at : at + size]], old[old_rows[at : at + size]])
        for at in range(0, len(new_rows), size)
    ]
    return np.concatenate(parts)
