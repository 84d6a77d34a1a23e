from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Snapshot(_message.Message):
    __slots__ = ("format_version", "snapshot_id", "taken_ms", "watermark_ms", "graph_hash", "shards", "half_life_seconds", "action_weights", "counts")
    class ActionWeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    TAKEN_MS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_MS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_HASH_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    HALF_LIFE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    ACTION_WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    snapshot_id: str
    taken_ms: int
    watermark_ms: int
    graph_hash: str
    shards: _containers.RepeatedCompositeFieldContainer[Shard]
    half_life_seconds: float
    action_weights: _containers.ScalarMap[str, float]
    counts: Counts
    def __init__(self, format_version: _Optional[int] = ..., snapshot_id: _Optional[str] = ..., taken_ms: _Optional[int] = ..., watermark_ms: _Optional[int] = ..., graph_hash: _Optional[str] = ..., shards: _Optional[_Iterable[_Union[Shard, _Mapping]]] = ..., half_life_seconds: _Optional[float] = ..., action_weights: _Optional[_Mapping[str, float]] = ..., counts: _Optional[_Union[Counts, _Mapping]] = ...) -> None: ...

class Shard(_message.Message):
    __slots__ = ("shard", "directory", "sequence", "watermark_ms", "positions", "writer")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    DIRECTORY_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_MS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    shard: int
    directory: str
    sequence: int
    watermark_ms: int
    positions: _containers.RepeatedCompositeFieldContainer[Position]
    writer: str
    def __init__(self, shard: _Optional[int] = ..., directory: _Optional[str] = ..., sequence: _Optional[int] = ..., watermark_ms: _Optional[int] = ..., positions: _Optional[_Iterable[_Union[Position, _Mapping]]] = ..., writer: _Optional[str] = ...) -> None: ...

class Position(_message.Message):
    __slots__ = ("source", "partition", "next_offset")
    SOURCE_FIELD_NUMBER: _ClassVar[int]
    PARTITION_FIELD_NUMBER: _ClassVar[int]
    NEXT_OFFSET_FIELD_NUMBER: _ClassVar[int]
    source: str
    partition: int
    next_offset: int
    def __init__(self, source: _Optional[str] = ..., partition: _Optional[int] = ..., next_offset: _Optional[int] = ...) -> None: ...

class Counts(_message.Message):
    __slots__ = ("facts", "sessions", "hyperedges", "incidences", "edge_facts")
    FACTS_FIELD_NUMBER: _ClassVar[int]
    SESSIONS_FIELD_NUMBER: _ClassVar[int]
    HYPEREDGES_FIELD_NUMBER: _ClassVar[int]
    INCIDENCES_FIELD_NUMBER: _ClassVar[int]
    EDGE_FACTS_FIELD_NUMBER: _ClassVar[int]
    facts: int
    sessions: int
    hyperedges: int
    incidences: int
    edge_facts: int
    def __init__(self, facts: _Optional[int] = ..., sessions: _Optional[int] = ..., hyperedges: _Optional[int] = ..., incidences: _Optional[int] = ..., edge_facts: _Optional[int] = ...) -> None: ...

class Generation(_message.Message):
    __slots__ = ("format_version", "generation_id", "parent", "created_ms", "code_version", "snapshot", "dim", "metric", "num_items", "num_queries", "num_indexed", "seed", "evaluation", "model", "files", "gate", "index", "channels", "context_weight", "context_query_weight", "feedback_weight", "canaries", "pretrained_text", "session_walk", "title_words", "item_prior", "first_page_cosine")
    class EvaluationEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class ModelEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    PARENT_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    CODE_VERSION_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIES_FIELD_NUMBER: _ClassVar[int]
    NUM_INDEXED_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    EVALUATION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    FILES_FIELD_NUMBER: _ClassVar[int]
    GATE_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_QUERY_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    FEEDBACK_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    CANARIES_FIELD_NUMBER: _ClassVar[int]
    PRETRAINED_TEXT_FIELD_NUMBER: _ClassVar[int]
    SESSION_WALK_FIELD_NUMBER: _ClassVar[int]
    TITLE_WORDS_FIELD_NUMBER: _ClassVar[int]
    ITEM_PRIOR_FIELD_NUMBER: _ClassVar[int]
    FIRST_PAGE_COSINE_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    generation_id: str
    parent: str
    created_ms: int
    code_version: str
    snapshot: SnapshotRef
    dim: int
    metric: str
    num_items: int
    num_queries: int
    num_indexed: int
    seed: int
    evaluation: _containers.ScalarMap[str, float]
    model: _containers.ScalarMap[str, str]
    files: _containers.RepeatedCompositeFieldContainer[File]
    gate: Gate
    index: Index
    channels: _containers.RepeatedScalarFieldContainer[str]
    context_weight: float
    context_query_weight: float
    feedback_weight: float
    canaries: _containers.RepeatedCompositeFieldContainer[Canary]
    pretrained_text: PretrainedText
    session_walk: SessionWalk
    title_words: TitleWords
    item_prior: ItemPrior
    first_page_cosine: float
    def __init__(self, format_version: _Optional[int] = ..., generation_id: _Optional[str] = ..., parent: _Optional[str] = ..., created_ms: _Optional[int] = ..., code_version: _Optional[str] = ..., snapshot: _Optional[_Union[SnapshotRef, _Mapping]] = ..., dim: _Optional[int] = ..., metric: _Optional[str] = ..., num_items: _Optional[int] = ..., num_queries: _Optional[int] = ..., num_indexed: _Optional[int] = ..., seed: _Optional[int] = ..., evaluation: _Optional[_Mapping[str, float]] = ..., model: _Optional[_Mapping[str, str]] = ..., files: _Optional[_Iterable[_Union[File, _Mapping]]] = ..., gate: _Optional[_Union[Gate, _Mapping]] = ..., index: _Optional[_Union[Index, _Mapping]] = ..., channels: _Optional[_Iterable[str]] = ..., context_weight: _Optional[float] = ..., context_query_weight: _Optional[float] = ..., feedback_weight: _Optional[float] = ..., canaries: _Optional[_Iterable[_Union[Canary, _Mapping]]] = ..., pretrained_text: _Optional[_Union[PretrainedText, _Mapping]] = ..., session_walk: _Optional[_Union[SessionWalk, _Mapping]] = ..., title_words: _Optional[_Union[TitleWords, _Mapping]] = ..., item_prior: _Optional[_Union[ItemPrior, _Mapping]] = ..., first_page_cosine: _Optional[float] = ...) -> None: ...

class Canary(_message.Message):
    __slots__ = ("query", "is_encoded", "item_id", "title", "cosine")
    QUERY_FIELD_NUMBER: _ClassVar[int]
    IS_ENCODED_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    COSINE_FIELD_NUMBER: _ClassVar[int]
    query: str
    is_encoded: bool
    item_id: str
    title: str
    cosine: float
    def __init__(self, query: _Optional[str] = ..., is_encoded: _Optional[bool] = ..., item_id: _Optional[str] = ..., title: _Optional[str] = ..., cosine: _Optional[float] = ...) -> None: ...

class PretrainedText(_message.Message):
    __slots__ = ("name", "version", "sha256", "dim")
    NAME_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    name: str
    version: str
    sha256: str
    dim: int
    def __init__(self, name: _Optional[str] = ..., version: _Optional[str] = ..., sha256: _Optional[str] = ..., dim: _Optional[int] = ...) -> None: ...

class TitleWords(_message.Message):
    __slots__ = ("dim", "scale")
    DIM_FIELD_NUMBER: _ClassVar[int]
    SCALE_FIELD_NUMBER: _ClassVar[int]
    dim: int
    scale: float
    def __init__(self, dim: _Optional[int] = ..., scale: _Optional[float] = ...) -> None: ...

class SessionWalk(_message.Message):
    __slots__ = ("dim", "query_scale", "item_scale", "new_item_scale", "new_query_scale")
    DIM_FIELD_NUMBER: _ClassVar[int]
    QUERY_SCALE_FIELD_NUMBER: _ClassVar[int]
    ITEM_SCALE_FIELD_NUMBER: _ClassVar[int]
    NEW_ITEM_SCALE_FIELD_NUMBER: _ClassVar[int]
    NEW_QUERY_SCALE_FIELD_NUMBER: _ClassVar[int]
    dim: int
    query_scale: float
    item_scale: float
    new_item_scale: float
    new_query_scale: float
    def __init__(self, dim: _Optional[int] = ..., query_scale: _Optional[float] = ..., item_scale: _Optional[float] = ..., new_item_scale: _Optional[float] = ..., new_query_scale: _Optional[float] = ...) -> None: ...

class ItemPrior(_message.Message):
    __slots__ = ("weight", "new_share")
    WEIGHT_FIELD_NUMBER: _ClassVar[int]
    NEW_SHARE_FIELD_NUMBER: _ClassVar[int]
    weight: float
    new_share: float
    def __init__(self, weight: _Optional[float] = ..., new_share: _Optional[float] = ...) -> None: ...

class Index(_message.Message):
    __slots__ = ("engine", "search_k", "trials")
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    SEARCH_K_FIELD_NUMBER: _ClassVar[int]
    TRIALS_FIELD_NUMBER: _ClassVar[int]
    engine: str
    search_k: int
    trials: _containers.RepeatedCompositeFieldContainer[IndexTrial]
    def __init__(self, engine: _Optional[str] = ..., search_k: _Optional[int] = ..., trials: _Optional[_Iterable[_Union[IndexTrial, _Mapping]]] = ...) -> None: ...

class IndexTrial(_message.Message):
    __slots__ = ("engine", "search_k", "recall_10", "cpu_microseconds")
    class Recall10Entry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    ENGINE_FIELD_NUMBER: _ClassVar[int]
    SEARCH_K_FIELD_NUMBER: _ClassVar[int]
    RECALL_10_FIELD_NUMBER: _ClassVar[int]
    CPU_MICROSECONDS_FIELD_NUMBER: _ClassVar[int]
    engine: str
    search_k: int
    recall_10: _containers.ScalarMap[str, float]
    cpu_microseconds: float
    def __init__(self, engine: _Optional[str] = ..., search_k: _Optional[int] = ..., recall_10: _Optional[_Mapping[str, float]] = ..., cpu_microseconds: _Optional[float] = ...) -> None: ...

class SnapshotRef(_message.Message):
    __slots__ = ("snapshot_id", "taken_ms", "watermark_ms", "graph_hash", "counts", "shards")
    SNAPSHOT_ID_FIELD_NUMBER: _ClassVar[int]
    TAKEN_MS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_MS_FIELD_NUMBER: _ClassVar[int]
    GRAPH_HASH_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    snapshot_id: str
    taken_ms: int
    watermark_ms: int
    graph_hash: str
    counts: Counts
    shards: _containers.RepeatedCompositeFieldContainer[Shard]
    def __init__(self, snapshot_id: _Optional[str] = ..., taken_ms: _Optional[int] = ..., watermark_ms: _Optional[int] = ..., graph_hash: _Optional[str] = ..., counts: _Optional[_Union[Counts, _Mapping]] = ..., shards: _Optional[_Iterable[_Union[Shard, _Mapping]]] = ...) -> None: ...

class File(_message.Message):
    __slots__ = ("name", "size_bytes", "sha256")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    SHA256_FIELD_NUMBER: _ClassVar[int]
    name: str
    size_bytes: int
    sha256: str
    def __init__(self, name: _Optional[str] = ..., size_bytes: _Optional[int] = ..., sha256: _Optional[str] = ...) -> None: ...

class Gate(_message.Message):
    __slots__ = ("passed", "reasons")
    PASSED_FIELD_NUMBER: _ClassVar[int]
    REASONS_FIELD_NUMBER: _ClassVar[int]
    passed: bool
    reasons: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, passed: _Optional[bool] = ..., reasons: _Optional[_Iterable[str]] = ...) -> None: ...

class Segment(_message.Message):
    __slots__ = ("format_version", "generation_id", "sequence", "writer", "is_full", "created_ms", "dim", "num_items", "num_queries", "num_gone_items", "num_gone_queries", "marks", "reflected_ms", "watermark_ms", "oldest", "newest", "sections", "catalog_reflected_ms")
    FORMAT_VERSION_FIELD_NUMBER: _ClassVar[int]
    GENERATION_ID_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    IS_FULL_FIELD_NUMBER: _ClassVar[int]
    CREATED_MS_FIELD_NUMBER: _ClassVar[int]
    DIM_FIELD_NUMBER: _ClassVar[int]
    NUM_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_QUERIES_FIELD_NUMBER: _ClassVar[int]
    NUM_GONE_ITEMS_FIELD_NUMBER: _ClassVar[int]
    NUM_GONE_QUERIES_FIELD_NUMBER: _ClassVar[int]
    MARKS_FIELD_NUMBER: _ClassVar[int]
    REFLECTED_MS_FIELD_NUMBER: _ClassVar[int]
    WATERMARK_MS_FIELD_NUMBER: _ClassVar[int]
    OLDEST_FIELD_NUMBER: _ClassVar[int]
    NEWEST_FIELD_NUMBER: _ClassVar[int]
    SECTIONS_FIELD_NUMBER: _ClassVar[int]
    CATALOG_REFLECTED_MS_FIELD_NUMBER: _ClassVar[int]
    format_version: int
    generation_id: str
    sequence: int
    writer: str
    is_full: bool
    created_ms: int
    dim: int
    num_items: int
    num_queries: int
    num_gone_items: int
    num_gone_queries: int
    marks: _containers.RepeatedCompositeFieldContainer[ShardMark]
    reflected_ms: int
    watermark_ms: int
    oldest: StageTimes
    newest: StageTimes
    sections: _containers.RepeatedCompositeFieldContainer[Section]
    catalog_reflected_ms: int
    def __init__(self, format_version: _Optional[int] = ..., generation_id: _Optional[str] = ..., sequence: _Optional[int] = ..., writer: _Optional[str] = ..., is_full: _Optional[bool] = ..., created_ms: _Optional[int] = ..., dim: _Optional[int] = ..., num_items: _Optional[int] = ..., num_queries: _Optional[int] = ..., num_gone_items: _Optional[int] = ..., num_gone_queries: _Optional[int] = ..., marks: _Optional[_Iterable[_Union[ShardMark, _Mapping]]] = ..., reflected_ms: _Optional[int] = ..., watermark_ms: _Optional[int] = ..., oldest: _Optional[_Union[StageTimes, _Mapping]] = ..., newest: _Optional[_Union[StageTimes, _Mapping]] = ..., sections: _Optional[_Iterable[_Union[Section, _Mapping]]] = ..., catalog_reflected_ms: _Optional[int] = ...) -> None: ...

class ShardMark(_message.Message):
    __slots__ = ("shard", "writer", "sequence")
    SHARD_FIELD_NUMBER: _ClassVar[int]
    WRITER_FIELD_NUMBER: _ClassVar[int]
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    writer: str
    sequence: int
    def __init__(self, shard: _Optional[int] = ..., writer: _Optional[str] = ..., sequence: _Optional[int] = ...) -> None: ...

class StageTimes(_message.Message):
    __slots__ = ("event_ms", "record_ms", "durable_ms")
    EVENT_MS_FIELD_NUMBER: _ClassVar[int]
    RECORD_MS_FIELD_NUMBER: _ClassVar[int]
    DURABLE_MS_FIELD_NUMBER: _ClassVar[int]
    event_ms: int
    record_ms: int
    durable_ms: int
    def __init__(self, event_ms: _Optional[int] = ..., record_ms: _Optional[int] = ..., durable_ms: _Optional[int] = ...) -> None: ...

class Section(_message.Message):
    __slots__ = ("name", "dtype", "shape", "offset")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DTYPE_FIELD_NUMBER: _ClassVar[int]
    SHAPE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    name: str
    dtype: str
    shape: _containers.RepeatedScalarFieldContainer[int]
    offset: int
    def __init__(self, name: _Optional[str] = ..., dtype: _Optional[str] = ..., shape: _Optional[_Iterable[int]] = ..., offset: _Optional[int] = ...) -> None: ...
