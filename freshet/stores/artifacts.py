"""Opens the folder of generations that a command is given."""

from pathlib import Path

from freshet.process import CommandError
from model.artifact.generation import Generation, open_generation
from model.artifact.store import ArtifactStore


def existing_artifacts(folder: Path) -> ArtifactStore:
    """Return the artifacts folder, to read from.

    Raises:
        CommandError: there is no such folder.
    """
    if not folder.is_dir():
        raise CommandError(
            f"{folder}: there is no such folder; give the one that `freshet train` fills"
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
