"""Client of a Freshet retrieval server; needs only grpcio and protobuf."""

from freshet_client.answers import Freshness, Hit, QueryPath, Receipt, RetrieveResult
from freshet_client.client import RetrievalClient
from freshet_client.errors import (
    CallFailed,
    ClientError,
    DeadlineExceeded,
    NoGeneration,
    QueryRefused,
    ServerBusy,
    ServerUnreachable,
    SettingsInvalid,
)
from freshet_client.retries import RetryPolicy

__all__ = [
    "CallFailed",
    "ClientError",
    "DeadlineExceeded",
    "Freshness",
    "Hit",
    "NoGeneration",
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
