"""`RetrieveBatch`: many queries, one snapshot, an outcome each."""

from collections.abc import Sequence

import grpc
import pytest

from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.methods.batch import check_batch
from server.settings import ServerSettings
from testing.retrieval_server import DEADLINE_SECONDS, RunningServer, Serve
from testing.small_generations import Artifacts, make_catalogue

QUERIES = ["xbox 360", "halo 3", "desk lamp"]


def ask(
    server: RunningServer, requests: Sequence[retrieval_pb.RetrieveRequest]
) -> retrieval_pb.RetrieveBatchResponse:
    """Call RetrieveBatch over a channel of its own."""
    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        batch = retrieval_pb.RetrieveBatchRequest(requests=requests)
        return stub.RetrieveBatch(batch, timeout=DEADLINE_SECONDS)


def request(query: str, k: int = 3) -> retrieval_pb.RetrieveRequest:
    """Return a request."""
    return retrieval_pb.RetrieveRequest(query=query, k=k)


def test_each_answer_is_what_the_query_alone_gets(artifacts: Artifacts, serve: Serve) -> None:
    """Known, unseen and repeated queries, in the order of the requests; one receipt."""
    artifacts.publish(make_catalogue(50, QUERIES))
    server = serve()
    asked = [request("Halo 3"), request("never seen"), request("desk lamp", 7), request("Halo 3")]

    batch = ask(server, asked)

    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        alone = [stub.Retrieve(each, timeout=DEADLINE_SECONDS) for each in asked]
    assert batch.receipt == alone[0].receipt
    for answer, expected in zip(batch.answers, alone, strict=True):
        expected.ClearField("receipt")
        assert answer.response == expected
    assert server.metric("freshet_server_batched_total", code="OK") == 4
    assert server.metric("freshet_server_queries_total", path="encoded") == 2


def test_a_wrong_request_fails_alone(artifacts: Artifacts, serve: Serve) -> None:
    """Its place has the code and the words that it alone would have got; the others
    have their answers.
    """
    artifacts.publish(make_catalogue(50, QUERIES))
    server = serve()
    stale = request("halo 3")
    stale.min_freshness.max_age_seconds = 1.0

    batch = ask(server, [request(""), request("halo 3"), request("halo 3", 9999), stale])

    outcomes = [each.WhichOneof("outcome") for each in batch.answers]
    assert outcomes == ["error", "response", "error", "error"]
    assert batch.answers[0].error.code == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert "is empty" in batch.answers[0].error.message
    assert "from 1 to 1000" in batch.answers[2].error.message
    assert batch.answers[3].error.code == grpc.StatusCode.FAILED_PRECONDITION.value[0]
    assert server.metric("freshet_server_batched_total", code="INVALID_ARGUMENT") == 2
    assert server.metric("freshet_server_batched_total", code="FAILED_PRECONDITION") == 1


def test_a_batch_is_of_one_generation(artifacts: Artifacts, serve: Serve) -> None:
    """However often generations are swapped meanwhile, all hits of a batch are of the
    one that its receipt names.
    """
    ids = [artifacts.publish(make_catalogue(30, QUERIES, seed=seed)) for seed in range(2)]
    server = serve()
    for turn in range(30):
        artifacts.use(ids[turn % 2])

        batch = ask(server, [request(query) for query in QUERIES * 10])

        hits = {hit.item_id for each in batch.answers for hit in each.response.hits}
        assert {item_id.partition("/")[0] for item_id in hits} == {batch.receipt.generation}


@pytest.mark.parametrize(
    ("requests", "words"),
    [
        ([], "has 0 requests; it must have from 1 to 5"),
        ([request("halo 3")] * 6, "has 6 requests"),
        ([request("halo 3", 30), request("halo 3", 31)], "ask for 61 items together; at most 60"),
        ([request("halo 3", 0)] * 4 + [request("halo 3", 21)], "ask for 61 items"),
    ],
)
def test_a_batch_outside_the_limits_is_refused_as_a_whole(
    artifacts: Artifacts,
    serve: Serve,
    requests: Sequence[retrieval_pb.RetrieveRequest],
    words: str,
) -> None:
    """INVALID_ARGUMENT, with the limit in its words."""
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(max_batch=5, max_batch_items=60)

    with pytest.raises(grpc.RpcError) as caught:
        ask(server, requests)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")


def test_a_k_that_is_refused_anyway_counts_for_nothing() -> None:
    """A request that asks for a million fails alone, not the batch with it."""
    batch = retrieval_pb.RetrieveBatchRequest(requests=[request("a", 10**6), request("b")])

    check_batch(batch, ServerSettings(max_batch_items=1000))


def test_a_server_without_a_generation_has_no_batch(artifacts: Artifacts, serve: Serve) -> None:
    """The batch fails as a query does."""
    with pytest.raises(grpc.RpcError) as caught:
        ask(serve(), [request("halo 3")])

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


def test_a_batch_counts_as_its_requests_towards_the_rate(
    artifacts: Artifacts, serve: Serve
) -> None:
    """After one of 50 at a rate of 5, the next is turned away: 45 calls are owed."""
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(caller_calls_per_second=5.0)

    assert len(ask(server, [request("halo 3")] * 50).answers) == 50
    with pytest.raises(grpc.RpcError) as caught:
        ask(server, [request("halo 3")])

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert server.metric("freshet_server_calls_refused_total", reason="caller_rate") == 1
