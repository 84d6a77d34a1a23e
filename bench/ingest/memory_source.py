"""A source that makes its records itself, so that a store is measured without one."""

import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import cast

from protos import events_v1_pb2 as pb
from stream.events.types import Interaction, RecordBatch, SourcePartition
from stream.signals.lag import Lag
from stream.store.store import Store

_EVENT_TYPE = "application/x-protobuf; messageType=freshet.events.v1.Event"


class MemorySource:
    """Returns protobuf records, as a topic of one partition would.

    Args:
        events: what the records hold.
        poll_records: how many a poll returns.
        made_beforehand: make all records now, so that making them is not measured.
    """

    shards_by_partition = True

    def __init__(
        self, events: Iterator[Interaction], poll_records: int, *, made_beforehand: bool
    ) -> None:
        values = map(_value, events)
        self._values = iter(list(values)) if made_beforehand else values
        self._poll_records = poll_records
        self._exhausted = False

    def start(self, store: Store) -> None:
        """Nothing to do."""

    def poll(self, max_wait_seconds: float) -> Sequence[RecordBatch]:  # noqa: ARG002  # it never waits
        """Return the next records; `max_wait_seconds` is never needed."""
        values = list(islice(self._values, self._poll_records))
        self._exhausted = len(values) < self._poll_records
        count = len(values)
        batch = RecordBatch(
            position=SourcePartition("memory", 0),
            offsets=range(count),
            next_offsets=range(1, count + 1),
            content_types=[_EVENT_TYPE] * count,
            keys=[None] * count,
            values=values,
        )
        return [batch] if values else []

    def idle(self, seconds: float) -> None:
        """Wait."""
        time.sleep(seconds)

    @property
    def rebalances(self) -> int:
        """Never."""
        return 0

    @property
    def exhausted(self) -> bool:
        """Whether all records were returned."""
        return self._exhausted

    def lag(self) -> Lag:
        """Nothing is known."""
        return Lag()

    def reflected_ms(
        self,
        once_applied: Mapping[SourcePartition, int] | None = None,  # noqa: ARG002
    ) -> Mapping[int, int]:
        """Nothing is known."""
        return {}

    @property
    def clock_offset_ms(self) -> int:
        """Nothing is known."""
        return 0

    def applied(self, positions: Mapping[SourcePartition, int]) -> None:
        """Nothing to do."""

    def close(self) -> None:
        """Nothing to do."""


def _value(event: Interaction) -> bytes:
    message = pb.Event(
        ts_ms=event.ts_ms,
        session_id=event.session_id,
        user_id=event.user_id,
        query=event.query,
        item_id=event.item_id,
        action=cast("pb.Action", int(event.action)),
    )
    return message.SerializeToString()
