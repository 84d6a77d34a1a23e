"""Which generations are on disk, and what this server makes of each."""

from collections import OrderedDict
from pathlib import Path
from threading import Lock
from typing import Final

from model.artifact.store import ArtifactStore
from model.errors import ArtifactError
from protos import manifest_v1_pb2 as manifest_pb
from protos import retrieval_v1_pb2 as retrieval_pb
from server.errors import QueryRefused
from server.swaps.watching import Views, Watching

# Generations of an answer that does not say how many: four times what a tuner keeps.
# Twice as many: hardly any folder has them.
_DEFAULT_LIMIT: Final = 20
# At most, some 2 kB each. Twice as many: twice that.
_MOST: Final = 100


class GenerationList:
    """Lists the generations of an artifacts folder; any number of threads may share it.

    A manifest is read once, however often it is asked for: a generation never changes.

    Args:
        store: the artifacts folder.
        watcher: what loads generations from it.
        views: what is live.
    """

    def __init__(self, store: ArtifactStore, watcher: Watching, views: Views) -> None:
        self._store = store
        self._watcher = watcher
        self._views = views
        self._lock = Lock()
        self._read: OrderedDict[tuple[str, int], retrieval_pb.GenerationInfo] = OrderedDict()

    def newest(self, limit: int) -> retrieval_pb.ListGenerationsResponse:
        """Return the newest generations.

        Args:
            limit: at most so many; 0: twenty.

        Raises:
            QueryRefused: the limit is too large.
        """
        if limit > _MOST:
            raise QueryRefused(
                f"limit is {limit}; it must be from 1 to {_MOST}, or 0 for {_DEFAULT_LIMIT}",
                request_field="limit",
            )
        pin = self._store.pin()
        return retrieval_pb.ListGenerationsResponse(
            generations=[self._info(each) for each in self._ids(limit or _DEFAULT_LIMIT)],
            current=self._current(),
            pinned="" if pin is None else pin.generation_id,
            pinned_since_ms=0 if pin is None else pin.since_ms,
        )

    def _ids(self, limit: int) -> list[str]:
        try:
            return self._store.generation_ids()[::-1][:limit]
        except OSError:
            return []  # a folder that is gone holds none; GetFreshness says that it is

    def _current(self) -> str:
        try:
            return self._store.current_id() or ""
        except (ArtifactError, OSError):
            return ""

    def _info(self, generation_id: str) -> retrieval_pb.GenerationInfo:
        found = retrieval_pb.GenerationInfo()
        try:
            found.CopyFrom(self._described(generation_id))
        except (ArtifactError, OSError) as error:
            found.generation_id, found.reason = generation_id, str(error)
            found.state = retrieval_pb.GENERATION_STATE_UNREADABLE
        self._add_state(found)
        if found.state == retrieval_pb.GENERATION_STATE_REFUSED:
            found.reason = self._watcher.last_refusal
        return found

    def _add_state(self, info: retrieval_pb.GenerationInfo) -> None:
        """Add what the server has to do with a generation, if anything."""
        live = self._views.live
        states = (
            ("" if live is None else live.generation_id, retrieval_pb.GENERATION_STATE_LIVE),
            (self._views.pending_id, retrieval_pb.GENERATION_STATE_WAITING),
            (self._watcher.loading_id, retrieval_pb.GENERATION_STATE_LOADING),
            (self._watcher.refused_id, retrieval_pb.GENERATION_STATE_REFUSED),
        )
        for generation_id, state in states:
            if generation_id == info.generation_id:
                info.state = state
                return

    def _described(self, generation_id: str) -> retrieval_pb.GenerationInfo:
        """Return what the manifest of a generation says, read once."""
        path: Path = self._store.generation_path(generation_id) / "manifest.json"
        key = generation_id, path.stat().st_mtime_ns
        with self._lock:
            found = self._read.get(key)
            if found is None:
                found = _info_of(self._store.manifest(generation_id))
                self._read[key] = found
                if len(self._read) > _MOST:
                    self._read.popitem(last=False)
        return found


def _info_of(manifest: manifest_pb.Generation) -> retrieval_pb.GenerationInfo:
    return retrieval_pb.GenerationInfo(
        generation_id=manifest.generation_id,
        state=retrieval_pb.GENERATION_STATE_IDLE,
        created_ms=manifest.created_ms,
        parent=manifest.parent,
        snapshot_ms=manifest.snapshot.taken_ms,
        watermark_ms=manifest.snapshot.watermark_ms,
        num_items=manifest.num_items,
        num_queries=manifest.num_queries,
        num_indexed=manifest.num_indexed,
        gate_passed=manifest.gate.passed,
        gate_reasons=manifest.gate.reasons,
        evaluation=manifest.evaluation,
        index_engine=manifest.index.engine,
    )
