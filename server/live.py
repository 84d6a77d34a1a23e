"""One loaded generation: verified, checked with canary queries, warmed up, then shared
by all threads.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

from model.artifact.checks.verified import open_verified
from model.artifact.encoder import TextEncoder
from model.artifact.files import WARM_PREFIX
from model.artifact.generation import Generation, open_generation
from model.artifact.index.engine import VectorIndex, load_engine
from model.artifact.index.engines import ENGINES
from model.artifact.private_files import HAS_PRIVATE_FILES, OpenFile, PrivateFiles, as_it_is
from protos import manifest_v1_pb2 as manifest_pb
from server.answers.hits import HitCache
from server.errors import CanaryFailed
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.dtypes import Float32s, Int64s
from stream.files import sha256_of

# Every engine that a generation may name, loaded with this module: a library that is
# missing stops the start of a server, where the message says so, and no swap.
INDEX_ENGINES: Final = {name: load_engine(name) for name in ENGINES}

# Items that a canary and a warm-up search retrieve: the default of a request
# (`server.default_k`). Twice as many compare twice the scores.
_CANARY_K = 10
# Largest error of a score, as a cosine: a hundred times what float32 rounds off. Twice
# as much would still find an index of other vectors.
_SCORE_TOLERANCE = 1e-3
# Items per block of the scan for the exact nearest: their products with the canaries,
# 1 MB, stay in a core's second cache. Sixteen times as many take a tenth more time.
_SCAN_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class LiveGeneration:
    """A generation fit to answer from.

    Immutable, and never closed: its memory maps are freed with its last reader.

    Attributes:
        generation: the opened generation.
        index: its index, over `generation.index_items`.
        encoder: its text encoder.
        live_since_ms: when it became fit, UTC epoch.
        hits: those that answers have shown.
        files: its files, open for other processes; None: they are not.
    """

    generation: Generation
    index: VectorIndex
    encoder: TextEncoder
    live_since_ms: int
    hits: HitCache = field(default_factory=lambda: HitCache(0))
    files: PrivateFiles | None = None

    @classmethod
    def load(
        cls,
        path: Path,
        settings: ServerSettings,
        *,
        clock_ms: Callable[[], int] = now_ms,
        on_file: Callable[[Path], None] | None = None,
        keeps_files: bool = False,
    ) -> "LiveGeneration":
        """Verify, open, try and warm the generation in a folder.

        What is checked and served is a copy in memory that nobody else can change,
        unless `server.copy_to_memory` is off.

        Args:
            path: the generation's folder.
            settings: the server's settings.
            clock_ms: the time now, UTC epoch milliseconds.
            on_file: called after each verified file.
            keeps_files: whether its files stay open, for other processes.

        Raises:
            GenerationMissing: there is no generation at `path`.
            GenerationCorrupt: it disagrees with its manifest or with itself.
            CanaryFailed: its answers do not match its vectors.
            OSError: it cannot be read.
            MemoryError: memory does not suffice for it.
        """
        holds = keeps_files or (settings.copy_to_memory and HAS_PRIVATE_FILES)
        files = PrivateFiles(copies=settings.copy_to_memory) if holds else None
        try:
            open_file = as_it_is if files is None else _but_for_training(files)
            generation = open_verified(
                path,
                on_file=on_file,
                open_file=open_file,
                digest_of=sha256_of if files is None else files.digest_of,
                has_fresh=False,
            )
            live = cls._opened(generation, open_file, settings, clock_ms)
            check_canaries(generation, live.index, live.encoder, settings)
        except BaseException:
            if files is not None:
                files.close()
            raise
        warm_up(generation, live.index, settings.num_warmups)
        if keeps_files:
            return replace(live, files=files)
        if files is not None:
            files.close()
        return live

    @classmethod
    def of_checked(
        cls,
        path: Path,
        manifest: manifest_pb.Generation,
        open_file: OpenFile,
        settings: ServerSettings,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> "LiveGeneration":
        """Open and warm what another process has loaded, without checking it again.

        Args:
            path: the generation's folder, which need not exist any more.
            manifest: of the files that there are.
            open_file: where to read each of them.
            settings: the server's settings.
            clock_ms: the time now, UTC epoch milliseconds.

        Raises:
            GenerationCorrupt: the files are others than the manifest says.
            OSError: they cannot be read.
        """
        generation = open_generation(
            path, verify=False, open_file=open_file, has_fresh=False, manifest=manifest
        )
        live = cls._opened(generation, open_file, settings, clock_ms)
        warm_up(generation, live.index, settings.num_warmups)
        return live

    @classmethod
    def _opened(
        cls,
        generation: Generation,
        open_file: OpenFile,
        settings: ServerSettings,
        clock_ms: Callable[[], int],
    ) -> "LiveGeneration":
        return cls(
            generation=generation,
            index=generation.open_index(open_file=open_file),
            encoder=generation.text_encoder(),
            live_since_ms=clock_ms(),
            hits=HitCache(settings.hit_cache_bytes),
        )


def _but_for_training(files: PrivateFiles) -> OpenFile:
    """Return what opens files, but for those that servers do not read: they are mapped
    where they lie.
    """
    return lambda file: file if file.name.startswith(WARM_PREFIX) else files(file)


def check_canaries(
    generation: Generation, index: VectorIndex, encoder: TextEncoder, settings: ServerSettings
) -> None:
    """Compare the index with an exact scan of the vectors, and check that the encoder
    makes a unit vector.

    Raises:
        CanaryFailed: an id, a score or a vector is wrong, or the exact nearest item is
            missing too often.
    """
    canaries = canary_vectors(generation, settings.num_canaries)
    if not len(canaries) or not len(index):
        return
    if not np.isfinite(canaries).all():
        raise CanaryFailed(
            f"generation {generation.id} has vectors that are not finite; roll back or train again"
        )
    best = _exact_best_scores(generation, canaries)
    found = [
        _check_answer(generation, index, canary) >= exact - _SCORE_TOLERANCE
        for canary, exact in zip(canaries, best, strict=True)
    ]
    if np.mean(found) < settings.canary_floor:
        raise CanaryFailed(
            f"the index of generation {generation.id} found the nearest item of {sum(found)} in "
            f"{len(found)} "
            "canary queries; roll back or train again"
        )
    _check_encoder(generation, encoder)


def _check_answer(generation: Generation, index: VectorIndex, canary: Float32s) -> float:
    """Check ids and scores of a canary's answer against the vectors; return its best
    score.
    """
    ids, scores = index.search(canary, min(_CANARY_K, len(index)))
    if not len(ids) or ids.min() < 0 or ids.max() >= len(index):
        raise CanaryFailed(
            f"the index of generation {generation.id} answers with ids that it does not hold"
        )
    exact = generation.item_vectors[generation.index_items[ids]] @ canary
    # Written so that NaN fails, too.
    if not (np.abs(exact - scores) <= _SCORE_TOLERANCE).all():
        raise CanaryFailed(
            f"the index of generation {generation.id} was not built from its item vectors"
        )
    return float(scores.max())


def _check_encoder(generation: Generation, encoder: TextEncoder) -> None:
    text = generation.query_texts[0] if len(generation.query_texts) else "canary"
    vector = encoder.encode(text)
    if (
        vector.shape != (generation.manifest.dim,)
        or not abs(np.linalg.norm(vector) - 1) <= _SCORE_TOLERANCE
    ):
        raise CanaryFailed(
            f"the text encoder of generation {generation.id} does not make unit vectors of its "
            "dimension"
        )


def _exact_best_scores(generation: Generation, canaries: Float32s) -> Float32s:
    """Return the highest inner product of each canary with the indexed items, ``float32
    [num_canaries]``.
    """
    best = np.full(len(canaries), -np.inf, dtype=np.float32)
    for start in range(0, len(generation.index_items), _SCAN_ROWS):
        items = generation.index_items[start : start + _SCAN_ROWS]
        rows = _rows_of(generation.item_vectors, items)
        best = np.maximum(best, (rows @ canaries.T).max(axis=0))
    return best


def _rows_of(vectors: Float32s, ascending: Int64s) -> Float32s:
    """Return some vectors; where none is left out, as they lie, and not as a copy."""
    first, last = int(ascending[0]), int(ascending[-1]) + 1
    return vectors[first:last] if last - first == len(ascending) else vectors[ascending]


def warm_up(generation: Generation, index: VectorIndex, num_searches: int) -> None:
    """Search the index until its upper levels are in the page cache."""
    for vector in canary_vectors(generation, num_searches):
        index.search(vector, _CANARY_K)


def canary_vectors(generation: Generation, count: int) -> Float32s:
    """Return up to `count` vectors, ``float32 [m, dim]``, spread over the queries, or
    else the items.
    """
    vectors = generation.query_vectors if len(generation.query_vectors) else generation.item_vectors
    rows = list(_spread(len(vectors), count))
    return np.asarray(vectors[rows], dtype=np.float32)


def _spread(length: int, count: int) -> Iterator[int]:
    """Yield up to `count` different positions, evenly spread over ``0..length - 1``."""
    taken = min(length, count)
    return (position * length // taken for position in range(taken))
