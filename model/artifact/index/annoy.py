"""Build and open the vector index.

Annoy, by euclidean distance of unit vectors, which ranks as cosine.
"""

from pathlib import Path
from typing import Final

import numpy as np
from annoy import AnnoyIndex
from numpy.typing import NDArray

from model.errors import ArtifactError, GenerationCorrupt

METRIC: Final = "euclidean"
DEFAULT_SEARCH_K = 10_000


def build_index(vectors: NDArray[np.float32], path: Path, trees: int, seed: int) -> None:
    """Write the index file of `vectors` (``float32 [n, dim]``, unit rows) to `path`.

    Row numbers are the ids.

    The same vectors, trees and seed give the same bytes. No vectors give an empty file.

    Raises:
        ArtifactError: the file cannot be written.
    """
    if not len(vectors):
        path.write_bytes(b"")
        return
    index = AnnoyIndex(vectors.shape[1], METRIC)
    index.set_seed(seed)
    for row, vector in enumerate(vectors):
        index.add_item(row, vector.tolist())
    try:
        # One job only: with more, the bytes depend on how the threads were scheduled.
        index.build(trees, n_jobs=1)
        index.save(str(path))
    except OSError as error:
        raise ArtifactError(f"the index {path} cannot be written: {error}") from error


class VectorIndex:
    """A memory-mapped index, read-only. Searches may run in any number of threads.

    Never overwrite the file, and never unload: let the object go when its last reader
    is done.

    Args:
        path: the index file; check its sha256 first, a damaged file can crash the
            process.
        dim: length of the vectors.
        count: how many vectors the file must hold.
        metric: the metric it was built with; only `METRIC` is known.
        search_k: how many candidates a search looks at besides those a large `k` needs:
            recall against time.

    Raises:
        GenerationCorrupt: the file cannot be loaded, or holds another number of vectors
            than `count`.
    """

    def __init__(
        self,
        path: Path,
        dim: int,
        count: int,
        metric: str = METRIC,
        *,
        search_k: int = DEFAULT_SEARCH_K,
    ) -> None:
        if metric != METRIC:
            raise GenerationCorrupt(
                f"the index {path} has metric {metric!r}; this code reads {METRIC!r}"
            )
        self._dim = dim
        self._count = count
        self._search_k = search_k
        self._index = _load(path, dim, count)
        self._num_trees = self._index.get_n_trees() if self._index is not None else 0

    def __len__(self) -> int:
        return self._count

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._dim

    def search(
        self, vector: NDArray[np.float32], k: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return the `k` nearest vectors (all of them where there are fewer), best
        first.

        Args:
            vector: ``float32 [dim]``, a unit vector.
            k: how many, at least one.

        Returns:
            Their ids ``int64 [m]`` and cosines ``float32 [m]``, descending.

        Raises:
            ValueError: the vector has another length or is not finite (Annoy would
                answer), or `k < 1`.
        """
        if vector.shape != (self._dim,):
            raise ValueError(
                f"the query vector has shape {vector.shape}, the index needs ({self._dim},)"
            )
        if not np.isfinite(vector).all():
            raise ValueError("the query vector is not finite")
        if k < 1:
            raise ValueError(f"k is {k}, it must be at least 1")
        if self._index is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32)
        k = min(k, self._count)
        ids, distances = self._index.get_nns_by_vector(
            vector.tolist(), k, search_k=self._candidates(k), include_distances=True
        )
        cosines = 1.0 - np.square(np.asarray(distances, dtype=np.float32)) / 2.0
        return np.asarray(ids, dtype=np.int64), cosines.astype(np.float32)

    def _candidates(self, k: int) -> int:
        """More results need more candidates.

        One that several trees offer counts several times.
        """
        return self._search_k + 4 * self._num_trees * k


def _load(path: Path, dim: int, count: int) -> AnnoyIndex | None:
    if count == 0:
        return None
    index = AnnoyIndex(dim, METRIC)
    try:
        index.load(str(path))
    except OSError as error:
        raise GenerationCorrupt(f"the index {path} cannot be loaded: {error}") from error
    if index.get_n_items() != count:
        raise GenerationCorrupt(
            f"the index {path} holds {index.get_n_items()} vectors, not {count}"
        )
    return index
