"""A small client: asks a retrieval server and hands on our own types, or one clear
error.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Self, TypeVar

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.addresses import split_address
from server.errors import CallFailed, NoGeneration, QueryRefused, ServerError, ServerUnreachable
from server.freshness import Receipt
from server.retrieve import QueryPath
from server.service import NOT_READY_METADATA

# A retrieval server is a neighbour: a web proxy named in the environment has no
# business between.
_OPTIONS = (("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1))
_PATHS = {
    retrieval_pb.QUERY_PATH_KNOWN: QueryPath.KNOWN,
    retrieval_pb.QUERY_PATH_ENCODED: QueryPath.ENCODED,
}

Response = TypeVar("Response")


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One item of an answer; `score` is the cosine with the query, -1 to 1."""

    item_id: str
    title: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Retrieved:
    """An answer.

    Attributes:
        hits: best first.
        receipt: how fresh it is.
        path: where the query's vector came from; None: one that only a newer client
            knows.
        normalized_query: what the server made of the query.
    """

    hits: tuple[Hit, ...]
    receipt: Receipt
    path: QueryPath | None
    normalized_query: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """What a server answers from.

    Attributes:
        ready: whether it would answer a query.
        receipt: how fresh an answer would be now; None while it is not ready.
        num_items: items of the generation.
        num_queries: known queries of the generation.
        last_refusal: why the newest generation that it tried was not taken; empty: it
            was.
    """

    ready: bool
    receipt: Receipt | None
    num_items: int
    num_queries: int
    last_refusal: str


class RetrievalClient:
    """Calls one server. Close it, or use it in a ``with``.

    Any number of threads may share it.

    Args:
        target: HOST:PORT of the server.
        timeout_seconds: how long a call may take.

    Raises:
        SettingsInvalid: `target` is not HOST:PORT.
    """

    def __init__(self, target: str, *, timeout_seconds: float = 5.0) -> None:
        split_address(target, "target")
        self._target = target
        self._timeout_seconds = timeout_seconds
        self._channel = grpc.insecure_channel(target, options=_OPTIONS)
        self._stub = retrieval_grpc.RetrievalServiceStub(self._channel)

    def retrieve(self, query: str, k: int = 0) -> Retrieved:
        """Return the `k` items nearest to a query (0: as many as the server gives by
        default).

        Raises:
            QueryRefused: the query or `k` is outside the server's limits.
            NoGeneration: the server has no generation yet.
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed.
        """
        return _retrieved(self._retrieve(query, k))

    def retrieve_json(self, query: str, k: int = 0) -> str:
        """Return what the call returned as protobuf JSON with all fields.

        Raises as `retrieve` does.
        """
        return _json(self._retrieve(query, k))

    def freshness(self) -> Freshness:
        """Return what the server answers from, and how old that is.

        Raises:
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed.
        """
        response = self._freshness()
        return Freshness(
            ready=response.ready,
            receipt=_receipt(response.receipt) if response.HasField("receipt") else None,
            num_items=response.num_items,
            num_queries=response.num_queries,
            last_refusal=response.last_refusal,
        )

    def freshness_json(self) -> str:
        """Return what the call returned as protobuf JSON with all fields.

        Raises as `freshness` does.
        """
        return _json(self._freshness())

    def close(self) -> None:
        """Close the connection; calls under way are cancelled."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _retrieve(self, query: str, k: int) -> retrieval_pb.RetrieveResponse:
        try:
            request = retrieval_pb.RetrieveRequest(query=query, k=k)
        except UnicodeEncodeError:
            raise QueryRefused("the query is not valid Unicode; send it as UTF-8") from None
        except ValueError:
            raise QueryRefused(f"k is {k}; it must be a small whole number, 0 or more") from None
        return self._call(lambda: self._stub.Retrieve(request, timeout=self._timeout_seconds))

    def _freshness(self) -> retrieval_pb.GetFreshnessResponse:
        request = retrieval_pb.GetFreshnessRequest()
        return self._call(lambda: self._stub.GetFreshness(request, timeout=self._timeout_seconds))

    def _call(self, call: Callable[[], Response]) -> Response:
        try:
            return call()
        except grpc.RpcError as error:
            raise self._meaning(error) from error

    def _meaning(self, error: grpc.RpcError) -> ServerError:
        """Return the error of ours that a failed call stands for."""
        if not isinstance(error, grpc.Call):
            return CallFailed(f"the call to {self._target} failed: {error}")
        code, details = error.code(), error.details() or ""
        if code is grpc.StatusCode.INVALID_ARGUMENT:
            return QueryRefused(details)
        if code is grpc.StatusCode.UNAVAILABLE and _says_not_ready(error.trailing_metadata()):
            return NoGeneration(f"the server at {self._target} is not ready: {details}")
        said = {
            grpc.StatusCode.UNAVAILABLE: ServerUnreachable(
                f"no retrieval server answers at {self._target}; is `freshet serve` running there?"
            ),
            grpc.StatusCode.DEADLINE_EXCEEDED: ServerUnreachable(
                f"the server at {self._target} did not answer within {self._timeout_seconds:g} s; "
                "is it overloaded, or the address wrong?"
            ),
            grpc.StatusCode.UNIMPLEMENTED: CallFailed(
                f"what listens at {self._target} is not a Freshet server, or one of another version"
            ),
        }
        failed = CallFailed(f"the server at {self._target} failed the call: {code.name}: {details}")
        return said.get(code, failed)


def _says_not_ready(metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
    return any(tuple(entry) in NOT_READY_METADATA for entry in metadata or ())


def _retrieved(response: retrieval_pb.RetrieveResponse) -> Retrieved:
    return Retrieved(
        hits=tuple(
            Hit(item_id=hit.item_id, title=hit.title, score=hit.score) for hit in response.hits
        ),
        receipt=_receipt(response.receipt),
        path=_PATHS.get(response.query_path),
        normalized_query=response.normalized_query,
    )


def _receipt(message: retrieval_pb.FreshnessReceipt) -> Receipt:
    return Receipt(
        generation=message.generation,
        watermark_ms=message.watermark_ms,
        watermark_age_seconds=message.watermark_age_seconds,
        snapshot_ms=message.snapshot_ms,
        snapshot_age_seconds=message.snapshot_age_seconds,
        live_since_ms=message.live_since_ms,
    )


def _json(message: Message) -> str:
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        ensure_ascii=False,
    )
