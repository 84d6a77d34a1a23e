"""What a format reads of many records at once, before anything of it is checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.events.types import Interaction

Rows = list[int]
"""Which records of a batch, ascending."""

_Parsed = TypeVar("_Parsed")


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
    """

    ts_ms: NDArray[np.int64]
    session: RawTexts
    user: RawTexts
    query: RawTexts
    item: RawTexts
    action: NDArray[np.int64]
    row: NDArray[np.int32]


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
