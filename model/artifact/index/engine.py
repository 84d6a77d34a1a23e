"""The interface of an index engine: it builds an index file, searches it, and estimates
its memory.

The builder (`model.publishing.publish`), the gate, the server and the memory estimate
know engines by this interface alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

from model.artifact.index.engines import AUTO, ENGINES, candidates
from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from model.artifact.index.indexed import IndexedVectors
from model.errors import ArtifactError, GenerationCorrupt
from stream.dtypes import Float32s, Int64s


class IndexSettings(Protocol):
    """The settings that engines read; `model.settings.ModelSettings` has them."""

    @property
    def seed(self) -> int:
        """Seed of what is random in a build."""

    @property
    def num_trees(self) -> int:
        """Trees, for an engine that has some."""


@dataclass(frozen=True, kw_only=True)
class IndexCost:
    """What an index is estimated to cost.

    Attributes:
        file_bytes: size of the file; a server maps about as much.
        build_bytes: memory that building takes at its peak, beside the vectors.
        build_seconds: from vectors to the written file, on one core.
    """

    file_bytes: int
    build_bytes: int
    build_seconds: float


class VectorIndex(Protocol):
    """An index file, memory-mapped and read-only.

    Searches may run in any number of threads. The mapping goes with the last reader; a
    file that might be overwritten meanwhile is opened as a private copy
    (`model.artifact.private_files`).
    """

    def __len__(self) -> int:
        """Return how many vectors it holds."""

    @property
    def dim(self) -> int:
        """Length of the vectors."""

    def search(
        self, vector: Float32s, k: int, hidden: Hidden = NOTHING_HIDDEN
    ) -> tuple[Int64s, Float32s]:
        """Return the `k` nearest vectors (all of them where there are fewer), best
        first.

        What is hidden costs no places: others are found instead.

        Args:
            vector: ``float32 [dim]``, a unit vector.
            k: how many, at least one.
            hidden: ids that it must not answer with.

        Returns:
            Their ids ``int64 [m]`` and cosines ``float32 [m]``, descending.

        Raises:
            ValueError: the vector has another length or is not finite, or `k < 1`.
        """


class Engine(Protocol):
    """One kind of index.

    Its module has one instance, named ``ENGINE``.

    Attributes:
        file_name: name of the index file in the folder of a generation; its own, so
            that no engine is handed the file of another.
        metric: what the file ranks by, for the manifest.
    """

    file_name: str
    metric: str

    def build(self, vectors: Float32s, path: Path, settings: IndexSettings) -> None:
        """Write an index file.

        The same vectors and settings give the same bytes; no vectors give a file, too.

        Args:
            vectors: ``float32 [n, dim]``, unit rows; row numbers are the ids.
            path: where the file goes.
            settings: what engines read of the settings.

        Raises:
            ArtifactError: the file cannot be written.
        """

    def open(self, path: Path, indexed: IndexedVectors, search_k: int) -> VectorIndex:
        """Map an index file.

        Args:
            path: the file; check its sha256 first, a damaged one can crash the process.
            indexed: the vectors that it was built of; an index may read them there.
            search_k: how wide a search is, see `search_ks`.

        Raises:
            GenerationCorrupt: the file cannot be read, or holds something else.
        """

    def search_ks(self, count: int) -> Sequence[int]:
        """Return how wide a search of `count` vectors may be made, the narrowest first:
        candidates or lists to examine, at least one number; 0: it examines all.

        The builder takes the first that finds enough, the manifest records it, and a
        server searches with it. The widest need not find everything: where it costs as
        much as a scan, `exact` is the better engine.
        """

    def estimate(self, count: int, dim: int, settings: IndexSettings) -> IndexCost:
        """Return what an index of `count` vectors of length `dim` will cost."""

    def less_memory(self, settings: IndexSettings) -> str:
        """Return what the operator should do to build in less memory, an imperative."""


def load_engine(name: str) -> Engine:
    """Import the engine of this name.

    Raises:
        GenerationCorrupt: there is none; settings are checked when they are made, so
            the name comes from a manifest.
        ArtifactError: the library behind it is not installed.
    """
    if name not in ENGINES:
        raise GenerationCorrupt(
            f"index engine {name!r} is not known, only {', '.join(ENGINES)}; "
            "train again with this version, or serve it with the one that wrote it"
        )
    try:
        engine: Engine = import_module(ENGINES[name]).ENGINE
    except ModuleNotFoundError as error:
        raise ArtifactError(
            f"index engine {name!r} needs {error.name}, which is not installed; "
            "run: pip install 'freshet[server]'"
        ) from error
    return engine


def estimate_index(name: str, count: int, dim: int, settings: IndexSettings) -> IndexCost:
    """Return what an index will cost: that of an engine, or of all those that are tried
    one after the other.

    Args:
        name: an engine's, or `model.artifact.index.engines.AUTO`.
        count: how many vectors.
        dim: their length.
        settings: what engines read of the settings.
    """
    costs = [load_engine(each).estimate(count, dim, settings) for each in candidates(name, count)]
    return IndexCost(
        file_bytes=max(cost.file_bytes for cost in costs),
        build_bytes=max(cost.build_bytes for cost in costs),
        build_seconds=sum(cost.build_seconds for cost in costs),
    )


def less_memory(name: str, settings: IndexSettings) -> str:
    """Return what the operator should do to build in less memory, an imperative.

    Args:
        name: as in `estimate_index`.
        settings: what engines read of the settings.
    """
    if name == AUTO:
        return "set model.index_engine to exact"
    return load_engine(name).less_memory(settings)


def check_search(vector: Float32s, k: int, dim: int) -> None:
    """Refuse a search that has no answer; for engines, which would give one.

    Raises:
        ValueError: see `VectorIndex.search`.
    """
    if vector.shape != (dim,):
        raise ValueError(f"the query vector has shape {vector.shape}, the index needs ({dim},)")
    # The square of its length: a third of the cost of looking at each number.
    if not math.isfinite(vector.dot(vector)):
        raise ValueError("the query vector is not finite")
    if k < 1:
        raise ValueError(f"k is {k}, it must be at least 1")
