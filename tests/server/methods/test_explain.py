"""`Explain`: what a server can say of why an item answers a query."""

from collections.abc import Mapping
from typing import Any

import grpc
import numpy as np
import pytest

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from testing.overlays import overlay_rows, random_units, with_evidence
from testing.retrieval_server import DEADLINE_SECONDS, RunningServer, Serve, wait_until
from testing.small_generations import DIM, NOW_MS, Artifacts, Catalogue, make_catalogue

QUERIES = ["cup", "mug", "plate"]


def ask(
    server: RunningServer, query: str, item_id: str, max_paths: int = 0
) -> retrieval_pb.ExplainResponse:
    """Call Explain over a channel of its own."""
    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        request = retrieval_pb.ExplainRequest(query=query, item_id=item_id, max_paths=max_paths)
        return stub.Explain(request, timeout=DEADLINE_SECONDS)


def shop() -> Catalogue:
    """Return a catalogue whose item 1 is linked to "mug" in every way there is: clicked
    in two sessions, in one session with it and with item 2, which was clicked for
    "mug", too, and reached by "cup", which also leads to item 2.
    """
    catalogue = make_catalogue(20, QUERIES)
    catalogue.hidden = frozenset({9})
    catalogue.clicks = [(1, 1, 2), (1, 2, 1), (0, 1, 1), (0, 2, 3)]
    catalogue.sessions = [([1], [1]), ([], [1, 2])]
    return catalogue


def publish_overlay(
    artifacts: Artifacts,
    generation_id: str,
    *,
    clicks: Mapping[str, Mapping[str, int]] | None = None,
    sessions: Mapping[str, int] | None = None,
    **rows: object,
) -> None:
    """Write an overlay beside a generation."""
    folder = OverlayFolder.of(artifacts.root)
    gone = GoneList(folder.gone_path)
    publisher = OverlayPublisher(folder, generation_id, DIM, gone, clock_ms=lambda: NOW_MS - 500)
    named = overlay_rows(DIM, **rows)  # type: ignore[arg-type]
    publisher.publish(
        with_evidence(named, clicks or {}, sessions),
        Claim(reflected_ms=NOW_MS - 1_000, watermark_ms=NOW_MS - 1_000),
    )


def serve_with_overlay(artifacts: Artifacts, serve: Serve, **rows: Any) -> RunningServer:
    """Publish an overlay and start a server that answers with it."""
    publish_overlay(artifacts, artifacts.store.current_id() or "", **rows)
    server = serve()
    wait_until(
        lambda: (server.metric("freshet_server_overlay_sequence") or 0) > 0, "a segment is live"
    )
    return server


def test_score_channels_and_paths_of_a_known_query(artifacts: Artifacts, serve: Serve) -> None:
    """The score is that of a hit, shares add to one, and paths of all kinds come
    strongest first.
    """
    catalogue = shop()
    generation_id = artifacts.publish(catalogue)

    answer = ask(serve(), "Mug!", f"{generation_id}/1")

    assert (answer.normalized_query, answer.title) == ("mug", catalogue.titles[1])
    expected = float(catalogue.query_vectors[1] @ catalogue.item_vectors[1])
    assert answer.score == pytest.approx(expected, abs=1e-5)
    assert answer.query_path == retrieval_pb.QUERY_PATH_KNOWN
    assert answer.item_source == retrieval_pb.VECTOR_SOURCE_GENERATION
    assert answer.item_state == retrieval_pb.ITEM_STATE_SHOWN
    assert [each.channel for each in answer.channels] == ["text", "bipartite", "hypergraph"]
    assert sum(each.query for each in answer.channels) == pytest.approx(1)
    assert sum(each.item for each in answer.channels) == pytest.approx(1)
    assert all(each.propagates for each in answer.channels)
    assert answer.evidence == retrieval_pb.EVIDENCE_PATHS
    strengths = [path.strength for path in answer.paths]
    assert strengths == sorted(strengths, reverse=True)
    by_kind = {(path.WhichOneof("kind"), path.session.via_item_id): path for path in answer.paths}
    assert by_kind["click", ""].click.num_sessions == 2
    assert by_kind["session", ""].session.num_sessions == 1
    assert by_kind["session", f"{generation_id}/2"].session.num_sessions == 1
    other = by_kind["other_query", ""].other_query
    assert (other.query, other.via_item_id) == ("cup", f"{generation_id}/2")
    assert answer.receipt.generation == generation_id


def test_fewer_paths_may_be_wanted(artifacts: Artifacts, serve: Serve) -> None:
    """The strongest one is left."""
    generation_id = artifacts.publish(shop())
    server = serve()

    (path,) = ask(server, "mug", f"{generation_id}/1", 1).paths

    assert path == ask(server, "mug", f"{generation_id}/1").paths[0]


@pytest.mark.parametrize(
    ("query", "item", "evidence"),
    [
        ("plate", 1, retrieval_pb.EVIDENCE_NO_LINK),
        ("never seen", 1, retrieval_pb.EVIDENCE_QUERY_UNKNOWN),
    ],
)
def test_without_paths_the_answer_says_why(
    artifacts: Artifacts,
    serve: Serve,
    query: str,
    item: int,
    evidence: int,
) -> None:
    """Nothing links them, or nobody asked the query: then it is all text."""
    generation_id = artifacts.publish(shop())

    answer = ask(serve(), query, f"{generation_id}/{item}")

    assert (answer.evidence, len(answer.paths)) == (evidence, 0)
    if evidence == retrieval_pb.EVIDENCE_QUERY_UNKNOWN:
        assert answer.query_path == retrieval_pb.QUERY_PATH_ENCODED
        assert [each.query for each in answer.channels] == [1, 0, 0]


def test_a_generation_without_its_graph_says_so(artifacts: Artifacts, serve: Serve) -> None:
    """Score and channels are there all the same."""
    generation_id = artifacts.publish(make_catalogue(20, QUERIES))

    answer = ask(serve(), "mug", f"{generation_id}/1")

    assert answer.evidence == retrieval_pb.EVIDENCE_NOT_STORED
    assert answer.score
    assert answer.channels[0].HasField("item")


def test_an_unavailable_item_is_explained(artifacts: Artifacts, serve: Serve) -> None:
    """It is in no answer, which is what somebody wants to know."""
    generation_id = artifacts.publish(shop())

    answer = ask(serve(), "mug", f"{generation_id}/9")

    assert answer.item_state == retrieval_pb.ITEM_STATE_UNAVAILABLE


def test_the_overlay_is_in_it(artifacts: Artifacts, serve: Serve) -> None:
    """A new item and a new query have a score and no shares; a moved item's score is
    that of its new vector, its paths are the generation's.
    """
    generation_id = artifacts.publish(shop())
    near, moved = random_units(np.random.default_rng(5), 2, DIM)
    server = serve_with_overlay(
        artifacts,
        serve,
        items={"new": near, f"{generation_id}/1": moved},
        queries={"brand new": near},
    )

    both_new, known_query = ask(server, "brand new", "new"), ask(server, "mug", "new")
    moved_item = ask(server, "mug", f"{generation_id}/1")

    assert both_new.score == pytest.approx(1, abs=1e-5)
    assert both_new.query_path == retrieval_pb.QUERY_PATH_FRESH
    assert both_new.item_source == retrieval_pb.VECTOR_SOURCE_OVERLAY
    assert both_new.evidence == known_query.evidence == retrieval_pb.EVIDENCE_NEWER
    assert not any(each.HasField("query") or each.HasField("item") for each in both_new.channels)
    assert all(each.HasField("query") for each in known_query.channels)
    assert moved_item.item_source == retrieval_pb.VECTOR_SOURCE_OVERLAY
    assert moved_item.evidence == retrieval_pb.EVIDENCE_PATHS
    assert both_new.receipt.overlay_sequence > 0


def test_what_was_clicked_since_the_generation_is_named(artifacts: Artifacts, serve: Serve) -> None:
    """Of a known query: all that moved its vector, but for other items that are gone;
    where nothing linked it to the item before, that is said to be newer.
    """
    generation_id = artifacts.publish(shop())
    (moved,) = random_units(np.random.default_rng(5), 1, DIM)
    linked, unlinked, gone = (f"{generation_id}/{row}" for row in (1, 7, 8))
    server = serve_with_overlay(
        artifacts,
        serve,
        items={unlinked: moved},
        queries={"mug": moved},
        gone_items=[gone],
        clicks={"mug": {unlinked: 3, gone: 2, linked: 1}},
        sessions={unlinked: 4},
    )

    newer, both = ask(server, "mug", unlinked), ask(server, "mug", linked)
    deleted = ask(server, "mug", gone)

    counts = [(each.item_id, each.num_sessions) for each in newer.newer_clicks]
    assert counts == [(unlinked, 3), (linked, 1)]
    assert newer.evidence == retrieval_pb.EVIDENCE_NEWER
    assert (newer.item_newer_sessions, both.item_newer_sessions) == (4, 0)
    assert both.evidence == retrieval_pb.EVIDENCE_PATHS
    assert newer.query_path == retrieval_pb.QUERY_PATH_FRESH
    assert not ask(server, "cup", linked).newer_clicks
    assert deleted.item_state == retrieval_pb.ITEM_STATE_GONE
    assert deleted.evidence == retrieval_pb.EVIDENCE_NEWER
    assert deleted.newer_clicks[1].item_id == gone


def test_what_was_erased_or_deleted_since_is_in_no_path(artifacts: Artifacts, serve: Serve) -> None:
    """Neither an erased query nor a deleted item is told of; an erased query that is
    asked counts as never seen, a deleted item as gone.
    """
    generation_id = artifacts.publish(shop())
    server = serve_with_overlay(
        artifacts, serve, gone_queries=["cup"], gone_items=[f"{generation_id}/2"]
    )

    answer = ask(server, "mug", f"{generation_id}/1", 100)
    erased, deleted = (
        ask(server, "cup", f"{generation_id}/1"),
        ask(server, "mug", f"{generation_id}/2"),
    )

    assert {path.WhichOneof("kind") for path in answer.paths} == {"click", "session"}
    assert f"{generation_id}/2" not in str(answer)
    assert "cup" not in str(answer)
    assert erased.evidence == retrieval_pb.EVIDENCE_QUERY_UNKNOWN
    assert deleted.item_state == retrieval_pb.ITEM_STATE_GONE


@pytest.mark.parametrize(
    ("query", "item_id", "max_paths", "status", "words"),
    [
        ("", "x", 0, grpc.StatusCode.INVALID_ARGUMENT, "the query is empty"),
        ("mug", "", 0, grpc.StatusCode.INVALID_ARGUMENT, "item_id is empty"),
        ("mug", "x", 101, grpc.StatusCode.INVALID_ARGUMENT, "from 1 to 100"),
        ("mug", "nobody's", 0, grpc.StatusCode.NOT_FOUND, "has item"),
    ],
)
def test_what_cannot_be_explained_is_refused(
    artifacts: Artifacts,
    serve: Serve,
    query: str,
    item_id: str,
    max_paths: int,
    status: grpc.StatusCode,
    words: str,
) -> None:
    """With what to change."""
    artifacts.publish(shop())

    with pytest.raises(grpc.RpcError) as caught:
        ask(serve(), query, item_id, max_paths)

    assert caught.value.code() is status
    assert words in (caught.value.details() or "")
