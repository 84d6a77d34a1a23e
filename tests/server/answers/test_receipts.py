"""Receipts as bytes are those of their messages."""

import weakref
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from model.artifact.overlay.segment import Claim
from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers.receipts import ViewReceipts, receipt_message
from server.freshness import receipt_of
from server.live import LiveGeneration
from server.overlay.view import LiveView
from server.settings import ServerSettings
from testing.small_generations import NOW_MS, Artifacts, make_catalogue

TIMES = st.sampled_from([0, 1, NOW_MS - 1, NOW_MS, NOW_MS + 1]) | st.integers(0, 2 * NOW_MS)


@pytest.fixture
def view(artifacts: Artifacts) -> LiveView:
    """A generation with a snapshot of half a minute ago."""
    catalogue = make_catalogue(20, ["lamp"])
    catalogue.watermark_ms, catalogue.taken_ms = NOW_MS - 61_500, NOW_MS - 30_250
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    return LiveView.bare(LiveGeneration.load(path, ServerSettings()))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TIMES, TIMES, TIMES, TIMES, st.integers(0, 2**63), st.sampled_from(["", "bad", "é" * 90]))
@example(0, 0, 0, NOW_MS, 0, "")
@example(NOW_MS, NOW_MS, NOW_MS, NOW_MS, 1, "")
def test_the_bytes_are_those_of_the_message(  # what a receipt has
    view: LiveView,
    watermark_ms: int,
    reflected_ms: int,
    catalog_ms: int,
    now_ms: int,
    sequence: int,
    refused: str,
) -> None:
    """Whatever is known of the view, and whenever: an age of 0, which a message does
    not write, and one of a clock that is ahead, too.
    """
    claim = Claim(
        watermark_ms=watermark_ms, reflected_ms=reflected_ms, catalog_reflected_ms=catalog_ms
    )
    asked = replace(view, claim=claim, overlay=replace(view.overlay, sequence=sequence))
    receipts = ViewReceipts(asked, refused)

    receipt = receipts.receipt(now_ms)

    assert receipt == receipt_of(asked, now_ms, refused)
    message = retrieval_pb.RetrieveResponse(receipt=receipt_message(receipt))
    assert receipts.written(now_ms) == message.SerializeToString()
    assert (receipts.reflected_ms, receipts.snapshot_ms) == (reflected_ms, receipt.snapshot_ms)


def test_a_view_is_not_kept_for_its_receipts(artifacts: Artifacts) -> None:
    """It has a generation's memory, and may be replaced; another is told from it."""
    path = artifacts.store.generation_path(artifacts.write(make_catalogue(20, ["lamp"])))
    view, other = (LiveView.bare(LiveGeneration.load(path, ServerSettings())) for _ in range(2))
    receipts, expected = ViewReceipts(view, "bad"), receipt_of(view, NOW_MS, "bad")
    assert (receipts.is_of(view), receipts.is_of(other)) == (True, False)
    gone = weakref.ref(view)

    del view

    assert gone() is None
    assert not receipts.is_of(other)
    assert receipts.receipt(NOW_MS) == expected
