"""Quarantined records again: decoded as they came, and applied to a store."""

from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from operator import attrgetter

from stream.changes.apply import apply_batch
from stream.clock import now_ms
from stream.events.fast_path import ColumnDecoder
from stream.events.types import Record, RecordBatch, Rejection, SourcePartition
from stream.micro_batch import MicroBatch, ShardRouter
from stream.quarantine import Place, QuarantinedRecord
from stream.settings import StreamSettings
from stream.store.store import Store


def refused_again(
    quarantined: Sequence[QuarantinedRecord], settings: StreamSettings
) -> dict[Place, Rejection]:
    """Return the records that cannot be decoded under these settings and at this time,
    each with its first rejection.
    """
    decoder = ColumnDecoder(settings)
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
    decoder = ColumnDecoder(settings)
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
    return RecordBatch(
        position=position,
        offsets=[record.offset for record in records],
        next_offsets=[record.next_offset for record in records],
        content_types=[record.content_type for record in records],
        keys=[record.key for record in records],
        values=[record.value for record in records],
        headers=[record.headers for record in records] if has_headers else (),
    )
