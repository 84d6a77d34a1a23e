"""An answer's bytes are those of its message."""

import numpy as np
import pytest

from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers import hits as written_hits
from server.answers.messages import response_bytes, response_message
from server.answers.receipts import ViewReceipts
from server.filters.conditions import FilterPath, FilterReport
from server.live import LiveGeneration
from server.overlay.held import hold
from server.overlay.view import LiveView
from server.retrieve import RetrievalQuery, retrieve
from server.session.shift import MemberOutcome
from server.settings import ServerSettings
from testing.overlays import overlay_rows, random_units
from testing.small_generations import DIM, NOW_MS, Artifacts, make_catalogue

QUERIES = ["xbox 360", "halo 3", "lamp"]


@pytest.fixture
def view(artifacts: Artifacts) -> LiveView:
    """Some items, one without a title, one with a long one in another script."""
    catalogue = make_catalogue(200, QUERIES)
    catalogue.titles[3], catalogue.titles[4] = "", "カメラ" * 100
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveView.bare(LiveGeneration.load(path, ServerSettings()))


def with_overlay(view: LiveView) -> LiveView:
    """Return the view with moved items, new ones, and one that is gone."""
    ids = [view.live.generation.item_ids[row] for row in range(0, 60, 3)]
    vectors = random_units(np.random.default_rng(0), 30, DIM)
    items = {id_: vectors[row] for row, id_ in enumerate([*ids, *map("new {}".format, range(10))])}
    overlay = hold(
        view.live,
        overlay_rows(DIM, items=items),
        view.claim,
        sequence=7,
        writer="w",
        gone={view.live.generation.item_ids[1]: NOW_MS},
        places=view.places,
    )
    return LiveView(
        live=view.live,
        overlay=overlay,
        claim=view.claim,
        live_since_ms=NOW_MS,
        places=view.places,
    )


@pytest.mark.parametrize("k", [1, 10, 1000])
@pytest.mark.parametrize("has_overlay", [False, True])
@pytest.mark.parametrize("is_native", [True, False])
def test_the_bytes_are_read_as_the_message(
    view: LiveView, monkeypatch: pytest.MonkeyPatch, k: int, *, has_overlay: bool, is_native: bool
) -> None:
    """Of the index alone and with an overlay; whether hits are made or are there, in C
    and in Python.
    """
    assert written_hits.IS_NATIVE
    monkeypatch.setattr(written_hits, "IS_NATIVE", is_native)
    asked = with_overlay(view) if has_overlay else view
    receipts = ViewReceipts(asked, "20260101T000000Z-000000")
    for text in (*QUERIES, "unseen", *QUERIES):
        query = RetrievalQuery(query=text, k=k)
        answer = retrieve(asked, query)

        message = response_message(query, answer, receipts.receipt(NOW_MS + 5))

        assert len(message.hits) == min(k, 209 if has_overlay else 200)
        written = response_bytes(query, answer, receipts, NOW_MS + 5)
        assert retrieval_pb.RetrieveResponse.FromString(written) == message
        rest = retrieval_pb.RetrieveResponse.FromString(written)
        rest.ClearField("hits")
        assert written == answer.hits() + rest.SerializeToString()
        assert retrieval_pb.RetrieveResponse.FromString(written).SerializeToString() == (
            message.SerializeToString()
        )


@pytest.mark.parametrize("is_native", [True, False])
def test_an_item_shows_what_the_overlay_says_of_it_now(
    view: LiveView, monkeypatch: pytest.MonkeyPatch, *, is_native: bool
) -> None:
    """Its title in the generation was shown before, and hides nothing."""
    monkeypatch.setattr(written_hits, "IS_NATIVE", is_native)
    item_id = view.live.generation.item_ids[0]
    before = retrieve(view, RetrievalQuery(query="lamp", k=1000))
    old = before.titles[before.item_ids.index(item_id)]
    before.hits()

    query = RetrievalQuery(query="lamp", k=1000)
    answer = retrieve(with_overlay(view), query)
    written = response_bytes(query, answer, ViewReceipts(view, ""), NOW_MS)
    titles = {
        hit.item_id: hit.title for hit in retrieval_pb.RetrieveResponse.FromString(written).hits
    }

    assert titles[item_id] == f"new {item_id}" != old


def test_what_became_of_session_and_filter_is_in_the_bytes(view: LiveView) -> None:
    """As in the message."""
    query = RetrievalQuery(query="lamp", k=3)
    report = FilterReport(path=FilterPath.EXACT, num_matching=7, unknown_attributes=("colour",))
    answer = retrieve(view, query)._replace(context={MemberOutcome.USED: 2}, filter=report)
    receipts = ViewReceipts(view, "")

    message = response_message(query, answer, receipts.receipt(NOW_MS))

    assert message.context_members == 2
    assert message.filter.unknown_attributes == ["colour"]
    written = response_bytes(query, answer, receipts, NOW_MS)
    assert retrieval_pb.RetrieveResponse.FromString(written) == message
