"""The pointer ``NEWEST``: which segments of a generation count, and how fresh they are
by now.
"""

import json
from dataclasses import dataclass
from typing import Any

from model.artifact.overlay.segment import Claim, Mark, SegmentFault
from model.errors import SegmentRefused
from stream.errors import PARSE_ERRORS


@dataclass(frozen=True, slots=True, kw_only=True)
class Newest:
    """What `NEWEST` says.

    It is replaced about once a second, even where no segment is new.

    Attributes:
        generation_id: the generation.
        writer: who writes its segments now.
        sequence: the newest segment.
        first_sequence: the newest full one: it and those up to `sequence` count.
        claim: how fresh they are, as of `written_ms`.
        written_ms: when this was written, UTC epoch milliseconds.
        is_merged: whether the newest full one has what the segment before it left, and
            no more: whoever has that one need not read it.
    """

    generation_id: str
    writer: str
    sequence: int
    first_sequence: int
    claim: Claim
    written_ms: int
    is_merged: bool = False


def encode_newest(newest: Newest) -> bytes:
    """Return the content of the file: one JSON object."""
    claim = newest.claim
    content = {
        "generation": newest.generation_id,
        "writer": newest.writer,
        "sequence": newest.sequence,
        "first_sequence": newest.first_sequence,
        "is_merged": newest.is_merged,
        "reflected_ms": claim.reflected_ms,
        "catalog_reflected_ms": claim.catalog_reflected_ms,
        "watermark_ms": claim.watermark_ms,
        "marks": {
            str(shard): {"writer": mark.writer, "sequence": mark.sequence}
            for shard, mark in sorted(claim.marks.items())
        },
        "written_ms": newest.written_ms,
        "reason": claim.reason,
    }
    return (json.dumps(content) + "\n").encode()


def decode_newest(content: bytes, name: str) -> Newest:
    """Return what the content of a pointer says.

    Args:
        content: of the file.
        name: what messages call it.

    Raises:
        SegmentRefused: it is damaged.
    """
    try:
        said: dict[str, Any] = json.loads(content)
        newest = Newest(
            generation_id=said["generation"],
            writer=said["writer"],
            sequence=int(said["sequence"]),
            first_sequence=int(said["first_sequence"]),
            claim=Claim(
                reflected_ms=int(said["reflected_ms"]),
                catalog_reflected_ms=int(said.get("catalog_reflected_ms", 0)),
                watermark_ms=int(said["watermark_ms"]),
                marks={
                    int(shard): Mark(mark["writer"], int(mark["sequence"]))
                    for shard, mark in said["marks"].items()
                },
                reason=said.get("reason", ""),
            ),
            written_ms=int(said["written_ms"]),
            is_merged=said.get("is_merged", False) is True,
        )
    except (*PARSE_ERRORS, AttributeError, KeyError, OverflowError, TypeError) as error:
        raise SegmentRefused(
            SegmentFault.POINTER, f"{name} is damaged ({type(error).__name__}: {error})"
        ) from error
    if not 1 <= newest.first_sequence <= newest.sequence:
        raise SegmentRefused(
            SegmentFault.POINTER,
            f"{name} names segments {newest.first_sequence} to {newest.sequence}",
        )
    return newest
