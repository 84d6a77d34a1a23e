"""Opens the folder of generations that a command is given, and looks for damage."""

from pathlib import Path

from freshet.process import CommandError
from model.artifact.checks.contents import check_name
from model.artifact.checks.listing import check_listing
from model.artifact.checks.verified import open_verified
from model.artifact.generation import Generation, open_generation
from model.artifact.manifest import read_manifest
from model.artifact.store import ArtifactStore
from model.errors import ArtifactError, PretrainedTextUnusable


def existing_artifacts(folder: Path) -> ArtifactStore:
    """Return the artifacts folder, to read from.

    Raises:
        CommandError: there is no such folder.
    """
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "is not there"
        raise CommandError(
            f"{folder} {found}; give the folder that `freshet tune` or `freshet train` fills"
        )
    return ArtifactStore(folder)


def writable_artifacts(folder: Path) -> ArtifactStore:
    """Return the artifacts folder, made where there is none.

    Raises:
        CommandError: it is not a folder.
        OSError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise CommandError(f"{folder} is not a folder; give another --artifacts") from None
    return ArtifactStore(folder)


def current_generation(folder: Path) -> Generation:
    """Return the generation that `CURRENT` names.

    Raises:
        CommandError: there is no such folder, or no generation is current.
        ArtifactError: the generation is damaged.
    """
    store = existing_artifacts(folder)
    current = store.current_id()
    if current is None:
        raise CommandError(f"{folder} has no current generation; make one with `freshet train`")
    return open_generation(store.generation_path(current))


def damage_of(store: ArtifactStore, generation_id: str, *, reads_all: bool) -> str:
    """Return what is wrong with the files of a generation; empty: nothing.

    Args:
        store: where it is.
        generation_id: which one.
        reads_all: whether every file is read and the canaries are asked, as a server
            does; False looks at names and sizes alone, which other bytes pass.
    """
    path = store.generation_path(generation_id)
    try:
        if reads_all:
            open_verified(path)
        else:
            manifest = read_manifest(path)
            check_name(path, manifest.generation_id)
            check_listing(path, manifest)
    except PretrainedTextUnusable:
        return ""  # its files are whole: it is this machine that lacks something
    except (ArtifactError, OSError) as error:
        return str(error)
    return ""


def whole_generation(store: ArtifactStore, *, but: str) -> str:
    """Return the current generation where it is whole, or else the newest that is and
    passed the gate; empty: none is. Each one tried is read.

    Args:
        store: where they are.
        but: the generation that is not looked at.
    """
    ids = list(reversed(store.generation_ids()))
    try:
        current = store.current_id()
    except ArtifactError:
        current = None
    if current in ids:
        ids.remove(current)
        ids.insert(0, current)
    for generation_id in ids:
        if generation_id == but or damage_of(store, generation_id, reads_all=True):
            continue
        if generation_id == current or store.manifest(generation_id).gate.passed:
            return generation_id
    return ""
