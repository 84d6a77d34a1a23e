"""Pure: the items nearest to a vector, of a generation's index and its overlay
together.
"""

import math
from dataclasses import dataclass

import numpy as np

from server.live import LiveGeneration
from server.overlay.held import HeldOverlay
from stream.dtypes import Bools, Float32s, Int64s

# Of the items that are hidden among the nearest `k` by chance, the share that a first
# search asks the index for beside them. Most that is hidden is in the overlay, near
# where it was: without these, one search in 20 (8 in 100 items hidden) to one in 5 (40)
# is done again. Each costs an approximate search a twentieth at k = 10; twice as many
# cost more than they save.
_MORE_OF_HIDDEN = 0.5


_NOTHING = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Nearest:
    """Items, best first.

    Attributes:
        from_overlay: ``bool [n]``, whether each is a row of the overlay.
        rows: ``int64 [n]``, its row in the overlay, or its index in the generation.
        scores: ``float32 [n]`` cosines, descending.
    """

    from_overlay: Bools
    rows: Int64s
    scores: Float32s


def search(live: LiveGeneration, overlay: HeldOverlay, vector: Float32s, k: int) -> Nearest:
    """Return the `k` nearest items, or all there are.

    What the overlay hides does not cost places: the index is asked for more until `k`
    are left. Where it has all items nearest to the vector, as the exact engine has, so
    has the answer.

    Args:
        live: the generation.
        overlay: its overlay.
        vector: ``float32 [dim]``, a unit vector.
        k: how many, at least one.
    """
    if not len(overlay.vectors) and not len(overlay.hidden):
        return _of_index_alone(live, vector, k)
    own = _scan(overlay, vector)
    ids, scores, least = _search_index(live, overlay, own, vector, k)
    rows, cosines = _best_of_overlay(overlay, own, vector, k, least)
    all_scores = np.concatenate([scores, cosines])
    best = np.argsort(-all_scores, kind="stable")[:k]
    return Nearest(
        from_overlay=best >= len(ids),
        rows=np.concatenate([live.generation.index_items[ids], rows])[best],
        scores=all_scores[best],
    )


def _of_index_alone(live: LiveGeneration, vector: Float32s, k: int) -> Nearest:
    """Return what the index answers, where nothing changes it."""
    size = len(live.index)
    ids, scores = live.index.search(vector, min(k, size)) if size else _NOTHING
    return Nearest(
        from_overlay=np.zeros(len(ids), dtype=np.bool_),
        rows=live.generation.index_items[ids],
        scores=scores,
    )


def with_marked(overlay: HeldOverlay, vector: Float32s, nearest: Nearest) -> Nearest:
    """Return an answer with all items of probes, too, however far they are."""
    marked = overlay.marked
    cosines = (overlay.rows.item_vectors[marked] * vector.astype(np.float64)).sum(axis=1)
    scores = np.concatenate([nearest.scores, cosines.astype(np.float32)])
    best = np.argsort(-scores, kind="stable")
    is_fresh = np.concatenate([nearest.from_overlay, np.ones(len(marked), dtype=bool)])
    rows = np.concatenate([nearest.rows, marked])
    return Nearest(from_overlay=is_fresh[best], rows=rows[best], scores=scores[best])


def _scan(overlay: HeldOverlay, vector: Float32s) -> Float32s:
    """Return ``float32 [n]`` cosines of all that the overlay may answer with, rounded
    as a matrix product is.
    """
    product: Float32s = overlay.vectors @ vector
    return product


def _search_index(
    live: LiveGeneration, overlay: HeldOverlay, own: Float32s, vector: Float32s, k: int
) -> tuple[Int64s, Float32s, float]:
    """Return what the index answers and is not hidden, ids and cosines, and the cosine
    above which it has nothing more.

    Enough is asked for that, with what the overlay has above that cosine, `k` items
    remain.
    """
    size, hidden = len(live.index), overlay.hidden
    if not size:
        return *_NOTHING, -np.inf
    most = min(k + len(hidden), size)
    by_chance = math.ceil(_MORE_OF_HIDDEN * k * len(hidden) / size)
    count, more = min(k + by_chance, most), 2
    while True:
        ids, scores = live.index.search(vector, count)
        has_more = len(ids) == count < size
        least = float(scores[-1]) if has_more else -np.inf
        if not len(hidden):
            return ids, scores, least
        kept = ~_contains(hidden, ids)
        missing = k - int(np.count_nonzero(kept)) - int(np.count_nonzero(own >= least))
        if count >= most or missing <= 0:
            return ids[kept], scores[kept], least
        # A further search costs as much as the first: ever more, so that there are few.
        count, more = min(count + more * missing, most), 2 * more


def _best_of_overlay(
    overlay: HeldOverlay, own: Float32s, vector: Float32s, k: int, least: float
) -> tuple[Int64s, Float32s]:
    """Return up to `k` rows of the overlay and more that a matrix product cannot tell
    apart, with their cosines, of those that may be in the answer.

    All that have more than `least`: below, the index might have something nearer, and
    has `k` items before it.
    """
    if not len(own):
        return _NOTHING
    rounding = 2 * len(vector) * float(np.finfo(np.float32).eps)
    near = np.flatnonzero(own >= least - rounding)
    if len(near) > k:
        bound = np.partition(own[near], len(near) - k)[len(near) - k]
        near = near[own[near] >= bound - rounding]
    # Each row is summed by itself, as the exact engine does: the same on every machine.
    cosines = (overlay.vectors[near] * vector.astype(np.float64)).sum(axis=1)
    return overlay.shown[near], cosines.astype(np.float32)


def _contains(ascending: Int64s, values: Int64s) -> Bools:
    places = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    found: Bools = ascending[places] == values
    return found
