"""The vectors nearest to one among runs of them: found in C where the optional library
`freshet_native` is installed, else in NumPy, with the same answers.
"""

from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

import numpy as np

from model.artifact.index.cosines import best_rows, near_best
from stream.dtypes import Float32s, Int64s

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether `nearest` is in C.

NumPy multiplies each run by a call of its own, and ranks in a dozen more.
"""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native

_OWN_IDS: Final = np.zeros(0, dtype=np.int64)  # of the library: rows are their own


def nearest(
    vectors: Float32s,
    ids: Int64s | None,
    firsts: Int64s,
    lasts: Int64s,
    vector: Float32s,
    k: int,
    rounding: np.float32,
) -> tuple[Int64s, Float32s]:
    """Return ids and cosines of the `k` nearest of some runs of vectors, best first;
    equal cosines go by id.

    The same on every machine: what a float32 product cannot separate is compared in
    float64.

    Args:
        vectors: ``float32 [n, dim]``.
        ids: ``int64 [n]``; None: the row of each.
        firsts: ``int64 [num_runs]``, where each run begins.
        lasts: ``int64 [num_runs]``, where it ends, exclusive; all hold `k` rows.
        vector: ``float32 [dim]``.
        k: at least one.
        rounding: of `model.artifact.index.cosines.rounding_of`.
    """
    if not IS_NATIVE:
        return scan(vectors, ids, firsts, lasts, vector, k, rounding)
    vector = np.ascontiguousarray(vector, dtype=np.float32)
    found, cosines = freshet_native.nearest(
        vectors, _OWN_IDS if ids is None else ids, firsts, lasts, vector, k, float(rounding)
    )
    return np.frombuffer(found, dtype=np.int64), np.frombuffer(cosines, dtype=np.float32)


def scan(
    vectors: Float32s,
    ids: Int64s | None,
    firsts: Int64s,
    lasts: Int64s,
    vector: Float32s,
    k: int,
    rounding: np.float32,
) -> tuple[Int64s, Float32s]:
    """Do what `nearest` does in NumPy."""
    vector = vector.astype(np.float32, copy=False)
    ends = np.cumsum(lasts - firsts)
    products, at = np.empty(int(ends[-1]), dtype=np.float32), 0
    for first, last, end in zip(firsts.tolist(), lasts.tolist(), ends.tolist(), strict=True):
        np.dot(vectors[first:last], vector, out=products[at:end])
        at = end
    near = near_best(products, k, rounding)
    # From places among what was scanned to rows.
    rows = near + (lasts - ends)[np.searchsorted(ends, near, side="right")]
    found = rows if ids is None else ids[rows]
    order = np.argsort(found)
    return best_rows(vectors, rows[order], found[order], vector, k)
