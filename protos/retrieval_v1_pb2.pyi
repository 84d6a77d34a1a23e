from google.protobuf import field_mask_pb2 as _field_mask_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class FilterPath(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FILTER_PATH_UNSPECIFIED: _ClassVar[FilterPath]
    FILTER_PATH_EXACT: _ClassVar[FilterPath]
    FILTER_PATH_WIDENED: _ClassVar[FilterPath]

class VectorSource(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    VECTOR_SOURCE_UNSPECIFIED: _ClassVar[VectorSource]
    VECTOR_SOURCE_GENERATION: _ClassVar[VectorSource]
    VECTOR_SOURCE_OVERLAY: _ClassVar[VectorSource]

class ItemState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    ITEM_STATE_UNSPECIFIED: _ClassVar[ItemState]
    ITEM_STATE_SHOWN: _ClassVar[ItemState]
    ITEM_STATE_UNAVAILABLE: _ClassVar[ItemState]
    ITEM_STATE_GONE: _ClassVar[ItemState]

class Evidence(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EVIDENCE_UNSPECIFIED: _ClassVar[Evidence]
    EVIDENCE_PATHS: _ClassVar[Evidence]
    EVIDENCE_NO_LINK: _ClassVar[Evidence]
    EVIDENCE_QUERY_UNKNOWN: _ClassVar[Evidence]
    EVIDENCE_NEWER: _ClassVar[Evidence]
    EVIDENCE_NOT_STORED: _ClassVar[Evidence]

class QueryPath(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    QUERY_PATH_UNSPECIFIED: _ClassVar[QueryPath]
    QUERY_PATH_KNOWN: _ClassVar[QueryPath]
    QUERY_PATH_ENCODED: _ClassVar[QueryPath]
    QUERY_PATH_FRESH: _ClassVar[QueryPath]

class GenerationState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    GENERATION_STATE_UNSPECIFIED: _ClassVar[GenerationState]
    GENERATION_STATE_IDLE: _ClassVar[GenerationState]
    GENERATION_STATE_LIVE: _ClassVar[GenerationState]
    GENERATION_STATE_LOADING: _ClassVar[GenerationState]
    GENERATION_STATE_WAITING: _ClassVar[GenerationState]
    GENERATION_STATE_REFUSED: _ClassVar[GenerationState]
    GENERATION_STATE_UNREADABLE: _ClassVar[GenerationState]
FILTER_PATH_UNSPECIFIED: FilterPath
FILTER_PATH_EXACT: FilterPath
FILTER_PATH_WIDENED: FilterPath
VECTOR_SOURCE_UNSPECIFIED: VectorSource
VECTOR_SOURCE_GENERATION: VectorSource
VECTOR_SOURCE_OVERLAY: VectorSource
ITEM_STATE_UNSPECIFIED: ItemState
ITEM_STATE_SHOWN: ItemState
ITEM_STATE_UNAVAILABLE: ItemState
ITEM_STATE_GONE: ItemState
EVIDENCE_UNSPECIFIED: Evidence
EVIDENCE_PATHS: Evidence
EVIDENCE_NO_LINK: Evidence
EVIDENCE_QUERY_UNKNOWN: Evidence
EVIDENCE_NEWER: Evidence
EVIDENCE_NOT_STORED: Evidence
QUERY_PATH_UNSPECIFIED: QueryPath
QUERY_PATH_KNOWN: QueryPath
QUERY_PATH_ENCODED: QueryPath
QUERY_PATH_FRESH: QueryPath
GENERATION_STATE_UNSPECIFIED: GenerationState
GENERATION_STATE_IDLE: GenerationState
GENERATION_STATE_LIVE: GenerationState
GENERATION_STATE_LOADING: GenerationState
GENERATION_STATE_WAITING: GenerationState
GENERATION_STATE_REFUSED: GenerationState
GENERATION_STATE_UNREADABLE: GenerationState

class RetrieveRequest(_message.Message):
    __slots__ = ("query", "k", "min_freshness", "context_item_ids", "context_queries", "filter", "field_mask")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    MIN_FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_QUERIES_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    FIELD_MASK_FIELD_NUMBER: _ClassVar[int]
    query: str
    k: int
    min_freshness: MinFreshness
    context_item_ids: _containers.RepeatedScalarFieldContainer[str]
    context_queries: _containers.RepeatedScalarFieldContainer[str]
    filter: Filter
    field_mask: _field_mask_pb2.FieldMask
    def __init__(self, query: _Optional[str] = ..., k: _Optional[int] = ..., min_freshness: _Optional[_Union[MinFreshness, _Mapping]] = ..., context_item_ids: _Optional[_Iterable[str]] = ..., context_queries: _Optional[_Iterable[str]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., field_mask: _Optional[_Union[_field_mask_pb2.FieldMask, _Mapping]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("conditions", "excluded_item_ids", "group_by", "min_score")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    GROUP_BY_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    excluded_item_ids: _containers.RepeatedScalarFieldContainer[str]
    group_by: GroupBy
    min_score: float
    def __init__(self, conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., excluded_item_ids: _Optional[_Iterable[str]] = ..., group_by: _Optional[_Union[GroupBy, _Mapping]] = ..., min_score: _Optional[float] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("attribute", "equals", "any_of", "range", "present", "negated")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    EQUALS_FIELD_NUMBER: _ClassVar[int]
    ANY_OF_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    PRESENT_FIELD_NUMBER: _ClassVar[int]
    NEGATED_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    equals: str
    any_of: Values
    range: NumberRange
    present: bool
    negated: bool
    def __init__(self, attribute: _Optional[str] = ..., equals: _Optional[str] = ..., any_of: _Optional[_Union[Values, _Mapping]] = ..., range: _Optional[_Union[NumberRange, _Mapping]] = ..., present: _Optional[bool] = ..., negated: _Optional[bool] = ...) -> None: ...

class Values(_message.Message):
    __slots__ = ("values",)
    VALUES_FIELD_NUMBER: _ClassVar[int]
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, values: _Optional[_Iterable[str]] = ...) -> None: ...

class NumberRange(_message.Message):
    __slots__ = ("at_least", "at_most", "more_than", "less_than")
    AT_LEAST_FIELD_NUMBER: _ClassVar[int]
    AT_MOST_FIELD_NUMBER: _ClassVar[int]
    MORE_THAN_FIELD_NUMBER: _ClassVar[int]
    LESS_THAN_FIELD_NUMBER: _ClassVar[int]
    at_least: float
    at_most: float
    more_than: float
    less_than: float
    def __init__(self, at_least: _Optional[float] = ..., at_most: _Optional[float] = ..., more_than: _Optional[float] = ..., less_than: _Optional[float] = ...) -> None: ...

class GroupBy(_message.Message):
    __slots__ = ("attribute", "max_hits")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    MAX_HITS_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    max_hits: int
    def __init__(self, attribute: _Optional[str] = ..., max_hits: _Optional[int] = ...) -> None: ...

class MinFreshness(_message.Message):
    __slots__ = ("reflected_ms", "max_age_seconds")
    REFLECTED_MS_FIELD_NUMBER: _ClassVar[int]
    MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    reflected_ms: int
    max_age_seconds: float
    def __init__(self, reflected_ms: _Optional[int] = ..., max_age_seconds: _Optional[float] = ...) -> None: ...

class RetrieveResponse(_message.Message):
    __slots__ = ("hits", "receipt", "query_path", "normalized_query", "context_members", "filter")
    HITS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    QUERY_PATH_FIELD_NUMBER: _ClassVar[int]
    NORMALIZED_QUERY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_MEMBERS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    receipt: FreshnessReceipt
    query_path: QueryPath
    normalized_query: str
    context_members: int
    filter: FilterReport
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., receipt: _Optional[_Union[FreshnessReceipt, _Mapping]] = ..., query_path: _Optional[_Union[QueryPath, str]] = ..., normalized_query: _Optional[str] = ..., context_members: _Optional[int] = ..., filter: _Optional[_Union[FilterReport, _Mapping]] = ...) -> None: ...

class FilterReport(_message.Message):
    __slots__ = ("num_matching", "path", "unknown_attributes")
    NUM_MATCHING_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    UNKNOWN_ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    num_matching: int
    path: FilterPath
    unknown_attributes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, num_matching: _Optional[int] = ..., path: _Optional[_Union[FilterPath, str]] = ..., unknown_attributes: _Optional[_Iterable[str]] = ...) -> None: ...

class Hit(_message.Message):
    __slots__ = ("item_id", "score", "title")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    score: float
    title: str
    def __init__(self, item_id: _Optional[str] = ..., score: _Optional[float] = ..., title: _Optional[str] = ...) -> None: ...

class RetrieveBatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RetrieveRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RetrieveRequest, _Mapping]]] = ...) -> None: ...

class RetrieveBatchResponse(_message.Message):
    __slots__ = ("answers", "receipt")
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[BatchedAnswer]
    receipt: FreshnessReceipt
    def __init__(self, answers: _Optional[_Iterable[_Union[BatchedAnswer, _Mapping]]] = ..., receipt: _Optional[_Union[FreshnessReceipt, _Mapping]] = ...) -> None: ...

class BatchedAnswer(_message.Message):
    __slots__ = ("response", "error")
    RESPONSE_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    response: RetrieveResponse
    error: RequestError
    def __init__(self, response: _Optional[_Union[RetrieveResponse, _Mapping]] = ..., error: _Optional[_Union[RequestError, _Mapping]] = ...) -> None: ...

class RequestError(_message.Message):
    __slots__ = ("code", "message", "reason", "field")
    CODE_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    code: int
    message: str
    reason: str
    field: str
    def __init__(self, code: _Optional[int] = ..., message: _Optional[str] = ..., reason: _Optional[str] = ..., field: _Optional[str] = ...) -> None: ...

class SimilarItemsRequest(_message.Message):
    __slots__ = ("item_id", "k", "min_freshness", "filter")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    MIN_FRESHNESS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    k: int
    min_freshness: MinFreshness
    filter: Filter
    def __init__(self, item_id: _Optional[str] = ..., k: _Optional[int] = ..., min_freshness: _Optional[_Union[MinFreshness, _Mapping]] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ...) -> None: ...

class SimilarItemsResponse(_message.Message):
    __slots__ = ("hits", "receipt", "item_source", "filter")
    HITS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    ITEM_SOURCE_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    hits: _containers.RepeatedCompositeFieldContainer[Hit]
    receipt: FreshnessReceipt
    item_source: VectorSource
    filter: FilterReport
    def __init__(self, hits: _Optional[_Iterable[_Union[Hit, _Mapping]]] = ..., receipt: _Optional[_Union[FreshnessReceipt, _Mapping]] = ..., item_source: _Optional[_Union[VectorSource, str]] = ..., filter: _Optional[_Union[FilterReport, _Mapping]] = ...) -> None: ...

class ExplainRequest(_message.Message):
    __slots__ = ("query", "item_id", "max_paths")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    MAX_PATHS_FIELD_NUMBER: _ClassVar[int]
    query: str
    item_id: str
    max_paths: int
    def __init__(self, query: _Optional[str] = ..., item_id: _Optional[str] = ..., max_paths: _Optional[int] = ...) -> None: ...

class ExplainResponse(_message.Message):
    __slots__ = ("normalized_query", "item_id", "title", "score", "query_path", "item_source", "item_state", "channels", "evidence", "paths", "receipt", "newer_clicks", "item_newer_sessions")
    NORMALIZED_QUERY_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    QUERY_PATH_FIELD_NUMBER: _ClassVar[int]
    ITEM_SOURCE_FIELD_NUMBER: _ClassVar[int]
    ITEM_STATE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    EVIDENCE_FIELD_NUMBER: _ClassVar[int]
    PATHS_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    NEWER_CLICKS_FIELD_NUMBER: _ClassVar[int]
    ITEM_NEWER_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    normalized_query: str
    item_id: str
    title: str
    score: float
    query_path: QueryPath
    item_source: VectorSource
    item_state: ItemState
    channels: _containers.RepeatedCompositeFieldContainer[ChannelAttention]
    evidence: Evidence
    paths: _containers.RepeatedCompositeFieldContainer[Path]
    receipt: FreshnessReceipt
    newer_clicks: _containers.RepeatedCompositeFieldContainer[NewerClicks]
    item_newer_sessions: int
    def __init__(self, normalized_query: _Optional[str] = ..., item_id: _Optional[str] = ..., title: _Optional[str] = ..., score: _Optional[float] = ..., query_path: _Optional[_Union[QueryPath, str]] = ..., item_source: _Optional[_Union[VectorSource, str]] = ..., item_state: _Optional[_Union[ItemState, str]] = ..., channels: _Optional[_Iterable[_Union[ChannelAttention, _Mapping]]] = ..., evidence: _Optional[_Union[Evidence, str]] = ..., paths: _Optional[_Iterable[_Union[Path, _Mapping]]] = ..., receipt: _Optional[_Union[FreshnessReceipt, _Mapping]] = ..., newer_clicks: _Optional[_Iterable[_Union[NewerClicks, _Mapping]]] = ..., item_newer_sessions: _Optional[int] = ...) -> None: ...

class NewerClicks(_message.Message):
    __slots__ = ("item_id", "num_sessions")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    num_sessions: int
    def __init__(self, item_id: _Optional[str] = ..., num_sessions: _Optional[int] = ...) -> None: ...

class ChannelAttention(_message.Message):
    __slots__ = ("channel", "propagates", "query", "item")
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    PROPAGATES_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    ITEM_FIELD_NUMBER: _ClassVar[int]
    channel: str
    propagates: str
    query: float
    item: float
    def __init__(self, channel: _Optional[str] = ..., propagates: _Optional[str] = ..., query: _Optional[float] = ..., item: _Optional[float] = ...) -> None: ...

class Path(_message.Message):
    __slots__ = ("strength", "click", "session", "other_query")
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    CLICK_FIELD_NUMBER: _ClassVar[int]
    SESSION_FIELD_NUMBER: _ClassVar[int]
    OTHER_QUERY_FIELD_NUMBER: _ClassVar[int]
    strength: float
    click: ClickPath
    session: SessionPath
    other_query: OtherQueryPath
    def __init__(self, strength: _Optional[float] = ..., click: _Optional[_Union[ClickPath, _Mapping]] = ..., session: _Optional[_Union[SessionPath, _Mapping]] = ..., other_query: _Optional[_Union[OtherQueryPath, _Mapping]] = ...) -> None: ...

class ClickPath(_message.Message):
    __slots__ = ("num_sessions",)
    NUM_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    num_sessions: int
    def __init__(self, num_sessions: _Optional[int] = ...) -> None: ...

class SessionPath(_message.Message):
    __slots__ = ("via_item_id", "num_sessions", "is_lower_bound")
    VIA_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    NUM_SESSIONS_FIELD_NUMBER: _ClassVar[int]
    IS_LOWER_BOUND_FIELD_NUMBER: _ClassVar[int]
    via_item_id: str
    num_sessions: int
    is_lower_bound: bool
    def __init__(self, via_item_id: _Optional[str] = ..., num_sessions: _Optional[int] = ..., is_lower_bound: _Optional[bool] = ...) -> None: ...

class OtherQueryPath(_message.Message):
    __slots__ = ("via_item_id", "query")
    VIA_ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    QUERY_FIELD_NUMBER: _ClassVar[int]
    via_item_id: str
    query: str
    def __init__(self, via_item_id: _Optional[str] = ..., query: _Optional[str] = ...) -> None: ...

class FreshnessReceipt(_message.Message):
    __slots__ = ("generation", "watermark_ms", "watermark_age_seconds", "snapshot_ms", "snapshot_age_seconds", "live_since_ms", "overlay_sequence", "reflected_ms", "age_seconds", "refused_generation", "catalog_reflected_ms")
    GENERATION_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_MS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_MS_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    LIVE_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    REFLECTED_MS_FIELD_NUMBER: _ClassVar[int]
    AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_GENERATION_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REFLECTED_MS_FIELD_NUMBER: _ClassVar[int]
    generation: str
    watermark_ms: int
    watermark_age_seconds: float
    snapshot_ms: int
    snapshot_age_seconds: float
    live_since_ms: int
    overlay_sequence: int
    reflected_ms: int
    age_seconds: float
    refused_generation: str
    catalog_reflected_ms: int
    def __init__(self, generation: _Optional[str] = ..., watermark_ms: _Optional[int] = ..., watermark_age_seconds: _Optional[float] = ..., snapshot_ms: _Optional[int] = ..., snapshot_age_seconds: _Optional[float] = ..., live_since_ms: _Optional[int] = ..., overlay_sequence: _Optional[int] = ..., reflected_ms: _Optional[int] = ..., age_seconds: _Optional[float] = ..., refused_generation: _Optional[str] = ..., catalog_reflected_ms: _Optional[int] = ...) -> None: ...

class GetFreshnessRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class GetFreshnessResponse(_message.Message):
    __slots__ = ("ready", "receipt", "num_items", "num_queries", "last_refusal", "overlay")
    READY_FIELD_NUMBER: _ClassVar[int]
    RECEIPT_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIES_FIELD_NUMBER: _ClassVar[int]
    LAST_REFUSAL_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    receipt: FreshnessReceipt
    num_items: int
    num_queries: int
    last_refusal: str
    overlay: OverlayState
    def __init__(self, ready: _Optional[bool] = ..., receipt: _Optional[_Union[FreshnessReceipt, _Mapping]] = ..., num_items: _Optional[int] = ..., num_queries: _Optional[int] = ..., last_refusal: _Optional[str] = ..., overlay: _Optional[_Union[OverlayState, _Mapping]] = ...) -> None: ...

class OverlayState(_message.Message):
    __slots__ = ("sequence", "num_items", "num_queries", "num_gone_items", "behind", "last_refusal", "pending_generation", "written_ms")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIES_FIELD_NUMBER: _ClassVar[int]
    NUM_GONE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    LAST_REFUSAL_FIELD_NUMBER: _ClassVar[int]
    PENDING_GENERATION_FIELD_NUMBER: _ClassVar[int]
    WRITTEN_MS_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    num_items: int
    num_queries: int
    num_gone_items: int
    behind: str
    last_refusal: str
    pending_generation: str
    written_ms: int
    def __init__(self, sequence: _Optional[int] = ..., num_items: _Optional[int] = ..., num_queries: _Optional[int] = ..., num_gone_items: _Optional[int] = ..., behind: _Optional[str] = ..., last_refusal: _Optional[str] = ..., pending_generation: _Optional[str] = ..., written_ms: _Optional[int] = ...) -> None: ...

class GetAskedRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class GetAskedResponse(_message.Message):
    __slots__ = ("queries", "window_seconds")
    QUERIES_FIELD_NUMBER: _ClassVar[int]
    WINDOW_SECONDS_FIELD_NUMBER: _ClassVar[int]
    queries: _containers.RepeatedCompositeFieldContainer[AskedQuery]
    window_seconds: float
    def __init__(self, queries: _Optional[_Iterable[_Union[AskedQuery, _Mapping]]] = ..., window_seconds: _Optional[float] = ...) -> None: ...

class AskedQuery(_message.Message):
    __slots__ = ("query", "count")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    query: str
    count: int
    def __init__(self, query: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...

class ListGenerationsRequest(_message.Message):
    __slots__ = ("limit",)
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    limit: int
    def __init__(self, limit: _Optional[int] = ...) -> None: ...

class ListGenerationsResponse(_message.Message):
    __slots__ = ("generations", "current", "pinned", "pinned_since_ms")
    GENERATIONS_FIELD_NUMBER: _ClassVar[int]
    CURRENT_FIELD_NUMBER: _ClassVar[int]
    PINNED_FIELD_NUMBER: _ClassVar[int]
    PINNED_SINCE_MS_FIELD_NUMBER: _ClassVar[int]
    generations: _containers.RepeatedCompositeFieldContainer[GenerationInfo]
    current: str
    pinned: str
    pinned_since_ms: int
    def __init__(self, generations: _Optional[_Iterable[_Union[GenerationInfo, _Mapping]]] = ..., current: _Optional[str] = ..., pinned: _Optional[str] = ..., pinned_since_ms: _Optional[int] = ...) -> None: ...

class GenerationInfo(_message.Message):
    __slots__ = ("generation_id", "state", "reason", "created_ms", "parent", "snapshot_ms", "watermark_ms", "num_items", "num_queries", "num_indexed", "gate_passed", "gate_reasons", "evaluation", "index_engine")
    class EvaluationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_MS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_MS_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIES_FIELD_NUMBER: _ClassVar[int]
    NUM_INDEXED_FIELD_NUMBER: _ClassVar[int]
    GATE_PASSED_FIELD_NUMBER: _ClassVar[int]
    GATE_REASONS_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    INDEX_ENGINE_FIELD_NUMBER: _ClassVar[int]
    generation_id: str
    state: GenerationState
    reason: str
    created_ms: int
    parent: str
    snapshot_ms: int
    watermark_ms: int
    num_items: int
    num_queries: int
    num_indexed: int
    gate_passed: bool
    gate_reasons: _containers.RepeatedScalarFieldContainer[str]
    evaluation: _containers.ScalarMap[str, float]
    index_engine: str
    def __init__(self, generation_id: _Optional[str] = ..., state: _Optional[_Union[GenerationState, str]] = ..., reason: _Optional[str] = ..., created_ms: _Optional[int] = ..., parent: _Optional[str] = ..., snapshot_ms: _Optional[int] = ..., watermark_ms: _Optional[int] = ..., num_items: _Optional[int] = ..., num_queries: _Optional[int] = ..., num_indexed: _Optional[int] = ..., gate_passed: _Optional[bool] = ..., gate_reasons: _Optional[_Iterable[str]] = ..., evaluation: _Optional[_Mapping[str, float]] = ..., index_engine: _Optional[str] = ...) -> None: ...
