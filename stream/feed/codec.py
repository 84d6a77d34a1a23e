"""The layout of a record of the feed, as `docs/formats.md` specifies it. Pure.

Little-endian words, columns as one array each, so that a write of any size is packed
and unpacked in a few steps.
"""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from struct import Struct
from struct import error as StructError
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from stream.errors import PARSE_ERRORS
from stream.events.columns import Keys
from stream.events.types import CatalogItem
from stream.feed.changes import EdgeChanges, KeyedTexts, SessionChanges, ShardChanges

BAD_RECORD_ERRORS = (*PARSE_ERRORS, LookupError, StructError)
"""What unpacking raises on bytes that this module did not write."""

_VERSION = 1  # the first byte of a record
# Version and shard; sequence; five times; how long each column below is; how much
# earlier than it was written the time is up to which it has all.
_HEAD = Struct("<B3xIQ5q11Ii")
_LONGEST_MS = (1 << 31) - 1  # what fits there: 24 days
_WORD = np.dtype("<u8")
_SIZE = np.dtype("<u4")
_CHANGE = np.dtype("<i4")

# The bits of a member's byte, and of a session's.
_IS_QUERY = np.uint8(1)
_WAS_IN = np.uint8(2)
_IS_IN = np.uint8(4)
_IS_PARTIAL = np.uint8(1)

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(CatalogItem)


def pack_changes(changes: ShardChanges) -> bytes:
    """Pack what a write changed."""
    edges, sessions = changes.edges, changes.sessions
    queries, items = _Texts.of_names(changes.query_names), _Texts.of_names(changes.item_names)
    catalog = _Texts.of_catalog(changes.catalog)
    head = _HEAD.pack(
        _VERSION,
        changes.shard,
        changes.sequence,
        changes.written_ms,
        changes.oldest_record_ms,
        changes.newest_record_ms,
        changes.consumed_ms,
        changes.event_ms,
        len(edges),
        len(sessions),
        len(sessions.member),
        *(number for texts in (queries, items, catalog) for number in texts.counts),
        len(changes.gone_queries),
        len(changes.gone_items),
        _earlier(changes),
    )
    flags = sessions.is_query * _IS_QUERY + sessions.was_in * _WAS_IN + sessions.is_in * _IS_IN
    columns: list[tuple[NDArray[Any], np.dtype[Any]]] = [
        (edges.query, _WORD),
        (edges.item, _WORD),
        (sessions.member, _WORD),
        (queries.keys, _WORD),
        (items.keys, _WORD),
        (catalog.keys, _WORD),
        (changes.gone_queries, _WORD),
        (changes.gone_items, _WORD),
        (edges.sessions, _CHANGE),
        (np.diff(sessions.starts), _SIZE),
        (queries.sizes, _SIZE),
        (items.sizes, _SIZE),
        (catalog.sizes, _SIZE),
        (sessions.is_partial * _IS_PARTIAL, np.dtype(np.uint8)),
        (flags, np.dtype(np.uint8)),
    ]
    packed = [column.astype(dtype, copy=False).tobytes() for column, dtype in columns]
    return b"".join([head, *packed, queries.blob, items.blob, catalog.blob])


def unpack_changes(record: bytes) -> ShardChanges:
    """Unpack what a write changed.

    Raises:
        ValueError: it is damaged, or of another version; so for all of
            `BAD_RECORD_ERRORS`.
    """
    columns = _Columns(record)
    query, item = columns.words("edges"), columns.words("edges")
    member = columns.words("members")
    keys = [columns.words(name) for name in ("queries", "items", "catalog")]
    gone_queries, gone_items = columns.words("gone_queries"), columns.words("gone_items")
    change = columns.next(columns.counts["edges"], _CHANGE).astype(np.int64)
    num_members = columns.next(columns.counts["sessions"], _SIZE).astype(np.int64)
    sizes = [
        columns.next(columns.counts[name], _SIZE).tolist()
        for name in ("queries", "items", "catalog")
    ]
    is_partial = columns.next(columns.counts["sessions"], np.dtype(np.uint8)) > 0
    flags = columns.next(columns.counts["members"], np.dtype(np.uint8))
    blobs = [
        columns.blob(columns.counts[name])
        for name in ("query_bytes", "item_bytes", "catalog_bytes")
    ]
    pieces = [_cut(blob, own) for blob, own in zip(blobs, sizes, strict=True)]
    starts = np.append(0, np.cumsum(num_members))
    if starts[-1] != len(member):
        raise ValueError(f"a record of the feed has {len(member)} members, not {starts[-1]}")
    shard, sequence, *times_ms = columns.fixed
    earlier = columns.earlier_ms
    return ShardChanges(
        shard=shard,
        sequence=sequence,
        written_ms=times_ms[0],
        oldest_record_ms=times_ms[1],
        newest_record_ms=times_ms[2],
        consumed_ms=times_ms[3],
        event_ms=times_ms[4],
        reflected_ms=times_ms[0] - earlier if earlier else 0,
        edges=EdgeChanges(query, item, change).summed(),
        sessions=SessionChanges(
            starts=starts,
            is_partial=is_partial,
            member=member,
            is_query=(flags & _IS_QUERY) > 0,
            was_in=(flags & _WAS_IN) > 0,
            is_in=(flags & _IS_IN) > 0,
        ),
        query_names=_names(keys[0], pieces[0]),
        item_names=_names(keys[1], pieces[1]),
        catalog={
            key: _decoder.decode(piece)
            for key, piece in zip(keys[2].tolist(), pieces[2], strict=True)
            if piece
        },
        gone_queries=gone_queries,
        gone_items=gone_items,
    )


def unpack_sequence(record: bytes) -> int:
    """Return which write a record is of, without reading more of it."""
    return int(_HEAD.unpack_from(record)[2])


def _earlier(changes: ShardChanges) -> int:
    """Return how many milliseconds before it was written the time is up to which a
    write has all; 0: it is not known.

    The same millisecond is told as the one before it, which is as true.
    """
    earlier = changes.written_ms - changes.reflected_ms
    is_told = changes.reflected_ms > 0 and abs(earlier) <= _LONGEST_MS
    return (earlier or 1) if is_told else 0


class _Texts(NamedTuple):
    """Texts by key, as they are packed: keys, bytes of each, and all one after the
    other.
    """

    keys: Keys
    sizes: NDArray[np.int64]
    blob: bytes

    @classmethod
    def of_names(cls, known: Mapping[int, str]) -> "_Texts":
        names = known if isinstance(known, KeyedTexts) else KeyedTexts.of(known)
        texts: Sequence[str] | Sequence[bytes] = names.texts
        joined = "".join(names.texts)
        blob = joined.encode("utf-8", "surrogatepass")
        if len(blob) > len(joined):  # a character of some text is several bytes
            texts = [text.encode("utf-8", "surrogatepass") for text in names.texts]
        return cls(names.keys_of_texts, _sizes(texts), blob)

    @classmethod
    def of_catalog(cls, catalog: Mapping[int, CatalogItem]) -> "_Texts":
        items = [_encoder.encode(item) for item in catalog.values()]
        keys = np.array(list(catalog), dtype=np.uint64)
        return cls(keys, _sizes(items), b"".join(items))

    @property
    def counts(self) -> tuple[int, int]:
        return len(self.keys), len(self.blob)


def _sizes(texts: Sequence[str] | Sequence[bytes]) -> NDArray[np.int64]:
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


_COUNTS = (
    *("edges", "sessions", "members", "queries", "query_bytes", "items", "item_bytes"),
    *("catalog", "catalog_bytes", "gone_queries", "gone_items"),
)


class _Columns:
    """Takes the columns of a record one after the other."""

    def __init__(self, record: bytes) -> None:
        version, *fixed, self.earlier_ms = _HEAD.unpack_from(record)
        if version != _VERSION:
            raise ValueError(f"a record of the feed has version {version}, which is not known")
        self.fixed: list[int] = fixed[: -len(_COUNTS)]
        self.counts: dict[str, int] = dict(zip(_COUNTS, fixed[-len(_COUNTS) :], strict=True))
        self._record = record
        self._at = _HEAD.size

    def next(self, count: int, dtype: "np.dtype[Any]") -> NDArray[Any]:
        column = np.frombuffer(self._record, dtype, count, self._at)
        self._at += column.nbytes
        return column

    def words(self, name: str) -> Keys:
        return self.next(self.counts[name], _WORD).astype(np.uint64)

    def blob(self, size: int) -> bytes:
        found = self._record[self._at : self._at + size]
        if len(found) < size:
            raise ValueError("a record of the feed is cut short")
        self._at += size
        return found


def _cut(blob: bytes, sizes: Sequence[int]) -> list[bytes]:
    return [blob[low:high] for low, high in pairwise(accumulate(sizes, initial=0))]


def _names(keys: Keys, texts: Sequence[bytes]) -> KeyedTexts:
    """Return names by key; one that was redacted is empty, and left out."""
    is_kept = np.array([bool(text) for text in texts], dtype=np.bool_)
    kept = [text.decode("utf-8", "surrogatepass") for text in texts if text]
    return KeyedTexts(keys[is_kept], kept)
