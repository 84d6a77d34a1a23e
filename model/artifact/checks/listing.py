"""The files of a generation against the list in its manifest: names, kinds and sizes,
before one of them is read.
"""

import stat
from pathlib import Path

from model.artifact.manifest import MANIFEST_NAME
from model.errors import GenerationCorrupt
from protos import manifest_v1_pb2 as manifest_pb
from stream.errors import refusal


def check_listing(
    path: Path, manifest: manifest_pb.Generation, *, unread_prefix: str | None = None
) -> None:
    """Check that a folder holds exactly the files that its manifest lists, each a plain
    file of the size that it gives.

    Hidden files (``.nfs...``) are no part of a generation and are left alone.

    Args:
        path: the generation's folder.
        manifest: its manifest.
        unread_prefix: of the names of files that the reader leaves out, and whose
            absence it does not mind; None: it reads all.

    Raises:
        GenerationCorrupt: it does not; the message names the file.
        OSError: the folder cannot be read.
    """
    listed: set[str] = set()
    for entry in manifest.files:
        _check_name(path, entry.name, listed)
        if unread_prefix is None or not entry.name.startswith(unread_prefix):
            _check_size(path / entry.name, entry.size_bytes)
        listed.add(entry.name)
    try:
        found = {file.name for file in path.iterdir() if not file.name.startswith(".")}
    except OSError as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"{path} cannot be listed: {error}") from error
    unlisted = sorted(found - listed - {MANIFEST_NAME})
    if unlisted:
        raise GenerationCorrupt(
            f"{path / unlisted[0]} is not listed by the manifest, so nothing vouches for it; "
            "remove it, or train again"
        )


def _check_name(path: Path, name: str, listed: set[str]) -> None:
    is_plain = name and not name.startswith(".") and not set(name) & {"/", "\\", "\0"}
    if not is_plain or name == MANIFEST_NAME:
        raise GenerationCorrupt(
            f"the manifest of {path} lists {name!r}, which is no name of a file beside it"
        )
    if name in listed:
        raise GenerationCorrupt(f"the manifest of {path} lists {name} twice")


def _check_size(file: Path, size_bytes: int) -> None:
    try:
        found = file.lstat()
    except FileNotFoundError:
        raise GenerationCorrupt(f"{file} is missing; the manifest lists it") from None
    except OSError as error:  # of a name that no file can have
        if refusal(error):
            raise
        raise GenerationCorrupt(f"{file} cannot be looked at: {error}") from error
    if not stat.S_ISREG(found.st_mode):
        raise GenerationCorrupt(f"{file} is no plain file, so it is not opened")
    if found.st_size != size_bytes:
        raise GenerationCorrupt(f"{file} has {found.st_size} bytes, its manifest has {size_bytes}")
