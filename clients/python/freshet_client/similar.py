"""The items nearest to an item, in our own frozen types."""

from dataclasses import dataclass

from freshet_client.answers import FilterReport, Hit, Receipt, filter_report_of, hits_of, receipt_of
from freshet_client.explanation import VectorSource, vector_source_of
from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb


@dataclass(frozen=True, slots=True, kw_only=True)
class SimilarResult:
    """The items nearest to an item.

    Attributes:
        hits: best first, the item itself left out.
        receipt: how fresh this is.
        item_source: where the item's vector came from; None: newer than this client.
        filter: what became of the filter; None: there was none, or the server is too
            old to know one.
    """

    hits: tuple[Hit, ...]
    receipt: Receipt
    item_source: VectorSource | None
    filter: FilterReport | None = None


def similar_result_of(message: retrieval_pb.SimilarItemsResponse) -> SimilarResult:
    """Return the items that a message holds."""
    return SimilarResult(
        hits=hits_of(message.hits),
        receipt=receipt_of(message.receipt),
        item_source=vector_source_of(message.item_source),
        filter=filter_report_of(message.filter) if message.HasField("filter") else None,
    )
