"""Training from scratch and a warm refresh, as `freshet tune` does them, asked the same
unseen pairs.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.evaluation.holdout import Holdout, split_by_time
from model.evaluation.models import VectorRanker, ranks_of
from model.evaluation.replayed import ReplayedSystem
from model.ranking import Quality, quality_of
from model.settings import ModelSettings
from stream.dtypes import Float32s
from stream.graph.arrays import GraphArrays

Read = Callable[[int | None], GraphArrays]

_SHARE_BEFORE = 0.99  # of facts, in the first training: the target is for 1% new ones


@dataclass(frozen=True, kw_only=True)
class Refresh:
    """The result of a training.

    Attributes:
        seconds: of CPU, to train and publish.
        wall_seconds: by the clock.
        passes: over the supervised edges.
        quality: on the pairs that are new after the moment of training.
        new_share: share of the facts that the parent generation did not have; 1: it
            has no parent.
        refused: the gate kept the new generation from going live, and the figures are
            of the one before.
    """

    seconds: float
    wall_seconds: float
    passes: float
    quality: Quality
    new_share: float
    refused: bool


def cold(read: Read, settings: ModelSettings) -> Refresh:
    """Train from scratch on the first 80% of the clicks."""
    _, test = split_by_time(read)
    with TemporaryDirectory(prefix="freshet-bench-") as folder:
        return _learn(
            ReplayedSystem(Path(folder), settings, warm_starts=False),
            Path(folder),
            test,
            new_share=1.0,
        )


def warm(read: Read, settings: ModelSettings) -> Refresh:
    """Train from scratch on 99% of the first 80% of the clicks, then warm-start from
    that generation on all of them.
    """
    _, test = split_by_time(read)
    facts_ms = test.arrays.fact_ms
    before = read(int(np.quantile(facts_ms, _SHARE_BEFORE, method="higher")))
    with TemporaryDirectory(prefix="freshet-bench-") as folder:
        system = ReplayedSystem(Path(folder), settings, warm_starts=True)
        system.learn(before)
        return _learn(
            system, Path(folder), test, new_share=1.0 - len(before.fact_ms) / len(facts_ms)
        )


def _learn(system: ReplayedSystem, folder: Path, test: Holdout, *, new_share: float) -> Refresh:
    began, wall_began = time.process_time(), time.monotonic()
    system.learn(test.arrays)
    seconds, wall_seconds = time.process_time() - began, time.monotonic() - wall_began
    store = ArtifactStore(folder)
    live = open_generation(store.generation_path(store.current_id() or ""), verify=False)
    return Refresh(
        seconds=seconds,
        wall_seconds=wall_seconds,
        passes=live.manifest.evaluation["passes"],
        quality=quality_of(ranks_of(_ranker(live, test), test), test.query),
        new_share=new_share,
        refused=bool(system.refused),
    )


def _ranker(live: Generation, test: Holdout) -> VectorRanker:
    """Answer as a server does: a query that is known by its vector, another through the
    text encoder.
    """
    encoder = live.text_encoder()
    row_of = {int(key): row for row, key in enumerate(live.query_keys)}
    known = [row_of.get(int(key)) for key in test.arrays.query_keys]
    rows = [*known, *[None] * (len(test.texts) - len(known))]
    queries = [
        encoder.encode(text) if row is None else live.query_vectors[row]
        for text, row in zip(test.texts, rows, strict=True)
    ]
    return VectorRanker(np.array(queries, dtype=np.float32), _item_vectors(live, test.arrays))


def _item_vectors(live: Generation, arrays: GraphArrays) -> Float32s:
    """Return ``float32 [num_items, dim]``.

    Zeros for an item that the generation does not have.
    """
    vectors = np.zeros((arrays.num_items, live.manifest.dim), dtype=np.float32)
    row_of = {item_id: row for row, item_id in enumerate(arrays.item_ids)}
    vectors[[row_of[item_id] for item_id in live.item_ids]] = live.item_vectors
    return vectors
