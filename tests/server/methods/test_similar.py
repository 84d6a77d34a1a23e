"""`SimilarItems`: the items nearest to an item, of generation and overlay."""

import grpc
import numpy as np
import pytest

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from testing.overlays import overlay_rows, random_units
from testing.retrieval_server import DEADLINE_SECONDS, RunningServer, Serve, wait_until
from testing.small_generations import DIM, NOW_MS, Artifacts, Catalogue, make_catalogue


def ask(
    server: RunningServer, item_id: str, k: int = 0, **more: object
) -> retrieval_pb.SimilarItemsResponse:
    """Call SimilarItems over a channel of its own."""
    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        request = retrieval_pb.SimilarItemsRequest(item_id=item_id, k=k, **more)  # type: ignore[arg-type]
        return stub.SimilarItems(request, timeout=DEADLINE_SECONDS)


def nearest(catalogue: Catalogue, item: int, k: int) -> list[int]:
    """Return the items nearest to an item by an exact scan, itself left out."""
    ranked = catalogue.exact(catalogue.item_vectors[item], len(catalogue.titles))
    return [each for each in ranked if each != item][:k]


def publish_overlay(artifacts: Artifacts, generation_id: str, **rows: object) -> None:
    """Write an overlay beside a generation."""
    folder = OverlayFolder.of(artifacts.root)
    gone = GoneList(folder.gone_path)
    publisher = OverlayPublisher(folder, generation_id, DIM, gone, clock_ms=lambda: NOW_MS - 500)
    publisher.publish(
        overlay_rows(DIM, **rows),  # type: ignore[arg-type]
        Claim(reflected_ms=NOW_MS - 1_000, watermark_ms=NOW_MS - 1_000),
    )


def overlay_is_live(server: RunningServer) -> None:
    """Wait until answers have a segment."""
    wait_until(
        lambda: (server.metric("freshet_server_overlay_sequence") or 0) > 0, "a segment is live"
    )


def test_the_nearest_come_and_not_the_item_itself(artifacts: Artifacts, serve: Serve) -> None:
    """As an exact scan has them, with titles, scores and receipt."""
    catalogue = make_catalogue(100)
    catalogue.hidden = frozenset({5})
    generation_id = artifacts.publish(catalogue)
    server = serve()

    for item in (0, 5, 42):
        answer = ask(server, f"{generation_id}/{item}", 6)

        expected = nearest(catalogue, item, 6)
        assert [hit.item_id for hit in answer.hits] == [f"{generation_id}/{n}" for n in expected]
        assert [hit.title for hit in answer.hits] == [catalogue.titles[n] for n in expected]
        assert answer.hits[0].score == pytest.approx(
            float(catalogue.item_vectors[item] @ catalogue.item_vectors[expected[0]]), abs=1e-5
        )
        assert answer.receipt.generation == generation_id
        assert answer.item_source == retrieval_pb.VECTOR_SOURCE_GENERATION
    assert len(ask(server, f"{generation_id}/0").hits) == 10
    assert len(ask(server, f"{generation_id}/0", 1000).hits) == 98


def test_a_filter_says_which_may_be_in_the_answer(artifacts: Artifacts, serve: Serve) -> None:
    """The item itself is none of them, and takes no place of its group."""
    catalogue = make_catalogue(60)
    catalogue.attributes = [{"brand": f"b{item % 3}"} for item in range(60)]
    generation_id = artifacts.publish(catalogue)
    server = serve()
    same = retrieval_pb.Condition(attribute="brand", equals="b1")
    ranked = nearest(catalogue, 4, 60)

    answer = ask(server, f"{generation_id}/4", 5, filter=retrieval_pb.Filter(conditions=[same]))
    expected = [item for item in ranked if item % 3 == 1][:5]
    assert [hit.item_id for hit in answer.hits] == [f"{generation_id}/{n}" for n in expected]
    assert answer.filter.num_matching == 19

    grouped = ask(
        server,
        f"{generation_id}/4",
        3,
        filter=retrieval_pb.Filter(group_by=retrieval_pb.GroupBy(attribute="brand")),
    )
    first = [next(item for item in ranked if item % 3 == brand) for brand in range(3)]
    found = {hit.item_id for hit in grouped.hits}
    assert found == {f"{generation_id}/{item}" for item in first}
    assert not ask(server, f"{generation_id}/4", 3).HasField("filter")
    server.wait_for_metric(2, "freshet_server_filtered_total", path="exact")


def test_an_item_of_the_overlay_has_similar_items(artifacts: Artifacts, serve: Serve) -> None:
    """A new item, and one that moved, are asked for and found by their new vectors."""
    catalogue = make_catalogue(60, ["lamp"])
    generation_id = artifacts.publish(catalogue)
    near = random_units(np.random.default_rng(5), 1, DIM)[0]
    publish_overlay(artifacts, generation_id, items={"new": near, f"{generation_id}/7": near})
    server = serve()
    overlay_is_live(server)

    of_new, of_moved = ask(server, "new", 3), ask(server, f"{generation_id}/7", 3)

    assert of_new.item_source == of_moved.item_source == retrieval_pb.VECTOR_SOURCE_OVERLAY
    assert (of_new.hits[0].item_id, of_moved.hits[0].item_id) == (f"{generation_id}/7", "new")
    assert "new" not in {hit.item_id for hit in of_new.hits}
    assert [len(of_new.hits), len(of_moved.hits)] == [3, 3]
    of_old = ask(server, f"{generation_id}/8", 60)
    assert {"new", f"{generation_id}/7"} <= {hit.item_id for hit in of_old.hits}


def test_what_is_not_there_is_not_found(artifacts: Artifacts, serve: Serve) -> None:
    """An unknown id, and a deleted item; each says which."""
    generation_id = artifacts.publish(make_catalogue(60, ["lamp"]))
    publish_overlay(artifacts, generation_id, gone_items=[f"{generation_id}/3"])
    server = serve()
    overlay_is_live(server)

    for item_id, words in (("nobody's", "nor its overlay has item"), ("/3", "is deleted")):
        asked = f"{generation_id}/3" if item_id == "/3" else item_id
        with pytest.raises(grpc.RpcError) as caught:
            ask(server, asked)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        assert words in (caught.value.details() or "")
    hits = ask(server, f"{generation_id}/4", 60).hits
    assert f"{generation_id}/3" not in {hit.item_id for hit in hits}


@pytest.mark.parametrize(
    ("item_id", "k", "words"),
    [("", 3, "item_id is empty"), ("x" * 2000, 3, "at most 1024"), ("x", 1001, "from 1 to 1000")],
)
def test_a_request_outside_the_limits_is_refused(
    artifacts: Artifacts, serve: Serve, item_id: str, k: int, words: str
) -> None:
    """INVALID_ARGUMENT, with the limit in its words."""
    artifacts.publish(make_catalogue(30))

    with pytest.raises(grpc.RpcError) as caught:
        ask(serve(), item_id, k)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")


def test_an_answer_may_have_to_be_fresh(artifacts: Artifacts, serve: Serve) -> None:
    """`min_freshness` means what it means for a query."""
    generation_id = artifacts.publish(make_catalogue(30))

    with pytest.raises(grpc.RpcError) as caught:
        ask(
            serve(),
            f"{generation_id}/1",
            min_freshness=retrieval_pb.MinFreshness(max_age_seconds=1.0),
        )

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
