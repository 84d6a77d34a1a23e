"""Pure: the items nearest to a vector, of a generation's index and its overlay
together.
"""

from typing import NamedTuple

import numpy as np

from server.live import LiveGeneration
from server.overlay.held import HeldOverlay
from stream.dtypes import Bools, Float32s, Int64s


class Nearest(NamedTuple):
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

    What the overlay hides does not cost places. Where the index has all items nearest
    to the vector, as the exact engine has, so has the answer. Of equal scores the
    index's come first.

    Args:
        live: the generation.
        overlay: its overlay.
        vector: ``float32 [dim]``, a unit vector.
        k: how many, at least one.
    """
    ids, scores = live.index.search(vector, k, overlay.hidden)
    items = live.generation.index_items.take(ids)
    if not overlay.shown.size:
        return Nearest(from_overlay=np.zeros(len(ids), dtype=np.bool_), rows=items, scores=scores)
    near, cosines = overlay.scanned.nearest(vector, k)
    all_scores = np.concatenate([scores, cosines])
    best = np.argsort(-all_scores, kind="stable")[:k]
    return Nearest(
        from_overlay=best >= len(ids),
        rows=np.concatenate([items, overlay.shown[near]])[best],
        scores=all_scores[best],
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
