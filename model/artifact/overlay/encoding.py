"""A segment as the bytes of one file, and back, with every check on the way.

Layout (`docs/formats-artifacts.md`)::

    8 bytes   magic
    8 bytes   size of the file
    8 bytes   size of the header
    header    freshet.manifest.v1.Segment
    sections  arrays in C order, little-endian, each at a multiple of 64 bytes
    32 bytes  sha256 of everything before
"""

import hashlib
import struct
from collections.abc import Iterable, Mapping
from dataclasses import fields
from itertools import pairwise
from typing import Any, Final

import msgspec
import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from model.artifact.arrays.header import plain_dtype
from model.artifact.overlay.segment import (
    Claim,
    Mark,
    OverlayRows,
    Segment,
    SegmentFault,
    StageTimes,
)
from model.errors import SegmentRefused
from model.sums import norms
from protos import manifest_v1_pb2 as manifest_pb

MAGIC: Final = b"FRESHSEG"
# Raised when a reader of the version before cannot read it.
SEGMENT_VERSION: Final = 1

_PREFIX = struct.Struct("<8sQQ")  # magic, size of the file, size of the header
_SHA_BYTES = 32  # of a sha256
# A multiple of every dtype's size and of a cache line: sections are used where they
# lie. Twice as much: twice the gaps.
_ALIGNMENT = 64
# Largest error of a vector's length: a hundred times what float32 rounds off. Twice as
# much would still find vectors that nobody scaled.
_LENGTH_TOLERANCE = 1e-3

_TEXTS = (
    "item_ids",
    "item_titles",
    "item_attributes",
    "query_texts",
    "query_clicks",
    "gone_items",
)
_ARRAYS: Final[Mapping[str, str]] = {
    "item_shown": "|b1",
    "item_catalog_ms": "<i8",
    "item_sessions": "<i8",
    "item_vectors": "<f4",
    "query_vectors": "<f4",
    "gone_item_ms": "<i8",
    "gone_queries": "<u8",
}
"""Sections of `OverlayRows` that are arrays, with their dtypes."""

Sections = dict[str, NDArray[Any]]

_attributes_decoder = msgspec.json.Decoder(dict[str, str])
_clicks_decoder = msgspec.json.Decoder(dict[str, int])


def encode_segment(segment: Segment) -> bytes:
    """Return a segment as the bytes of its file."""
    header, rows = _header_of(segment), segment.rows
    sections: Sections = {
        name: np.asarray(getattr(rows, name), dtype=dtype) for name, dtype in _ARRAYS.items()
    }
    for name in _TEXTS:
        sections |= text_sections(name, getattr(rows, name))
    return pack(header, sections)


def decode_segment(data: bytes, name: str) -> Segment:
    """Return the segment that the bytes of a file are, once all of it is checked.

    Its arrays are views of `data`.

    Args:
        data: the content of the file.
        name: what messages call it.

    Raises:
        SegmentRefused: it is torn, corrupt or of another version, its counts do not
            agree, a vector is not finite or no unit vector, or attributes are no JSON
            object of strings.
    """
    header = manifest_pb.Segment()
    sections = unpack(data, name, header)
    rows = _rows_of(sections, name)
    _check_counts(header, rows, name)
    check_rows(rows, name)
    return Segment(
        generation_id=header.generation_id,
        sequence=header.sequence,
        writer=header.writer,
        is_full=header.is_full,
        created_ms=header.created_ms,
        claim=Claim(
            reflected_ms=header.reflected_ms,
            catalog_reflected_ms=header.catalog_reflected_ms,
            watermark_ms=header.watermark_ms,
            marks={mark.shard: Mark(mark.writer, mark.sequence) for mark in header.marks},
        ),
        oldest=_stage_times(header.oldest),
        newest=_stage_times(header.newest),
        rows=rows,
    )


def check_rows(rows: OverlayRows, name: str) -> None:
    """Check what a reader refuses of rows whose counts agree.

    Args:
        rows: what to check.
        name: what messages call them.

    Raises:
        SegmentRefused: a vector is not finite or no unit vector, a name is there twice,
            attributes are no JSON object of strings, or clicks none of numbers.
    """
    _check_vectors(rows.item_vectors, f"an item vector of {name}")
    _check_vectors(rows.query_vectors, f"a query vector of {name}")
    for what, names in (
        ("items", (*rows.item_ids, *rows.gone_items)),
        ("queries", rows.query_texts),
    ):
        if len(set(names)) != len(names):
            raise SegmentRefused(SegmentFault.CORRUPT, f"{name} names {what} twice")
    try:
        for text in filter(None, rows.item_attributes):
            read_attributes(text)
    except ValueError as error:
        raise SegmentRefused(SegmentFault.CORRUPT, f"attributes of {name}: {error}") from error
    try:
        for text in filter(None, rows.query_clicks):
            read_clicks(text)
    except ValueError as error:
        raise SegmentRefused(SegmentFault.CORRUPT, f"clicks of {name}: {error}") from error


def read_attributes(text: str) -> dict[str, str]:
    """Return the attributes of an item from the JSON of a segment.

    Raises:
        ValueError: it is no object of strings.
    """
    return _attributes_decoder.decode(text)


def read_clicks(text: str) -> dict[str, int]:
    """Return sessions by item from the JSON of a segment, in its order; empty: none.

    Raises:
        ValueError: it is no object of whole numbers.
    """
    return _clicks_decoder.decode(text) if text else {}


def pack(header: manifest_pb.Segment, sections: Sections) -> bytes:
    """Return a file of a header and sections; the header is told where they lie."""
    del header.sections[:]
    for name, array in sections.items():
        # The largest offset, so that the header's size does not depend on the real one.
        header.sections.add(name=name, dtype=array.dtype.str, shape=array.shape, offset=1 << 62)
    # Offsets are varints: a smaller one is shorter, so the first section begins where
    # the header would end with the largest, and the gap is filled.
    offset = _aligned(_PREFIX.size + len(header.SerializeToString()))
    for entry, array in zip(header.sections, sections.values(), strict=True):
        entry.offset = offset
        offset = _aligned(offset + array.nbytes)
    encoded = header.SerializeToString()
    size = offset + _SHA_BYTES
    out = bytearray(size)
    out[: _PREFIX.size] = _PREFIX.pack(MAGIC, size, len(encoded))
    out[_PREFIX.size : _PREFIX.size + len(encoded)] = encoded
    for entry, array in zip(header.sections, sections.values(), strict=True):
        place = np.frombuffer(out, dtype=array.dtype, count=array.size, offset=entry.offset)
        place.reshape(array.shape)[...] = array
    out[offset:] = hashlib.sha256(memoryview(out)[:offset]).digest()
    return bytes(out)


def unpack(data: bytes, name: str, header: manifest_pb.Segment) -> Sections:
    """Fill in `header` from a file and return its sections, as views of it.

    Args:
        data: the content of the file.
        name: what messages call it.
        header: an empty one.

    Raises:
        SegmentRefused: it is torn, corrupt, or of another version.
    """
    if len(data) < _PREFIX.size + _SHA_BYTES:
        raise SegmentRefused(SegmentFault.TORN, f"{name} is torn: it has {len(data)} bytes")
    magic, size, header_size = _PREFIX.unpack_from(data)
    if magic != MAGIC:
        raise SegmentRefused(SegmentFault.CORRUPT, f"{name} is not an overlay segment")
    if len(data) < size:
        raise SegmentRefused(
            SegmentFault.TORN, f"{name} is torn: it has {len(data)} bytes of {size}"
        )
    body = memoryview(data)[:-_SHA_BYTES]
    if len(data) != size or hashlib.sha256(body).digest() != data[-_SHA_BYTES:]:
        raise SegmentRefused(SegmentFault.CORRUPT, f"{name} does not have the sha256 at its end")
    try:
        header.ParseFromString(bytes(body[_PREFIX.size : _PREFIX.size + header_size]))
    except DecodeError as error:
        raise SegmentRefused(SegmentFault.CORRUPT, f"the header of {name}: {error}") from error
    if header.format_version != SEGMENT_VERSION:
        raise SegmentRefused(
            SegmentFault.VERSION,
            f"{name} has segment format {header.format_version}, this code reads "
            f"{SEGMENT_VERSION}; run a refresher of the server's version",
        )
    try:
        return {entry.name: _section(body, entry) for entry in header.sections}
    except ValueError as error:
        raise SegmentRefused(SegmentFault.CORRUPT, f"a section of {name}: {error}") from error


def text_sections(name: str, texts: Iterable[str]) -> Sections:
    """Return texts as two sections: bytes one after the other, and where each begins.

    As the string tables of generations: ``uint8 [bytes]``, ``int64 [n + 1]``.
    """
    encoded = [text.encode("utf-8") for text in texts]
    offsets = np.zeros(len(encoded) + 1, dtype="<i8")
    np.cumsum([len(piece) for piece in encoded], out=offsets[1:])
    return {
        f"{name}.utf8": np.frombuffer(b"".join(encoded), dtype=np.uint8),
        f"{name}.offsets": offsets,
    }


def texts_of(sections: Sections, name: str) -> tuple[str, ...]:
    """Return the texts of `text_sections`.

    Raises:
        KeyError: they are not there.
        ValueError: they do not agree, or are no UTF-8.
    """
    data, offsets = sections[f"{name}.utf8"].tobytes(), sections[f"{name}.offsets"].tolist()
    if not offsets or offsets[0] != 0 or offsets[-1] != len(data):
        raise ValueError(f"{name} has offsets that do not fit")
    return tuple(data[start:end].decode("utf-8") for start, end in pairwise(offsets))


def _header_of(segment: Segment) -> manifest_pb.Segment:
    rows, claim = segment.rows, segment.claim
    return manifest_pb.Segment(
        format_version=SEGMENT_VERSION,
        generation_id=segment.generation_id,
        sequence=segment.sequence,
        writer=segment.writer,
        is_full=segment.is_full,
        created_ms=segment.created_ms,
        dim=rows.dim,
        num_items=len(rows.item_ids),
        num_queries=len(rows.query_texts),
        num_gone_items=len(rows.gone_items),
        num_gone_queries=len(rows.gone_queries),
        marks=[
            manifest_pb.ShardMark(shard=shard, writer=mark.writer, sequence=mark.sequence)
            for shard, mark in sorted(claim.marks.items())
        ],
        reflected_ms=claim.reflected_ms,
        catalog_reflected_ms=claim.catalog_reflected_ms,
        watermark_ms=claim.watermark_ms,
        oldest=_stages_message(segment.oldest),
        newest=_stages_message(segment.newest),
    )


def _stages_message(times: StageTimes) -> manifest_pb.StageTimes:
    return manifest_pb.StageTimes(
        **{field.name: getattr(times, field.name) for field in fields(StageTimes)}
    )


def _stage_times(message: manifest_pb.StageTimes) -> StageTimes:
    return StageTimes(
        event_ms=message.event_ms, record_ms=message.record_ms, durable_ms=message.durable_ms
    )


def _rows_of(sections: Sections, name: str) -> OverlayRows:
    sections = {**_nothing_to_explain(sections), **sections}
    lacking = [each for each in (*_ARRAYS, *map("{}.utf8".format, _TEXTS)) if each not in sections]
    if lacking:
        raise SegmentRefused(SegmentFault.CORRUPT, f"{name} lacks {', '.join(lacking)}")
    for section, dtype in _ARRAYS.items():
        found = sections[section].dtype.str
        if found != dtype:
            raise SegmentRefused(
                SegmentFault.CORRUPT, f"{section} of {name} holds {found}, not {dtype}"
            )
    try:
        texts = {text: texts_of(sections, text) for text in _TEXTS}
    except (KeyError, TypeError, ValueError) as error:
        raise SegmentRefused(SegmentFault.CORRUPT, f"{name}: {error}") from error
    return OverlayRows(**texts, **{array: sections[array] for array in _ARRAYS})  # type: ignore[arg-type]


def _nothing_to_explain(sections: Sections) -> Sections:
    """Return the sections that only explain answers as they are where nothing is known:
    a version before them wrote none.
    """
    items, queries = (
        max(sections[name].size - 1, 0) if name in sections else 0
        for name in ("item_ids.offsets", "query_texts.offsets")
    )
    return {
        "item_sessions": np.zeros(items, dtype="<i8"),
        **text_sections("query_clicks", ("",) * queries),
    }


def _section(body: memoryview, entry: manifest_pb.Section) -> NDArray[Any]:
    dtype = plain_dtype(entry.dtype)
    count = int(np.prod(entry.shape, dtype=np.int64))
    array = np.frombuffer(body, dtype=dtype, count=count, offset=entry.offset)
    return array.reshape(tuple(entry.shape))


def _check_counts(header: manifest_pb.Segment, rows: OverlayRows, name: str) -> None:
    items, queries = header.num_items, header.num_queries
    found = {
        "item_ids": (len(rows.item_ids),),
        "item_titles": (len(rows.item_titles),),
        "item_attributes": (len(rows.item_attributes),),
        "query_texts": (len(rows.query_texts),),
        "query_clicks": (len(rows.query_clicks),),
        "gone_items": (len(rows.gone_items),),
        **{array: getattr(rows, array).shape for array in _ARRAYS},
    }
    wanted = {
        **dict.fromkeys(
            (
                "item_ids",
                "item_titles",
                "item_attributes",
                "item_shown",
                "item_catalog_ms",
                "item_sessions",
            ),
            (items,),
        ),
        "item_vectors": (items, header.dim),
        **dict.fromkeys(("query_texts", "query_clicks"), (queries,)),
        "query_vectors": (queries, header.dim),
        **dict.fromkeys(("gone_items", "gone_item_ms"), (header.num_gone_items,)),
        "gone_queries": (header.num_gone_queries,),
    }
    for section, shape in wanted.items():
        if found[section] != shape:
            raise SegmentRefused(
                SegmentFault.COUNTS,
                f"{section} of {name} has shape {found[section]}, its header says {shape}",
            )


def _check_vectors(vectors: NDArray[np.float32], what: str) -> None:
    # Written so that NaN fails, too, and what is too large for a number.
    with np.errstate(over="ignore", invalid="ignore"):
        lengths = norms(vectors)
    bad = np.flatnonzero(~(np.abs(lengths - 1) <= _LENGTH_TOLERANCE))
    if len(bad):
        raise SegmentRefused(
            SegmentFault.VECTORS,
            f"{len(bad)} of {len(vectors)} rows are no unit vectors, such as {what}, "
            f"row {bad[0]}, of length {lengths[bad[0]]:.3g}",
        )


def _aligned(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
