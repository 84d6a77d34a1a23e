"""The engine ``ivf``: vectors in cells of which a search scans those nearest to it (an
inverted file of ids, whose vectors are read where the generation has them).

Plain arrays: a damaged file can give wrong answers, which canary queries find, and
cannot end the process.
"""

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.array_file import map_arrays, write_arrays
from model.artifact.index.cells import learning_bytes, make_cells, num_compared
from model.artifact.index.engine import Engine, IndexCost, IndexSettings, check_search
from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from model.artifact.index.indexed import IndexedVectors
from model.artifact.index.scan import NOTHING, ScannedVectors
from model.errors import GenerationCorrupt
from stream.dtypes import Float32s, Int64s

_ARRAYS: Final = {
    "centres": (np.float32, 2),
    "starts": (np.int64, 1),
    "ids": (np.int64, 1),
}
_HEADERS_BYTES = 3 * 192  # of the three arrays, with what pads them

# Cells for each square root of a vector: 949 of 100,000. A search scans the centres
# and then cells, each of which costs some 3 us of Python. Real vectors like many small
# cells (432 of 46,614: recall .977 for 497 us; 648: .979 for 430); twice as many are as
# fast again, and take twice as long to build.
_CELLS_PER_ROOT = 3.0
# But no more than this, which 466,000 vectors have, until there are more than its
# square: 1,024, 2,048 and 4,096 cells are equally good for a million vectors, and the
# last take 38 s of a core to build instead of 14.
_ENOUGH_CELLS = 2048
# Of the cells, the share that the widest search scans, and the number that it always
# may: beyond that a plain scan costs no more. Twice the share would cost more than one.
_WIDEST_SHARE = 0.25
_ALWAYS_CELLS = 8
# The next wider search scans as many cells times this. 2 would make searches up to
# twice as dear as they need be; 1.2 measures twice as many.
_WIDER = 1.5
# Results that `search_k` was measured with; for more, more cells are scanned, by this
# power of the ratio: 2.2 times as many for 100, 4.6 for 1,000. Without it recall@100 is
# two in a hundred below recall@10; twice the power scans half of all for 1,000.
_MEASURED_K, _GROWTH = 10, 1 / 3
# Numbers of results whose cells are known: of most requests, one. Twice as many: the
# same.
_KEPT_KS = 64
# Where cells hold too few that are not hidden, so many times as many are scanned.
# Twice as much: a search that is short of one vector scans twice what it need.
_MORE_CELLS = 2
# Seconds a product of a number of a vector and of a centre, from 0.1e-9 measured on
# one core; the rest is for one that is slower and busy. Seconds a byte to write: a disk
# of 100 MB/s. Twice as much of either takes that time from training.
_SECONDS_PER_PRODUCT, _SECONDS_PER_BYTE = 2e-10, 1e-8


class IvfEngine:
    """Builds and opens inverted files; see `Engine`."""

    file_name = "index.ivf"
    metric = "cosine"

    def build(self, vectors: Float32s, path: Path, settings: IndexSettings) -> None:
        """See `Engine`; the layout is in `docs/formats-artifacts.md`."""
        cells = make_cells(vectors, num_cells(len(vectors)), settings.seed)
        arrays: dict[str, NDArray[Any]] = {
            "centres": cells.centres.astype(np.float32, copy=False),
            "starts": cells.starts,
            "ids": cells.ids,
        }
        write_arrays(path, arrays)

    def open(self, path: Path, indexed: IndexedVectors, search_k: int) -> "IvfVectors":
        """See `Engine`; `search_k` is the number of cells."""
        return IvfVectors(path, indexed, search_k)

    def search_ks(self, count: int) -> tuple[int, ...]:
        """See `Engine`."""
        cells = num_cells(count)
        widest = min(cells, max(_ALWAYS_CELLS, int(_WIDEST_SHARE * cells)))
        found = [1]
        while found[-1] < widest:
            found.append(min(widest, math.ceil(_WIDER * found[-1])))
        return tuple(found)

    def estimate(self, count: int, dim: int, settings: IndexSettings) -> IndexCost:  # noqa: ARG002  # nothing to set
        """See `Engine`; a search needs codes or a copy of the vectors, and timing it a
        file of them.
        """
        cells = num_cells(count)
        vector_bytes = 4 * count * dim
        file_bytes = _HEADERS_BYTES + 8 * (count + cells) + 4 * cells * dim
        return IndexCost(
            file_bytes=file_bytes,
            build_bytes=vector_bytes + learning_bytes(count, dim, cells),
            build_seconds=_SECONDS_PER_PRODUCT * dim * cells * num_compared(count, cells)
            + _SECONDS_PER_BYTE * (file_bytes + vector_bytes),
        )

    def less_memory(self, settings: IndexSettings) -> str:  # noqa: ARG002  # nothing to set
        """See `Engine`."""
        return "set model.index_engine to exact"


class IvfVectors:
    """An inverted file; see `VectorIndex`.

    With all cells scanned, answers are those of the engine `exact`, bit for bit.

    Where the optional library is, the vectors of the generation are read as they lie,
    beside codes in the order of the cells; else they are copied in that order.

    Args:
        path: the index file; what is behind its arrays is not read: a copy of the
            vectors in files from before format version 3.
        indexed: the vectors that it is over.
        search_k: cells that a search for ten results scans; 0: all.

    Raises:
        GenerationCorrupt: the file cannot be read, or its cells do not hold each vector
            once.
    """

    def __init__(self, path: Path, indexed: IndexedVectors, search_k: int) -> None:
        arrays = map_arrays(path, _ARRAYS)
        count, dim = len(indexed), indexed.dim
        _check(path, arrays["centres"], arrays["starts"], arrays["ids"], count)
        if arrays["centres"].shape[1] != dim:
            raise GenerationCorrupt(
                f"the index {path} has cells of {arrays['centres'].shape[1]} dimensions, not {dim}"
            )
        self._centres = ScannedVectors(arrays["centres"])
        ids: Int64s = arrays["ids"]
        self._vectors = ScannedVectors(indexed.vectors, ids, stored=indexed.rows_of(ids))
        self._starts: Int64s = arrays["starts"]
        self._search_k = search_k or len(self._centres)
        # A search that is not in a loop pays for each call that it makes.
        self._count, self._dim, self._num_cells = count, dim, len(self._centres)
        self._scanned: dict[int, int] = {}  # cells, by results

    def __len__(self) -> int:
        return self._count

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def search(
        self, vector: Float32s, k: int, hidden: Hidden = NOTHING_HIDDEN
    ) -> tuple[Int64s, Float32s]:
        """See `VectorIndex`."""
        check_search(vector, k, self._dim)
        k = min(k, self._count - len(hidden.ids))
        if k <= 0:
            return NOTHING
        cells, centres = self._scanned.get(k) or self._num_scanned(k), self._centres
        while cells < self._num_cells:
            found = self._vectors.nearest_in_cells(centres, self._starts, cells, vector, k, hidden)
            if len(found[0]) == k:
                return found
            cells *= _MORE_CELLS
        return self._vectors.nearest(vector, k, hidden)

    def _num_scanned(self, k: int) -> int:
        more: float = max(1.0, k / _MEASURED_K) ** _GROWTH
        cells = math.ceil(self._search_k * more)
        if len(self._scanned) < _KEPT_KS:
            self._scanned[k] = cells
        return cells


def num_cells(count: int) -> int:
    """Return how many cells `count` vectors are put into."""
    root = math.sqrt(count)
    return min(count, math.ceil(min(_CELLS_PER_ROOT * root, max(_ENOUGH_CELLS, root))))


def _check(path: Path, centres: Float32s, starts: Int64s, ids: Int64s, count: int) -> None:
    if len(ids) != count:
        raise GenerationCorrupt(f"the index {path} holds {len(ids)} vectors, not {count}")
    is_whole = len(starts) == len(centres) + 1 and starts[0] == 0 and starts[-1] == count
    if not is_whole or (np.diff(starts) < 0).any():
        raise GenerationCorrupt(f"the cells of the index {path} do not begin where they should")
    in_range = not count or (ids.min() >= 0 and ids.max() < count)
    if not in_range or (np.bincount(ids, minlength=count) != 1).any():
        raise GenerationCorrupt(f"the cells of the index {path} do not hold each vector once")


ENGINE: Final[Engine] = IvfEngine()
