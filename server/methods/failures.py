"""What an exception means to the caller of a method."""

import logging
import re
import secrets
from typing import Final

import grpc

from server.calls.failure import Failure
from server.errors import NoGeneration, NotFreshEnough, QueryRefused, ServerError

logger = logging.getLogger(__name__)

NOT_READY_METADATA: Final = (("freshet-reason", "not-ready"),)
"""Trailing metadata that distinguishes "no generation is live yet" from "no server
there".

Both are UNAVAILABLE. Part of the contract, see ``protos/retrieval_v1.proto``.
"""

REFLECTED_METADATA: Final = "freshet-reflected-ms"
"""Key of the trailing metadata that says how fresh an answer could be, where a request
wants a fresher one.

Part of the contract, see ``protos/retrieval_v1.proto``.
"""

# Milliseconds. A refresher publishes, and a small generation loads, about once a
# second. Twice as much would come back a second late.
_RETRY_MS: Final = 1000


def failure_of(error: Exception, method: str) -> Failure:
    """Return how a call fails that raised an exception.

    What nobody expected is logged, and its words stay in the log.

    Args:
        error: what was raised.
        method: of the call, for the log.
    """
    name = error.status if isinstance(error, ServerError) else ServerError.status
    if name == ServerError.status:
        # 32 random bits: enough to find one line in a log, short enough to read out.
        error_id = secrets.token_hex(4)
        logger.error("request_failed method=%s error_id=%s", method, error_id, exc_info=error)
        return Failure(
            code=grpc.StatusCode[name],
            message=f"internal error; see the server's log under error_id={error_id}",
            reason="INTERNAL",
            facts={"error_id": error_id},
        )
    reflected_ms = str(error.reflected_ms) if isinstance(error, NotFreshEnough) else ""
    reflected = ((REFLECTED_METADATA, reflected_ms),) if reflected_ms else ()
    not_ready = NOT_READY_METADATA if isinstance(error, NoGeneration) else ()
    return Failure(
        code=grpc.StatusCode[name],
        message=str(error),
        reason=_reason_of(type(error)),
        request_field=error.request_field if isinstance(error, QueryRefused) else "",
        facts={"reflected_ms": reflected_ms} if reflected_ms else {},
        retry_ms=_RETRY_MS if isinstance(error, ServerError) and error.retriable else 0,
        metadata=(*not_ready, *reflected),
    )


def _reason_of(kind: type[Exception]) -> str:
    """Return the name of a class of errors as `google.rpc.ErrorInfo` writes reasons."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).upper()
