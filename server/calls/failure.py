"""How a call fails: a status, and what programs may read of it beside its words.

The details are those of `google.rpc`, which gRPC's clients know in any language:
``ErrorInfo`` with a reason that never changes, ``BadRequest`` with the field that is
wrong, ``RetryInfo`` where a retry helps.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

Metadata = Sequence[tuple[str, str | bytes]]

DOMAIN: Final = "freshet"
"""Of `ErrorInfo.reason`: whose reason it is."""

DETAILS_METADATA: Final = "grpc-status-details-bin"
"""Trailing metadata in which gRPC's clients look for the details."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """How a call fails.

    Attributes:
        code: of gRPC.
        message: what is wrong, and what to do, for people.
        reason: why, for programs, such as ``QUERY_REFUSED``; it never changes.
        request_field: of the request, what is wrong; empty: nothing by itself.
        facts: more for programs, by name.
        retry_ms: when the same call may be tried again; 0: a retry does not help.
        metadata: trailing metadata beside the details.
    """

    code: grpc.StatusCode
    message: str
    reason: str
    request_field: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    retry_ms: int = 0
    metadata: Metadata = ()

    def details(self) -> list[Message]:
        """Return the details, as messages of `google.rpc`."""
        found: list[Message] = [
            ErrorInfo(reason=self.reason, domain=DOMAIN, metadata=dict(self.facts))
        ]
        if self.request_field:
            violation = BadRequest.FieldViolation(
                field=self.request_field, description=self.message
            )
            found.append(BadRequest(field_violations=[violation]))
        if self.retry_ms:
            delay = Duration()
            delay.FromMilliseconds(self.retry_ms)
            found.append(RetryInfo(retry_delay=delay))
        return found

    @cached_property
    def trailing_metadata(self) -> Metadata:
        """The trailing metadata of the call, the details included; made once, also
        where thousands of calls a second are turned away for the same reason.
        """
        status = Status(code=self.code.value[0], message=self.message)
        for detail in self.details():
            status.details.add().Pack(detail)
        return (*self.metadata, (DETAILS_METADATA, status.SerializeToString()))
