"""One connection to a server: its options, and calls that end in an answer or in one
clear error.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.message import Message

from freshet_client.access import Access
from freshet_client.errors import CallFailed, SettingsInvalid, error_of
from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb
from freshet_client.retries import RetryPolicy

_SERVICE = retrieval_pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name
_TARGET = re.compile(r"(\[[^\[\]]+\]|[^\[\]:]+):([0-9]+)")
_MAX_PORT = 65_535  # the largest number of a TCP port

_FIRST_RECONNECT_MS = 100
"""Milliseconds before gRPC connects again after a first failure.

Its own 1,000 are as long as a restart of a small server takes; with twice our 100 the
second try of a call would find no connection.
"""

_LONGEST_RECONNECT_MS = 2_000
"""Milliseconds between two tries to connect at most, as between two tries of a call.

gRPC's own are 120,000: a client would not notice for two minutes that a server is back.
"""

_LONGEST_SECONDS = 365 * 86_400.0
"""Seconds that a call may take at most: whoever gives more, or an infinity, wants no
deadline, and gRPC takes what it cannot count in 64 bits for one that is over.
"""

_OPTIONS = (
    # A retrieval server is a neighbour: a web proxy named in the environment has no
    # business between.
    ("grpc.enable_http_proxy", 0),
    # An answer of `max_k` items with long titles can exceed gRPC's default of 4 MiB.
    ("grpc.max_receive_message_length", -1),
    ("grpc.initial_reconnect_backoff_ms", _FIRST_RECONNECT_MS),
    ("grpc.max_reconnect_backoff_ms", _LONGEST_RECONNECT_MS),
)

Response = TypeVar("Response", bound=Message)


class Connection:
    """A channel to one server; any number of threads may share it.

    Args:
        target: HOST:PORT of the server.
        timeout_seconds: how long a call without a timeout of its own may take.
        retry: when a call is tried again; None: never.
        access: what a protected server asks for.
        metadata: sent with each call, beside that.

    Raises:
        SettingsInvalid: `target` is not HOST:PORT, `timeout_seconds` is no number, or a
            file of `access` cannot be read.
    """

    def __init__(
        self,
        target: str,
        timeout_seconds: float,
        retry: RetryPolicy | None,
        access: Access,
        metadata: Sequence[tuple[str, str]] = (),
    ) -> None:
        _check_target(target)
        self.target = target
        self._timeout_seconds = checked_timeout(timeout_seconds)
        self._access = access
        self._metadata = tuple(metadata)
        self._channel = access.channel(target, (*_OPTIONS, *_retry_options(retry)))
        self._methods: dict[str, Callable[..., Any]] = {
            name: self._channel.unary_unary(
                f"/{_SERVICE}/{name}",
                request_serializer=lambda request: request.SerializeToString(),
                response_deserializer=response.FromString,
            )
            for name, response in _RESPONSES.items()
        }

    def call(
        self,
        method: str,
        request: Message,
        response: type[Response],
        timeout_seconds: float | None,
        *,
        wait_for_server: bool = False,
    ) -> Response:
        """Call a method, and return its answer.

        Args:
            method: its name.
            request: its request.
            response: what it answers with.
            timeout_seconds: how long the call may take; None: the connection's default.
            wait_for_server: wait for a server that is not there yet.

        Raises:
            ClientError: the call failed.
        """
        seconds = (
            self._timeout_seconds if timeout_seconds is None else checked_timeout(timeout_seconds)
        )
        try:
            answer = self._methods[method](
                request,
                timeout=seconds,
                wait_for_ready=wait_for_server,
                metadata=(*self._access.metadata(), *self._metadata),
            )
        except grpc.RpcError as error:
            raise error_of(error, self.target, seconds) from error
        except ValueError as error:  # so of a client that was closed
            raise CallFailed(f"{self.target} cannot be called: {error}") from error
        assert isinstance(answer, response)  # noqa: S101  # for the types: gRPC has none
        return answer

    def close(self) -> None:
        """Close the channel; running calls are cancelled."""
        self._channel.close()


_RESPONSES: dict[str, type[Message]] = {
    "Retrieve": retrieval_pb.RetrieveResponse,
    "RetrieveBatch": retrieval_pb.RetrieveBatchResponse,
    "SimilarItems": retrieval_pb.SimilarItemsResponse,
    "Explain": retrieval_pb.ExplainResponse,
    "GetFreshness": retrieval_pb.GetFreshnessResponse,
    "ListGenerations": retrieval_pb.ListGenerationsResponse,
    "GetAsked": retrieval_pb.GetAskedResponse,
}


def checked_timeout(seconds: float) -> float:
    """Return how long a call may take, a year at most.

    Raises:
        SettingsInvalid: it is no number.
    """
    try:
        known = float(seconds)
    except (TypeError, ValueError):
        known = math.nan
    if math.isnan(known):
        raise SettingsInvalid(f"timeout_seconds is {seconds!r}; it must be a number of seconds")
    return min(known, _LONGEST_SECONDS)


def _check_target(target: str) -> None:
    match = _TARGET.fullmatch(target)
    if match is None or int(match[2]) > _MAX_PORT:
        raise SettingsInvalid(
            f"target is {target!r}; it must be HOST:PORT, such as 127.0.0.1:50051"
        )


def _retry_options(retry: RetryPolicy | None) -> tuple[tuple[str, int | str], ...]:
    if retry is None:
        return (("grpc.enable_retries", 0),)
    return (("grpc.service_config", retry.service_config(_SERVICE)),)
