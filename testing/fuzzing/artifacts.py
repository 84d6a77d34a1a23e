"""Readers of what training writes and the server reads: generations, overlay segments
and their pointers; and of what a caller sends to the JSON door.
"""

import hashlib
import struct
from functools import partial
from pathlib import Path

import numpy as np
from google.protobuf import json_format

from model.artifact.checks.verified import open_verified
from model.artifact.manifest import MANIFEST_NAME
from model.artifact.overlay.encoding import decode_segment, encode_segment
from model.artifact.overlay.gone import Gone, encode_gone, read_gone
from model.artifact.overlay.pointer import Newest, decode_newest, encode_newest
from model.artifact.overlay.segment import Claim, Mark, Segment, StageTimes
from model.errors import GenerationCorrupt, GenerationMissing, SegmentRefused
from protos import manifest_v1_pb2 as manifest_pb
from testing.fuzzing.folders import folder_target
from testing.fuzzing.target import Prepared, Target
from testing.overlays import overlay_rows, random_units
from testing.small_generations import Artifacts, make_catalogue, some_attributes

_DIM = 8
_SHA_BYTES = 32  # of a sha256
_SIZE = struct.Struct("<Q")
_SIZE_AT = 8  # of a segment: where its size stands, behind the magic
_GENERATION = "20261123T151500Z-a1b2c3"


def _prepare_generation(folder: Path) -> Prepared:
    """Files of a generation, whose manifest says of each what is there."""
    path = _small_generation(folder)
    paths = sorted(each for each in path.iterdir() if each.name != MANIFEST_NAME)
    read = partial(_open, path)
    return folder_target(path, read, paths=paths, after_write=partial(_vouch, path))


def _prepare_manifest(folder: Path) -> Prepared:
    """The manifest of a generation."""
    path = _small_generation(folder)
    return folder_target(path, partial(_open, path), paths=[path / MANIFEST_NAME])


def _small_generation(folder: Path) -> Path:
    catalogue = make_catalogue(30, ["tv", "red shoes", "radio"])
    catalogue.attributes = some_attributes(30)
    catalogue.clicks = [(0, 1, 2), (1, 2, 3), (2, 2, 1)]
    catalogue.sessions = [([0, 1], [1, 2]), ([2], [2, 3])]
    artifacts = Artifacts(folder / "artifacts")
    return artifacts.store.generation_path(artifacts.write(catalogue))


def _open(path: Path) -> None:
    generation = open_verified(path)
    for strings in (generation.item_ids, generation.item_titles, generation.query_texts):
        list(strings)


def _vouch(folder: Path, path: Path) -> None:
    """Have a manifest say of a file what is there."""
    text = (folder / MANIFEST_NAME).read_text()
    manifest = json_format.Parse(text, manifest_pb.Generation())
    for entry in manifest.files:
        if entry.name == path.name:
            content = path.read_bytes()
            entry.size_bytes = len(content)
            entry.sha256 = hashlib.sha256(content).hexdigest()
    (folder / MANIFEST_NAME).unlink()
    (folder / MANIFEST_NAME).write_text(
        json_format.MessageToJson(manifest, preserving_proto_field_name=True)
    )


def _segment() -> bytes:
    random = np.random.default_rng(0)
    items, queries = random_units(random, 5, _DIM), random_units(random, 3, _DIM)
    return encode_segment(
        Segment(
            generation_id=_GENERATION,
            sequence=7,
            writer="c0ffee00",
            is_full=True,
            created_ms=1_790_000_000_000,
            claim=Claim(reflected_ms=1, watermark_ms=2, marks={0: Mark("aa", 5)}),
            oldest=StageTimes(event_ms=1, record_ms=2, durable_ms=3),
            newest=StageTimes(event_ms=4, record_ms=5, durable_ms=6),
            rows=overlay_rows(
                _DIM,
                items={f"item {row} é": items[row] for row in range(5)},
                queries={f"query {row} ü": queries[row] for row in range(3)},
                gone_items=("old 1", "old 2"),
                attributes={"item 0 é": {"size": "40"}},
            ),
        )
    )


def _seal_segment(_number: int, content: bytes) -> bytes:
    """Put the size and the sha256 right."""
    size = len(content) + _SHA_BYTES
    content = content[:_SIZE_AT] + _SIZE.pack(size) + content[_SIZE_AT + _SIZE.size :]
    content = content[: size - _SHA_BYTES]
    return content + hashlib.sha256(content).digest()


def _prepare_segments(_folder: Path) -> Prepared:
    """Overlay segments, behind their checksum."""

    def read(_number: int, content: bytes) -> None:
        decode_segment(content, "segment")

    return Prepared(seeds=[_segment()[:-_SHA_BYTES]], read=read)


def _prepare_gone(folder: Path) -> Prepared:
    """The list of deleted items, behind its checksum."""
    path = folder / "GONE"
    path.write_bytes(encode_gone({"item é": Gone(1, 2), "another": Gone(0, 4)})[:-_SHA_BYTES])
    return folder_target(folder, lambda: _ignore(read_gone(path)))


def _prepare_pointers(_folder: Path) -> Prepared:
    """Pointers to the newest segment."""
    newest = Newest(
        generation_id=_GENERATION,
        writer="c0ffee00",
        sequence=7,
        first_sequence=3,
        claim=Claim(reflected_ms=1, watermark_ms=2, marks={0: Mark("aa", 5)}, reason="late"),
        written_ms=1_790_000_000_000,
    )
    return Prepared(
        seeds=[encode_newest(newest)],
        read=lambda _number, content: _ignore(decode_newest(content, "NEWEST")),
    )


def _ignore(_found: object) -> None:
    """Take what was read: that it could be is all."""


_GENERATION_REFUSALS = (GenerationCorrupt, GenerationMissing)
TARGETS = (
    Target(
        name="generation files",
        share=10,
        prepare=_prepare_generation,
        refusals=_GENERATION_REFUSALS,
    ),
    Target(
        name="generation manifests",
        share=20,
        prepare=_prepare_manifest,
        refusals=_GENERATION_REFUSALS,
    ),
    Target(
        name="segments",
        share=600,
        prepare=_prepare_segments,
        refusals=(SegmentRefused,),
        seal=_seal_segment,
    ),
    Target(
        name="deleted items",
        share=150,
        prepare=_prepare_gone,
        refusals=(SegmentRefused,),
        seal=_seal_segment,
    ),
    Target(name="pointers", share=1500, prepare=_prepare_pointers, refusals=(SegmentRefused,)),
)
"""What training writes."""
