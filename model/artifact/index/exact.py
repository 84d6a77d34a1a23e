"""The engine ``exact``: every search scans all vectors, and misses nothing.

For catalogues small enough to be scanned, and to compare other engines with.
"""

from pathlib import Path
from typing import Final

import numpy as np

from model.artifact.arrays.array_file import write_array
from model.artifact.arrays.load import load_array
from model.artifact.index.engine import Engine, IndexCost, IndexSettings, check_search
from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from model.artifact.index.indexed import IndexedVectors
from model.artifact.index.scan import NOTHING, ScannedVectors
from model.errors import ArtifactError, GenerationCorrupt
from stream.dtypes import Float32s, Int64s
from stream.errors import described, refusal

_HEADER_BYTES = 128  # of a .npy file
# Seconds a byte to write: a disk of 100 MB/s. Half as fast takes twice the time, which
# for ten million items of 128 dimensions is a minute off the training budget.
_SECONDS_PER_BYTE = 1e-8


class ExactEngine:
    """Writes and opens plain matrices; see `Engine`."""

    file_name = "index.npy"
    metric = "cosine"

    def build(self, vectors: Float32s, path: Path, settings: IndexSettings) -> None:  # noqa: ARG002  # nothing to set
        """See `Engine`; the file is ``float32 [n, dim]`` in NumPy's format."""
        try:
            with path.open("wb") as out:
                write_array(out, np.ascontiguousarray(vectors, dtype=np.float32))
        except OSError as error:
            raise ArtifactError(
                f"the index {path} cannot be written: {described(error)}"
            ) from error

    def open(self, path: Path, indexed: IndexedVectors, search_k: int) -> "ExactVectors":  # noqa: ARG002  # it looks at all
        """See `Engine`."""
        return ExactVectors(path, indexed.dim, len(indexed))

    def search_ks(self, count: int) -> tuple[int, ...]:  # noqa: ARG002  # nothing to set
        """See `Engine`."""
        return (0,)

    def estimate(self, count: int, dim: int, settings: IndexSettings) -> IndexCost:  # noqa: ARG002  # nothing to set
        """See `Engine`; the vectors are written from where they are."""
        file_bytes = _HEADER_BYTES + 4 * count * dim
        return IndexCost(
            file_bytes=file_bytes, build_bytes=0, build_seconds=_SECONDS_PER_BYTE * file_bytes
        )

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
        self._vectors = ScannedVectors(_load(path, dim, count))

    def __len__(self) -> int:
        return len(self._vectors)

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def search(
        self, vector: Float32s, k: int, hidden: Hidden = NOTHING_HIDDEN
    ) -> tuple[Int64s, Float32s]:
        """See `VectorIndex`."""
        check_search(vector, k, self._dim)
        k = min(k, len(self) - len(hidden))
        return self._vectors.nearest(vector, k, hidden) if k > 0 else NOTHING


def _load(path: Path, dim: int, count: int) -> Float32s:
    try:
        vectors: Float32s = load_array(path)
    except (OSError, ValueError) as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"the index {path} cannot be loaded: {error}") from error
    if vectors.dtype != np.float32 or vectors.shape != (count, dim):
        raise GenerationCorrupt(
            f"the index {path} holds {vectors.dtype} {vectors.shape}, not float32 ({count}, {dim})"
        )
    return vectors


ENGINE: Final[Engine] = ExactEngine()
