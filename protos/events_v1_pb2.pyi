from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Action(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ACTION_UNSPECIFIED: _ClassVar[Action]
    ACTION_VIEW: _ClassVar[Action]
    ACTION_CLICK: _ClassVar[Action]
    ACTION_ADD_TO_CART: _ClassVar[Action]
    ACTION_PURCHASE: _ClassVar[Action]

class ErasureKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ERASURE_KIND_UNSPECIFIED: _ClassVar[ErasureKind]
    ERASURE_KIND_USER: _ClassVar[ErasureKind]
    ERASURE_KIND_SESSION: _ClassVar[ErasureKind]
    ERASURE_KIND_ITEM: _ClassVar[ErasureKind]
ACTION_UNSPECIFIED: Action
ACTION_VIEW: Action
ACTION_CLICK: Action
ACTION_ADD_TO_CART: Action
ACTION_PURCHASE: Action
ERASURE_KIND_UNSPECIFIED: ErasureKind
ERASURE_KIND_USER: ErasureKind
ERASURE_KIND_SESSION: ErasureKind
ERASURE_KIND_ITEM: ErasureKind

class Event(_message.Message):
    __slots__ = ("ts_ms", "session_id", "user_id", "query", "item_id", "action")
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    SESSION_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    ts_ms: int
    session_id: str
    user_id: str
    query: str
    item_id: str
    action: Action
    def __init__(self, ts_ms: _Optional[int] = ..., session_id: _Optional[str] = ..., user_id: _Optional[str] = ..., query: _Optional[str] = ..., item_id: _Optional[str] = ..., action: _Optional[_Union[Action, str]] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("session_ids", "user_ids", "queries", "item_ids", "base_ts_ms", "ts_offset_ms", "session", "query", "item", "action")
    SESSION_IDS_FIELD_NUMBER: _ClassVar[int]
    USER_IDS_FIELD_NUMBER: _ClassVar[int]
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    BASE_TS_MS_FIELD_NUMBER: _ClassVar[int]
    TS_OFFSET_MS_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    ACTION_FIELD_NUMBER: _ClassVar[int]
    session_ids: _containers.RepeatedScalarFieldContainer[str]
    user_ids: _containers.RepeatedScalarFieldContainer[str]
    queries: _containers.RepeatedScalarFieldContainer[str]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    base_ts_ms: int
    ts_offset_ms: _containers.RepeatedScalarFieldContainer[int]
    session: _containers.RepeatedScalarFieldContainer[int]
    query: _containers.RepeatedScalarFieldContainer[int]
    item: _containers.RepeatedScalarFieldContainer[int]
    action: _containers.RepeatedScalarFieldContainer[Action]
    def __init__(self, session_ids: _Optional[_Iterable[str]] = ..., user_ids: _Optional[_Iterable[str]] = ..., queries: _Optional[_Iterable[str]] = ..., item_ids: _Optional[_Iterable[str]] = ..., base_ts_ms: _Optional[int] = ..., ts_offset_ms: _Optional[_Iterable[int]] = ..., session: _Optional[_Iterable[int]] = ..., query: _Optional[_Iterable[int]] = ..., item: _Optional[_Iterable[int]] = ..., action: _Optional[_Iterable[_Union[Action, str]]] = ...) -> None: ...

class CatalogItem(_message.Message):
    __slots__ = ("item_id", "title", "text", "attributes", "unavailable", "deleted", "ts_ms")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    UNAVAILABLE_FIELD_NUMBER: _ClassVar[int]
    DELETED_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    text: str
    attributes: _containers.ScalarMap[str, str]
    unavailable: bool
    deleted: bool
    ts_ms: int
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., text: _Optional[str] = ..., attributes: _Optional[_Mapping[str, str]] = ..., unavailable: _Optional[bool] = ..., deleted: _Optional[bool] = ..., ts_ms: _Optional[int] = ...) -> None: ...

class Erasure(_message.Message):
    __slots__ = ("kind", "id", "ts_ms")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    TS_MS_FIELD_NUMBER: _ClassVar[int]
    kind: ErasureKind
    id: str
    ts_ms: int
    def __init__(self, kind: _Optional[_Union[ErasureKind, str]] = ..., id: _Optional[str] = ..., ts_ms: _Optional[int] = ...) -> None: ...
