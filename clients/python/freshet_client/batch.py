"""Many queries in one call: what is asked, and what comes back."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from freshet_client.answers import Receipt, RetrieveResult, receipt_of, retrieve_result_of
from freshet_client.errors import ClientError, error_in_batch
from freshet_client.filters import NO_FILTER, Filter
from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb
from freshet_client.session import NO_CONTEXT, Context


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """One query of a batch; what `RetrievalClient.retrieve` takes.

    Attributes:
        query: as typed; the server normalises it.
        k: how many items; 0: as many as the server gives by default.
        min_reflected_ms: least `Receipt.reflected_ms` of the answer; 0: any.
        max_age_seconds: greatest `Receipt.age_seconds` of the answer; None: any.
        context: what the shopper has done in this session.
        filter_by: which items may be in the answer.
        field_mask: fields of the answer that are wanted, as of
            `RetrievalClient.retrieve`; the receipt of a batch is always there.
    """

    query: str
    k: int = 0
    min_reflected_ms: int = 0
    max_age_seconds: float | None = None
    context: Context = NO_CONTEXT
    filter_by: Filter = NO_FILTER
    field_mask: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """The answers to a batch, one a query, in their order.

    Attributes:
        answers: each an answer, or the error that the query alone would have raised.
        receipt: how fresh all of them are; each answer has it, too.
    """

    answers: tuple[RetrieveResult | ClientError, ...]
    receipt: Receipt

    def __iter__(self) -> Iterator[RetrieveResult]:
        """Yield the answers; raise the first error when its turn comes."""
        for answer in self.answers:
            if isinstance(answer, ClientError):
                raise answer
            yield answer


def batch_result_of(message: retrieval_pb.RetrieveBatchResponse) -> BatchResult:
    """Return the answers that a message holds."""
    return BatchResult(
        answers=tuple(_answer_of(each, message.receipt) for each in message.answers),
        receipt=receipt_of(message.receipt),
    )


def _answer_of(
    answer: retrieval_pb.BatchedAnswer, receipt: retrieval_pb.FreshnessReceipt
) -> RetrieveResult | ClientError:
    if answer.WhichOneof("outcome") == "error":
        return error_in_batch(answer.error.code, answer.error.message, receipt.reflected_ms)
    # A batch has one receipt, for all its answers.
    answer.response.receipt.CopyFrom(receipt)
    return retrieve_result_of(answer.response)
