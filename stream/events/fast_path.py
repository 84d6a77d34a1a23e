"""Records by the thousand to columns.

A format's column path reads what is plainly good; the rest is decoded one by one.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from protos.text import PLAIN_ASCII, normalize_queries, normalize_query
from stream.actions import Action
from stream.events import native
from stream.events.columns import NO_KEY, EventColumns, Keys, References, Texts, no_events
from stream.events.decoder import Decoder, Frames
from stream.events.format import Format, ReadColumns
from stream.events.interner import UNUSABLE, Canonical, Interner
from stream.events.limits import CUT_PREFIX, EARLIEST_MS, Limits
from stream.events.native import LearntTexts, Plain
from stream.events.raw_columns import RawColumns, RawTexts, Rows, raw_columns_of
from stream.events.types import (
    CatalogItem,
    Erasure,
    Interaction,
    RecordBatch,
    Rejection,
    SearchRecord,
)
from stream.reasons import Repair
from stream.settings import StreamSettings

# Texts of each kind that stay interned between batches: some 60 MiB of ids or queries
# of 20 characters. Twice as many takes twice that, and hashes fewer texts again.
_MAX_TEXTS = 300_000
# Records that `freshet_native` left which are read by columns once more: fewer cost
# less one by one, mostly because they cannot be used. Chosen by hand: twice as many
# help where no more than that are bad, and cost where they are good.
_WORTH_A_COLUMN = 8
_FIRST_ACTION, _LAST_ACTION = min(Action), max(Action)


@dataclass(slots=True)
class DecodedBatch:
    """What a batch of records held.

    Attributes:
        events: the good interactions; their `row` says which record each came in.
        items: catalogue items in order, each with the row of its record.
        erasures: what to forget.
        rejections: what cannot be used: at most one for each reason of a record.
        repairs: how often texts of items were cut or left out.
        ignored: how many messages are in order but not about an item, by reason, one
            of `stream.reasons.IGNORED`.
        references: what some interactions say beside their columns.
        searches: the texts of searches that interactions may name, in order.
        read_ms: the clock by which the times of its events were judged.
    """

    events: EventColumns
    items: list[tuple[CatalogItem, int]] = field(default_factory=list)
    erasures: list[Erasure] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    repairs: Counter[Repair] = field(default_factory=Counter)
    ignored: Counter[str] = field(default_factory=Counter)
    references: References = field(default_factory=References.empty)
    searches: list[SearchRecord] = field(default_factory=list)
    read_ms: int = 0


class ColumnDecoder:
    """Decodes batches of records under the limits of the settings.

    Never raises on what a record contains.

    Args:
        settings: the limits.
        natively: whether `freshet_native` reads what is plain; None: where it is
            installed. The results are the same.
        frames: those of a schema registry; None: there is none.

    Raises:
        RegistryUnavailable: from `decode`, where the registry must be asked and does
            not answer; nothing of the batch is decoded then.

    Attributes:
        texts: what is behind the keys of the columns returned so far.
    """

    def __init__(
        self,
        settings: StreamSettings,
        *,
        natively: bool | None = None,
        frames: Frames | None = None,
    ) -> None:
        self._frames = frames
        self._is_native = native.IS_HERE if natively is None else natively
        self._settings = settings
        self._full = Decoder(settings, frames)
        max_id, max_query = settings.max_field_bytes, settings.max_query_bytes
        texts = self.texts = _native_texts(settings) if self._is_native else Texts()
        self._sessions = Interner(texts.sessions, _session_ids(max_id), empty=NO_KEY)
        self._users = Interner(texts.users, _user_ids(max_id), empty=NO_KEY)
        self._queries = Interner(texts.queries, _queries(max_query), empty=NO_KEY)
        self._items = Interner(texts.items, _ids(max_id))

    def decode(self, batch: RecordBatch, now_ms: int) -> DecodedBatch:
        """Return what records hold; what is wrong with them comes back as rejections.

        Args:
            batch: as the source returned it.
            now_ms: the clock, to tell event times in the future.
        """
        if self._frames is None:
            return self._decode(batch, now_ms)
        unframed = self._frames.unframed_batch(batch)
        decoded = self._decode(unframed, now_ms)
        if decoded.rejections and unframed is not batch:
            row_of = {offset: row for row, offset in enumerate(batch.offsets)}
            decoded.rejections = [
                replace(each, record=batch.record(row_of[each.record.offset]))
                for each in decoded.rejections
            ]
        return decoded

    def _decode(self, batch: RecordBatch, now_ms: int) -> DecodedBatch:
        parts: list[EventColumns] = []
        references: list[References] = []
        others: Rows = []
        for form, rows in self._rows_by_format(batch).items():
            unread = rows
            for read in self._readers(form):
                if len(unread) < (1 if unread is rows else _WORTH_A_COLUMN):
                    break
                raw, unread = read(batch.values, unread)
                if not len(raw):
                    continue
                columns, is_good = self._checked(raw, now_ms)
                if is_good.all():
                    parts.append(columns)
                    references.append(_references(raw))
                else:
                    bad_rows = set(columns.row[~is_good].tolist())
                    is_whole = _are_of_others(columns.row, bad_rows)
                    parts.append(columns.take(is_whole))
                    references.append(_references(raw).take(is_whole))
                    others += bad_rows
            others += unread
        decoded = self._decode_one_by_one(batch, sorted(others), now_ms)
        sizes = [*map(len, parts), len(decoded.events)]
        found = References.concatenate([*references, decoded.references], sizes)
        parts = [part for part in (*parts, decoded.events) if len(part)]
        events = EventColumns.concatenate(parts or [no_events()])
        return replace(decoded, events=events, references=found, read_ms=now_ms)

    def forget_if_large(self) -> None:
        """Forget texts once there are many.

        Call it only when everything that was decoded is applied.
        """
        interners = (self._sessions, self._users, self._queries, self._items)
        forgotten = [interner.forget_if_large(_MAX_TEXTS) for interner in interners]
        if any(forgotten):
            self.texts.generation = object()

    def _readers(self, form: Format | None) -> list[ReadColumns]:
        """Return what reads many records of a format at once, in the order in which it
        is tried.
        """
        if form is None:
            return []
        readers = (form.read_natively if self._is_native else None, form.read_columns)
        return [read for read in readers if read is not None]

    def _rows_by_format(self, batch: RecordBatch) -> dict[Format | None, Rows]:
        """Return the rows of each format.

        None: those of no usable length or format, and those that are more than their
        value says.
        """
        of_type = {
            content_type: self._full.format_of(batch.position, content_type)
            for content_type in set(batch.content_types)
        }
        limit = self._settings.max_record_bytes
        types, values = batch.content_types, batch.values
        rows: dict[Format | None, Rows] = {}
        if (
            not batch.headers and None not in values and max(map(len, values), default=0) <= limit  # type: ignore[arg-type]  # no None
        ):
            if len(of_type) == 1:
                return {form: list(range(len(batch))) for form in of_type.values()}
            forms = list(dict.fromkeys(of_type.values()))
            number_of = {content_type: forms.index(form) for content_type, form in of_type.items()}
            numbers = np.fromiter(map(number_of.__getitem__, types), np.int64, len(types))
            return {
                form: np.flatnonzero(numbers == number).tolist()
                for number, form in enumerate(forms)
            }
        for row, (content_type, value) in enumerate(zip(types, values, strict=True)):
            form = of_type[content_type] if value is not None and len(value) <= limit else None
            if batch.headers and batch.headers[row]:
                form = None
            rows.setdefault(form, []).append(row)
        return rows

    def _decode_one_by_one(self, batch: RecordBatch, rows: Rows, now_ms: int) -> DecodedBatch:
        """Return what some records hold, each decoded by itself.

        An interaction of which a text has the key of another is rejected; nothing else
        can be wrong with what the decoder accepts.
        """
        decoded = DecodedBatch(no_events())
        if not rows:
            return decoded
        interactions: list[Interaction] = []
        interaction_rows: Rows = []
        for row in rows:
            found = self._full.decode(batch.record(row), now_ms)
            decoded.rejections += found.rejections
            decoded.repairs.update(found.repairs)
            if found.num_ignored:
                decoded.ignored[found.ignored_as] += found.num_ignored
            for event in found.events:
                if isinstance(event, Interaction):
                    interactions.append(event)
                    interaction_rows.append(row)
                elif isinstance(event, CatalogItem):
                    decoded.items.append((event, row))
                elif isinstance(event, SearchRecord):
                    decoded.searches.append(event)
                else:
                    decoded.erasures.append(event)
        if not interactions:
            return decoded
        columns, is_good = self._checked(raw_columns_of(interactions, interaction_rows), now_ms)
        detail = "a text of the event has the 64-bit key of another"
        decoded.rejections += [
            Rejection(record=batch.record(row), reason="key_collision", detail=detail)
            for row in sorted(set(columns.row[~is_good].tolist()))
        ]
        return replace(
            decoded,
            events=columns.take(is_good),
            references=References.of(interactions).take(is_good),
        )

    def _checked(self, raw: RawColumns, now_ms: int) -> tuple[EventColumns, NDArray[np.bool_]]:
        """Return events by the keys of their texts, and which of them are plainly good:
        ``bool [num_events]``.
        """
        latest_ms = Limits.at(self._settings, now_ms).latest_ms
        columns = EventColumns(
            ts_ms=raw.ts_ms,
            session=_keys(self._sessions, raw.session),
            user=_keys(self._users, raw.user),
            query=_keys(self._queries, raw.query),
            item=_keys(self._items, raw.item),
            action=raw.action.astype(np.uint8),
            row=raw.row,
        )
        is_good = (
            (columns.ts_ms >= EARLIEST_MS)
            & (columns.ts_ms <= latest_ms)
            & (raw.action >= _FIRST_ACTION)
            & (raw.action <= _LAST_ACTION)
        )
        for keys in (columns.session, columns.user, columns.query, columns.item):
            is_good &= keys != np.uint64(UNUSABLE)
        is_good &= (columns.session != NO_KEY) | (columns.user != NO_KEY)
        for texts in (raw.query_id, raw.alias):
            longest = max(map(len, texts), default=0)
            if longest * 4 > self._settings.max_field_bytes:
                is_long = [_is_long(text, self._settings.max_field_bytes) for text in texts]
                is_good &= ~np.array(is_long, dtype=np.bool_)
        return columns, is_good


def _native_texts(settings: StreamSettings) -> Texts:
    """Return texts that `freshet_native` learns where they are plain."""
    ids = Plain(settings.max_field_bytes)
    own_ids = Plain(settings.max_field_bytes, reserved_prefix=CUT_PREFIX)
    queries = Plain(settings.max_query_bytes, forms=PLAIN_ASCII)
    return Texts(
        sessions=LearntTexts(own_ids, takes_empty=True),
        users=LearntTexts(ids, takes_empty=True),
        queries=LearntTexts(queries, takes_empty=True),
        items=LearntTexts(ids, takes_empty=False),
    )


def _keys(interner: Interner, raw: RawTexts) -> Keys:
    """Return the key of each event's text: ``uint64 [num_events]``."""
    keys = interner.keys(raw.texts)
    return keys if raw.index is None else keys[raw.index]


def _are_of_others(row: NDArray[np.int32], bad_rows: set[int]) -> NDArray[np.bool_]:
    """Return which events are of other records than these: ``bool [num_events]``."""
    is_bad = np.zeros(int(row.max()) + 1, dtype=np.bool_)
    is_bad[list(bad_rows)] = True
    return ~is_bad[row]


def _references(raw: RawColumns) -> References:
    """Return what events say beside their columns."""
    if not any(raw.query_id) and not any(raw.alias):
        return References.empty()
    pairs = zip(raw.query_id, raw.alias, strict=True)
    rows = [row for row, pair in enumerate(pairs) if any(pair)]
    return References.of_texts(
        rows, [raw.query_id[row] for row in rows], [raw.alias[row] for row in rows]
    )


# What an interner asks of new texts: the canonical form of each, or None where the text
# may not be used, or not without a closer look.


def _ids(max_bytes: int) -> Canonical:
    def canonical(texts: list[str]) -> Sequence[str | None]:
        if not any(map(str.isspace, texts)) and not _any_is_long(texts, max_bytes):
            return texts
        return [None if text.isspace() or _is_long(text, max_bytes) else text for text in texts]

    return canonical


def _session_ids(max_bytes: int) -> Canonical:
    canonical_ids = _ids(max_bytes)

    def canonical(texts: list[str]) -> Sequence[str | None]:
        ids = canonical_ids(texts)
        if CUT_PREFIX not in "".join(texts):
            return ids
        return [None if each and each.startswith(CUT_PREFIX) else each for each in ids]

    return canonical


def _user_ids(max_bytes: int) -> Canonical:
    def canonical(texts: list[str]) -> Sequence[str | None]:
        if not any(map(str.isspace, texts)) and not _any_is_long(texts, max_bytes):
            return texts
        return [None if _is_long(text, max_bytes) else text.strip() and text for text in texts]

    return canonical


def _queries(max_bytes: int) -> Canonical:
    def canonical(texts: list[str]) -> Sequence[str | None]:
        if not _any_is_long(texts, max_bytes):
            queries = normalize_queries(texts)
            if all(queries) and not _any_is_long(queries, max_bytes):
                return queries
        return [form(text) if text else "" for text in texts]

    def form(text: str) -> str | None:
        query = "" if _is_long(text, max_bytes) else normalize_query(text)
        return None if not query or _is_long(query, max_bytes) else query

    return canonical


def _any_is_long(texts: Sequence[str], max_bytes: int) -> bool:
    """Return whether a text may be longer than that: none is of a quarter of it."""
    return max(map(len, texts), default=0) * 4 > max_bytes


def _is_long(text: str, max_bytes: int) -> bool:
    return len(text) * 4 > max_bytes and len(text.encode("utf-8", "surrogatepass")) > max_bytes
