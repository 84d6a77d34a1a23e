"""What an overlay does to answers and what it costs, measured without gRPC."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from server.live import LiveGeneration
from server.overlay.loading import load_segments
from server.overlay.search import search
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, retrieve
from server.settings import ServerSettings

_RECALL_QUERIES = 500  # some 5,000 places: a recall within .005
# Calls of a block, a twentieth of a second of CPU, and blocks of each kind: the median
# of so many is within 2 in 100 on a busy machine. Twice as many: twice as long.
_BLOCK_CALLS, _BLOCKS = 25, 40


@dataclass(frozen=True, kw_only=True)
class OverlayFigures:
    """What an overlay does to answers, measured without gRPC around them.

    Attributes:
        index_recall_10: recall@10 of the index alone, against an exact scan of what it
            has.
        overlay_recall_10: of index and overlay together, against one of both.
        num_queries: how many were asked.
        cpu_ms: CPU of a `retrieve`, by ``k=<k>`` and ``overlay k=<k>``.
    """

    index_recall_10: float
    overlay_recall_10: float
    num_queries: int
    cpu_ms: dict[str, float]


def overlay_figures(root: Path) -> OverlayFigures:
    """Compare answers with exact scans, and what they cost with and without the overlay
    that is there.
    """
    store = ArtifactStore(root)
    path = store.generation_path(store.current_id() or "")
    # A recall is what is measured here, so none is asked for.
    settings = ServerSettings(canary_floor=0.0)
    bare = LiveView.bare(LiveGeneration.load(path, settings))
    folder = OverlayFolder.of(root)
    newest = folder.newest(bare.generation_id)
    if newest is None:
        raise SystemExit(f"{folder.root} has no overlay")
    view = load_segments(folder, newest, bare).view
    generation, rows = bare.live.generation, view.overlay.rows
    queries = generation.query_vectors[:_RECALL_QUERIES]
    items = dict(zip(generation.item_ids, generation.item_vectors, strict=True))
    merged = {**items, **dict(zip(rows.item_ids, rows.item_vectors, strict=True))}
    return OverlayFigures(
        index_recall_10=_recall(bare, items, queries),
        overlay_recall_10=_recall(view, merged, queries),
        num_queries=len(queries),
        cpu_ms=_cpu_inside(bare, view),
    )


def _cpu_inside(bare: LiveView, view: LiveView) -> dict[str, float]:
    """Return the CPU of a `retrieve` in milliseconds: medians over blocks of calls,
    with the overlay and without in turn.
    """
    texts = list(bare.live.generation.query_texts)[: _BLOCKS * _BLOCK_CALLS]
    found: dict[str, list[float]] = {}
    for k in (10, 100):
        for block in range(0, len(texts), _BLOCK_CALLS):
            for name, each in ((f"k={k}", bare), (f"overlay k={k}", view)):
                started = time.thread_time()
                for text in texts[block : block + _BLOCK_CALLS]:
                    retrieve(each, RetrievalQuery(query=text, k=k))
                seconds = time.thread_time() - started
                found.setdefault(name, []).append(1000 * seconds / _BLOCK_CALLS)
    return {name: round(float(np.median(blocks)), 3) for name, blocks in found.items()}


def _recall(
    view: LiveView, vectors: dict[str, NDArray[np.float32]], queries: NDArray[np.float32]
) -> float:
    ids, matrix = list(vectors), np.array(list(vectors.values()))
    generation, rows = view.live.generation, view.overlay.rows
    found = 0
    for query in queries:
        exact = {ids[row] for row in np.argpartition(-(matrix @ query), 10)[:10].tolist()}
        nearest = search(view.live, view.overlay, query, 10)
        pairs = zip(nearest.from_overlay.tolist(), nearest.rows.tolist(), strict=True)
        answer = {rows.item_ids[row] if fresh else generation.item_ids[row] for fresh, row in pairs}
        found += len(exact & answer)
    return round(found / (10 * len(queries)), 4)
