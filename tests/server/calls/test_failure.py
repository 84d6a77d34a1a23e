"""What programs may read of an error: `google.rpc` details, as clients get them."""

from collections.abc import Mapping
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2

from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.calls.failure import DETAILS_METADATA, DOMAIN
from testing.retrieval_server import DEADLINE_SECONDS, Call, RunningServer, Serve
from testing.small_generations import Artifacts, make_catalogue


def fail(server: RunningServer, method: str, request: Any) -> tuple[grpc.RpcError, dict[str, Any]]:
    """Make a call that fails, and return its error and the details by their type."""
    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            getattr(stub, method)(request, timeout=DEADLINE_SECONDS)
    return caught.value, details_of(caught.value)


def metadata_of(error: Any) -> Mapping[str, Any]:
    """Return the trailing metadata of an error."""
    return {entry.key: entry.value for entry in error.trailing_metadata()}


def details_of(error: Any) -> dict[str, Any]:
    """Return the details of an error by the names of their types."""
    status = status_pb2.Status.FromString(metadata_of(error)[DETAILS_METADATA])
    assert (status.code, status.message) == (error.code().value[0], error.details())
    found = {}
    for packed in status.details:
        name = packed.type_url.rpartition(".")[2]
        found[name] = getattr(error_details_pb2, name)()
        assert packed.Unpack(found[name])
    return found


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Retrieve", retrieval_pb.RetrieveRequest(query=""), "query"),
        ("Retrieve", retrieval_pb.RetrieveRequest(query="x" * 2000), "query"),
        ("Retrieve", retrieval_pb.RetrieveRequest(query="x", k=10**6), "k"),
        (
            "Retrieve",
            retrieval_pb.RetrieveRequest(
                query="x", min_freshness=retrieval_pb.MinFreshness(max_age_seconds=-1)
            ),
            "min_freshness.max_age_seconds",
        ),
        ("RetrieveBatch", retrieval_pb.RetrieveBatchRequest(), "requests"),
        ("SimilarItems", retrieval_pb.SimilarItemsRequest(), "item_id"),
        (
            "Explain",
            retrieval_pb.ExplainRequest(query="x", item_id="y", max_paths=999),
            "max_paths",
        ),
    ],
)
def test_a_wrong_request_names_its_field(
    artifacts: Artifacts, serve: Serve, method: str, request_: Any, field: str
) -> None:
    """BadRequest has the field and the words of the status; a retry is not advised."""
    artifacts.publish(make_catalogue(30))

    error, details = fail(serve(), method, request_)

    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert details["ErrorInfo"].reason == "QUERY_REFUSED"
    assert details["ErrorInfo"].domain == DOMAIN
    (violation,) = details["BadRequest"].field_violations
    assert (violation.field, violation.description) == (field, error.details())
    assert "RetryInfo" not in details


def test_what_passes_says_when_to_try_again(artifacts: Artifacts, serve: Serve) -> None:
    """A server that is not ready, and an answer that is not fresh enough, beside the
    metadata that they always had.
    """
    server = serve()
    error, details = fail(server, "Retrieve", retrieval_pb.RetrieveRequest(query="x"))
    assert details["ErrorInfo"].reason == "NO_GENERATION"
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1000
    assert metadata_of(error)["freshet-reason"] == "not-ready"

    artifacts.publish(make_catalogue(30))
    wanted = retrieval_pb.MinFreshness(max_age_seconds=1)
    request = retrieval_pb.RetrieveRequest(query="x", min_freshness=wanted)
    error, details = fail(serve(), "Retrieve", request)
    assert details["ErrorInfo"].reason == "NOT_FRESH_ENOUGH"
    assert details["ErrorInfo"].metadata == {"reflected_ms": "0"}
    assert details["RetryInfo"].retry_delay.ToMilliseconds() == 1000
    assert metadata_of(error)["freshet-reflected-ms"] == "0"


def test_a_caller_over_its_rate_learns_how_long_to_wait(artifacts: Artifacts, serve: Serve) -> None:
    """As long as it takes until a call is in its allowance."""
    artifacts.publish(make_catalogue(30))
    server = serve(caller_calls_per_second=0.1)
    request = retrieval_pb.RetrieveRequest(query="x")
    with grpc.insecure_channel(server.address) as channel:
        retrieval_grpc.RetrievalServiceStub(channel).Retrieve(request, timeout=DEADLINE_SECONDS)

    _, details = fail(server, "Retrieve", request)

    assert details["ErrorInfo"].reason == "CALLER_RATE"
    assert 1_000 < details["RetryInfo"].retry_delay.ToMilliseconds() <= 10_000


def test_a_message_that_is_none_has_a_reason(serve: Serve) -> None:
    """Of what gRPC itself would end with INTERNAL."""
    with grpc.insecure_channel(serve().address) as channel:
        call: Call = channel.unary_unary("/freshet.retrieval.v1.RetrievalService/Retrieve")
        with pytest.raises(grpc.RpcError) as caught:
            call(b"\x0a\xff", timeout=DEADLINE_SECONDS)

    assert details_of(caught.value)["ErrorInfo"].reason == "MALFORMED"


def test_a_request_of_a_batch_has_reason_and_field(artifacts: Artifacts, serve: Serve) -> None:
    """The same two, in its place."""
    artifacts.publish(make_catalogue(30))
    batch = retrieval_pb.RetrieveBatchRequest(
        requests=[retrieval_pb.RetrieveRequest(query="x", k=10**6)]
    )
    with grpc.insecure_channel(serve().address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        (answer,) = stub.RetrieveBatch(batch, timeout=DEADLINE_SECONDS).answers

    assert (answer.error.reason, answer.error.field) == ("QUERY_REFUSED", "k")


def test_an_item_with_a_long_name_has_a_status_that_arrives(
    artifacts: Artifacts, serve: Serve
) -> None:
    """Clients take 8 kB of what travels with the end of a call."""
    artifacts.publish(make_catalogue(30))

    error, _ = fail(serve(), "SimilarItems", retrieval_pb.SimilarItemsRequest(item_id="ü😀" * 512))

    assert error.code() is grpc.StatusCode.NOT_FOUND
