"""The generations of a worker: given by the process that looks after it, which has
loaded and checked them.
"""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf import json_format

from protos import manifest_v1_pb2 as manifest_pb
from server.errors import WorkerFailed
from server.live import LiveGeneration
from server.settings import ServerSettings
from server.views import LiveViews
from stream.clock import now_ms


class GivenGenerations:
    """What a worker is told of generations, in place of a watcher of its own.

    Args:
        views: what a generation is offered to.
        settings: the server's settings.
        on_refusal: called with whether the newest generation is refused, each time that
            it is told.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        views: LiveViews,
        settings: ServerSettings,
        *,
        on_refusal: Callable[[bool], None] = lambda _is_refused: None,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._views = views
        self._settings = settings
        self._on_refusal = on_refusal
        self._clock_ms = clock_ms
        self._prepared: LiveGeneration | None = None
        self.last_refusal = ""
        """As `GenerationWatcher.last_refusal`, of the process that looks after all."""
        self.refused_id = ""
        """As `GenerationWatcher.refused_id`, likewise."""
        self.loading_id = ""
        """As `GenerationWatcher.loading_id`, likewise."""

    def load_first(self) -> bool:
        """Return whether a generation is live: none was given yet."""
        return False

    def start(self) -> None:
        """Begin nothing: what there is to do is told."""

    def stop(self) -> None:
        """End nothing."""

    def prepare(
        self, path: Path, manifest: manifest_pb.Generation, files: Mapping[str, int]
    ) -> None:
        """Open a generation, to be offered next.

        Args:
            path: its folder.
            manifest: of the files that came.
            files: descriptors by name; they are the caller's to close.

        Raises:
            GenerationCorrupt: the files are others than the manifest says.
            OSError: they cannot be read.
        """

        def open_file(file: Path) -> Path:
            return Path(f"/proc/self/fd/{files[file.name]}")

        self._prepared = LiveGeneration.of_checked(
            path, manifest, open_file, self._settings, clock_ms=self._clock_ms
        )

    def offer(self) -> None:
        """Offer what is prepared to the live views.

        Raises:
            WorkerFailed: nothing is.
        """
        prepared, self._prepared = self._prepared, None
        if prepared is None:
            raise WorkerFailed("no generation is prepared")
        self._views.offer(prepared)

    def drop(self) -> None:
        """Give up what is prepared."""
        self._prepared = None

    def told(self, *, refused_id: str, last_refusal: str, loading_id: str) -> None:
        """Take what the process that looks after all says of the newest generation."""
        self.last_refusal, self.loading_id = last_refusal, loading_id
        if refused_id != self.refused_id:
            self.refused_id = refused_id
            self._on_refusal(bool(refused_id))


def question_of(live: LiveGeneration) -> tuple[dict[str, Any], list[int]]:
    """Return what a worker is given of a generation: the question, and open files."""
    files = live.files
    if files is None:
        raise WorkerFailed(f"the files of generation {live.generation.id} are not open")
    manifest = manifest_pb.Generation()
    manifest.CopyFrom(live.generation.manifest)
    kept = [entry for entry in manifest.files if entry.name in files.descriptors]
    del manifest.files[:]
    manifest.files.extend(kept)
    names = list(files.descriptors)
    question = {
        "path": os.fspath(live.generation.path),
        "manifest": json_format.MessageToJson(manifest, preserving_proto_field_name=True),
        "names": names,
    }
    return question, [files.descriptors[name] for name in names]


def take(given: GivenGenerations, question: Mapping[str, Any], descriptors: list[int]) -> None:
    """Prepare what `question_of` made, and close its files."""
    try:
        manifest = json_format.Parse(question["manifest"], manifest_pb.Generation())
        files = dict(zip(question["names"], descriptors, strict=True))
        given.prepare(Path(question["path"]), manifest, files)
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
