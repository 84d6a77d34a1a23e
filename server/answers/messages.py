"""Answers as the messages of the contract, and as their bytes."""

from typing import Final

import numpy as np

from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers.receipts import ViewReceipts, receipt_message
from server.answers.wire import BYTES, tag_of, varint
from server.filters.report import report_message
from server.freshness import Receipt
from server.overlay.search import Nearest
from server.overlay.view import LiveView
from server.retrieve import QueryPath, RetrievalQuery, RetrievalResult, names_of
from server.session.shift import MemberOutcome

QUERY_PATHS = {
    QueryPath.FRESH: retrieval_pb.QUERY_PATH_FRESH,
    QueryPath.KNOWN: retrieval_pb.QUERY_PATH_KNOWN,
    QueryPath.ENCODED: retrieval_pb.QUERY_PATH_ENCODED,
}

_PATHS: Final = {
    path: retrieval_pb.RetrieveResponse(query_path=number).SerializeToString()
    for path, number in QUERY_PATHS.items()
}
_QUERY: Final = tag_of(retrieval_pb.RetrieveResponse, "normalized_query", BYTES)
# Of the lengths of most queries. Twice as many would be for pages of text.
_LENGTHS: Final = tuple(_QUERY + varint(size) for size in range(256))


def response_bytes(
    query: RetrievalQuery, answer: RetrievalResult, receipts: ViewReceipts, now_ms: int
) -> bytes:
    """Return an answer as its `response_message` is written, at a fraction of the cost.

    The order of the fields differs: protobuf lets it.

    Args:
        query: the request.
        answer: of it.
        receipts: of the view that it was answered from.
        now_ms: when, UTC epoch milliseconds.
    """
    text = query.query.encode()
    size = len(text)
    pieces = (
        answer.hits(),
        receipts.written(now_ms),
        _PATHS[answer.path],
        _LENGTHS[size] if size < len(_LENGTHS) else _QUERY + varint(size),
        text,
    )
    if not answer.context and answer.filter is None:
        return b"".join(pieces)
    return b"".join((*pieces, _of_session_and_filter(answer).SerializeToString()))


def response_message(
    query: RetrievalQuery, answer: RetrievalResult, receipt: Receipt
) -> retrieval_pb.RetrieveResponse:
    """Return an answer as a message."""
    response = _without_hits(query, answer, receipt)
    response.hits.extend(hit_messages(answer.view, answer.nearest))
    return response


def hit_messages(view: LiveView, nearest: Nearest) -> list[retrieval_pb.Hit]:
    """Return found items as messages."""
    item_ids, titles = names_of(view, nearest)
    scores = np.clip(nearest.scores, -1.0, 1.0).tolist()
    return [
        retrieval_pb.Hit(item_id=item_id, score=score, title=title)
        for item_id, score, title in zip(item_ids, scores, titles, strict=True)
    ]


def _without_hits(
    query: RetrievalQuery, answer: RetrievalResult, receipt: Receipt
) -> retrieval_pb.RetrieveResponse:
    return retrieval_pb.RetrieveResponse(
        receipt=receipt_message(receipt),
        query_path=QUERY_PATHS[answer.path],
        normalized_query=query.query,
        context_members=answer.context.get(MemberOutcome.USED, 0),
        filter=None if answer.filter is None else report_message(answer.filter),
    )


def _of_session_and_filter(answer: RetrievalResult) -> retrieval_pb.RetrieveResponse:
    return retrieval_pb.RetrieveResponse(
        context_members=answer.context.get(MemberOutcome.USED, 0),
        filter=None if answer.filter is None else report_message(answer.filter),
    )
