"""The engine ``exact``: every search scans all vectors, and misses nothing.

For catalogues small enough to be scanned, and to compare other engines with.
"""

from pathlib import Path
from typing import Final

import numpy as np

from model.artifact.index.engine import Engine, IndexCost, IndexSettings, check_search
from model.errors import ArtifactError, GenerationCorrupt
from stream.dtypes import Float32s, Float64s, Int64s
from stream.errors import refusal

_HEADER_BYTES = 128  # of a .npy file
# Seconds a byte to write: a disk of 100 MB/s. Half as fast takes twice the time, which
# for ten million items of 128 dimensions is a minute off the training budget.
_SECONDS_PER_BYTE = 1e-8
# Rows of a block that is scored again in float64: 8 MB at 128 dimensions. Only vectors
# that are nearly equal make more than one block; twice as many take twice the memory.
_BLOCK_ROWS = 1 << 13


class ExactEngine:
    """Writes and opens plain matrices; see `Engine`."""

    file_name = "index.npy"
    metric = "cosine"

    def build(self, vectors: Float32s, path: Path, settings: IndexSettings) -> None:  # noqa: ARG002  # nothing to set
        """See `Engine`; the file is ``float32 [n, dim]`` in NumPy's format."""
        try:
            with path.open("wb") as out:
                np.save(out, np.ascontiguousarray(vectors, dtype=np.float32), allow_pickle=False)
        except OSError as error:
            raise ArtifactError(f"the index {path} cannot be written: {error}") from error

    def open(self, path: Path, dim: int, count: int, search_k: int) -> "ExactVectors":  # noqa: ARG002  # it looks at all
        """See `Engine`."""
        return ExactVectors(path, dim, count)

    def search_k(self, settings: IndexSettings) -> int:  # noqa: ARG002  # nothing to set
        """See `Engine`."""
        return 0

    def estimate(self, count: int, dim: int, settings: IndexSettings) -> IndexCost:  # noqa: ARG002  # nothing to set
        """See `Engine`; the vectors are written from where they are."""
        file_bytes = _HEADER_BYTES + 4 * count * dim
        return IndexCost(
            file_bytes=file_bytes, build_bytes=0, build_seconds=_SECONDS_PER_BYTE * file_bytes
        )

    def more_recall(self, settings: IndexSettings) -> str:  # noqa: ARG002  # nothing to set
        """See `Engine`."""
        return "train again: an exact index misses nothing, so its file was damaged"

    def less_memory(self, settings: IndexSettings) -> str:  # noqa: ARG002  # nothing to set
        """See `Engine`."""
        return "lower model.dim"


class ExactVectors:
    """A matrix of unit vectors; see `VectorIndex`.

    Answers are the same on every machine and in any number of threads: what a float32
    product cannot separate is compared in float64, and equal cosines go by id.

    Args:
        path: the index file.
        dim: length of the vectors.
        count: how many vectors the file must hold.

    Raises:
        GenerationCorrupt: the file cannot be read, or does not hold ``float32 [count,
            dim]``.
    """

    def __init__(self, path: Path, dim: int, count: int) -> None:
        self._dim = dim
        self._vectors = _load(path, dim, count)
        # A float32 product of unit vectors is off by at most half of this.
        self._rounding = np.float32(2 * dim * np.finfo(np.float32).eps)

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def search(self, vector: Float32s, k: int) -> tuple[Int64s, Float32s]:
        """See `VectorIndex`."""
        check_search(vector, k, self._dim)
        k = min(k, len(self))
        if not k:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        # Whatever is among the k best by its exact cosine is here: ids ascending.
        rounded = self._vectors @ vector
        least = np.partition(rounded, len(self) - k)[len(self) - k]
        ids = np.flatnonzero(rounded >= least - self._rounding)
        cosines = self._cosines(ids, vector.astype(np.float64))
        best = np.argsort(-cosines, kind="stable")[:k]
        return ids[best].astype(np.int64), cosines[best].astype(np.float32)

    def _cosines(self, ids: Int64s, vector: Float64s) -> Float64s:
        """Return the cosines of some rows, each summed by itself and in one order.

        A matrix product sums a row in an order that depends on the row's place.
        """
        blocks = np.array_split(ids, range(_BLOCK_ROWS, len(ids), _BLOCK_ROWS))
        return np.concatenate([(self._vectors[block] * vector).sum(axis=1) for block in blocks])


def _load(path: Path, dim: int, count: int) -> Float32s:
    try:
        # An empty array cannot be memory-mapped.
        mapped = np.load(path, mmap_mode="r" if count else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"the index {path} cannot be loaded: {error}") from error
    vectors: Float32s = np.asarray(mapped)
    if vectors.dtype != np.float32 or vectors.shape != (count, dim):
        raise GenerationCorrupt(
            f"the index {path} holds {vectors.dtype} {vectors.shape}, not float32 ({count}, {dim})"
        )
    return vectors


ENGINE: Final[Engine] = ExactEngine()
