"""What a server answers: our own frozen types, read from the contract's messages."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb


class QueryPath(StrEnum):
    """Where a query's vector came from."""

    KNOWN = "known"
    """The query is in the graph: its own vector was used."""

    ENCODED = "encoded"
    """It was never seen before: the text encoder made its vector."""

    FRESH = "fresh"
    """It was seen since the generation was trained: the overlay has its vector."""


_PATHS: dict[int, QueryPath] = {
    retrieval_pb.QUERY_PATH_KNOWN: QueryPath.KNOWN,
    retrieval_pb.QUERY_PATH_ENCODED: QueryPath.ENCODED,
    retrieval_pb.QUERY_PATH_FRESH: QueryPath.FRESH,
}


class FilterPath(StrEnum):
    """How what a filter lets in was found."""

    EXACT = "exact"
    """All items that match were compared."""

    WIDENED = "widened"
    """The index was searched more widely, and what matches taken."""


_FILTER_PATHS = {
    retrieval_pb.FILTER_PATH_EXACT: FilterPath.EXACT,
    retrieval_pb.FILTER_PATH_WIDENED: FilterPath.WIDENED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterReport:
    """What became of a filter.

    Attributes:
        num_matching: items that the conditions hold for, without the excluded ones.
        path: how they were found; None: a way that only a newer client knows.
        unknown_attributes: what is asked for and no item has: mistyped, or sold out.
    """

    num_matching: int
    path: FilterPath | None
    unknown_attributes: tuple[str, ...]


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
        watermark_ms: event time up to which everything is reflected, by the generation
            or its overlay; 0: no event was.
        watermark_age_seconds: how long ago that was; never negative.
        snapshot_ms: when the snapshot of the graph behind the embeddings was taken.
        snapshot_age_seconds: how long ago that was; never negative.
        live_since_ms: when the server swapped to the generation.
        overlay_sequence: the newest segment of the overlay in it; 0: none is.
        reflected_ms: every record that had reached the topics by then, in broker time,
            is in the answer; 0: not known.
        age_seconds: how long ago that was; never negative; None: not known.
        refused_generation: the newer generation that the server refused, so that it
            answers from this one; empty: none.
        catalog_reflected_ms: every state of the catalogue that had reached the topics
            by then is in the answer, also where clicks wait: what was listed is there,
            what was deleted is not; never before `reflected_ms`, 0: not known.
    """

    generation: str
    watermark_ms: int
    watermark_age_seconds: float
    snapshot_ms: int
    snapshot_age_seconds: float
    live_since_ms: int
    overlay_sequence: int = 0
    reflected_ms: int = 0
    age_seconds: float | None = None
    refused_generation: str = ""
    catalog_reflected_ms: int = 0

    @property
    def catalog_age_seconds(self) -> float | None:
        """How old the answer is as far as the catalogue goes; None: not known."""
        if self.age_seconds is None:
            return None
        ahead_ms = self.catalog_reflected_ms - self.reflected_ms
        return max(0.0, self.age_seconds - ahead_ms / 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RetrieveResult:
    """An answer.

    Attributes:
        hits: best first.
        receipt: how fresh it is.
        path: where the query's vector came from; None: one that only a newer client
            knows.
        normalized_query: what the server made of the query.
        context_members: how many items and queries of the session shifted the query.
        filter: what became of the filter; None: there was none, or the server is too
            old to know of any.
    """

    hits: tuple[Hit, ...]
    receipt: Receipt
    path: QueryPath | None
    normalized_query: str
    context_members: int
    filter: FilterReport | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OverlayState:
    """What a server holds beside its generation.

    Attributes:
        sequence: the newest segment; 0: none is.
        num_items: items with a vector in it.
        num_queries: queries with one.
        num_gone_items: items that no answer has any more.
        behind: why it is not as fresh as it could be; empty: it is.
        last_refusal: why the newest segment was not taken; empty: it was.
        pending_generation: the generation that is loaded and waits until it is as fresh
            as the live one; empty: none does.
        written_ms: when the refresher last said how fresh it is, UTC epoch
            milliseconds; 0: never.
    """

    sequence: int
    num_items: int
    num_queries: int
    num_gone_items: int
    behind: str
    last_refusal: str
    pending_generation: str
    written_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedQueries:
    """What a server was asked most.

    Attributes:
        counts: how often, by normalised query, most asked first; estimates.
        window_seconds: how long they reach back.
    """

    counts: Mapping[str, int]
    window_seconds: float


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
        overlay: what is held beside the generation; None: the server is not ready, or
            knows of no overlays.
    """

    ready: bool
    receipt: Receipt | None
    num_items: int
    num_queries: int
    last_refusal: str
    overlay: OverlayState | None = None


def hits_of(messages: Iterable[retrieval_pb.Hit]) -> tuple[Hit, ...]:
    """Return the items that messages hold."""
    return tuple(Hit(item_id=hit.item_id, title=hit.title, score=hit.score) for hit in messages)


def query_path_of(value: int) -> QueryPath | None:
    """Return where a query's vector came from; None: what only a newer client knows."""
    return _PATHS.get(value)


def retrieve_result_of(message: retrieval_pb.RetrieveResponse) -> RetrieveResult:
    """Return the answer that a message holds."""
    return RetrieveResult(
        hits=hits_of(message.hits),
        receipt=receipt_of(message.receipt),
        path=query_path_of(message.query_path),
        normalized_query=message.normalized_query,
        context_members=message.context_members,
        filter=filter_report_of(message.filter) if message.HasField("filter") else None,
    )


def freshness_of(message: retrieval_pb.GetFreshnessResponse) -> Freshness:
    """Return the freshness that a message holds."""
    return Freshness(
        ready=message.ready,
        receipt=receipt_of(message.receipt) if message.HasField("receipt") else None,
        num_items=message.num_items,
        num_queries=message.num_queries,
        last_refusal=message.last_refusal,
        overlay=_overlay_of(message.overlay) if message.HasField("overlay") else None,
    )


def asked_of(message: retrieval_pb.GetAskedResponse) -> AskedQueries:
    """Return the queries that a message holds."""
    return AskedQueries(
        counts={asked.query: asked.count for asked in message.queries},
        window_seconds=message.window_seconds,
    )


def _overlay_of(message: retrieval_pb.OverlayState) -> OverlayState:
    return OverlayState(
        sequence=message.sequence,
        num_items=message.num_items,
        num_queries=message.num_queries,
        num_gone_items=message.num_gone_items,
        behind=message.behind,
        last_refusal=message.last_refusal,
        pending_generation=message.pending_generation,
        written_ms=message.written_ms,
    )


def filter_report_of(message: retrieval_pb.FilterReport) -> FilterReport:
    """Return the report that a message holds."""
    return FilterReport(
        num_matching=message.num_matching,
        path=_FILTER_PATHS.get(message.path),
        unknown_attributes=tuple(message.unknown_attributes),
    )


def receipt_of(message: retrieval_pb.FreshnessReceipt) -> Receipt:
    """Return the receipt that a message holds."""
    return Receipt(
        generation=message.generation,
        watermark_ms=message.watermark_ms,
        watermark_age_seconds=message.watermark_age_seconds,
        snapshot_ms=message.snapshot_ms,
        snapshot_age_seconds=message.snapshot_age_seconds,
        live_since_ms=message.live_since_ms,
        overlay_sequence=message.overlay_sequence,
        reflected_ms=message.reflected_ms,
        age_seconds=message.age_seconds if message.reflected_ms else None,
        refused_generation=message.refused_generation,
        # A server of before does not tell it.
        catalog_reflected_ms=max(message.catalog_reflected_ms, message.reflected_ms),
    )
