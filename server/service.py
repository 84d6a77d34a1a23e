"""gRPC in, gRPC out: turns requests to queries, results to responses, errors to status
codes.
"""

import logging
import secrets
import time
from collections.abc import Callable
from typing import TypeVar

import grpc

from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.errors import NoGeneration, ServerError
from server.freshness import Receipt, receipt_of
from server.live import LiveGeneration
from server.metrics import ServerMetrics
from server.retrieve import QueryPath, RetrievalQuery, RetrievalResult, parse_request, retrieve
from server.settings import ServerSettings
from server.watcher import GenerationWatcher
from stream.clock import now_ms

logger = logging.getLogger(__name__)

SERVICE_NAME = retrieval_pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name

NOT_READY_METADATA = (("freshet-reason", "not-ready"),)
"""Trailing metadata that distinguishes "no generation is live yet" from "no server
there".

Both are UNAVAILABLE. Part of the contract, see ``protos/retrieval_v1.proto``.
"""

_PATHS = {
    QueryPath.KNOWN: retrieval_pb.QUERY_PATH_KNOWN,
    QueryPath.ENCODED: retrieval_pb.QUERY_PATH_ENCODED,
}

Response = TypeVar("Response")


class RetrievalService(retrieval_grpc.RetrievalServiceServicer):
    """Answers each request from the watcher's live generation.

    Args:
        watcher: holds the live generation.
        settings: limits of requests.
        metrics: where requests are counted.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        watcher: GenerationWatcher,
        settings: ServerSettings,
        metrics: ServerMetrics,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._watcher = watcher
        self._settings = settings
        self._metrics = metrics
        self._clock_ms = clock_ms

    def Retrieve(
        self, request: retrieval_pb.RetrieveRequest, context: grpc.ServicerContext
    ) -> retrieval_pb.RetrieveResponse:
        """Answer a query; see the contract in ``protos/retrieval_v1.proto``."""
        return self._answer("Retrieve", context, lambda: self._retrieve(request))

    def GetFreshness(
        self,
        request: retrieval_pb.GetFreshnessRequest,  # noqa: ARG002  # the contract's signature
        context: grpc.ServicerContext,
    ) -> retrieval_pb.GetFreshnessResponse:
        """Return the freshness of the live generation; see the contract."""
        return self._answer("GetFreshness", context, self._freshness)

    def receipt_now(self) -> Receipt | None:
        """Return the receipt an answer would carry now; None: not ready."""
        live = self._watcher.live
        return None if live is None else receipt_of(live, self._clock_ms())

    def _retrieve(self, request: retrieval_pb.RetrieveRequest) -> retrieval_pb.RetrieveResponse:
        query = parse_request(request.query, request.k, self._settings)
        live = self._watcher.live
        if live is None:
            raise NoGeneration(self._why_not_ready())
        answer = retrieve(live, query)
        self._metrics.queried(answer.path)
        return _response(live, query, answer, self._clock_ms())

    def _freshness(self) -> retrieval_pb.GetFreshnessResponse:
        refusal = self._watcher.last_refusal
        live = self._watcher.live
        if live is None:
            return retrieval_pb.GetFreshnessResponse(ready=False, last_refusal=refusal)
        return retrieval_pb.GetFreshnessResponse(
            ready=True,
            receipt=_receipt_message(receipt_of(live, self._clock_ms())),
            num_items=live.generation.manifest.num_items,
            num_queries=live.generation.manifest.num_queries,
            last_refusal=refusal,
        )

    def _why_not_ready(self) -> str:
        refusal = self._watcher.last_refusal
        return (
            f"no generation is live yet; {refusal or 'train one and the server takes it by itself'}"
        )

    def _answer(
        self, method: str, context: grpc.ServicerContext, work: Callable[[], Response]
    ) -> Response:
        """Do the work of a request, count it, and turn what it raises into a status."""
        started = time.perf_counter()
        try:
            response = work()
        except Exception as error:  # noqa: BLE001  # a client gets a status, never a traceback
            code, details = _status_of(error, method)
            self._metrics.answered(method, code.name, time.perf_counter() - started)
            if isinstance(error, NoGeneration):
                context.set_trailing_metadata(NOT_READY_METADATA)
            context.abort(code, details)
        self._metrics.answered(method, grpc.StatusCode.OK.name, time.perf_counter() - started)
        return response


def _status_of(error: Exception, method: str) -> tuple[grpc.StatusCode, str]:
    """Return the gRPC status of a failed request and the message for the client."""
    name = error.status if isinstance(error, ServerError) else ServerError.status
    if name != ServerError.status:
        return grpc.StatusCode[name], str(error)
    # 32 random bits: enough to find one line in a log, short enough to read out.
    error_id = secrets.token_hex(4)
    logger.error("request_failed method=%s error_id=%s", method, error_id, exc_info=error)
    return (
        grpc.StatusCode[name],
        f"internal error; see the server's log under error_id={error_id}",
    )


def _response(
    live: LiveGeneration, query: RetrievalQuery, answer: RetrievalResult, now_ms: int
) -> retrieval_pb.RetrieveResponse:
    hits = zip(answer.item_ids, answer.scores.tolist(), answer.titles, strict=True)
    return retrieval_pb.RetrieveResponse(
        hits=[
            retrieval_pb.Hit(item_id=item_id, score=score, title=title)
            for item_id, score, title in hits
        ],
        receipt=_receipt_message(receipt_of(live, now_ms)),
        query_path=_PATHS[answer.path],
        normalized_query=query.query,
    )


def _receipt_message(receipt: Receipt) -> retrieval_pb.FreshnessReceipt:
    return retrieval_pb.FreshnessReceipt(
        generation=receipt.generation,
        watermark_ms=receipt.watermark_ms,
        watermark_age_seconds=receipt.watermark_age_seconds,
        snapshot_ms=receipt.snapshot_ms,
        snapshot_age_seconds=receipt.snapshot_age_seconds,
        live_since_ms=receipt.live_since_ms,
    )
