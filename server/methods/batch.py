"""Pure: which batches of requests are answered, and how the outcome of each reads."""

from protos import retrieval_v1_pb2 as retrieval_pb
from server.calls.failure import Failure
from server.errors import QueryRefused
from server.settings import ServerSettings


def batch_size(request: retrieval_pb.RetrieveBatchRequest) -> int:
    """Return how many calls a batch counts as towards its caller's rate."""
    return len(request.requests)


def check_batch(request: retrieval_pb.RetrieveBatchRequest, settings: ServerSettings) -> None:
    """Check a batch as a whole; what is wrong with one of its requests is that one's
    own error.

    Raises:
        QueryRefused: it is empty, or asks for more than the server answers at once.
    """
    count = len(request.requests)
    if not 1 <= count <= settings.max_batch:
        raise QueryRefused(
            f"the batch has {count} requests; it must have from 1 to {settings.max_batch}",
            request_field="requests",
        )
    # A `k` over the limit is that request's own error, and answers with nothing.
    wanted = [each.k or settings.default_k for each in request.requests]
    num_items = sum(k for k in wanted if k <= settings.max_k)
    if num_items > settings.max_batch_items:
        raise QueryRefused(
            f"the requests of the batch ask for {num_items} items together; at most "
            f"{settings.max_batch_items} are answered at once: send smaller batches",
            request_field="requests",
        )


def batched_error(failure: Failure) -> retrieval_pb.BatchedAnswer:
    """Return the outcome of a request that has no answer."""
    return retrieval_pb.BatchedAnswer(
        error=retrieval_pb.RequestError(
            code=failure.code.value[0],
            message=failure.message,
            reason=failure.reason,
            field=failure.request_field,
        )
    )
