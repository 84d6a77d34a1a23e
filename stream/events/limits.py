"""Bounds of what is believed of an event, whatever its format."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from protos.text import normalize_query
from stream.actions import Action
from stream.events.fields import shown
from stream.events.types import Interaction, Rejected
from stream.settings import StreamSettings

CUT_PREFIX = "cut:"
"""What the ids of cut sessions begin with; no id of a platform may."""

EARLIEST_MS = 946_684_800_000
"""The first event time that is believed: the year 2000."""

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
        max_text_bytes: of a title, a text and the value of an attribute.
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

    def interaction(
        self,
        *,
        ts_ms: int,
        session_id: str,
        user_id: str,
        query: str,
        item_id: str,
        action: Action,
        needs_query: bool = False,
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
        """
        return Interaction(
            ts_ms=self.time(ts_ms),
            session_id=self._session_id(session_id, user_id),
            user_id=self._sized("user_id", user_id, self.max_id_bytes) if user_id.strip() else "",
            query=self._query(query, action, needs_query=needs_query),
            item_id=self.id("item_id", item_id),
            action=action,
        )

    def time(self, ts_ms: int) -> int:
        """Check an event time."""
        if not EARLIEST_MS <= ts_ms <= self.latest_ms:
            raise Rejected(
                "absurd_timestamp", f"{shown(ts_ms)} is before the year 2000 or in the future"
            )
        return ts_ms

    def state_time(self, ts_ms: int) -> int:
        """Check the time of a catalogue item's state, which may be left out: 0."""
        return self.time(ts_ms) if ts_ms else 0

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

    def text(self, name: str, text: str) -> str:
        """Check a text that may be empty."""
        return self._sized(name, text, self.max_text_bytes)

    def attributes(self, attributes: dict[str, str]) -> dict[str, str]:
        """Check the attributes of an item."""
        for name, value in attributes.items():
            self._sized("the name of an attribute", name, self.max_id_bytes)
            self.text(f"attribute {shown(name)}", value)
        return attributes

    def _session_id(self, session_id: str, user_id: str) -> str:
        """A session may be without an id where the user is known.

        It is then cut by inactivity.
        """
        if not session_id and user_id.strip():
            return ""
        if session_id.startswith(CUT_PREFIX):
            raise Rejected(
                "malformed", f"session_id begins with {CUT_PREFIX}, which is kept for cut sessions"
            )
        return self.id("session_id", session_id)

    def _query(self, raw: str, action: Action, *, needs_query: bool) -> str:
        if not raw and not needs_query:
            return ""
        query = _normalized(self._sized("query", raw, self.max_query_bytes))
        if not query and (needs_query or action != Action.VIEW):
            raise Rejected("empty_query", f"nothing is left of {shown(raw)} once it is normalised")
        return self._sized("query", query, self.max_query_bytes)

    def _sized(self, name: str, text: str, max_bytes: int) -> str:
        # A character is at most four bytes, so nearly every string is cleared without
        # being encoded.
        if len(text) * 4 > max_bytes and len(text.encode()) > max_bytes:
            raise Rejected("oversized", f"{name} is longer than {max_bytes} bytes")
        return text
