"""The vectors nearest to one among runs of them: found in C where the optional library
`freshet_native` is installed, else in NumPy, with the same answers.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from model.artifact.index.cosines import best_rows, near_best, rounding_of
from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from stream.dtypes import Float32s, Int64s

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether `ScannedVectors` are scanned in C.

NumPy multiplies each run by a call of its own, and ranks in a dozen more.
"""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native

_NO_IDS: Final = np.zeros(0, dtype=np.int64)
NOTHING: Final = _NO_IDS, np.zeros(0, dtype=np.float32)
"""What is nearest among nothing: ids and cosines."""

_NO_CODES: Final = b""
_START: Final = np.zeros(1, dtype=np.int64)  # of the one run that all are


class ScannedVectors:
    """Vectors that are compared with others, a run of them after the other.

    Immutable, so any number of threads may share one. Where the library is, each has
    codes of 8 bits a number beside it, which are read instead but for the best.

    Args:
        vectors: ``float32 [num_vectors, dim]``.
        ids: ``int64 [n]``; None: the row of each.
        stored: ``int64 [n]``, which of the vectors are scanned, in this order; None:
            all, as they lie. Where the library is they are read there, else copied.

    Attributes:
        vectors: those that are read.
        codes: of what is scanned, as the library has them; none: it reads the vectors.

    Raises:
        ValueError: there is no such vector.
    """

    def __init__(
        self, vectors: Float32s, ids: Int64s | None = None, stored: Int64s | None = None
    ) -> None:
        dim = vectors.shape[1]
        self._count = len(vectors) if stored is None else len(stored)
        is_coded = bool(IS_NATIVE and dim and self._count)
        if stored is not None and not is_coded:
            vectors, stored = _taken(vectors, stored), None
        self.vectors = np.ascontiguousarray(vectors, dtype=np.float32)
        self._ids = ids
        self._stored = _NO_IDS if stored is None else stored
        self._end = np.array([self._count], dtype=np.int64)
        self._rounding = float(rounding_of(dim))
        self.codes = (
            freshet_native.codes_of(self.vectors, self._stored, dim) if is_coded else _NO_CODES
        )

    def __len__(self) -> int:
        return self._count

    def nearest(
        self, vector: Float32s, k: int, hidden: Hidden = NOTHING_HIDDEN
    ) -> tuple[Int64s, Float32s]:
        """Return the `k` nearest of all; see `nearest_of`."""
        return self.nearest_of(_START, self._end, vector, k, hidden)

    def nearest_of(
        self,
        firsts: Int64s,
        lasts: Int64s,
        vector: Float32s,
        k: int,
        hidden: Hidden = NOTHING_HIDDEN,
    ) -> tuple[Int64s, Float32s]:
        """Return ids and cosines of the `k` nearest of some runs of vectors, or of all
        that they hold, best first; equal cosines go by id.

        The same on every machine: what a float32 product cannot separate is compared
        in float64.

        Args:
            firsts: ``int64 [num_runs]``, where each run begins.
            lasts: ``int64 [num_runs]``, where it ends, exclusive.
            vector: ``float32 [dim]``.
            k: at least one.
            hidden: ids that are not found.
        """
        if not self._count:
            return NOTHING
        if not IS_NATIVE:
            return self._nearest_of(firsts, lasts, vector, k, hidden)
        found, cosines = freshet_native.nearest(
            self.vectors,
            self._stored,
            self.codes,
            _NO_IDS if self._ids is None else self._ids,
            firsts,
            lasts,
            hidden.is_hidden,
            np.ascontiguousarray(vector, dtype=np.float32),
            k,
            self._rounding,
        )
        return np.frombuffer(found, dtype=np.int64), np.frombuffer(cosines, dtype=np.float32)

    def nearest_in_cells(
        self,
        centres: "ScannedVectors",
        starts: Int64s,
        cells: int,
        vector: Float32s,
        k: int,
        hidden: Hidden = NOTHING_HIDDEN,
    ) -> tuple[Int64s, Float32s]:
        """Return the `k` nearest of those cells whose centres are nearest; see
        `nearest_of`.

        Args:
            centres: of all cells.
            starts: ``int64 [num_cells + 1]``, where each cell begins; the last: where
                they end.
            cells: how many are looked at, at least one, and no more than there are.
            vector: ``float32 [dim]``.
            k: at least one.
            hidden: ids that are not found.
        """
        if not IS_NATIVE:
            best, _ = centres.nearest(vector, cells)
            return self.nearest_of(starts[best], starts[best + 1], vector, k, hidden)
        found, cosines = freshet_native.nearest_in_cells(
            centres.vectors,
            centres.codes,
            starts,
            self.vectors,
            self._stored,
            self.codes,
            _NO_IDS if self._ids is None else self._ids,
            hidden.is_hidden,
            np.ascontiguousarray(vector, dtype=np.float32),
            cells,
            k,
            self._rounding,
        )
        return np.frombuffer(found, dtype=np.int64), np.frombuffer(cosines, dtype=np.float32)

    def _nearest_of(
        self, firsts: Int64s, lasts: Int64s, vector: Float32s, k: int, hidden: Hidden
    ) -> tuple[Int64s, Float32s]:
        """Do what `nearest_of` does in NumPy."""
        vector = vector.astype(np.float32, copy=False)
        ends = np.cumsum(lasts - firsts)
        products, at = np.empty(int(ends[-1]), dtype=np.float32), 0
        for first, last, end in zip(firsts.tolist(), lasts.tolist(), ends.tolist(), strict=True):
            np.dot(self.vectors[first:last], vector, out=products[at:end])
            at = end
        places = self._shown(firsts, lasts, hidden) if len(hidden) else None
        if places is not None:
            products = products[places]
        k = min(k, len(products))
        if not k:
            return NOTHING
        near = near_best(products, k, rounding_of(len(vector)))
        near = near if places is None else places[near]
        # From places among what was scanned to rows.
        rows = near + (lasts - ends)[np.searchsorted(ends, near, side="right")]
        found = self._ids_of(rows)
        order = np.argsort(found)
        return best_rows(self.vectors, rows[order], found[order], vector, k)

    def _shown(self, firsts: Int64s, lasts: Int64s, hidden: Hidden) -> Int64s:
        """Return the places among what is scanned whose ids are not hidden."""
        runs = zip(firsts.tolist(), lasts.tolist(), strict=True)
        rows = np.concatenate([np.arange(first, last) for first, last in runs])
        return np.flatnonzero(~hidden.is_hidden[self._ids_of(rows)])

    def _ids_of(self, rows: Int64s) -> Int64s:
        return rows if self._ids is None else self._ids[rows]


def _taken(vectors: Float32s, rows: Int64s) -> Float32s:
    """Return some vectors as a copy."""
    if len(rows) and not 0 <= rows.min() <= rows.max() < len(vectors):
        raise ValueError(f"rows must be of the {len(vectors)} vectors that there are")
    return vectors[rows]
