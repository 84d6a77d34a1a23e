"""The manifest of a generation: read, and checked that this code can read the rest."""

from pathlib import Path

from google.protobuf import json_format

from model.errors import GenerationCorrupt, GenerationMissing
from protos import manifest_v1_pb2 as manifest_pb
from stream.errors import refusal
from stream.files import read_plain

# Of the folder's layout, and of what its numbers mean: raised when a reader of the
# version before cannot read it.
FORMAT_VERSION = 3
# The oldest that is read. Its texts are hashed by words between spaces alone, in every
# script.
SPACED_WORDS_VERSION = 1


MANIFEST_NAME = "manifest.json"

# A manifest has some 30 kB, with 500 shards some 200. Twice as much would let twice as
# much be read before a checksum is known.
_MOST_BYTES = 16 << 20


def read_manifest(path: Path) -> manifest_pb.Generation:
    """Read the manifest of the generation in a folder; see `ArtifactStore.manifest`."""
    try:
        text = read_plain(path / MANIFEST_NAME, _MOST_BYTES).decode("utf-8")
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
    if not SPACED_WORDS_VERSION <= manifest.format_version <= FORMAT_VERSION:
        raise GenerationCorrupt(
            f"{path} has generation format {manifest.format_version}, this code reads "
            f"{FORMAT_VERSION}; "
            "train again with this version, or serve it with the one that wrote it"
        )
    return manifest
