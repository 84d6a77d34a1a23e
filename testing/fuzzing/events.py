"""Readers of what producers write: records of topics, lines of files, batches of
Kafka.
"""

import gzip
from collections.abc import Callable, Sequence
from pathlib import Path
from types import MappingProxyType

import cramjam
import lz4.frame
import zstandard

from stream.actions import Action
from stream.errors import SourceUnreadable
from stream.events.fast_path import ColumnDecoder
from stream.events.types import (
    CatalogItem,
    Erasure,
    Headers,
    Interaction,
    RecordBatch,
    SearchRecord,
    SourcePartition,
)
from stream.kafka.python.unpacking import UnpackFailed, unpack
from stream.settings import StreamSettings
from stream.sources.lines import LineReader
from testing.fuzzing.target import Prepared, Target
from testing.laws.encodings import ENCODINGS, Encoding

_NOW_MS = 1_790_000_000_000
_SETTINGS = StreamSettings(max_record_bytes=64 * 1024)
_MOST_UNPACKED = 1 << 20  # bytes: far more than a seed has
_EVENT = Interaction(
    ts_ms=_NOW_MS - 1000,
    session_id="s-1",
    user_id="u-1",
    query="red shoes ü",
    item_id="i-1",
    action=Action.CLICK,
)
_ENTRIES = MappingProxyType(
    {
        Interaction: _EVENT,
        CatalogItem: CatalogItem(
            item_id="i-1", title="Red ü", text="a shoe", attributes={"size": "40"}, ts_ms=_NOW_MS
        ),
        Erasure: Erasure(kind="user", id="u-1", ts_ms=_NOW_MS),
        SearchRecord: SearchRecord(
            query_id="q-1", query="red shoes", user_ids=("u-1",), ts_ms=_NOW_MS
        ),
    }
)
_TOPICS = MappingProxyType(
    {
        Interaction: _SETTINGS.clicks_topic,
        SearchRecord: _SETTINGS.clicks_topic,
        CatalogItem: _SETTINGS.catalog_topic,
        Erasure: _SETTINGS.erasures_topic,
    }
)

_LINES = [encoding for encoding in ENCODINGS if encoding.name != "tombstone"]


def _prepare_records(_folder: Path) -> Prepared:
    """Records of topics in every encoding."""
    entries = [_ENTRIES[encoding.kind] for encoding in _LINES]
    seeds = [
        encoding.write([entry] * encoding.num_entries) or b""
        for encoding, entry in zip(_LINES, entries, strict=True)
    ]
    decoder = ColumnDecoder(_SETTINGS)

    def read(number: int, content: bytes) -> None:
        encoding, entry = _LINES[number], entries[number]
        decoder.decode(_record(encoding, encoding.headers(entry), content), _NOW_MS)
        decoder.forget_if_large()

    return Prepared(seeds=seeds, read=read)


def _record(encoding: Encoding, headers: Headers, content: bytes) -> RecordBatch:
    return RecordBatch(
        position=SourcePartition(_TOPICS[encoding.kind], 0),
        offsets=[7],
        next_offsets=[8],
        content_types=[encoding.content_type],
        keys=[content[:64]],
        values=[content],
        times_ms=[_NOW_MS],
        headers=[headers] if headers else (),
    )


def _prepare_files(folder: Path) -> Prepared:
    """Files of lines, plain and gzip."""
    lines = b"".join(
        (encoding.write([_ENTRIES[encoding.kind]]) or b"") + b"\n"
        for encoding in _LINES
        if "protobuf" not in encoding.name
    )
    path = folder / "events"

    def read(_number: int, content: bytes) -> None:
        path.unlink(missing_ok=True)
        path.write_bytes(content)
        reader = LineReader(path, _SETTINGS.max_record_bytes)
        try:
            reader.fingerprint(whole_line=False)
            while reader.read_columns(100, final=True):
                pass
        finally:
            reader.close()

    return Prepared(seeds=[lines, gzip.compress(lines), gzip.compress(lines) * 2], read=read)


def _prepare_batches(_folder: Path) -> Prepared:
    """Compressed batches of Kafka, by every codec."""
    plain = b"a record and another one " * 40
    packed: Sequence[Callable[[bytes], bytes]] = (
        gzip.compress,
        lambda content: bytes(cramjam.snappy.compress_raw(content)),
        lz4.frame.compress,
        zstandard.ZstdCompressor().compress,
    )

    def read(number: int, content: bytes) -> None:
        assert len(unpack(number + 1, content, _MOST_UNPACKED)) <= _MOST_UNPACKED  # the law

    return Prepared(seeds=[pack(plain) for pack in packed], read=read)


TARGETS = (
    Target(name="records", share=3000, prepare=_prepare_records),
    Target(name="files", share=400, prepare=_prepare_files, refusals=(SourceUnreadable,)),
    Target(name="batches", share=1500, prepare=_prepare_batches, refusals=(UnpackFailed,)),
)
"""What producers write."""
