"""A system of a replay: trains into a folder, and answers from what is live there."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np

from model.artifact.encoder import TextEncoder
from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore
from model.context import NO_CONTEXT
from model.data.session_clicks import SessionClicks
from model.errors import GateRefused
from model.evaluation.asked import AskedClicks
from model.evaluation.cancellation import never
from model.evaluation.sessions import SessionRanks
from model.publishing.context_weights import ClickVectors, click_ranks
from model.publishing.refresh import SnapshotInput, train_and_publish
from model.ranking import edge_ranks
from model.settings import ModelSettings
from stream.dtypes import Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays
from stream.reading.manifest import SnapshotCounts, SnapshotInfo


class ReplayedSystem:
    """Trains into an artifact folder, and answers from what is live there.

    Args:
        folder: an empty one.
        settings: of the model.
        warm_starts: whether a training starts from the live generation, or from
            scratch.
        is_cancelled: called between the steps of a training.
    """

    def __init__(
        self,
        folder: Path,
        settings: ModelSettings,
        *,
        warm_starts: bool,
        is_cancelled: Callable[[], bool] = never,
    ) -> None:
        self._store = ArtifactStore(folder)
        self._settings = settings
        self._warm_starts = warm_starts
        self._is_cancelled = is_cancelled
        self._live: Generation | None = None
        self.refused = 0

    @property
    def live(self) -> Generation:
        """The live generation; there is one once it has learned."""
        live = self._live
        assert live is not None  # noqa: S101  # questions follow a first training
        return live

    def learn(self, arrays: GraphArrays) -> None:
        """Train on a graph and publish.

        Where the gate refuses what came out, what was live stays.

        Raises:
            ModelError: as `model.tuner.train_and_publish` does.
        """
        source = SnapshotInput(snapshot=_described(arrays), arrays=arrays)
        warm = self._live if self._warm_starts else None
        try:
            generation_id = train_and_publish(
                source, self._store, self._settings, warm=warm, is_cancelled=self._is_cancelled
            )
        except GateRefused:
            if self._live is None:
                raise
            self.refused += 1
        else:
            self._live = open_generation(self._store.generation_path(generation_id), verify=False)

    def ranks(self, clicks: AskedClicks, place: Int64s) -> Float64s:
        """Return the rank of each click's item among all shown ones, ``float64
        [len(place)]``.

        Infinity where the live generation does not have the item.
        """
        live = self.live
        shown = np.flatnonzero(live.item_shown)
        row_of = {live.item_ids[item]: row for row, item in enumerate(shown.tolist())}
        row = np.array(
            [row_of.get(clicks.whole.item_ids[item], -1) for item in clicks.item[place]], np.int64
        )
        queries, query = np.unique(clicks.query[place], return_inverse=True)
        known, nothing = row >= 0, np.zeros(0, dtype=np.int64)
        ranks = np.full(len(place), np.inf)
        ranks[known] = edge_ranks(
            query_vectors(live, clicks.whole, queries, encoder=live.text_encoder()),
            live.item_vectors[shown],
            (query[known], row[known]),
            (nothing, nothing),
        )
        return ranks

    def in_sessions(self, clicks: SessionClicks, whole: GraphArrays) -> tuple[Int64s, SessionRanks]:
        """Return the session of each click that can be answered by it, ``int64
        [num_answered]``, and the ranks without and with it, by the live generation's
        own weights.

        Those are clicks whose item it has, and something of the session before it.

        Args:
            clicks: the clicks, in the numbering of `whole`.
            whole: the graph of the log.
        """
        live = self.live
        row_of = {item_id: row for row, item_id in enumerate(live.item_ids)}
        queries = np.unique(np.concatenate([clicks.query, *clicks.queries])).astype(np.int64)
        number = np.full(whole.num_queries, -1, dtype=np.int64)
        number[queries] = np.arange(len(queries))
        known = clicks.renumbered(
            query=number,
            item=np.array([row_of.get(item_id, -1) for item_id in whole.item_ids], np.int64),
            # As a server: a query of the session that has no vector is left out.
            context_query=np.where(np.isin(whole.query_keys, live.query_keys), number, -1),
        )
        vectors = ClickVectors(
            queries=query_vectors(live, whole, queries, encoder=live.text_encoder()),
            items=live.item_vectors,
            is_shown=live.item_shown,
        )
        weights = live.context_weights
        without, within = click_ranks(known, vectors, [NO_CONTEXT, weights])
        ranks = SessionRanks(
            seed=self._settings.seed, weights=weights, without=without, within=within
        )
        return known.session, ranks


def query_vectors(
    live: Generation,
    whole: GraphArrays,
    queries: Int64s,
    *,
    encoder: TextEncoder,
    newer: Mapping[int, Float32s] = MappingProxyType({}),
) -> Float32s:
    """Return ``float32 [len(queries), dim]``, as a server would answer queries of the
    whole log.

    Args:
        live: the generation.
        whole: all of the log.
        queries: their indexes in it.
        encoder: the generation's.
        newer: vectors that go before the generation's, by query key.
    """

    def vector(key: int, text: str) -> Float32s:
        if key in newer:
            return newer[key]
        row = int(np.searchsorted(live.query_keys, np.uint64(key)))
        if row < len(live.query_keys) and int(live.query_keys[row]) == key:
            known: Float32s = live.query_vectors[row]
            return known
        return encoder.encode(text)

    vectors = [vector(int(whole.query_keys[query]), whole.query_texts[query]) for query in queries]
    return np.array(vectors, dtype=np.float32).reshape(-1, live.manifest.dim)


def _described(arrays: GraphArrays) -> SnapshotInfo:
    """Return what a generation records of its snapshot, for a graph that none was taken
    of.
    """
    return SnapshotInfo(
        snapshot_id="",
        path=Path(),
        taken_ms=arrays.at_ms,
        watermark_ms=arrays.watermark_ms,
        graph_hash="",
        half_life_seconds=0.0,
        action_weights={},
        counts=SnapshotCounts(facts=0, edge_facts=0, sessions=0, hyperedges=0, incidences=0),
        shards=(),
    )
