"""gRPC in, gRPC out: turns requests to queries, results to responses, errors to status
codes.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

import grpc

from protos import retrieval_v1_pb2 as retrieval_pb
from protos.marks import PROBE_METADATA
from server.answers.messages import (
    QUERY_PATHS,
    hit_messages,
    response_bytes,
    response_message,
)
from server.answers.receipts import ViewReceipts, receipt_message
from server.asked import AskedEverywhere, AskedQueries
from server.calls.context import MethodContext
from server.errors import NoGeneration
from server.filters.parsing import parse_filter
from server.filters.report import report_message
from server.freshness import Receipt, check_freshness, receipt_of, why_behind
from server.index_recall import RecallSampler
from server.methods.batch import batched_error, check_batch
from server.methods.explain import explain, parse_explain
from server.methods.failures import failure_of
from server.methods.field_mask import EVERYTHING, FieldTree, masked, parse_mask
from server.methods.generations import GenerationList
from server.methods.similar import parse_similar, similar_items, source_of
from server.methods.unknown_fields import check_fields
from server.metrics.answering import ServerMetrics
from server.overlay.view import LiveView
from server.quality.answers import Given
from server.retrieve import RetrievalQuery, RetrievalResult, parse_request, retrieve
from server.settings import ServerSettings
from server.swaps.watching import Watching
from server.views import LiveViews
from stream.clock import now_ms

SERVICE_NAME = retrieval_pb.DESCRIPTOR.services_by_name["RetrievalService"].full_name


Response = TypeVar("Response")


class RetrievalService:
    """Answers each request from the live view.

    Args:
        views: holds the live view.
        watcher: loads generations.
        settings: limits of requests.
        metrics: where requests are counted.
        asked: where queries are counted.
        sampler: asks some of them again, to measure the index.
        generations: lists those on disk.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(  # noqa: PLR0913  # its parts, wired in one place
        self,
        views: LiveViews,
        watcher: Watching,
        settings: ServerSettings,
        metrics: ServerMetrics,
        asked: AskedQueries | AskedEverywhere,
        sampler: RecallSampler,
        generations: GenerationList,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._views = views
        self._watcher = watcher
        self._settings = settings
        self._metrics = metrics
        self._asked = asked
        self._sampler = sampler
        self._generations = generations
        self._clock_ms = clock_ms
        self._receipts: ViewReceipts | None = None  # of the view that was live last

    def Retrieve(
        self, request: retrieval_pb.RetrieveRequest | RetrievalQuery, context: MethodContext
    ) -> bytes | retrieval_pb.RetrieveResponse:
        """Answer a query; see the contract in ``protos/retrieval_v1.proto``.

        Args:
            request: a message, or what `server.methods.plain` made of its bytes.
            context: of the call.

        Returns:
            A `RetrieveResponse`, as it is sent where all of it is wanted.
        """
        try:  # as `_answer` does, in two steps fewer: most calls are of this method
            is_probe = PROBE_METADATA in dict(context.metadata)
            return self._retrieve(request, is_probe=is_probe)
        except Exception as error:  # noqa: BLE001  # a client gets a status, never a traceback
            context.fail(failure_of(error, "Retrieve"))

    def RetrieveBatch(
        self, request: retrieval_pb.RetrieveBatchRequest, context: MethodContext
    ) -> retrieval_pb.RetrieveBatchResponse:
        """Answer many queries from one view; see the contract."""
        return self._answer("RetrieveBatch", context, lambda: self._batch(request, context))

    def SimilarItems(
        self, request: retrieval_pb.SimilarItemsRequest, context: MethodContext
    ) -> retrieval_pb.SimilarItemsResponse:
        """Answer with the items nearest to an item; see the contract."""
        return self._answer("SimilarItems", context, lambda: self._similar(request))

    def Explain(
        self, request: retrieval_pb.ExplainRequest, context: MethodContext
    ) -> retrieval_pb.ExplainResponse:
        """Say why an item answers a query; see the contract."""
        return self._answer("Explain", context, lambda: self._explain(request))

    def GetFreshness(
        self,
        request: retrieval_pb.GetFreshnessRequest,  # noqa: ARG002  # the contract's signature
        context: MethodContext,
    ) -> retrieval_pb.GetFreshnessResponse:
        """Return the freshness of the live generation; see the contract."""
        return self._answer("GetFreshness", context, self._freshness)

    def GetAsked(
        self, request: retrieval_pb.GetAskedRequest, context: MethodContext
    ) -> retrieval_pb.GetAskedResponse:
        """Return what was asked most in the last minutes; see the contract."""
        return self._answer("GetAsked", context, lambda: self._most_asked(request.limit))

    def ListGenerations(
        self, request: retrieval_pb.ListGenerationsRequest, context: MethodContext
    ) -> retrieval_pb.ListGenerationsResponse:
        """Return the generations on disk; see the contract."""
        listed = self._generations
        return self._answer("ListGenerations", context, lambda: listed.newest(request.limit))

    def receipt_now(self) -> Receipt | None:
        """Return the receipt an answer would carry now; None: not ready."""
        view = self._views.live
        return None if view is None else self._receipt(view)

    def _receipt(self, view: LiveView) -> Receipt:
        return receipt_of(view, self._clock_ms(), self._watcher.refused_id)

    def _receipts_of(self, view: LiveView) -> ViewReceipts:
        """Return the receipts of a view, made once; two threads may both make them."""
        receipts, refused_id = self._receipts, self._watcher.refused_id
        is_known = receipts is not None and receipts.is_of(view)
        if receipts is None or not is_known or receipts.refused_generation != refused_id:
            receipts = self._receipts = ViewReceipts(view, refused_id)
        return receipts

    def _live(self) -> LiveView:
        view = self._views.live
        if view is None:
            raise NoGeneration(self._why_not_ready())
        return view

    def _retrieve(
        self, request: retrieval_pb.RetrieveRequest | RetrievalQuery, *, is_probe: bool
    ) -> bytes | retrieval_pb.RetrieveResponse:
        if isinstance(request, RetrievalQuery):
            query, wanted = request, EVERYTHING
        else:
            query, wanted = _query_of(request, self._settings), _mask_of(request)
        view = self._live()
        if request is not query and query.wants_freshness:
            check_freshness(query, receipt_of(view, self._clock_ms()))
        answer = retrieve(view, query, is_probe=is_probe)
        receipts, now_ms = self._receipts_of(view), self._clock_ms()
        if not is_probe:  # no shopper's: it counts nowhere
            self._count(query, answer, receipts, now_ms)
        if wanted is EVERYTHING:
            return response_bytes(query, answer, receipts, now_ms)
        response = response_message(query, answer, receipts.receipt(now_ms))
        masked(response, wanted)
        return response

    def _count(
        self, query: RetrievalQuery, answer: RetrievalResult, receipts: ViewReceipts, now_ms: int
    ) -> None:
        num_items = len(answer.nearest.rows)
        given = Given(
            receipts.reflected_ms,
            receipts.snapshot_ms,
            now_ms,
            num_items,
            answer.num_from_overlay,
        )
        self._metrics.queried(answer.path, answer.context, given)
        if answer.filter is not None:
            self._metrics.filtered(answer.filter, is_short=num_items < query.k)
        self._asked.add(query.query)
        self._sampler.offer(answer.view.live, answer.vector)

    def _batch(
        self, request: retrieval_pb.RetrieveBatchRequest, context: MethodContext
    ) -> retrieval_pb.RetrieveBatchResponse:
        check_batch(request, self._settings)
        view = self._live()
        receipts, now_ms = self._receipts_of(view), self._clock_ms()
        answers = []
        for each in request.requests:
            if not context.is_active():  # nobody waits for the rest
                break
            answers.append(self._batched(each, view, receipts, now_ms))
        receipt = receipt_message(receipts.receipt(now_ms))
        return retrieval_pb.RetrieveBatchResponse(answers=answers, receipt=receipt)

    def _batched(
        self,
        request: retrieval_pb.RetrieveRequest,
        view: LiveView,
        receipts: ViewReceipts,
        now_ms: int,
    ) -> retrieval_pb.BatchedAnswer:
        """Return the outcome of one request of a batch; its errors are its own."""
        try:
            query, wanted = _query_of(request, self._settings), _mask_of(request)
            receipt = receipts.receipt(now_ms)
            check_freshness(query, receipt)
            answer = retrieve(view, query)
            self._count(query, answer, receipts, now_ms)
            response = response_message(query, answer, receipt)
            masked(response, wanted)
        except Exception as error:  # noqa: BLE001  # the others have answers all the same
            failure = failure_of(error, "RetrieveBatch")
            self._metrics.batched(failure.code.name)
            return batched_error(failure)
        self._metrics.batched(grpc.StatusCode.OK.name)
        response.ClearField("receipt")
        return retrieval_pb.BatchedAnswer(response=response)

    def _similar(
        self, request: retrieval_pb.SimilarItemsRequest
    ) -> retrieval_pb.SimilarItemsResponse:
        check_fields(request)
        reflected_ms, max_age_seconds = _freshness_of(request)
        query = parse_similar(
            request.item_id,
            request.k,
            self._settings,
            min_reflected_ms=reflected_ms,
            max_age_seconds=max_age_seconds,
        )
        if request.HasField("filter"):
            query = replace(query, filter=parse_filter(request.filter, self._settings.max_k))
        view = self._live()
        receipt = self._receipt(view)
        check_freshness(query, receipt)
        nearest, report = similar_items(view, query)
        if report is not None:
            self._metrics.filtered(report, is_short=len(nearest.rows) < query.k)
        return retrieval_pb.SimilarItemsResponse(
            hits=hit_messages(view, nearest),
            receipt=receipt_message(receipt),
            item_source=source_of(view, query.item_id),
            filter=None if report is None else report_message(report),
        )

    def _explain(self, request: retrieval_pb.ExplainRequest) -> retrieval_pb.ExplainResponse:
        check_fields(request)
        query = parse_explain(request.query, request.item_id, request.max_paths, self._settings)
        view = self._live()
        explanation = explain(view, query)
        explanation.message.query_path = QUERY_PATHS[explanation.path]
        explanation.message.receipt.CopyFrom(receipt_message(self._receipt(view)))
        return explanation.message

    def _freshness(self) -> retrieval_pb.GetFreshnessResponse:
        refusal = self._watcher.last_refusal
        view = self._views.live
        if view is None:
            return retrieval_pb.GetFreshnessResponse(ready=False, last_refusal=refusal)
        return retrieval_pb.GetFreshnessResponse(
            ready=True,
            receipt=receipt_message(self._receipt(view)),
            num_items=view.live.generation.manifest.num_items,
            num_queries=view.live.generation.manifest.num_queries,
            last_refusal=refusal,
            overlay=self._overlay(view),
        )

    def _overlay(self, view: LiveView) -> retrieval_pb.OverlayState:
        overlay, heard_ms = view.overlay, 0 if view.newest is None else view.newest.written_ms
        return retrieval_pb.OverlayState(
            sequence=overlay.sequence,
            num_items=len(overlay.rows.item_ids),
            num_queries=len(overlay.queries),
            num_gone_items=overlay.num_gone_items,
            behind=why_behind(view, self._clock_ms(), self._settings.overlay_silent_seconds),
            last_refusal=self._views.last_refusal,
            pending_generation=self._views.pending_id,
            written_ms=heard_ms,
        )

    def _most_asked(self, limit: int) -> retrieval_pb.GetAskedResponse:
        return retrieval_pb.GetAskedResponse(
            queries=[
                retrieval_pb.AskedQuery(query=query, count=count)
                for query, count in self._asked.most(limit or None)
            ],
            window_seconds=self._asked.window_seconds,
        )

    def _why_not_ready(self) -> str:
        refusal, loading = self._watcher.last_refusal, self._watcher.loading_id
        if loading:
            return f"generation {loading} is being loaded; try again in a moment"
        next_one = "`freshet tune` makes one of what is published, and the server takes it"
        return f"no generation is live yet; {refusal or next_one}"

    def _answer(
        self,
        method: str,
        context: MethodContext,
        work: Callable[[], Response],
    ) -> Response:
        """Do the work of a request, and turn what it raises into a status."""
        try:
            return work()
        except Exception as error:  # noqa: BLE001  # a client gets a status, never a traceback
            context.fail(failure_of(error, method))


def _query_of(request: retrieval_pb.RetrieveRequest, settings: ServerSettings) -> RetrievalQuery:
    check_fields(request)
    reflected_ms, max_age_seconds = _freshness_of(request)
    query = parse_request(
        request.query,
        request.k,
        settings,
        min_reflected_ms=reflected_ms,
        max_age_seconds=max_age_seconds,
        context_item_ids=request.context_item_ids,
        context_queries=request.context_queries,
    )
    if not request.HasField("filter"):
        return query
    return query._replace(filter=parse_filter(request.filter, settings.max_k))


def _mask_of(request: retrieval_pb.RetrieveRequest) -> FieldTree:
    """Return which fields of the answer a request wants."""
    if not request.HasField("field_mask"):
        return EVERYTHING
    return parse_mask(request.field_mask.paths, retrieval_pb.RetrieveResponse.DESCRIPTOR)


def _freshness_of(
    request: retrieval_pb.RetrieveRequest | retrieval_pb.SimilarItemsRequest,
) -> tuple[int, float]:
    """Return the least reflected time, and the greatest age, that a request wants."""
    if not request.HasField("min_freshness"):
        return 0, math.inf
    wanted = request.min_freshness
    has_age = wanted.WhichOneof("limit") == "max_age_seconds"
    return wanted.reflected_ms, wanted.max_age_seconds if has_age else math.inf
