"""The encodings that the records of a case are in: one line a table entry.

Each is written here by itself, from docs/formats.md, not by the producer under test.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from protos import events_v1_pb2 as pb
from stream.actions import Action
from stream.events.types import CatalogItem, Erasure, Headers, Interaction, SearchRecord

Entry = Interaction | CatalogItem | Erasure | SearchRecord

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_PROTOBUF = "application/x-protobuf; messageType=freshet.events.v1."
_JSON = "application/json; messageType=freshet.events.v1."
_CLOUD = "application/cloudevents+json"
_ACTIONS: Mapping[Action, pb.Action] = {
    Action.VIEW: pb.ACTION_VIEW,
    Action.CLICK: pb.ACTION_CLICK,
    Action.ADD_TO_CART: pb.ACTION_ADD_TO_CART,
    Action.PURCHASE: pb.ACTION_PURCHASE,
}
_ERASURES: Mapping[str, pb.ErasureKind] = {
    "user": pb.ERASURE_KIND_USER,
    "session": pb.ERASURE_KIND_SESSION,
    "item": pb.ERASURE_KIND_ITEM,
}


@dataclass(frozen=True, slots=True)
class Encoding:
    """One way to write entries as a record.

    Attributes:
        name: for reports.
        kind: the type of its entries.
        content_type: of the record.
        write: returns the record's value; None: a record without one.
        can_write: whether an entry can be told this way.
        headers: of the record, beside its content-type; a line of a file has none.
        num_entries: how many entries a record holds at most.
    """

    name: str
    kind: type[Interaction] | type[CatalogItem] | type[Erasure] | type[SearchRecord]
    content_type: str
    write: Callable[[Sequence[Any]], bytes | None]
    can_write: Callable[[Any], bool] = lambda _: True
    headers: Callable[[Any], Headers] = lambda _: ()
    num_entries: int = 1


def _neutral(event: Interaction) -> dict[str, Any]:
    line = {
        "ts_ms": event.ts_ms,
        "type": event.action.label,
        "session_id": event.session_id,
        "user_id": event.user_id,
        "query": event.query,
        "item_id": event.item_id,
    }
    return {name: value for name, value in line.items() if value != ""}


def _ubi(event: Interaction) -> dict[str, Any]:
    return {
        "action_name": event.action.label.replace("-", "_"),
        "session_id": event.session_id,
        "user_id": event.user_id,
        "timestamp": _iso(event.ts_ms),
        "user_query": event.query,
        "query_id": event.query_id,
        "event_attributes": {"object": {"object_id": event.item_id}},
    }


def _search(search: SearchRecord) -> dict[str, Any]:
    return {
        "query_id": search.query_id,
        "user_query": search.query,
        "timestamp": _iso(search.ts_ms),
        **({"user_id": search.user_ids[0]} if search.user_ids else {}),
    }


def _iso(ts_ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ts_ms)).isoformat()


def _item(item: CatalogItem) -> dict[str, Any]:
    line = msgspec.to_builtins(item)
    return {name: value for name, value in line.items() if value or name == "available"}


def _erasure(erasure: Erasure) -> dict[str, Any]:
    return {"erase": erasure.kind, "id": erasure.id, "ts_ms": erasure.ts_ms}


def _in_cloud(kind: str, data: Mapping[str, Any]) -> bytes:
    envelope = {"specversion": "1.0", "id": "1", "source": "laws", "type": f"freshet.{kind}"}
    return msgspec.json.encode({**envelope, "data": data})


def _cloud_event(entries: Sequence[Interaction]) -> bytes:
    line = _neutral(entries[0])
    return _in_cloud(line.pop("type"), line)


def _binary_event(entries: Sequence[Interaction]) -> bytes:
    line = _neutral(entries[0])
    del line["type"]
    return msgspec.json.encode(line)


def _ce_headers(kind_of: Callable[[Any], str]) -> Callable[[Any], Headers]:
    return lambda entry: (
        ("ce_specversion", "1.0"),
        ("ce_id", "1"),
        ("ce_source", "laws"),
        ("ce_type", f"freshet.{kind_of(entry)}"),
    )


def _batch(events: Sequence[Interaction]) -> bytes:
    """Return a batch in which every event has a row of its own in each table."""
    first_ms = min(event.ts_ms for event in events)
    rows = range(len(events))
    queries = [event.query for event in events if event.query]
    return pb.EventBatch(
        base_ts_ms=first_ms,
        ts_offset_ms=[event.ts_ms - first_ms for event in events],
        session_ids=[event.session_id for event in events],
        user_ids=[event.user_id for event in events],
        session=rows,
        queries=queries,
        # 0 is none: the first of the table is 1.
        query=[queries.index(event.query) + 1 if event.query else 0 for event in events],
        item_ids=[event.item_id for event in events],
        item=rows,
        action=[_ACTIONS[event.action] for event in events],
    ).SerializeToString()


def _event(entries: Sequence[Interaction]) -> bytes:
    (event,) = entries
    return pb.Event(
        ts_ms=event.ts_ms,
        session_id=event.session_id,
        user_id=event.user_id,
        query=event.query,
        item_id=event.item_id,
        action=_ACTIONS[event.action],
    ).SerializeToString()


def _item_message(entries: Sequence[CatalogItem]) -> bytes:
    (item,) = entries
    return pb.CatalogItem(
        item_id=item.item_id,
        title=item.title,
        text=item.text,
        attributes=item.attributes,
        unavailable=not item.available,
        deleted=item.deleted,
        ts_ms=item.ts_ms,
    ).SerializeToString()


def _erasure_message(entries: Sequence[Erasure]) -> bytes:
    (erasure,) = entries
    return pb.Erasure(
        kind=_ERASURES[erasure.kind], id=erasure.id, ts_ms=erasure.ts_ms
    ).SerializeToString()


def _json(line_of: Callable[[Any], Mapping[str, Any]]) -> Callable[[Sequence[Any]], bytes]:
    return lambda entries: msgspec.json.encode(line_of(entries[0]))


def _names_no_search(event: Interaction) -> bool:
    return not event.query_id


def _is_tombstone(item: CatalogItem) -> bool:
    return item == CatalogItem(item_id=item.item_id, deleted=True)


_BATCH_EVENTS = 3  # events of a record: enough that some are late beside others

ENCODINGS = (
    Encoding("neutral", Interaction, "", _json(_neutral), _names_no_search),
    Encoding("neutral, announced", Interaction, f"{_JSON}Event", _json(_neutral), _names_no_search),
    Encoding("cloudevent", Interaction, _CLOUD, _cloud_event, _names_no_search),
    Encoding(
        "cloudevent, binary",
        Interaction,
        "application/json",
        _binary_event,
        _names_no_search,
        headers=_ce_headers(lambda event: event.action.label),
    ),
    Encoding("ubi", Interaction, "application/json", _json(_ubi)),
    Encoding("protobuf", Interaction, f"{_PROTOBUF}Event", _event, _names_no_search),
    Encoding(
        "protobuf batch",
        Interaction,
        f"{_PROTOBUF}EventBatch",
        _batch,
        _names_no_search,
        num_entries=_BATCH_EVENTS,
    ),
    Encoding("ubi query", SearchRecord, "application/json", _json(_search)),
    Encoding("item", CatalogItem, f"{_JSON}CatalogItem", _json(_item)),
    Encoding(
        "item cloudevent", CatalogItem, _CLOUD, lambda items: _in_cloud("catalog", _item(items[0]))
    ),
    Encoding(
        "item cloudevent, binary",
        CatalogItem,
        "",
        _json(_item),
        headers=_ce_headers(lambda _: "catalog"),
    ),
    Encoding("item protobuf", CatalogItem, f"{_PROTOBUF}CatalogItem", _item_message),
    Encoding("tombstone", CatalogItem, "", lambda _: None, _is_tombstone),
    Encoding("erasure", Erasure, f"{_JSON}Erasure", _json(_erasure)),
    Encoding(
        "erasure cloudevent",
        Erasure,
        _CLOUD,
        lambda asks: _in_cloud("erasure", _erasure(asks[0])),
    ),
    Encoding(
        "erasure cloudevent, binary",
        Erasure,
        "application/json",
        _json(_erasure),
        headers=_ce_headers(lambda _: "erasure"),
    ),
    Encoding("erasure protobuf", Erasure, f"{_PROTOBUF}Erasure", _erasure_message),
)
"""Every encoding of an event, a search, an item and an erasure."""


def encodings_of(entry: Entry, *, on_topic: bool) -> list[Encoding]:
    """Return the encodings that an entry can be written in.

    Args:
        entry: what is written.
        on_topic: whether it is written to a topic: a line of a file has a value and no
            headers.
    """
    return [
        encoding
        for encoding in ENCODINGS
        if isinstance(entry, encoding.kind)
        and encoding.can_write(entry)
        and (on_topic or (encoding.name != "tombstone" and not encoding.headers(entry)))
    ]
