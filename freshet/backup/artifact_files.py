"""What of an artifacts folder is in a backup, and what makes it whole again."""

import shutil
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from model.artifact.generation import open_generation
from model.artifact.manifest import MANIFEST_NAME
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.pointer import decode_newest
from model.artifact.store import ArtifactStore
from model.errors import GenerationCorrupt, SegmentRefused

POINTER_NAME = "CURRENT"


class ArtifactFile(NamedTuple):
    """A file to be backed up.

    Attributes:
        path: where it is; nobody changes it.
        sha256: what a manifest says, in hexadecimal; empty: none does.
    """

    path: Path
    sha256: str = ""


class ArtifactFiles(NamedTuple):
    """What is backed up.

    Attributes:
        generation_id: the live generation.
        generation_ids: all of them, oldest first.
        overlay_sequence: newest segment of the live one's overlay; 0: it has none.
        reflected_ms: up to when every record is in it; 0: not known.
        files: by name in the artifacts folder.
    """

    generation_id: str
    generation_ids: tuple[str, ...]
    overlay_sequence: int
    reflected_ms: int
    files: dict[str, ArtifactFile]


def files_to_back_up(root: Path, scratch: Path, *, is_live_only: bool) -> ArtifactFiles | None:
    """Return the generations of an artifacts folder and what a refresher made of the
    live one since; None: none is live yet.

    Generations and segments never change, and may be pruned at any time; what is
    replaced is copied to `scratch` now. The state of a training is left out: it is made
    again.

    Args:
        root: the artifacts folder.
        scratch: an empty folder.
        is_live_only: leave out the generations that are not live.

    Raises:
        ArtifactError: the pointer names none, or a manifest is damaged.
        OSError: something cannot be read or copied.
    """
    store = ArtifactStore(root)
    current = store.current_id()
    if current is None:
        return None
    kept = [current] if is_live_only else store.generation_ids()
    files: dict[str, ArtifactFile] = {}
    for generation_id in kept:
        files.update(_generation_files(store, generation_id))
    pointer = scratch / POINTER_NAME
    pointer.write_text(f"{current}\n", encoding="ascii")
    files[POINTER_NAME] = ArtifactFile(pointer)
    sequence, reflected_ms = _add_overlay(files, OverlayFolder.of(root), current, scratch)
    return ArtifactFiles(current, tuple(kept), sequence, reflected_ms, files)


def check_restored(root: Path) -> None:
    """Check that the files of an artifacts folder, whose hashes are right, are
    generations that this version can read.

    Raises:
        ArtifactError: one is not.
    """
    store = ArtifactStore(root)
    current = store.current_id()
    if current is None or current not in store.generation_ids():
        raise GenerationCorrupt(f"{root / POINTER_NAME} names {current}, which is not there")
    open_generation(store.generation_path(current), verify=False)


def _generation_files(store: ArtifactStore, generation_id: str) -> dict[str, ArtifactFile]:
    folder, prefix = store.generation_path(generation_id), f"generations/{generation_id}"
    files = {f"{prefix}/{MANIFEST_NAME}": ArtifactFile(folder / MANIFEST_NAME)}
    for each in store.manifest(generation_id).files:
        files[f"{prefix}/{each.name}"] = ArtifactFile(folder / each.name, each.sha256)
    return files


def _add_overlay(
    files: dict[str, ArtifactFile], overlays: OverlayFolder, generation_id: str, scratch: Path
) -> tuple[int, int]:
    """Add what is gone and the segments that count, which the pointer as it is now
    names; return its sequence and up to when it has everything.

    A pointer that is damaged is left out, as a server leaves it out.
    """
    with suppress(FileNotFoundError):
        shutil.copyfile(overlays.gone_path, scratch / "GONE")
        files["fresh/GONE"] = ArtifactFile(scratch / "GONE")
    try:
        content = overlays.newest_path(generation_id).read_bytes()
        newest = decode_newest(content, str(overlays.newest_path(generation_id)))
    except (FileNotFoundError, NotADirectoryError, SegmentRefused):
        return 0, 0
    (scratch / "NEWEST").write_bytes(content)
    prefix = f"fresh/{generation_id}"
    files[f"{prefix}/NEWEST"] = ArtifactFile(scratch / "NEWEST")
    for sequence in range(newest.first_sequence, newest.sequence + 1):
        path = overlays.segment_path(generation_id, sequence)
        files[f"{prefix}/{path.name}"] = ArtifactFile(path)
    return newest.sequence, newest.claim.reflected_ms
