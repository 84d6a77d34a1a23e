"""The nearest of the items that a filter lets into an answer: as many as are wanted,
wherever there are so many.
"""

import math
from typing import NamedTuple

import numpy as np

from model.artifact.generation import Generation
from model.artifact.index.cosines import near_best, rounding_of
from server.filters.accepted import Indexes
from server.filters.conditions import Filter, FilterPath, FilterReport
from server.filters.groups import Groups
from server.filters.matching import Matching, match
from server.overlay.held import HeldOverlay
from server.overlay.search import Nearest
from server.overlay.view import LiveView
from stream.dtypes import Bools, Float32s, Int64s

_NOTHING = np.zeros(0, dtype=np.int64)

# Numbers of the vectors of matching items up to which all are compared: 12,288 items of
# 64 dimensions. Both ways cost the same there (docs/benchmarks.md#filters); twice as
# many cost twice what the index does.
SCANNED_NUMBERS = 3 << 18
# Share of a generation's items from which a scan reads all vectors in their order and
# takes what matches of the products: picking rows costs four times as much a row.
_PICKED_SHARE = 0.25
# Rows that are picked at once: 1 MB at 128 dimensions. Python runs nothing else
# meanwhile, some .2 ms; twice as many hold up other requests for twice that.
_PICKED_ROWS = 2048
# Of what the index is asked for beyond what holds `k` matching items on average. With
# 1, half of all searches are too narrow; twice as much costs a third more.
_MARGIN = 1.5
# The next search asks for so many times as much. Twice: more searches; eight times: as
# dear as a scan.
_WIDER = 4
# Share of the index that is asked for at most: beyond, a scan costs less.
_WIDEST_SHARE = 0.1
# Items that are ranked for each one wanted where only few of a group count.
_RANKED_FOR_GROUPS = 4


class Ranked(NamedTuple):
    """Items that may be in an answer, best first."""

    from_overlay: Bools
    rows: Int64s
    scores: Float32s

    def picked(self, which: Bools, k: int) -> "Ranked":
        """Return the first `k` of some of them."""
        places = np.flatnonzero(which)[:k]
        return Ranked(self.from_overlay[places], self.rows[places], self.scores[places])


class FilteredNearest(NamedTuple):
    """An answer to a query with a filter."""

    nearest: Nearest
    report: FilterReport


def search_filtered(
    view: LiveView,
    vector: Float32s,
    k: int,
    wanted: Filter,
    *,
    scanned_numbers: float = SCANNED_NUMBERS,
) -> FilteredNearest:
    """Return the `k` nearest of the items that a filter lets in, or all there are.

    Few matching items are all compared. Of many the index is asked for more than `k`,
    and more again; where that does not give `k`, all matching items are compared after
    all.

    Args:
        view: generation and overlay.
        vector: ``float32 [dim]``, a unit vector.
        k: how many, at least one.
        wanted: the filter.
        scanned_numbers: numbers of the vectors of matching items up to which all are
            compared.

    Raises:
        NoAttributes: as `server.filters.matching.match`.
        QueryRefused: likewise.
    """
    matching = match(view, wanted)
    choice = _Choice(view, wanted, k)
    path, ranked = FilterPath.EXACT, None
    is_many = matching.num_items * len(vector) > scanned_numbers
    if is_many and _can_widen(view, matching, choice):
        ranked = _widened(view, matching, vector, choice)
        path = FilterPath.FELL_BACK if ranked is None else FilterPath.WIDENED
    if ranked is None:
        ranked = _exact(view, matching, vector, choice)
    return FilteredNearest(
        Nearest(from_overlay=ranked.from_overlay, rows=ranked.rows, scores=ranked.scores),
        FilterReport(
            num_matching=matching.num_items + len(matching.places),
            path=path,
            unknown_attributes=matching.unknown,
        ),
    )


class _Choice:
    """What of ranked items goes into the answer.

    Args:
        view: whose items.
        wanted: the filter; its conditions hold already.
        k: most items.
    """

    def __init__(self, view: LiveView, wanted: Filter, k: int) -> None:
        self.k = k
        self.min_score = wanted.min_score
        self.groups: Groups | None = None
        table = view.live.generation.attributes
        if wanted.group_by is not None and table is not None:
            attribute = wanted.group_by.attribute
            self.groups = Groups(
                table,
                table.number_of_name.get(attribute),
                view.overlay.attributes.column(attribute),
                wanted.group_by.max_hits,
            )

    @property
    def num_ranked(self) -> int:
        """How many items to rank at first."""
        return self.k if self.groups is None else _RANKED_FOR_GROUPS * self.k

    def of(self, ranked: Ranked) -> Ranked:
        """Return what goes into the answer of items ranked best first."""
        is_in = ranked.scores >= self.min_score
        if self.groups is not None:
            fresh = ranked.from_overlay
            groups = np.empty(len(fresh), dtype=np.int64)
            found = self.groups.of(ranked.rows[~fresh], ranked.rows[fresh])
            groups[~fresh], groups[fresh] = np.split(found, [int((~fresh).sum())])
            is_in &= self.groups.first_of_each(groups)
        return ranked.picked(is_in, self.k)

    def most(self, items: Indexes, rows: Int64s) -> int:
        """Return how many of all matching items can be in one answer.

        Args:
            items: those of the generation.
            rows: those of the overlay.
        """
        if self.groups is None:
            return len(items) + len(rows)
        return self.groups.most(self.groups.of(items, rows))

    def is_enough(self, chosen: Ranked, ranked: Ranked) -> bool:
        """Whether no further item can change what was chosen of the best ones."""
        is_full = len(chosen.rows) >= self.k
        return is_full or bool(len(ranked.scores) and ranked.scores[-1] < self.min_score)


def _can_widen(view: LiveView, matching: Matching, choice: _Choice) -> bool:
    """Whether the index looks at less than all items for what matches."""
    size = len(view.live.index)
    # Without a setting it looks at all of them itself.
    is_narrow = bool(view.live.generation.search_k) and matching.num_items > 0
    return is_narrow and _first_count(size, matching, choice) <= _WIDEST_SHARE * size


def _first_count(size: int, matching: Matching, choice: _Choice) -> int:
    """Return how many items of an index of some size hold as many matching ones as are
    ranked.
    """
    return math.ceil(_MARGIN * choice.num_ranked * size / matching.num_items)


def _widened(
    view: LiveView, matching: Matching, vector: Float32s, choice: _Choice
) -> Ranked | None:
    """Return the answer by the index, or None where it gives too few."""
    live, overlay = view.live, view.overlay
    size, own = len(live.index), _own_products(overlay, matching, vector)
    count = _first_count(size, matching, choice)
    while count <= _WIDEST_SHARE * size:
        ids, scores = live.index.search(vector, count)
        least = float(scores[-1]) if len(ids) == count else -math.inf
        items = live.generation.index_items[ids]
        matches = matching.has(items)
        places = matching.places[own >= least - rounding_of(len(vector))]
        ranked = _ranked(
            items[matches],
            overlay.shown[places],
            np.concatenate([scores[matches], _cosines(overlay.vectors, places, vector)]),
        )
        chosen = choice.of(ranked)
        if choice.is_enough(chosen, ranked) or least < choice.min_score:
            return chosen
        count *= _WIDER
    return None


def _exact(view: LiveView, matching: Matching, vector: Float32s, choice: _Choice) -> Ranked:
    """Return the answer by comparing all matching items."""
    generation, overlay = view.live.generation, view.overlay
    items, places = matching.all_items(generation), matching.places
    rounded = np.concatenate(
        [_products(generation, items, vector), _own_products(overlay, matching, vector)]
    )
    most, count = -1, choice.num_ranked
    while True:
        count = min(count, len(rounded))
        near = near_best(rounded, count, rounding_of(len(vector))) if count else _NOTHING
        split = int(np.searchsorted(near, len(items)))
        old, new = items[near[:split]], places[near[split:] - len(items)]
        cosines = [
            _cosines(generation.item_vectors, old, vector),
            _cosines(overlay.vectors, new, vector),
        ]
        ranked = _ranked(old, overlay.shown[new], np.concatenate(cosines))
        chosen = choice.of(ranked)
        if choice.is_enough(chosen, ranked) or count == len(rounded):
            return chosen
        if most < 0:
            most = choice.most(items, overlay.shown[places])
        if len(chosen.rows) >= most:
            return chosen
        count *= _WIDER


def _ranked(items: Indexes, rows: Int64s, scores: Float32s) -> Ranked:
    """Return items of the generation and rows of the overlay by their scores, given in
    this order; equal scores stay in it.
    """
    order = np.argsort(-scores, kind="stable")
    return Ranked(
        from_overlay=order >= len(items),
        rows=np.concatenate([items, rows])[order],
        scores=scores[order],
    )


def _own_products(overlay: HeldOverlay, matching: Matching, vector: Float32s) -> Float32s:
    """Return the same of the matching rows of an overlay."""
    places, vectors = matching.places, overlay.vectors
    if len(places) > _PICKED_SHARE * len(vectors):
        products: Float32s = (vectors @ vector)[places]
        return products
    found: Float32s = vectors[places] @ vector
    return found


def _products(generation: Generation, items: Indexes, vector: Float32s) -> Float32s:
    """Return ``float32 [n]`` products of the vectors of some items, rounded as a matrix
    product is.
    """
    vectors = generation.item_vectors
    if len(items) > _PICKED_SHARE * len(vectors):
        products: Float32s = (vectors @ vector)[items]
        return products
    found = np.empty(len(items), dtype=np.float32)
    for start in range(0, len(items), _PICKED_ROWS):
        block = slice(start, start + _PICKED_ROWS)
        np.dot(vectors[items[block]], vector, out=found[block])
    return found


def _cosines(vectors: Float32s, rows: Indexes, vector: Float32s) -> Float32s:
    """Return ``float32 [n]`` cosines, each summed by itself: the same on every machine,
    wherever a row is.
    """
    found: Float32s = (vectors[rows] * vector.astype(np.float64)).sum(axis=1).astype(np.float32)
    return found
