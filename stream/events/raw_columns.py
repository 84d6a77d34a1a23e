"""What a format reads of many records at once, before anything of it is checked."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.events.native import Columns
from stream.events.types import Interaction

Rows = list[int]
"""Which records of a batch, ascending."""

_Parsed = TypeVar("_Parsed")

_TIME_BITS = 63  # of a 64-bit integer with a sign
_is_plain_iso = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{3})?Z", re.ASCII).fullmatch


@dataclass(frozen=True, slots=True)
class RawTexts:
    """A text an event.

    Attributes:
        texts: as they came, "": none; one an event, or a table of them.
        index: ``int64 [num_events]`` where each event's text is in the table; None:
            there is one an event.
    """

    texts: Sequence[str]
    index: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RawColumns:
    """Interactions by columns, as they came.

    The fast path checks them all at once; a record with one that is not plainly good is
    decoded by itself, which tells what is wrong with it, if anything is.

    Attributes:
        ts_ms: ``int64 [num_events]``; 0 where the time fits no 64 bits.
        session: ids.
        user: ids.
        query: as typed.
        item: ids.
        action: ``int64 [num_events]`` numbers of `stream.actions.Action`; any other
            number sends the record to be decoded by itself.
        row: ``int32 [num_events]`` the record that each came in.
        query_id: of the search that an event names, "": none; empty: no event names
            one.
        alias: another id of an event's user, "": none; empty: no event has one.
    """

    ts_ms: NDArray[np.int64]
    session: RawTexts
    user: RawTexts
    query: RawTexts
    item: RawTexts
    action: NDArray[np.int64]
    row: NDArray[np.int32]
    query_id: Sequence[str] = ()
    alias: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.ts_ms)


def columns_of_bytes(found: Columns) -> tuple[RawColumns, Rows]:
    """Return what `freshet_native` read, of which each event has its own texts, and the
    rows that it left.
    """
    ts_ms, action, row, session, user, query, item, unread = found
    columns = RawColumns(
        ts_ms=np.frombuffer(ts_ms, dtype=np.int64),
        session=RawTexts(session),
        user=RawTexts(user),
        query=RawTexts(query),
        item=RawTexts(item),
        action=np.frombuffer(action, dtype=np.int64),
        row=np.frombuffer(row, dtype=np.int32),
    )
    return columns, unread


def joined(parts: Sequence[RawColumns]) -> RawColumns:
    """Return the events of all parts, of which each has one text an event."""
    if len(parts) == 1:
        return parts[0]
    return RawColumns(
        ts_ms=np.concatenate([part.ts_ms for part in parts]),
        session=RawTexts(list(chain.from_iterable(part.session.texts for part in parts))),
        user=RawTexts(list(chain.from_iterable(part.user.texts for part in parts))),
        query=RawTexts(list(chain.from_iterable(part.query.texts for part in parts))),
        item=RawTexts(list(chain.from_iterable(part.item.texts for part in parts))),
        action=np.concatenate([part.action for part in parts]),
        row=np.concatenate([part.row for part in parts]),
        query_id=_joined_or_none([part.query_id for part in parts], parts),
        alias=_joined_or_none([part.alias for part in parts], parts),
    )


def _joined_or_none(columns: Sequence[Sequence[str]], parts: Sequence[RawColumns]) -> list[str]:
    if not any(columns):
        return []
    return [
        text
        for column, part in zip(columns, parts, strict=True)
        for text in (column or [""] * len(part))
    ]


def times_of(listed: Sequence[int | str]) -> NDArray[np.int64]:
    """Return times in UTC epoch milliseconds, given so or in ISO 8601: ``int64
    [num_times]``. What is not plainly one is 0.

    Plain is ``YYYY-MM-DDTHH:MM:SS``, milliseconds or none, and a ``Z``; and a number of
    64 bits.
    """
    texts = [time[:-1] if isinstance(time, str) and _is_plain_iso(time) else "" for time in listed]
    numbers = whole_times([0 if isinstance(time, str) else time for time in listed])
    is_text = np.array([bool(text) for text in texts], dtype=np.bool_)
    if is_text.any():
        numbers[is_text] = _iso_times([text for text in texts if text])
    return numbers


def whole_times(listed: Sequence[int]) -> NDArray[np.int64]:
    """Return numbers as they are, those that fit no 64 bits as 0: ``int64
    [num_times]``.
    """
    try:
        return np.array(listed, dtype=np.int64)
    except OverflowError:
        fitting = [time if time.bit_length() <= _TIME_BITS else 0 for time in listed]
        return np.array(fitting, dtype=np.int64)


def _iso_times(texts: Sequence[str]) -> NDArray[np.int64]:
    try:
        return np.array(texts, dtype="datetime64[ms]").astype(np.int64)
    except ValueError:
        return np.array([_iso_time(text) for text in texts], dtype=np.int64)


def _iso_time(text: str) -> int:
    try:
        return int(np.datetime64(text, "ms").astype(np.int64))
    except ValueError:
        return 0


def raw_columns_of(events: Sequence[Interaction | Any], rows: Rows) -> RawColumns:
    """Return events that are at hand as objects.

    Args:
        events: with the attributes of an `Interaction`; times must fit 64 bits.
        rows: the record of each event.
    """
    return RawColumns(
        ts_ms=np.array([event.ts_ms for event in events], dtype=np.int64),
        session=RawTexts([event.session_id for event in events]),
        user=RawTexts([event.user_id for event in events]),
        query=RawTexts([event.query for event in events]),
        item=RawTexts([event.item_id for event in events]),
        action=np.array([event.action for event in events], dtype=np.int64),
        row=np.array(rows, dtype=np.int32),
    )


def reading_whole(decode: Callable[[bytes], _Parsed]) -> Callable[[bytes], _Parsed]:
    """Return a decoder that refuses bytes which are not UTF-8, also where they are in a
    text that it passes over.
    """

    def read(value: bytes) -> _Parsed:
        if not value.isascii():
            value.decode()
        return decode(value)

    return read


def parse_all(
    parse: Callable[[bytes], _Parsed],
    values: Sequence[Any],
    rows: Rows,
    errors: type[Exception] | tuple[type[Exception], ...],
) -> tuple[list[_Parsed], Rows, Rows]:
    """Return what could be parsed, the rows of that, and the rows of what could not.

    Args:
        parse: raises one of `errors` for bytes that it cannot read.
        values: of a whole batch.
        rows: those to parse; their values are bytes.
        errors: what says that bytes cannot be read.
    """
    parsed: list[_Parsed] = []
    bad: Rows = []
    found = map(parse, map(values.__getitem__, rows))
    while len(parsed) + len(bad) < len(rows):
        try:
            # Broken off by what cannot be read, it goes on behind that.
            for one in found:
                parsed.append(one)  # noqa: PERF402  # what was parsed before an error must stay
        except errors:
            bad.append(rows[len(parsed) + len(bad)])
    bad_rows = set(bad)
    good = [row for row in rows if row not in bad_rows] if bad else rows
    return parsed, good, bad
