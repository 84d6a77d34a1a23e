"""The field mask of a request: an answer has what is wanted, and no more."""

import grpc
import pytest

from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.errors import QueryRefused
from server.methods.field_mask import masked, parse_mask
from testing.retrieval_server import DEADLINE_SECONDS, Serve
from testing.small_generations import Artifacts, make_catalogue

ANSWER = retrieval_pb.RetrieveResponse(
    hits=[
        retrieval_pb.Hit(item_id="a", score=0.5, title="A"),
        retrieval_pb.Hit(item_id="b", score=0.25, title="B"),
    ],
    receipt=retrieval_pb.FreshnessReceipt(generation="g", watermark_ms=7),
    normalized_query="lamp",
)


@pytest.mark.parametrize(
    ("paths", "left"),
    [
        ([], ANSWER),
        (["hits.item_id"], {"hits": [{"item_id": "a"}, {"item_id": "b"}]}),
        (
            ["hits.item_id", "hits.score"],
            {"hits": [{"item_id": "a", "score": 0.5}, {"item_id": "b", "score": 0.25}]},
        ),
        (
            ["receipt.generation", "normalized_query"],
            {"receipt": {"generation": "g"}, "normalized_query": "lamp"},
        ),
        (["hits", "hits.score"], {"hits": list(ANSWER.hits)}),
        (["hits.score", "hits"], {"hits": list(ANSWER.hits)}),
        (["context_members"], {}),
    ],
)
def test_what_is_not_wanted_is_left_out(paths: list[str], left: dict[str, object]) -> None:
    """A path through hits is of each; a whole field includes what is below it."""
    answer = retrieval_pb.RetrieveResponse()
    answer.CopyFrom(ANSWER)

    masked(answer, parse_mask(paths, answer.DESCRIPTOR))

    expected = left if paths == [] else retrieval_pb.RetrieveResponse(**left)  # type: ignore[arg-type]
    assert answer == expected


@pytest.mark.parametrize(
    "path", ["", ".", "hit", "hits.", "hits.name", "hits.item_id.x", "hits..score", "*", "x" * 5000]
)
def test_a_path_that_names_no_field_is_refused(path: str) -> None:
    """With the fields that there are."""
    with pytest.raises(QueryRefused, match="has no such field; it has hits, receipt") as caught:
        parse_mask(["hits", path], retrieval_pb.RetrieveResponse.DESCRIPTOR)

    assert caught.value.request_field == "field_mask"
    assert len(str(caught.value)) < 400


def test_a_mask_is_bounded() -> None:
    """Nobody needs more paths than the contract has fields."""
    with pytest.raises(QueryRefused, match="more than 100 paths"):
        parse_mask(["hits"] * 101, retrieval_pb.RetrieveResponse.DESCRIPTOR)


def test_answers_heed_it(artifacts: Artifacts, serve: Serve) -> None:
    """Alone and in a batch, where each request has its own; a wrong one is refused."""
    artifacts.publish(make_catalogue(30, ["lamp"]))
    bare = retrieval_pb.RetrieveRequest(query="lamp", k=3)
    slim = retrieval_pb.RetrieveRequest(query="lamp", k=3)
    slim.field_mask.paths.append("hits.item_id")
    wrong = retrieval_pb.RetrieveRequest(query="lamp")
    wrong.field_mask.paths.append("hits.price")
    with grpc.insecure_channel(serve().address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        whole = stub.Retrieve(bare, timeout=DEADLINE_SECONDS)
        answer = stub.Retrieve(slim, timeout=DEADLINE_SECONDS)
        batch = stub.RetrieveBatch(
            retrieval_pb.RetrieveBatchRequest(requests=[slim, bare, wrong]),
            timeout=DEADLINE_SECONDS,
        )
        with pytest.raises(grpc.RpcError) as caught:
            stub.Retrieve(wrong, timeout=DEADLINE_SECONDS)

    ids = [retrieval_pb.Hit(item_id=hit.item_id) for hit in whole.hits]
    assert answer == retrieval_pb.RetrieveResponse(hits=ids)
    assert batch.answers[0].response == answer
    assert batch.answers[1].response.hits == whole.hits
    assert batch.answers[2].error.field == "field_mask"
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
