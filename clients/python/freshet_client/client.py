"""A small client: calls a retrieval server and returns our own types, or raises one
clear error.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Self

from google.protobuf import json_format
from google.protobuf.message import Message

from freshet_client.access import NO_ACCESS, Access
from freshet_client.answers import (
    AskedQueries,
    Freshness,
    RetrieveResult,
    asked_of,
    freshness_of,
    retrieve_result_of,
)
from freshet_client.batch import BatchResult, Query, batch_result_of
from freshet_client.connection import Connection, checked_timeout
from freshet_client.errors import ClientError, NoGeneration, QueryRefused
from freshet_client.explanation import Explanation, explanation_of
from freshet_client.fields import count_of, several_of
from freshet_client.filters import NO_FILTER, Filter, filter_message
from freshet_client.generations import GenerationsResult, generations_of
from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb
from freshet_client.retries import DEFAULT_RETRY, RetryPolicy
from freshet_client.session import NO_CONTEXT, Context
from freshet_client.similar import SimilarResult, similar_result_of

_POLL_SECONDS = 0.2
"""Seconds between two checks of a server that is not ready.

A generation loads in seconds, and the question costs the server under a millisecond.
"""


class RetrievalClient:
    """Calls one server. Close it, or use it in a ``with``.

    Any number of threads may share it. A call that no server answered is tried again
    by gRPC itself, within the deadline of the call.

    Args:
        target: HOST:PORT of the server.
        timeout_seconds: how long a call without a timeout of its own may take, all its
            tries together.
        retry: when a call is tried again; None: never.
        access: what a protected server asks for.
        metadata: what each call carries beside its message, besides.

    Raises:
        SettingsInvalid: `target` is not HOST:PORT, or a file of `access` cannot be
            read.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout_seconds: float = 5.0,
        retry: RetryPolicy | None = DEFAULT_RETRY,
        access: Access = NO_ACCESS,
        metadata: tuple[tuple[str, str], ...] = (),
    ) -> None:
        self._connection = Connection(target, timeout_seconds, retry, access, metadata)

    def retrieve(  # noqa: PLR0913  # what a request can say
        self,
        query: str,
        k: int = 0,
        *,
        min_reflected_ms: int = 0,
        max_age_seconds: float | None = None,
        context: Context = NO_CONTEXT,
        filter_by: Filter = NO_FILTER,
        field_mask: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> RetrieveResult:
        """Return the `k` nearest items to a query.

        Args:
            query: as typed; the server normalises it.
            k: how many items; 0: as many as the server gives by default.
            min_reflected_ms: least `Receipt.reflected_ms` of the answer, such as that
                of an earlier one; 0: any.
            max_age_seconds: greatest `Receipt.age_seconds` of the answer; None: any.
                Give one of the two at most.
            context: what the shopper has done in this session.
            filter_by: which items may be in the answer.
            field_mask: fields of the answer that are wanted, by their names in the
                contract, such as ``hits.item_id``: the others are empty, and cost
                nothing on the wire; none: all are.
            timeout_seconds: how long this call may take; None: the client's default.

        Raises:
            QueryRefused: the query, `k` or the filter is outside the server's limits,
                or its generation has no attributes to filter by; or the mask names a
                field that there is none of.
            NotFreshEnough: the answer would be older than that; how fresh it could be
                is in the error.
            NoGeneration: the server has no generation yet.
            ServerBusy: the server has too many requests waiting, or has had too many
                of this caller.
            NotAuthenticated: the server wants a token, or another one.
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed.
        """
        asked = Query(
            query=query,
            k=k,
            min_reflected_ms=min_reflected_ms,
            max_age_seconds=max_age_seconds,
            context=context,
            filter_by=filter_by,
            field_mask=field_mask,
        )
        return retrieve_result_of(self._retrieve(_request_of(asked), timeout_seconds))

    def retrieve_json(  # noqa: PLR0913  # as `retrieve`
        self,
        query: str,
        k: int = 0,
        *,
        min_reflected_ms: int = 0,
        max_age_seconds: float | None = None,
        context: Context = NO_CONTEXT,
        filter_by: Filter = NO_FILTER,
        field_mask: Sequence[str] = (),
        timeout_seconds: float | None = None,
    ) -> str:
        """Return what the call returned as protobuf JSON with all fields.

        Takes and raises what `retrieve` does.
        """
        asked = Query(
            query=query,
            k=k,
            min_reflected_ms=min_reflected_ms,
            max_age_seconds=max_age_seconds,
            context=context,
            filter_by=filter_by,
            field_mask=field_mask,
        )
        return _json(self._retrieve(_request_of(asked), timeout_seconds))

    def retrieve_batch(
        self, queries: Sequence[str | Query], k: int = 0, *, timeout_seconds: float | None = None
    ) -> BatchResult:
        """Return the nearest items to each of many queries, all as of one moment.

        Args:
            queries: texts as typed, or queries with more to say. The server bounds how
                many (100 by default).
            k: how many items for a text, and for a query that does not say; 0: as many
                as the server gives by default.
            timeout_seconds: how long this call may take; None: the client's default.

        Raises:
            QueryRefused: the batch is empty or larger than the server answers. What is
                wrong with one query is in its place of the result.
            NoGeneration: the server has no generation yet.
            ServerBusy: as of `retrieve`; a batch counts as many calls as it has
                queries.
            NotAuthenticated: the server wants a token, or another one.
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed.
        """
        given = several_of("queries", queries)
        asked = [Query(query=each) if isinstance(each, str) else each for each in given]
        request = retrieval_pb.RetrieveBatchRequest(
            requests=[_request_of(replace(each, k=each.k or k)) for each in asked]
        )
        response = retrieval_pb.RetrieveBatchResponse
        return batch_result_of(
            self._connection.call("RetrieveBatch", request, response, timeout_seconds)
        )

    def similar_items(
        self,
        item_id: str,
        k: int = 0,
        *,
        min_reflected_ms: int = 0,
        max_age_seconds: float | None = None,
        filter_by: Filter = NO_FILTER,
        timeout_seconds: float | None = None,
    ) -> SimilarResult:
        """Return the `k` nearest items to an item, itself left out.

        Args:
            item_id: as the catalogue has it.
            k: how many items; 0: as many as the server gives by default.
            min_reflected_ms: as of `retrieve`.
            max_age_seconds: as of `retrieve`.
            filter_by: which items may be in the answer.
            timeout_seconds: how long this call may take; None: the client's default.

        Raises:
            ItemUnknown: the server does not have the item, or it is deleted.
            ClientError: as `retrieve` does.
        """
        wanted = _request_of(
            Query(
                query="",
                k=k,
                min_reflected_ms=min_reflected_ms,
                max_age_seconds=max_age_seconds,
                filter_by=filter_by,
            )
        )
        request = retrieval_pb.SimilarItemsRequest(item_id=_text(item_id), k=wanted.k)
        if wanted.HasField("filter"):
            request.filter.CopyFrom(wanted.filter)
        if wanted.HasField("min_freshness"):
            request.min_freshness.CopyFrom(wanted.min_freshness)
        response = retrieval_pb.SimilarItemsResponse
        return similar_result_of(
            self._connection.call("SimilarItems", request, response, timeout_seconds)
        )

    def explain(
        self,
        query: str,
        item_id: str,
        *,
        max_paths: int = 0,
        timeout_seconds: float | None = None,
    ) -> Explanation:
        """Return why an item answers a query, or does not.

        Args:
            query: as typed; the server normalises it.
            item_id: as the catalogue has it.
            max_paths: most paths that are wanted; 0: ten.
            timeout_seconds: how long this call may take; None: the client's default.

        Raises:
            ItemUnknown: the server does not have the item.
            ClientError: as `retrieve` does.
        """
        request = retrieval_pb.ExplainRequest(
            query=_text(query), item_id=_text(item_id), max_paths=count_of("max_paths", max_paths)
        )
        response = retrieval_pb.ExplainResponse
        return explanation_of(self._connection.call("Explain", request, response, timeout_seconds))

    def list_generations(
        self, limit: int = 0, *, timeout_seconds: float | None = None
    ) -> GenerationsResult:
        """Return the generations that the server has on disk: live, refused, pinned.

        Args:
            limit: at most so many, the newest; 0: twenty.
            timeout_seconds: how long this call may take; None: the client's default.

        Raises:
            QueryRefused: the limit is negative, or more than 100.
            ClientError: as `freshness` does.
        """
        request = retrieval_pb.ListGenerationsRequest(limit=count_of("limit", limit))
        response = retrieval_pb.ListGenerationsResponse
        return generations_of(
            self._connection.call("ListGenerations", request, response, timeout_seconds)
        )

    def asked(self, limit: int = 0, *, timeout_seconds: float | None = None) -> AskedQueries:
        """Return what the server was asked most in the last minutes.

        Args:
            limit: at most so many queries; 0: all that are counted.
            timeout_seconds: how long this call may take; None: the client's default.

        Raises:
            QueryRefused: the limit is negative.
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed, or is too old to count.
        """
        request = retrieval_pb.GetAskedRequest(limit=count_of("limit", limit))
        response = retrieval_pb.GetAskedResponse
        return asked_of(self._connection.call("GetAsked", request, response, timeout_seconds))

    def freshness(self, *, timeout_seconds: float | None = None) -> Freshness:
        """Return what the server answers from, and how old that is.

        Raises:
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed.
        """
        return freshness_of(self._freshness(timeout_seconds))

    def freshness_json(self, *, timeout_seconds: float | None = None) -> str:
        """Return what the call returned as protobuf JSON with all fields.

        Raises as `freshness` does.
        """
        return _json(self._freshness(timeout_seconds))

    def is_ready(self, *, timeout_seconds: float | None = None) -> bool:
        """Return whether a server would answer a query now.

        Raises:
            CallFailed: something else than a retrieval server answers at the target.
        """
        try:
            return self.freshness(timeout_seconds=timeout_seconds).ready
        except ClientError as error:
            if error.retriable:
                return False
            raise

    def wait_until_ready(self, timeout_seconds: float = 60.0) -> Freshness:
        """Wait until the server would answer a query, and return what it answers from.

        The server need not be there yet.

        Args:
            timeout_seconds: how long to wait: the start of a server, which loads a
                generation of a large shop in seconds, is well within the default.

        Raises:
            NoGeneration: there was a server, but it did not become ready in time.
            ServerUnreachable: no server answered in time.
            CallFailed: the server failed.
            SettingsInvalid: `timeout_seconds` is no number.
        """
        deadline = time.monotonic() + checked_timeout(timeout_seconds)
        pause = threading.Event()
        while True:
            found = self._if_ready(max(0.0, deadline - time.monotonic()))
            if isinstance(found, Freshness):
                return found
            if not found.retriable or time.monotonic() + _POLL_SECONDS >= deadline:
                raise found
            pause.wait(_POLL_SECONDS)

    def close(self) -> None:
        """Close the connection; running calls are cancelled."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _retrieve(
        self, request: retrieval_pb.RetrieveRequest, timeout_seconds: float | None
    ) -> retrieval_pb.RetrieveResponse:
        return self._connection.call(
            "Retrieve", request, retrieval_pb.RetrieveResponse, timeout_seconds
        )

    def _freshness(
        self, timeout_seconds: float | None, *, wait_for_server: bool = False
    ) -> retrieval_pb.GetFreshnessResponse:
        request = retrieval_pb.GetFreshnessRequest()
        response = retrieval_pb.GetFreshnessResponse
        return self._connection.call(
            "GetFreshness", request, response, timeout_seconds, wait_for_server=wait_for_server
        )

    def _if_ready(self, timeout_seconds: float) -> Freshness | ClientError:
        """Return what a ready server answers from, or why there is none."""
        try:
            response = self._freshness(timeout_seconds, wait_for_server=True)
        except ClientError as error:
            return error
        if response.ready:
            return freshness_of(response)
        why = response.last_refusal or "no generation is live yet"
        return NoGeneration(f"the server at {self._connection.target} is not ready: {why}")


def _request_of(asked: Query) -> retrieval_pb.RetrieveRequest:
    if asked.min_reflected_ms and asked.max_age_seconds is not None:
        raise QueryRefused(
            "min_reflected_ms and max_age_seconds are both given; give one of the two"
        )
    try:
        request = retrieval_pb.RetrieveRequest(
            query=asked.query,
            k=count_of("k", asked.k or 0),
            context_item_ids=several_of("context.item_ids", asked.context.item_ids),
            context_queries=several_of("context.queries", asked.context.queries),
            filter=None if asked.filter_by.lets_all_in else filter_message(asked.filter_by),
        )
        if asked.field_mask:
            request.field_mask.paths.extend(several_of("field_mask", asked.field_mask))
    except UnicodeError:
        raise QueryRefused(
            "the query, its context, its filter or its field mask is not valid Unicode; send it "
            "as UTF-8"
        ) from None
    if asked.max_age_seconds is not None:
        request.min_freshness.max_age_seconds = asked.max_age_seconds
    elif asked.min_reflected_ms:
        try:
            request.min_freshness.reflected_ms = asked.min_reflected_ms
        except ValueError:
            raise QueryRefused(
                f"min_reflected_ms is {asked.min_reflected_ms}; it must be UTC epoch "
                "milliseconds, as a receipt has them"
            ) from None
    return request


def _text(text: str) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            raise QueryRefused("a text is not valid Unicode; send it as UTF-8") from None
    return text


def _json(message: Message) -> str:
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        ensure_ascii=False,
    )
