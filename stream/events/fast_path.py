"""Records by the thousand to columns.

What is plainly good goes a short way, the rest the full one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec
import numpy as np
from google.protobuf.message import DecodeError as ProtobufError
from numpy.typing import NDArray

from protos import events_v1_pb2 as pb
from protos.text import normalize_query
from stream.actions import Action
from stream.events.columns import NO_KEY, EventColumns, Keys, Texts, no_events
from stream.events.decoder import NAMED_ACTIONS, NEUTRAL_DECODER, Decoder, NeutralLine
from stream.events.interner import UNUSABLE, Interner
from stream.events.limits import CUT_PREFIX, EARLIEST_MS
from stream.events.types import CatalogItem, Erasure, Interaction, RecordBatch, Rejection
from stream.settings import StreamSettings

_MAX_TEXTS = 300_000
_LAST_ACTION = max(Action)
_MUST_SEARCH = frozenset({"search_click", "search-click"})

_Parsed = TypeVar("_Parsed")
Rows = list[int]


@dataclass(slots=True)
class DecodedBatch:
    """What a batch of records held.

    Attributes:
        events: the good interactions; their `row` says which record each came in.
        items: catalogue items in order, each with the row of its record.
        erasures: what to forget.
        rejections: what cannot be used: at most one for each reason of a record.
        num_ignored: messages that are in order but are not about an item, such as
            impressions.
    """

    events: EventColumns
    items: list[tuple[CatalogItem, int]] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    num_ignored: int = 0


class ColumnDecoder:
    """Decodes batches of records under the limits of the settings.

    Never raises on what a record contains.

    Attributes:
        texts: what is behind the keys of the columns handed out.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self.texts = Texts()
        self._full = Decoder(settings)
        self._max_id = settings.max_field_bytes
        self._max_query = settings.max_query_bytes
        self._max_record = settings.max_record_bytes
        self._max_future_ms = round(settings.max_future_seconds * 1000)
        self._sessions = Interner(self.texts.sessions, self._session_ids, empty=NO_KEY)
        self._users = Interner(self.texts.users, self._user_ids, empty=NO_KEY)
        self._queries = Interner(self.texts.queries, self._normalized, empty=NO_KEY)
        self._items = Interner(self.texts.items, self._ids)
        self._latest_ms = 0
        self._fast: dict[str, Callable[[RecordBatch, Rows, list[EventColumns]], Rows]] = {
            "Event": self._protobuf_events,
            "EventBatch": self._protobuf_batches,
            "json": self._json_lines,
        }

    def decode(self, batch: RecordBatch, now_ms: int) -> DecodedBatch:
        """Return what records hold; what is wrong with them comes back as rejections.

        Args:
            batch: as the source handed it on.
            now_ms: the clock, to tell event times in the future.
        """
        self._latest_ms = now_ms + self._max_future_ms
        decoded = DecodedBatch(no_events())
        parts: list[EventColumns] = []
        others: Rows = []
        for encoding, rows in self._rows_by_encoding(batch).items():
            fast = self._fast.get(encoding)
            others += fast(batch, rows, parts) if fast else rows
        self._decode_fully(batch, sorted(others), now_ms, decoded, parts)
        if parts:
            decoded.events = EventColumns.concatenate(parts)
        return decoded

    def forget_if_large(self) -> None:
        """Forget texts once there are many.

        Call it only when everything that was decoded is applied.
        """
        for interner in (self._sessions, self._users, self._queries, self._items):
            interner.forget_if_large(_MAX_TEXTS)

    def _rows_by_encoding(self, batch: RecordBatch) -> dict[str, Rows]:
        """Return the rows of each encoding; "" for those of no usable length."""
        of_type = {
            content_type: self._full.encoding_of(batch.position, content_type)
            for content_type in set(batch.content_types)
        }
        limit = self._max_record
        if len(of_type) == 1 and all(
            value is not None and len(value) <= limit for value in batch.values
        ):
            return {encoding: list(range(len(batch))) for encoding in of_type.values()}
        rows: dict[str, Rows] = {}
        for row, (content_type, value) in enumerate(
            zip(batch.content_types, batch.values, strict=True)
        ):
            encoding = of_type[content_type] if value is not None and len(value) <= limit else ""
            rows.setdefault(encoding, []).append(row)
        return rows

    def _decode_fully(
        self,
        batch: RecordBatch,
        rows: Rows,
        now_ms: int,
        decoded: DecodedBatch,
        parts: list[EventColumns],
    ) -> None:
        events: list[Interaction] = []
        event_rows: Rows = []
        for row in rows:
            found = self._full.decode(batch.record(row), now_ms)
            decoded.rejections += found.rejections
            decoded.num_ignored += found.num_ignored
            for event in found.events:
                if isinstance(event, Interaction):
                    events.append(event)
                    event_rows.append(row)
                elif isinstance(event, CatalogItem):
                    decoded.items.append((event, row))
                else:
                    decoded.erasures.append(event)
        if events:
            self._add_interactions(batch, events, event_rows, decoded, parts)

    def _add_interactions(
        self,
        batch: RecordBatch,
        events: Sequence[Interaction],
        rows: Rows,
        decoded: DecodedBatch,
        parts: list[EventColumns],
    ) -> None:
        """Add accepted events as columns.

        Reject those of which a text has the key of another.
        """
        columns, is_good = self._columns_of(events, rows)
        parts.append(columns.take(is_good))
        detail = "a text of the event has the 64-bit key of another"
        decoded.rejections += [
            Rejection(record=batch.record(row), reason="key_collision", detail=detail)
            for row in np.unique(columns.row[~is_good]).tolist()
        ]

    # Protobuf

    def _protobuf_events(self, batch: RecordBatch, rows: Rows, parts: list[EventColumns]) -> Rows:
        events, good_rows, bad_rows = _all_parsed(pb.Event.FromString, batch, rows, ProtobufError)
        columns, is_good = self._columns_of(events, good_rows)
        return _keep(columns, is_good, parts) + bad_rows

    def _protobuf_batches(self, batch: RecordBatch, rows: Rows, parts: list[EventColumns]) -> Rows:
        messages, good_rows, bad_rows = _all_parsed(
            pb.EventBatch.FromString, batch, rows, ProtobufError
        )
        tables = _Tables()
        for message, row in zip(messages, good_rows, strict=True):
            if not tables.add(message, row):
                bad_rows.append(row)
        if not tables.rows:
            return bad_rows
        sessions = self._sessions.keys(tables.session_ids)
        users = self._users.keys(tables.user_ids)
        queries = self._queries.keys(tables.queries)
        items = self._items.keys(tables.item_ids)
        session = tables.index("session")
        columns, is_good = self._columns(
            tables.times(),
            sessions[session],
            users[session],
            queries[tables.index("query")],
            items[tables.index("item")],
            np.array(tables.columns["action"], dtype=np.int64),
            np.repeat(np.array(tables.rows, dtype=np.int32), tables.num_events),
        )
        return bad_rows + _keep(columns, is_good, parts)

    # JSON

    def _json_lines(self, batch: RecordBatch, rows: Rows, parts: list[EventColumns]) -> Rows:
        errors = (ValueError, RecursionError)
        lines, good_rows, bad_rows = _all_parsed(NEUTRAL_DECODER.decode, batch, rows, errors)
        columns, is_good = self._columns(
            _times([line.ts_ms for line in lines]),
            self._sessions.keys([line.session_id or "" for line in lines]),
            self._users.keys([line.user_id or "" for line in lines]),
            self._queries.keys([line.query or "" for line in lines]),
            self._items.keys([line.item_id for line in lines]),
            np.array([NAMED_ACTIONS.get(line.type, 0) for line in lines], dtype=np.int64),
            np.array(good_rows, dtype=np.int32),
        )
        is_good &= np.array([_is_neutral(line) for line in lines], dtype=np.bool_)
        return _keep(columns, is_good, parts) + bad_rows

    # Checks

    def _columns_of(
        self, events: "Sequence[Interaction | pb.Event]", rows: Rows
    ) -> tuple[EventColumns, NDArray[np.bool_]]:
        return self._columns(
            np.array([event.ts_ms for event in events], dtype=np.int64),
            self._sessions.keys([event.session_id for event in events]),
            self._users.keys([event.user_id for event in events]),
            self._queries.keys([event.query for event in events]),
            self._items.keys([event.item_id for event in events]),
            np.array([event.action for event in events], dtype=np.int64),
            np.array(rows, dtype=np.int32),
        )

    def _columns(
        self,
        ts_ms: NDArray[np.int64],
        session: Keys,
        user: Keys,
        query: Keys,
        item: Keys,
        action: NDArray[np.int64],
        row: NDArray[np.int32],
    ) -> tuple[EventColumns, NDArray[np.bool_]]:
        """Return columns, and which events are plainly good."""
        unusable = np.uint64(UNUSABLE)
        is_good = (
            (ts_ms >= EARLIEST_MS)
            & (ts_ms <= self._latest_ms)
            & (action >= 1)
            & (action <= _LAST_ACTION)
        )
        is_good &= (
            (session != unusable) & (user != unusable) & (query != unusable) & (item != unusable)
        )
        is_good &= (session != NO_KEY) | (user != NO_KEY)
        columns = EventColumns(
            ts_ms=ts_ms,
            session=session,
            user=user,
            query=query,
            item=item,
            action=action.astype(np.uint8),
            row=row,
        )
        return columns, is_good

    def _ids(self, texts: list[str]) -> Sequence[str | None]:
        if len(max(texts, key=len)) * 4 <= self._max_id and not any(map(str.isspace, texts)):
            return texts
        return [
            None if text.isspace() or self._is_long(text, self._max_id) else text for text in texts
        ]

    def _session_ids(self, texts: list[str]) -> Sequence[str | None]:
        found = self._ids(texts)
        return [None if text is None or text.startswith(CUT_PREFIX) else text for text in found]

    def _user_ids(self, texts: list[str]) -> Sequence[str | None]:
        return [
            None if self._is_long(text, self._max_id) else text.strip() and text for text in texts
        ]

    def _normalized(self, texts: list[str]) -> Sequence[str | None]:
        return [
            None if self._is_long(text, self._max_query) else self._query(text) for text in texts
        ]

    def _query(self, text: str) -> str | None:
        query = normalize_query(text)
        return None if not query or self._is_long(query, self._max_query) else query

    def _is_long(self, text: str, max_bytes: int) -> bool:
        return len(text) * 4 > max_bytes and len(text.encode("utf-8", "surrogatepass")) > max_bytes


class _Tables:
    """The string tables and columns of many `EventBatch` messages,
    one after the other.
    """

    def __init__(self) -> None:
        self.session_ids: list[str] = []
        self.user_ids: list[str] = []
        self.queries: list[str] = []
        self.item_ids: list[str] = []
        self.columns: dict[str, list[int]] = {
            name: [] for name in ("ts_offset_ms", "session", "query", "item", "action")
        }
        self.rows: list[int] = []
        self.num_events: list[int] = []
        self._starts: dict[str, list[int]] = {"session": [], "query": [], "item": []}
        self._base_ms: list[int] = []

    def add(self, message: pb.EventBatch, row: int) -> bool:
        """Add a message; return False, with nothing added, where its columns do not fit
        each other.
        """
        found = {name: list(getattr(message, name)) for name in self.columns}
        num_events = len(found["action"])
        session_ids, user_ids = list(message.session_ids), list(message.user_ids)
        is_sound = (
            num_events > 0
            and all(len(column) == num_events for column in found.values())
            and (not user_ids or len(user_ids) == len(session_ids))
            and max(found["session"]) < len(session_ids)
            and max(found["item"]) < len(message.item_ids)
            and max(found["query"]) <= len(message.queries)
        )
        if not is_sound:
            return False
        self._starts["session"].append(len(self.session_ids))
        self._starts["query"].append(len(self.queries))
        self._starts["item"].append(len(self.item_ids))
        self.session_ids += session_ids
        self.user_ids += user_ids or [""] * len(session_ids)
        self.queries.append("")
        self.queries += message.queries
        self.item_ids += message.item_ids
        for name, column in found.items():
            self.columns[name] += column
        self.rows.append(row)
        self.num_events.append(num_events)
        self._base_ms.append(message.base_ts_ms)
        return True

    def index(self, name: str) -> NDArray[np.int64]:
        """Return where each event's text is in the table of all messages."""
        starts = np.repeat(np.array(self._starts[name], dtype=np.int64), self.num_events)
        return np.array(self.columns[name], dtype=np.int64) + starts

    def times(self) -> NDArray[np.int64]:
        """Return each event's time; one that no 64-bit number holds is 0."""
        bases = np.repeat(np.array(self._base_ms, dtype=np.int64), self.num_events)
        offsets = np.array(self.columns["ts_offset_ms"], dtype=np.int64)
        times = bases + offsets
        has_overflown = ((bases ^ times) & (offsets ^ times)) < 0
        return np.where(has_overflown, 0, times)


def _all_parsed(
    parse: Callable[[bytes], _Parsed],
    batch: RecordBatch,
    rows: Rows,
    errors: type[Exception] | tuple[type[Exception], ...],
) -> tuple[list[_Parsed], Rows, Rows]:
    """Return what could be parsed, the rows of that, and the rows of what could not."""
    values: Sequence[Any] = batch.values
    try:
        return [parse(values[row]) for row in rows], rows, []
    except errors:
        pass
    parsed, good, bad = [], [], []
    for row in rows:
        try:
            parsed.append(parse(values[row]))
        except errors:
            bad.append(row)
        else:
            good.append(row)
    return parsed, good, bad


def _times(listed: Sequence[int]) -> NDArray[np.int64]:
    try:
        return np.array(listed, dtype=np.int64)
    except OverflowError:
        return np.array([time if time.bit_length() < 64 else 0 for time in listed], dtype=np.int64)  # noqa: PLR2004


def _is_neutral(line: NeutralLine) -> bool:
    """Whether a line is of the neutral form, and has the query that
    its type asks for.
    """
    return (
        line.data is msgspec.UNSET
        and line.action_name is msgspec.UNSET
        and (bool(line.query) or line.type not in _MUST_SEARCH)
    )


def _keep(columns: EventColumns, is_good: NDArray[np.bool_], parts: list[EventColumns]) -> Rows:
    """Keep the events of records of which all are good.

    Return the rows of the others.
    """
    if is_good.all():
        parts.append(columns)
        return []
    bad_rows = np.unique(columns.row[~is_good])
    parts.append(columns.take(~np.isin(columns.row, bad_rows)))
    return [int(row) for row in bad_rows]
