"""Ages in receipts."""

from server.freshness import age_seconds, receipt_of
from server.live import LiveGeneration
from server.overlay.view import LiveView
from server.settings import ServerSettings
from testing.small_generations import NOW_MS, Artifacts, make_catalogue


def test_ages_are_taken_at_the_given_time(artifacts: Artifacts) -> None:
    """Watermark and snapshot ages are the time between them and the
    answer, in seconds.
    """
    catalogue = make_catalogue(20, ["lamp"])
    catalogue.watermark_ms, catalogue.taken_ms = NOW_MS - 61_500, NOW_MS - 30_250
    path = artifacts.store.generation_path(artifacts.write(catalogue))
    live = LiveGeneration.load(path, ServerSettings(), clock_ms=lambda: NOW_MS - 1)

    receipt = receipt_of(LiveView.bare(live), NOW_MS)

    assert receipt.generation == path.name
    assert (receipt.watermark_ms, receipt.watermark_age_seconds) == (NOW_MS - 61_500, 61.5)
    assert (receipt.snapshot_ms, receipt.snapshot_age_seconds) == (NOW_MS - 30_250, 30.25)
    assert receipt.live_since_ms == NOW_MS - 1


def test_an_age_is_never_negative() -> None:
    """A time in the future, by another machine's clock, has age 0."""
    assert age_seconds(NOW_MS + 5000, NOW_MS) == 0
