"""What a server answers: our own frozen types, read from the contract's messages."""

from dataclasses import dataclass
from enum import StrEnum

from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb


class QueryPath(StrEnum):
    """Where a query's vector came from."""

    KNOWN = "known"
    """The query is in the graph: its own vector was used."""

    ENCODED = "encoded"
    """It was never seen before: the text encoder made its vector."""


_PATHS = {
    retrieval_pb.QUERY_PATH_KNOWN: QueryPath.KNOWN,
    retrieval_pb.QUERY_PATH_ENCODED: QueryPath.ENCODED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One item of an answer; `score` is the cosine with the query, -1 to 1."""

    item_id: str
    title: str
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an answer was made from.

    Times are UTC epoch milliseconds; ages are as of the answer.

    Attributes:
        generation: id of the generation.
        watermark_ms: event time up to which everything is reflected; 0: no event was.
        watermark_age_seconds: how long ago that was; never negative.
        snapshot_ms: when the snapshot of the graph behind the embeddings was taken.
        snapshot_age_seconds: how long ago that was; never negative.
        live_since_ms: when the server swapped to the generation.
    """

    generation: str
    watermark_ms: int
    watermark_age_seconds: float
    snapshot_ms: int
    snapshot_age_seconds: float
    live_since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveResult:
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


def retrieve_result_of(message: retrieval_pb.RetrieveResponse) -> RetrieveResult:
    """Return the answer that a message holds."""
    return RetrieveResult(
        hits=tuple(
            Hit(item_id=hit.item_id, title=hit.title, score=hit.score) for hit in message.hits
        ),
        receipt=_receipt_of(message.receipt),
        path=_PATHS.get(message.query_path),
        normalized_query=message.normalized_query,
    )


def freshness_of(message: retrieval_pb.GetFreshnessResponse) -> Freshness:
    """Return the freshness that a message holds."""
    return Freshness(
        ready=message.ready,
        receipt=_receipt_of(message.receipt) if message.HasField("receipt") else None,
        num_items=message.num_items,
        num_queries=message.num_queries,
        last_refusal=message.last_refusal,
    )


def _receipt_of(message: retrieval_pb.FreshnessReceipt) -> Receipt:
    return Receipt(
        generation=message.generation,
        watermark_ms=message.watermark_ms,
        watermark_age_seconds=message.watermark_age_seconds,
        snapshot_ms=message.snapshot_ms,
        snapshot_age_seconds=message.snapshot_age_seconds,
        live_since_ms=message.live_since_ms,
    )
