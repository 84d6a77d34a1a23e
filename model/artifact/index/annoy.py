"""The engine ``annoy``: approximate search in a forest of random projection trees.

By euclidean distance of unit vectors, which ranks as cosine.
"""

import math
from pathlib import Path
from typing import Final

import numpy as np
from annoy import AnnoyIndex

from model.artifact.index.annoy_file import check_annoy_file
from model.artifact.index.engine import Engine, IndexCost, IndexSettings, check_search
from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from model.artifact.index.indexed import IndexedVectors
from model.artifact.index.scan import NOTHING
from model.errors import ArtifactError, GenerationCorrupt
from stream.dtypes import Float32s, Int64s
from stream.errors import refusal

_METRIC: Final = "euclidean"

# Bytes of a node in the file beside its vector: three 32-bit words of Annoy's.
_NODE_HEADER_BYTES = 12
# Nodes of one tree, in units of vectors by (dim + 2), which is what a leaf holds: 2.9
# to 3.3 on clustered vectors of 16 to 256 dimensions. Twice as much: an estimate of up
# to twice the file.
_NODES_OF_TREE = 3.3
# Peak of a build by the file's size: Annoy grows its memory by 1.3, and has old and new
# at once. Measured up to 2.2. Twice as much would refuse builds that fit.
_BUILD_PEAK = 2.3
# Seconds an item and tree. Measured 0.3e-6 to 0.9e-6 on one idle core at 16 to 256
# dimensions; the rest is for a machine that is slower and busy. Twice as much takes
# that time from training.
_SECONDS_PER_ITEM_AND_TREE = 3e-6
# Candidates beside `search_k` for each result and tree: one vector is met in several
# trees and counts each time. Twice as much: a large k takes twice the time.
_CANDIDATES_PER_RESULT = 4
# Candidates of the narrowest search and of the widest that are tried: some 20 us and
# 20 ms. Twice the first hardly differs; twice the second is dearer than scanning a
# million items, and an index that needs it is better another one.
_FEWEST, _MOST_TRIED = 128, 1 << 17
# Of the items that are hidden among the nearest `k` by chance, the share that a first
# search asks for beside them. Without these, one search in 20 (8 in 100 items hidden)
# to one in 5 (40) is done again. Each costs a search a twentieth at k = 10; twice as
# many cost more than they save.
_MORE_OF_HIDDEN = 0.5
# Annoy takes a 32-bit number.
_MOST_CANDIDATES = 2**31 - 1


class AnnoyEngine:
    """Builds and opens Annoy files; see `Engine`."""

    file_name = "index.ann"
    metric = _METRIC

    def build(self, vectors: Float32s, path: Path, settings: IndexSettings) -> None:
        """See `Engine`; no vectors give an empty file."""
        if not len(vectors):
            path.write_bytes(b"")
            return
        index = AnnoyIndex(vectors.shape[1], _METRIC)
        index.set_seed(settings.seed)
        for row, vector in enumerate(vectors):
            index.add_item(row, vector.tolist())
        try:
            # One job only: with more, the bytes depend on how threads are scheduled.
            index.build(settings.num_trees, n_jobs=1)
            index.save(str(path))
        except OSError as error:
            raise ArtifactError(f"the index {path} cannot be written: {error}") from error

    def open(self, path: Path, indexed: IndexedVectors, search_k: int) -> "AnnoyVectors":
        """See `Engine`."""
        return AnnoyVectors(path, indexed.dim, len(indexed), search_k)

    def search_ks(self, count: int) -> tuple[int, ...]:
        """See `Engine`."""
        doubled = range(count.bit_length() + 1)
        return tuple(_FEWEST << n for n in doubled if _FEWEST << n <= _MOST_TRIED)

    def estimate(self, count: int, dim: int, settings: IndexSettings) -> IndexCost:
        """See `Engine`."""
        nodes = count * (1 + settings.num_trees * _NODES_OF_TREE / (dim + 2))
        file_bytes = int(nodes * (_NODE_HEADER_BYTES + 4 * dim))
        return IndexCost(
            file_bytes=file_bytes,
            build_bytes=int(_BUILD_PEAK * file_bytes),
            build_seconds=_SECONDS_PER_ITEM_AND_TREE * count * settings.num_trees,
        )

    def less_memory(self, settings: IndexSettings) -> str:
        """See `Engine`."""
        return f"lower model.num_trees (now {settings.num_trees})"


class AnnoyVectors:
    """An Annoy file; see `VectorIndex`.

    Args:
        path: the index file.
        dim: length of the vectors.
        count: how many vectors the file must hold.
        search_k: candidates that a search examines beyond those that a large `k` needs:
            recall against time.

    Raises:
        GenerationCorrupt: the file cannot be loaded, holds another number of vectors
            than `count`, or is no tree that can be searched.
    """

    def __init__(self, path: Path, dim: int, count: int, search_k: int) -> None:
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
        self, vector: Float32s, k: int, hidden: Hidden = NOTHING_HIDDEN
    ) -> tuple[Int64s, Float32s]:
        """See `VectorIndex`."""
        check_search(vector, k, self._dim)
        k = min(k, self._count - len(hidden))
        if self._index is None or k <= 0:
            return NOTHING
        if not len(hidden):
            return self._nearest(self._index, vector, k)
        most, more = k + len(hidden), 2
        count = min(k + math.ceil(_MORE_OF_HIDDEN * k * len(hidden) / self._count), most)
        while True:
            ids, cosines = self._nearest(self._index, vector, count)
            kept = np.flatnonzero(~hidden.is_hidden[ids])[:k]
            if len(kept) == k or count == most:
                return ids[kept], cosines[kept]
            # A further search costs as much as the first: ever more, for few of them.
            count, more = min(count + more * (k - len(kept)), most), 2 * more

    def _nearest(self, index: AnnoyIndex, vector: Float32s, k: int) -> tuple[Int64s, Float32s]:
        ids, distances = index.get_nns_by_vector(
            vector.tolist(), k, search_k=self._candidates(k), include_distances=True
        )
        cosines = 1.0 - np.square(np.asarray(distances, dtype=np.float32)) / 2.0
        return np.asarray(ids, dtype=np.int64), cosines.astype(np.float32)

    def _candidates(self, k: int) -> int:
        more = _CANDIDATES_PER_RESULT * self._num_trees * k
        return min(self._search_k + more, _MOST_CANDIDATES)


def _load(path: Path, dim: int, count: int) -> AnnoyIndex | None:
    if count == 0:
        return None
    index = AnnoyIndex(dim, _METRIC)
    try:
        check_annoy_file(path, dim, count)
        index.load(str(path))
    except OSError as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"the index {path} cannot be loaded: {error}") from error
    if index.get_n_items() != count:
        raise GenerationCorrupt(
            f"the index {path} holds {index.get_n_items()} vectors, not {count}"
        )
    return index


ENGINE: Final[Engine] = AnnoyEngine()
