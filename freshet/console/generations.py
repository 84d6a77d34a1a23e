"""The generations with their figures and the gate's verdict, from a server or from the
folder.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from threading import Lock
from typing import Any

from freshet.process import CommandError
from freshet.stores.artifacts import existing_artifacts
from freshet_client import Access, ClientError, GenerationInfo, RetrievalClient
from model.artifact.store import ArtifactStore
from model.errors import ModelError

Document = dict[str, Any]

MOST = 100  # newest first; as many as a server tells at once
# The longest wait for one server; an answer takes milliseconds. Twice as long: the next
# one is asked that much later.
_ASK_SECONDS = 2.0
# Seconds that an answer is used again: several windows cost as much as one. Twice as
# long: a new generation is seen that much later.
_FRESH_SECONDS = 2.0


class Generations:
    """The generations that there are.

    The first server that answers is asked, since it knows which is live and which was
    refused, and why; where none does, the artifacts folder.

    Args:
        targets: gRPC addresses of the servers.
        artifacts: the folder, where it is on this machine; None: it is not.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        targets: Sequence[str],
        artifacts: Path | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._targets = targets
        self._artifacts = artifacts
        self._monotonic = monotonic
        self._lock = Lock()
        self._newest: Document = {}
        self._until = 0.0

    def now(self) -> Document:
        """Return them; who asks meanwhile waits for the same answer."""
        with self._lock:
            if self._monotonic() >= self._until:
                self._newest = self._ask()
                self._until = self._monotonic() + _FRESH_SECONDS
            return self._newest

    def _ask(self) -> Document:
        problems: list[str] = []
        for target in self._targets:
            try:
                return _of_server(target) | {"problems": problems}
            except ClientError as error:
                problems.append(str(error))
        if self._artifacts is not None:
            try:
                return _of_folder(self._artifacts) | {"problems": problems}
            except (ModelError, CommandError, OSError) as error:
                problems.append(str(error))
        return _document("", [], "", None) | {"problems": problems}


def _of_server(target: str) -> Document:
    with RetrievalClient(
        target, timeout_seconds=_ASK_SECONDS, retry=None, access=Access.from_environment()
    ) as client:
        found = client.list_generations(MOST)
    rows = [_row(each) for each in found.generations]
    return _document(f"server {target}", rows, found.current, found.pinned or None)


def _row(info: GenerationInfo) -> Document:
    return asdict(info) | {"evaluation": dict(sorted(info.evaluation.items()))}


def _of_folder(artifacts: Path) -> Document:
    store = existing_artifacts(artifacts)
    ids = store.generation_ids()[-MOST:]
    pin = store.pin()
    try:
        current = store.current_id() or ""
    except ModelError:
        current = ""
    rows = [_folder_row(store, each) for each in reversed(ids)]
    return _document(
        f"folder {artifacts}", rows, current, None if pin is None else pin.generation_id
    )


def _folder_row(store: ArtifactStore, generation_id: str) -> Document:
    try:
        manifest = store.manifest(generation_id)
    except ModelError as error:
        return {"generation_id": generation_id, "state": "unreadable", "reason": str(error)}
    return {
        "generation_id": generation_id,
        "state": None,
        "reason": "",
        "created_ms": manifest.created_ms,
        "parent": manifest.parent,
        "snapshot_ms": manifest.snapshot.taken_ms,
        "watermark_ms": manifest.snapshot.watermark_ms,
        "num_items": manifest.num_items,
        "num_queries": manifest.num_queries,
        "num_indexed": manifest.num_indexed,
        "gate_passed": manifest.gate.passed,
        "gate_reasons": list(manifest.gate.reasons),
        "evaluation": dict(sorted(manifest.evaluation.items())),
        "index_engine": manifest.index.engine,
    }


def _document(told_by: str, rows: list[Document], current: str, pinned: str | None) -> Document:
    return {"told_by": told_by, "generations": rows, "current": current, "pinned": pinned}
