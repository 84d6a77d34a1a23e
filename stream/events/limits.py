"""Bounds of what is believed of an event, whatever its format."""

from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Self

from protos.text import normalize_query, read_entities
from stream.actions import Action
from stream.events.fields import shown
from stream.events.types import CatalogItem, Interaction, Rejected, SearchRecord
from stream.reasons import Repair
from stream.settings import StreamSettings

_ELLIPSIS = "\u2026"  # the end of a text that was cut

CUT_PREFIX = "cut:"
"""What the ids of cut sessions begin with; no id of a platform may."""

EARLIEST_MS = 946_684_800_000
"""The first event time that is believed: the year 2000."""

_OTHER_UNITS = (
    ("seconds", Fraction(1000), "multiply by 1000"),
    ("microseconds", Fraction(1, 1000), "divide by 1000"),
    ("nanoseconds", Fraction(1, 1_000_000), "divide by 1000000"),
)
"""Units of time that are taken for milliseconds, each with how many of these it has."""

# Queries: some 14 MiB. Twice as many takes twice that, and saves normalising rare ones
# again; the frequent ones fit.
_normalized = lru_cache(maxsize=65_536)(normalize_query)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What is believed of a record that is read at some moment.

    Every method returns what it was given, checked, or raises `Rejected`.

    Attributes:
        max_id_bytes: of a session, user or item id, and of the name of an attribute.
        max_query_bytes: of a query, as typed and once normalised.
        max_text_bytes: of a title, a text and the value of an attribute; longer ones
            are cut.
        latest_ms: the last event time that is believed, UTC epoch milliseconds.
    """

    max_id_bytes: int
    max_query_bytes: int
    max_text_bytes: int
    latest_ms: int

    @classmethod
    def at(cls, settings: StreamSettings, now_ms: int) -> Self:
        """Return the limits of the settings for what is read at this time."""
        return cls(
            max_id_bytes=settings.max_field_bytes,
            max_query_bytes=settings.max_query_bytes,
            max_text_bytes=settings.max_text_bytes,
            latest_ms=now_ms + round(settings.max_future_seconds * 1000),
        )

    def interaction(  # noqa: PLR0913  # what an interaction has
        self,
        *,
        ts_ms: int,
        session_id: str,
        user_id: str,
        query: str,
        item_id: str,
        action: Action,
        needs_query: bool = False,
        query_id: str = "",
        alias_id: str = "",
        visitor_fields: str = "",
        item_field: str = "item_id",
    ) -> Interaction:
        """Return an interaction with its query normalised.

        Args:
            ts_ms: event time, UTC epoch milliseconds.
            session_id: empty: the platform has none, and the user must be known.
            user_id: empty or blank: not known.
            query: as typed; empty: the action did not come from a search.
            item_id: must not be blank.
            action: what was done.
            needs_query: the format says that there is a query: none is wrong.
            query_id: names a search whose text is elsewhere; empty: none.
            alias_id: another id of the user; empty or blank: none.
            visitor_fields: the fields of the format that say whose the session is, for
                people; empty: ours.
            item_field: the one that says which item.

        Raises:
            Rejected: one of them cannot be.
        """
        if visitor_fields and not session_id.strip() and not user_id.strip():
            raise Rejected("missing_field", f"none of {visitor_fields} has a value")
        return Interaction(
            ts_ms=self.time(ts_ms),
            session_id=self._session_id(session_id, user_id),
            user_id=self._sized("user_id", user_id, self.max_id_bytes) if user_id.strip() else "",
            query=self._query(query, action, needs_query=needs_query),
            item_id=self.id(item_field, item_id),
            action=action,
            query_id=query_id and self.id("query_id", query_id),
            alias_id=self._sized("alias_id", alias_id, self.max_id_bytes)
            if alias_id.strip()
            else "",
        )

    def search(
        self, *, query_id: str, query: str, user_ids: tuple[str, ...], ts_ms: int
    ) -> SearchRecord:
        """Return the record of a search with its query normalised.

        Args:
            query_id: by which actions name it; must not be blank.
            query: as typed; may be empty.
            user_ids: of one visitor; empty and blank ones are left out.
            ts_ms: event time, UTC epoch milliseconds; 0: not said.
        """
        known = (self._sized("user_id", text, self.max_id_bytes) for text in user_ids)
        return SearchRecord(
            query_id=self.id("query_id", query_id),
            query=self._query(query, Action.VIEW, needs_query=False),
            user_ids=tuple(dict.fromkeys(text for text in known if text.strip())),
            ts_ms=self.time(ts_ms) if ts_ms else 0,
        )

    def item(self, item: CatalogItem, repairs: list[Repair]) -> CatalogItem:
        """Return a catalogue item with HTML's entities read in its texts, which are cut
        to length, and without attributes whose names are too long.

        Args:
            item: as it came.
            repairs: gets one for each text that is cut and each attribute that is left
                out.
        """
        attributes = {
            name: self._cut(read_entities(value), repairs)
            for name, value in item.attributes.items()
            if _fits(name, self.max_id_bytes)
        }
        repairs += ["dropped"] * (len(item.attributes) - len(attributes))
        return replace(
            item,
            item_id=self.id("item_id", item.item_id),
            title=self._cut(read_entities(item.title), repairs),
            text=self._cut(read_entities(item.text), repairs),
            attributes=attributes,
            ts_ms=self.time(item.ts_ms) if item.ts_ms else 0,
        )

    def time(self, ts_ms: int) -> int:
        """Check an event time."""
        if not EARLIEST_MS <= ts_ms <= self.latest_ms:
            raise Rejected(
                "absurd_timestamp",
                f"{shown(ts_ms)} is before the year 2000 or in the future{self._other_unit(ts_ms)}",
            )
        return ts_ms

    def _other_unit(self, ts_ms: int) -> str:
        """Return what a time looks like that would be good in another unit.

        It is never converted: a clock that was reset gives such numbers too.
        """
        for unit, in_one, advice in _OTHER_UNITS:
            if EARLIEST_MS <= ts_ms * in_one <= self.latest_ms:
                return f"; it looks like {unit}, not milliseconds: {advice}"
        return ""

    def asked_time(self, ts_ms: int) -> int:
        """Return the time at which an erasure was asked for; 0 where that cannot be
        believed.

        No erasure is refused for its time.
        """
        return ts_ms if EARLIEST_MS <= ts_ms <= self.latest_ms else 0

    def id(self, name: str, text: str) -> str:
        """Check an id that must be there."""
        if not text or text.isspace():
            raise Rejected("missing_field", f"{name} is absent or empty")
        return self._sized(name, text, self.max_id_bytes)

    def erased_id(self, kind: str, text: str) -> str:
        """Check the id of a user, a session or an item to forget."""
        if kind == "session" and text.startswith(CUT_PREFIX):
            raise Rejected(
                "malformed",
                f"id begins with {CUT_PREFIX}: the ids of sessions that were cut change with "
                "earlier events; erase their user",
            )
        return self.id("id", text)

    def _session_id(self, session_id: str, user_id: str) -> str:
        """A session may be without an id where the user is known.

        It is then cut by inactivity.
        """
        if user_id.strip() and not session_id.strip():
            return ""
        if session_id.startswith(CUT_PREFIX):
            raise Rejected(
                "malformed", f"session_id begins with {CUT_PREFIX}, which is kept for cut sessions"
            )
        return self.id("session_id", session_id)

    def _query(self, raw: str, action: Action, *, needs_query: bool) -> str:
        if not needs_query and not raw.strip():
            return ""
        query = _normalized(self._sized("query", raw, self.max_query_bytes))
        if not query and (needs_query or action != Action.VIEW):
            raise Rejected("empty_query", f"nothing is left of {shown(raw)} once it is normalised")
        return self._sized("query", query, self.max_query_bytes)

    def _cut(self, text: str, repairs: list[Repair]) -> str:
        """Return a text that is not too long; one that was ends in an ellipsis."""
        if _fits(text, self.max_text_bytes):
            return text
        repairs.append("cut")
        num_bytes = self.max_text_bytes - len(_ELLIPSIS.encode())
        return text.encode()[:num_bytes].decode(errors="ignore") + _ELLIPSIS

    def _sized(self, name: str, text: str, max_bytes: int) -> str:
        if not _fits(text, max_bytes):
            raise Rejected("oversized", f"{name} is longer than {max_bytes} bytes")
        return text


def _fits(text: str, max_bytes: int) -> bool:
    # A character is at most four bytes, so nearly every string is cleared without
    # being encoded.
    return len(text) * 4 <= max_bytes or len(text.encode()) <= max_bytes
