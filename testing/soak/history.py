"""A random history of a shop for the soak.

What happened, and how a faulty publisher delivers it: in disorder, repeated, malformed.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from typing import Literal

from protos import events_v1_pb2 as pb
from protos.text import normalize_query
from stream.actions import Action
from stream.events.types import CatalogItem, Interaction

Form = Literal["protobuf", "batch", "json"]

_START_MS = 1_767_225_600_000  # 2026-01-01
_DAY_MS = 86_400_000
_EVENTS_PER_DAY = 5000
"""Enough that a record which waits for its batch to fill stays within the retention
bound. Twice as many: less disorder, since a day has more events.
"""
_ACTIVE_SESSIONS = 40  # interleaved; twice as many: facts of a session lie further apart
# Small, so that edges repeat and meet over shards; chosen by hand.
_QUERIES, _ITEMS, _USERS = 400, 3_000, 5_000
_WORDS = (
    "red running shoes",
    "cordless drill",
    "usb c cable",
    "garden chair",
    "4k monitor",
    "café tables",
)
_EVENT_TYPE = b"application/x-protobuf; messageType=freshet.events.v1.Event"
_BATCH_TYPE = b"application/x-protobuf; messageType=freshet.events.v1.EventBatch"
_FORMS: tuple[Form, ...] = ("protobuf", "batch", "json")


@dataclass(frozen=True, kw_only=True)
class Malformed:
    """A record that cannot be used. No two have the same value."""

    value: bytes
    content_type: bytes


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """Something to publish. `form` is how an interaction is packed."""

    content: Interaction | CatalogItem | Malformed
    form: Form = "protobuf"


@dataclass(frozen=True, kw_only=True)
class History:
    """What happened, each once, and the deliveries that publish it.

    Attributes:
        events: interactions, queries as typed.
        items: catalogue changes; the last one of an item counts.
        malformed: values of the records that cannot be used.
        deliveries: all of them, events also twice and again, items in order.
    """

    events: list[Interaction] = field(default_factory=list)
    items: list[CatalogItem] = field(default_factory=list)
    malformed: set[bytes] = field(default_factory=set)
    deliveries: list[Delivery] = field(default_factory=list)

    def write(self, events: Path, items: Path) -> None:
        """Write what happened as the files that a plain build reads."""
        _write_lines(events, map(_event_line, self.events))
        _write_lines(items, map(asdict, self.items))


def make_history(seed: int, num_events: int) -> History:
    """Return a history: sessions interleaved, times in disorder within a day, 1%
    malformed, repeats.
    """
    random = Random(seed)
    history = History()
    for event in _events(random, num_events):
        history.events.append(event)
        _deliver(event, history, random)
    return history


def _deliver(event: Interaction, history: History, random: Random) -> None:
    for _ in range(1 + (_happens(random, 0.03))):
        history.deliveries.append(
            Delivery(content=event, form=random.choices(_FORMS, (5, 4, 1))[0])
        )
    if _happens(random, 0.01):
        _plant(history, random)
    if _happens(random, 0.02):
        item = _item(random, len(history.items))
        history.items.append(item)
        history.deliveries.append(Delivery(content=item))
    if _happens(random, 0.001):
        again = history.deliveries[-random.randint(20, 200) :]
        history.deliveries.extend(each for each in again if isinstance(each.content, Interaction))


def _plant(history: History, random: Random) -> None:
    malformed = _malformed(random.randrange(6), len(history.malformed))
    history.malformed.add(malformed.value)
    history.deliveries.append(Delivery(content=malformed))


def _events(random: Random, count: int) -> Iterator[Interaction]:
    sessions = [_Session(number, random) for number in range(_ACTIVE_SESSIONS)]
    num_sessions = _ACTIVE_SESSIONS
    for number in range(count):
        place = random.randrange(_ACTIVE_SESSIONS)
        day = number // _EVENTS_PER_DAY
        yield sessions[place].event(_START_MS + day * _DAY_MS + random.randrange(_DAY_MS), random)
        if _happens(random, 0.15):
            sessions[place] = _Session(num_sessions, random)
            num_sessions += 1


class _Session:
    """A visit: few queries and items, so that facts come again at other times."""

    def __init__(self, number: int, random: Random) -> None:
        self._session_id = f"session-{number:08d}"
        self._user_id = f"user-{random.randrange(_USERS)}" if _happens(random, 0.7) else ""
        self._queries = [_query(random) for _ in range(random.randint(1, 2))]
        self._items = [_item_id(random) for _ in range(random.randint(1, 5))]

    def event(self, ts_ms: int, random: Random) -> Interaction:
        action = random.choices([*Action], (25, 55, 13, 7))[0]
        is_found = action is not Action.VIEW and _happens(random, 0.9)
        return Interaction(
            ts_ms=ts_ms,
            session_id=self._session_id,
            user_id=self._user_id,
            query=random.choice(self._queries) if is_found else "",
            item_id=random.choice(self._items),
            action=action,
        )


def _happens(random: Random, share: float) -> bool:
    return random.random() < share


def _query(random: Random) -> str:
    number = int(_QUERIES * random.random() ** 2)
    text = f"{_WORDS[number % len(_WORDS)]} {number}"
    return f" {text.upper()} " if _happens(random, 0.1) else text


def _item_id(random: Random) -> str:
    return f"item-{int(_ITEMS * random.random() ** 2):05d}"


def _item(random: Random, version: int) -> CatalogItem:
    return CatalogItem(
        item_id=_item_id(random),
        title=f"title {version}",
        text=f"text {version}",
        available=_happens(random, 0.9),
        deleted=_happens(random, 0.05),
    )


def _malformed(kind: int, number: int) -> Malformed:
    event = pb.Event(ts_ms=1, session_id="s", item_id=f"{number}", action=pb.ACTION_VIEW)
    batch = pb.EventBatch(
        session_ids=["s"],
        item_ids=[f"{number}"],
        ts_offset_ms=[0],
        session=[0],
        query=[0],
        item=[7],
        action=[pb.ACTION_VIEW],
        base_ts_ms=_START_MS,
    )
    value, content_type = (
        (b"\xff\xff not protobuf %d" % number, _EVENT_TYPE),
        (b'{"type":"click","n":%d' % number, b"application/json"),
        (b'{"n":%d}' % number, b"application/json"),
        (b"plain %d" % number, b"text/plain"),
        (event.SerializeToString(), _EVENT_TYPE),
        (batch.SerializeToString(), _BATCH_TYPE),
    )[kind]
    return Malformed(value=value, content_type=content_type)


def facts_of(events: Iterable[Interaction]) -> set[tuple[str, str, str, Action]]:
    """Return the distinct (session, normalised query or none, item, action)."""
    return {
        (event.session_id, normalize_query(event.query), event.item_id, event.action)
        for event in events
    }


def _event_line(event: Interaction) -> dict[str, object]:
    return {
        "ts_ms": event.ts_ms,
        "type": event.action.label,
        "session_id": event.session_id,
        "user_id": event.user_id,
        "query": event.query or None,
        "item_id": event.item_id,
    }


def _write_lines(path: Path, records: Iterable[dict[str, object]]) -> None:
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(record) + "\n" for record in records)
