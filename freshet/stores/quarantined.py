"""Quarantined records again: decoded as they came and applied to a store, or searched
for an id.
"""

import json
from base64 import b64decode
from collections.abc import Collection, Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec

from protos.text import text_key
from stream.changes.apply import apply_batch
from stream.clock import now_ms
from stream.events import fields
from stream.events.fast_path import ColumnDecoder
from stream.events.types import Record, RecordBatch, Rejected, Rejection, SourcePartition
from stream.micro_batch import MicroBatch, ShardRouter
from stream.quarantine.headers import Place
from stream.quarantine.records import QuarantinedRecord
from stream.reading.reader import open_graph
from stream.registry.open import open_registry
from stream.settings import StreamSettings
from stream.shard import codec
from stream.store.store import Store

# What keys begin with that are no text: a registry's frame, a struct of Connect.
_NO_TEXTS = (b"\0", b"\3", b"Struct{")
# What an object or a list of JSON begins with in Base64.
_PACKED = ("ey", "ew", "W")


def refused_again(
    quarantined: Sequence[QuarantinedRecord], settings: StreamSettings
) -> dict[Place, Rejection]:
    """Return the records that cannot be decoded under these settings and at this time,
    each with its first rejection.
    """
    decoder = ColumnDecoder(settings, frames=open_registry(settings))
    refused: dict[Place, Rejection] = {}
    for micro_batch in _micro_batches(quarantined, decoder, settings):
        _note(refused, micro_batch.rejections)
        decoder.forget_if_large()
    return refused


def apply_again(
    quarantined: Sequence[QuarantinedRecord], store: Store, settings: StreamSettings
) -> dict[Place, Rejection]:
    """Apply quarantined records to a store, beside the positions of its sources, which
    stay where they are; return those that are refused again, each with its first
    rejection.

    Repeats change nothing, so that it can be done again after a crash.

    Raises:
        StoreError: a shard is open in another process or damaged, or the disk refused.
    """
    decoder = ColumnDecoder(settings, frames=open_registry(settings))
    router = ShardRouter(store.num_shards, by_partition=False)
    refused: dict[Place, Rejection] = {}
    for micro_batch in _micro_batches(quarantined, decoder, settings):
        _note(refused, micro_batch.rejections)
        for index, shard_batch in router.split(micro_batch, decoder.texts, None):
            shard_batch.positions = {}
            applied = apply_batch(store.shard(index), shard_batch, decoder.texts)
            _note(refused, applied.refusals)
        decoder.forget_if_large()
    return refused


def mentions(quarantined: QuarantinedRecord, text: str, keys: Collection[int]) -> bool:
    """Return whether a record has an id in it, or a text with one of some 64-bit keys.

    In JSON ids are looked for as whole values, also in what its strings hold of it; in
    anything else, such as protobuf and what does not parse, as bytes anywhere, which
    may find more than the id.

    Args:
        quarantined: the record.
        text: the id.
        keys: of other texts that count.
    """

    def is_meant(found: str) -> bool:
        return found == text or (bool(keys) and text_key(found) in keys)

    record = quarantined.record
    if record.key is not None and is_meant(record.key.decode("utf-8", "replace")):
        return True
    own = [(value or b"").decode("utf-8", "replace") for _, value in record.raw_headers or ()]
    if any(map(is_meant, [*own, *(value for _, value in record.headers)])):
        return True
    for content in (record.key, record.value):
        try:
            found = list(_texts(fields.json_value(content or b"null")))
        except (Rejected, RecursionError):
            forms = text.encode(), msgspec.json.encode(text)[1:-1], json.dumps(text)[1:-1].encode()
            is_searched = content is record.value or (content or b"").startswith(_NO_TEXTS)
            if is_searched and any(form in (content or b"") for form in forms):
                return True
        else:
            if any(map(is_meant, found)):
                return True
    return False


def keys_erased_with(root: Path, user: str, settings: StreamSettings) -> set[int]:
    """Return the keys of the sessions that a store erased for a user.

    Raises:
        StoreError: the store is damaged, or there is none.
    """
    cause = text_key(user)
    prefix = codec.ERASED + codec.ERASURE_KINDS["session"]
    with open_graph(root, settings) as graph:
        tombstones = [
            codec.unpack_tombstone(*entry)
            for _, shard in graph.shards()
            for entry in shard.entries(prefix)
        ]
    return {tombstone.key for tombstone in tombstones if tombstone.cause == cause}


def _texts(found: Any) -> Iterator[str]:
    """Yield the texts and whole numbers of JSON, whose ids may be either, and those of
    the JSON that its texts are, plain or in Base64.
    """
    if isinstance(found, dict):
        found = [*found.keys(), *found.values()]
    if isinstance(found, list):
        for each in found:
            yield from _texts(each)
    elif isinstance(found, str):
        yield found
        inside = fields.json_in(_unpacked(found))
        if not isinstance(inside, str):
            yield from _texts(inside)
    elif isinstance(found, int):
        yield str(found)
    elif isinstance(found, float) and found.is_integer():
        yield str(int(found))


def _unpacked(text: str) -> str:
    """Return what a text is in Base64 that begins as that of a JSON object does; any
    other as it is.
    """
    if not text.startswith(_PACKED):
        return text
    try:
        return b64decode(text).decode()
    except ValueError:
        return text


def _note(refused: dict[Place, Rejection], rejections: Sequence[Rejection]) -> None:
    for rejection in rejections:
        position = rejection.record.position
        place = position.source, position.partition, rejection.record.offset
        refused.setdefault(place, rejection)


def _micro_batches(
    quarantined: Sequence[QuarantinedRecord], decoder: ColumnDecoder, settings: StreamSettings
) -> Iterator[MicroBatch]:
    """Yield the records some at a time, decoded, each place once."""
    once = {each.place: each for each in quarantined}
    waiting = (each.record for _, each in sorted(once.items()))
    while records := list(islice(waiting, settings.batch_records)):
        micro_batch = MicroBatch()
        for position, found in groupby(records, attrgetter("position")):
            batch = _batch(position, list(found))
            micro_batch.add(batch, decoder.decode(batch, now_ms()))
        yield micro_batch


def _batch(position: SourcePartition, records: Sequence[Record]) -> RecordBatch:
    has_headers = any(record.headers for record in records)
    times_ms = [record.time_ms or 0 for record in records]
    return RecordBatch(
        position=position,
        offsets=[record.offset for record in records],
        next_offsets=[record.next_offset for record in records],
        content_types=[record.content_type for record in records],
        keys=[record.key for record in records],
        values=[record.value for record in records],
        times_ms=times_ms if any(times_ms) else (),
        headers=[record.headers for record in records] if has_headers else (),
    )
