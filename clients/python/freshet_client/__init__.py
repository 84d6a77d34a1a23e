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
from freshet_client.client import RetrievalClient
from freshet_client.errors import (
    CallFailed,
    ClientError,
    DeadlineExceeded,
    NoGeneration,
    NotAuthenticated,
    NotFreshEnough,
    QueryRefused,
    ServerBusy,
    ServerUnreachable,
    SettingsInvalid,
)
from freshet_client.retries import RetryPolicy
from freshet_client.session import Context

__all__ = [
    "Access",
    "AskedQueries",
    "CallFailed",
    "ClientError",
    "Context",
    "DeadlineExceeded",
    "Freshness",
    "Hit",
    "NoGeneration",
    "NotAuthenticated",
    "NotFreshEnough",
    "OverlayState",
    "QueryPath",
    "QueryRefused",
    "Receipt",
    "RetrievalClient",
    "RetrieveResult",
    "RetryPolicy",
    "ServerBusy",
    "ServerUnreachable",
    "SettingsInvalid",
]
