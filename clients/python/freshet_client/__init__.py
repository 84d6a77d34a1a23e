"""Client of a Freshet retrieval server; needs only grpcio and protobuf."""

from freshet_client.access import Access
from freshet_client.answers import (
    AskedQueries,
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
    PathKind,
    VectorSource,
)
from freshet_client.generations import GenerationInfo, GenerationsResult, GenerationState
from freshet_client.retries import RetryPolicy
from freshet_client.session import Context
from freshet_client.similar import SimilarResult

__all__ = [
    "Access",
    "AskedQueries",
    "BatchResult",
    "CallFailed",
    "ChannelAttention",
    "ClientError",
    "Context",
    "DeadlineExceeded",
    "Evidence",
    "ExplainedPath",
    "Explanation",
    "Freshness",
    "GenerationInfo",
    "GenerationState",
    "GenerationsResult",
    "Hit",
    "ItemState",
    "ItemUnknown",
    "NoGeneration",
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
]
