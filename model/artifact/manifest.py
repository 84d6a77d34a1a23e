"""The manifest of a generation: read, and checked that this code can read the rest."""

from pathlib import Path

from google.protobuf import json_format

from model.errors import GenerationCorrupt, GenerationMissing
from protos import manifest_v1_pb2 as manifest_pb
from stream.errors import refusal

# Of the folder's layout, and of what its numbers mean: raised when a reader of the
# version before cannot read it.
FORMAT_VERSION = 2
# Its texts are hashed by words between spaces alone, in every script.
SPACED_WORDS_VERSION = 1


MANIFEST_NAME = "manifest.json"


def read_manifest(path: Path) -> manifest_pb.Generation:
    """Read the manifest of the generation in a folder; see `ArtifactStore.manifest`."""
    try:
        text = (path / MANIFEST_NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise GenerationMissing(f"no generation at {path}: {MANIFEST_NAME} is not there") from None
    except (OSError, UnicodeDecodeError) as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"{path / MANIFEST_NAME} cannot be read: {error}") from error
    try:
        manifest = json_format.Parse(text, manifest_pb.Generation(), ignore_unknown_fields=True)
    except json_format.ParseError as error:
        raise GenerationCorrupt(
            f"{path / MANIFEST_NAME} is not a generation manifest: {error}"
        ) from error
    if manifest.format_version not in (SPACED_WORDS_VERSION, FORMAT_VERSION):
        raise GenerationCorrupt(
            f"{path} has generation format {manifest.format_version}, this code reads "
            f"{FORMAT_VERSION}; "
            "train again with this version, or serve it with the one that wrote it"
        )
    return manifest
