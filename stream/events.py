"""What the stream understands: the frozen types between decoding, the graph and its sources."""

from dataclasses import dataclass, field
from enum import IntEnum


class Action(IntEnum):
    """What somebody did to an item. The numbers are stored: never renumber."""

    VIEW = 1
    CLICK = 2
    ADD_TO_CART = 3
    PURCHASE = 4

    @property
    def label(self) -> str:
        """The action's name in JSON and in settings: ``view``, ``click``, ``add-to-cart``, ``purchase``."""
        return self.name.lower().replace("_", "-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Interaction:
    """One accepted event. `query` is normalised; empty: the action did not come from a search."""

    ts_ms: int
    session_id: str
    user_id: str
    query: str
    item_id: str
    action: Action


@dataclass(frozen=True, slots=True, kw_only=True)
class CatalogItem:
    """The newest state of one item, whole: an upsert replaces all of it."""

    item_id: str
    title: str = ""
    text: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    available: bool = True
    deleted: bool = False


@dataclass(frozen=True, slots=True)
class Position:
    """A place in a source: one partition of a topic, or one file (partition 0)."""

    source: str
    partition: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One message as it came: a Kafka record or a line of a file, not yet decoded.

    Attributes:
        position: where it was read.
        offset: its Kafka offset, or for a file the byte at which its line starts in the unpacked content.
        next_offset: where reading goes on after it.
        content_type: the announced encoding; empty: none was announced.
        key: the record's key; None for files.
        value: the bytes; None is a Kafka tombstone.
    """

    position: Position
    offset: int
    next_offset: int
    content_type: str
    key: bytes | None
    value: bytes | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejection:
    """A record that cannot be used, with the reason for machines and the detail for people."""

    record: Record
    reason: str
    detail: str


class Rejected(Exception):
    """Decoding found something wrong with a record. `reason` is one of `REASONS`."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


REASONS = {
    "unknown_encoding": "the content-type is not one that Freshet reads",
    "malformed": "the bytes do not parse as what the content-type announces",
    "unknown_type": "the type or action is not one that Freshet knows",
    "missing_field": "a required field is absent or empty",
    "wrong_type": "a field has a value of the wrong type",
    "empty_query": "a search action whose query is absent, or empty once normalised",
    "absurd_timestamp": "the event time is before the year 2000 or too far in the future",
    "oversized": "a field or the record is longer than allowed",
    "key_collision": "two different strings share a 64-bit key",
}
