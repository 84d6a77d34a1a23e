"""Client of a Freshet retrieval server; needs only grpcio and protobuf."""

from freshet_client.access import Access
from freshet_client.answers import (
    AskedQueries,
    FilterPath,
    FilterReport,
    Freshness,
    Hit,
    OverlayState,
    QueryPath,
    Receipt,
    RetrieveResult,
)
from freshet_client.batch import BatchResult, Query
from freshet_client.client import RetrievalClient
from freshet_client.errors import (
    CallFailed,
    ClientError,
    DeadlineExceeded,
    ItemUnknown,
    NoGeneration,
    NotAuthenticated,
    NotFreshEnough,
    QueryRefused,
    ServerBusy,
    ServerUnreachable,
    SettingsInvalid,
)
from freshet_client.explanation import (
    ChannelAttention,
    Evidence,
    ExplainedPath,
    Explanation,
    ItemState,
    NewerClicks,
    PathKind,
    VectorSource,
)
from freshet_client.filters import (
    AnyOf,
    Condition,
    Equals,
    Filter,
    GroupBy,
    Has,
    InRange,
    Not,
    parse_condition,
)
from freshet_client.generations import GenerationInfo, GenerationsResult, GenerationState
from freshet_client.retries import RetryPolicy
from freshet_client.session import Context
from freshet_client.similar import SimilarResult

__all__ = [
    "Access",
    "AnyOf",
    "AskedQueries",
    "BatchResult",
    "CallFailed",
    "ChannelAttention",
    "ClientError",
    "Condition",
    "Context",
    "DeadlineExceeded",
    "Equals",
    "Evidence",
    "ExplainedPath",
    "Explanation",
    "Filter",
    "FilterPath",
    "FilterReport",
    "Freshness",
    "GenerationInfo",
    "GenerationState",
    "GenerationsResult",
    "GroupBy",
    "Has",
    "Hit",
    "InRange",
    "ItemState",
    "ItemUnknown",
    "NewerClicks",
    "NoGeneration",
    "Not",
    "NotAuthenticated",
    "NotFreshEnough",
    "OverlayState",
    "PathKind",
    "Query",
    "QueryPath",
    "QueryRefused",
    "Receipt",
    "RetrievalClient",
    "RetrieveResult",
    "RetryPolicy",
    "ServerBusy",
    "ServerUnreachable",
    "SettingsInvalid",
    "SimilarResult",
    "VectorSource",
    "parse_condition",
]
