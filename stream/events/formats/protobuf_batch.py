"""Protobuf `EventBatch`: many interactions by columns in one record."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from protos import events_v1_pb2 as pb
from stream.events import native
from stream.events.format import Content, Event, Format, first_of_each_reason
from stream.events.formats.protobuf import action_of, content_type_of, parsed
from stream.events.limits import Limits
from stream.events.raw_columns import RawColumns, RawTexts, Rows, columns_of_bytes, parse_all
from stream.events.types import Rejected

_Entry = TypeVar("_Entry")


def _decode(value: bytes, limits: Limits) -> Content:
    batch = parsed(pb.EventBatch, value)
    _check_lengths(batch)
    sessions, items, queries = (
        list(batch.session_ids),
        list(batch.item_ids),
        ["", *batch.queries],
    )
    users = list(batch.user_ids) or [""] * len(sessions)
    base_ms = batch.base_ts_ms
    events: list[Event] = []
    problems: list[tuple[int, Rejected]] = []
    rows = zip(
        batch.ts_offset_ms, batch.session, batch.query, batch.item, batch.action, strict=True
    )
    for number, (offset_ms, session, query, item, action) in enumerate(rows):
        try:
            events.append(
                limits.interaction(
                    ts_ms=base_ms + offset_ms,
                    session_id=sessions[session],
                    user_id=users[session],
                    query=queries[query],
                    item_id=items[item],
                    action=action_of(action),
                )
            )
        except IndexError:
            detail = "an index points past the end of its list"
            problems.append((number, Rejected("malformed", detail)))
        except Rejected as rejected:
            problems.append((number, rejected))
    return Content(events, first_of_each_reason(problems, "event %d of the batch"))


def _check_lengths(batch: pb.EventBatch) -> None:
    columns = (batch.ts_offset_ms, batch.session, batch.query, batch.item, batch.action)
    lengths = [len(column) for column in columns]
    if len(set(lengths)) != 1:
        raise Rejected("malformed", f"the columns of the batch have different lengths: {lengths}")
    if batch.user_ids and len(batch.user_ids) != len(batch.session_ids):
        raise Rejected(
            "malformed", "user_ids must be empty or have one entry for each of session_ids"
        )


class _Batch(NamedTuple):
    """The tables and columns of one message, and the row of its record.

    `user_ids` has one entry a session, and `queries` begins with "", for none.
    """

    row: int
    base_ts_ms: int
    session_ids: Sequence[str]
    user_ids: Sequence[str]
    queries: Sequence[str]
    item_ids: Sequence[str]
    ts_offset_ms: Sequence[int]
    session: Sequence[int]
    query: Sequence[int]
    item: Sequence[int]
    action: Sequence[int]


def _read_columns(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    """Join the tables of all messages, and move each message's indexes along."""
    messages, good_rows, bad_rows = parse_all(pb.EventBatch.FromString, values, rows, DecodeError)
    batches: list[_Batch] = []
    for message, row in zip(messages, good_rows, strict=True):
        batch = _batch_of(message, row)
        if _is_sound(batch):
            batches.append(batch)
        else:
            bad_rows.append(row)
    num_events = np.array([len(batch.action) for batch in batches], dtype=np.int64)
    session = _index([(batch.session, batch.session_ids) for batch in batches], num_events)
    query = _index([(batch.query, batch.queries) for batch in batches], num_events)
    item = _index([(batch.item, batch.item_ids) for batch in batches], num_events)
    columns = RawColumns(
        ts_ms=_times(batches, num_events),
        session=RawTexts(_joined([batch.session_ids for batch in batches]), session),
        user=RawTexts(_joined([batch.user_ids for batch in batches]), session),
        query=RawTexts(_joined([batch.queries for batch in batches]), query),
        item=RawTexts(_joined([batch.item_ids for batch in batches]), item),
        action=_numbers([batch.action for batch in batches]),
        row=np.repeat(np.array([batch.row for batch in batches], dtype=np.int32), num_events),
    )
    return columns, bad_rows


def _read_natively(values: Sequence[Any], rows: Rows) -> tuple[RawColumns, Rows]:
    found, indexes = native.read_batches(values, rows)
    tables, unread = columns_of_bytes(found)
    session, query, item = (np.frombuffer(index, dtype=np.int64) for index in indexes)
    columns = replace(
        tables,
        session=RawTexts(tables.session.texts, session),
        user=RawTexts(tables.user.texts, session),
        query=RawTexts(tables.query.texts, query),
        item=RawTexts(tables.item.texts, item),
    )
    return columns, unread


def _batch_of(message: pb.EventBatch, row: int) -> _Batch:
    # Sliced: protobuf makes a list of it at once, three times as fast as by iteration.
    return _Batch(
        row=row,
        base_ts_ms=message.base_ts_ms,
        session_ids=message.session_ids[:],
        user_ids=message.user_ids[:] or [""] * len(message.session_ids),
        queries=["", *message.queries[:]],
        item_ids=message.item_ids[:],
        ts_offset_ms=message.ts_offset_ms[:],
        session=message.session[:],
        query=message.query[:],
        item=message.item[:],
        action=message.action[:],
    )


def _is_sound(batch: _Batch) -> bool:
    """Whether there are events, and the columns fit each other and the tables."""
    num_events = len(batch.action)
    columns = (batch.ts_offset_ms, batch.session, batch.query, batch.item)
    return (
        num_events > 0
        and all(len(column) == num_events for column in columns)
        and len(batch.user_ids) == len(batch.session_ids)
        and max(batch.session) < len(batch.session_ids)
        and max(batch.item) < len(batch.item_ids)
        and max(batch.query) < len(batch.queries)
    )


def _index(
    parts: Sequence[tuple[Sequence[int], Sequence[str]]], num_events: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return where each event's text is in the joined tables: ``int64 [num_rows]``.

    Args:
        parts: of each message, the column and the table that it points into.
        num_events: ``int64 [num_messages]``, `num_rows` in all.
    """
    sizes = np.array([len(table) for _, table in parts], dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    return _numbers([column for column, _ in parts]) + np.repeat(starts, num_events)


def _times(batches: Sequence[_Batch], num_events: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each event's time; one that no 64-bit number holds is 0."""
    bases = np.repeat(np.array([batch.base_ts_ms for batch in batches], np.int64), num_events)
    offsets = _numbers([batch.ts_offset_ms for batch in batches])
    times = bases + offsets
    # A sum has overflowed if its sign is that of neither part.
    has_overflown = ((bases ^ times) & (offsets ^ times)) < 0
    return np.where(has_overflown, 0, times)


def _numbers(columns: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    return np.array(_joined(columns), dtype=np.int64)


def _joined(parts: Sequence[Sequence[_Entry]]) -> list[_Entry]:
    return list(chain.from_iterable(parts))


PROTOBUF_BATCH = Format(
    name="protobuf batch",
    content_types=(content_type_of(pb.EventBatch),),
    decode=_decode,
    read_columns=_read_columns,
    read_natively=_read_natively,
)
