"""What figures are made of sightings."""

from bench.freshness.probes import DURABLE, GONE_ITEM, NEW_QUERY
from bench.freshness.report import claim_figures, latency_figures
from bench.freshness.sightings import Answer, Published, Sighting


def sighting(figure: str, seconds: float | None, *, claimed_ms: int = 0) -> Sighting:
    """Return a probe that was seen after so many seconds; None: never."""
    seen = Answer(at=1.0 + (seconds or 0.0), is_found=True, reflected_ms=claimed_ms)
    return Sighting(
        figure=figure,
        published=Published(sent=1.0, acknowledged=1.0),
        unseen=Answer(at=1.0, is_found=False, reflected_ms=claimed_ms),
        seen=None if seconds is None else seen,
        num_answers=1,
    )


def test_times_of_each_figure_are_summed_up() -> None:
    """Half of four, all but one in a hundred, the most; none of what nobody probed."""
    sightings = [sighting(NEW_QUERY, seconds) for seconds in (4.0, 1.0, 2.0, 3.0)]
    found = list(latency_figures("load", sightings, timeout_seconds=60.0))

    assert [figure.value for figure in found] == [2.0, 4.0, 4.0]
    assert [figure.target for figure in found] == ["<= 1.5", "<= 4", ""]
    assert all(figure.name.startswith(f"load: {NEW_QUERY}") for figure in found)


def test_a_probe_that_was_never_seen_counts_with_the_whole_time() -> None:
    """It is not left out, and the note says so."""
    sightings = [sighting(DURABLE, 0.1), sighting(DURABLE, None)]
    found = {
        figure.name.rpartition(" ")[2]: figure
        for figure in latency_figures("rest", sightings, timeout_seconds=60.0)
    }

    assert found["p50"].value == 0.1
    assert found["p99"].value == 60.0
    assert found["p99"].note == "2 probes, 1 not within 60 s"


def test_claims_are_summed_up_where_there_were_any() -> None:
    """An answer without the probe that claims two seconds more than there were."""
    assert list(claim_figures("load", [sighting(NEW_QUERY, 1.0)])) == []
    wrong = sighting(NEW_QUERY, 1.0, claimed_ms=3000)
    found = list(claim_figures("load", [wrong, sighting(GONE_ITEM, 0.5, claimed_ms=900)]))

    assert [figure.value for figure in found] == [0.1, 2.0, 2.0, 2.0, 2.0, 2.0, 1]
    assert [", of clicks," in figure.name for figure in found[:6]] == [False] * 3 + [True] * 3
    assert found[-1].target == "0"
    assert found[-1].note == f"1 of {NEW_QUERY}"
