"""The arithmetic of a probe: when it was seen, and what the answers claimed."""

from collections.abc import Sequence

import pytest

from bench.freshness.probes import NEW_QUERY, Change, Question
from bench.freshness.sightings import Answer, Published, Sighting, follow, percentile, shows

_QUESTION = Question(figure=NEW_QUERY, query="lamp", item_id="p1", change=Change.FOUND)
_PUBLISHED = Published(sent=100.0, acknowledged=100.5)


def answer(at: float, reflected: float = 0.0, *, score: float | None = None) -> Answer:
    """Return an answer that claims to reflect a time, in seconds."""
    return Answer(
        at=at,
        is_found=score is not None,
        score=score,
        is_encoded=True,
        reflected_ms=round(1000 * reflected),
    )


def followed(answers: Sequence[Answer], timeout: float = 60.0) -> tuple[Sighting, list[float]]:
    """Return what comes of answers, and how long was waited after each."""
    waits: list[float] = []
    coming = iter(answers)
    sighting = follow(
        _QUESTION, answer(99.0), _PUBLISHED, lambda _: next(coming), waits.append, timeout
    )
    return sighting, waits


def sighting(unseen: Answer | None, seen: Answer | None) -> Sighting:
    """Return the story of one question."""
    return Sighting(figure=NEW_QUERY, published=_PUBLISHED, unseen=unseen, seen=seen, num_answers=2)


def test_a_probe_is_seen_by_the_first_answer_that_shows_it() -> None:
    """From before it was sent to after the answer had come."""
    answers = [answer(100.1), answer(102.0), answer(103.0, score=0.5)]
    found, waits = followed(answers)

    assert found.seconds == 3.0
    assert (found.unseen, found.seen) == (answers[1], answers[2])
    assert found.num_answers == 3
    assert waits == pytest.approx([0.05, 0.1])


@pytest.mark.parametrize(
    ("change", "before", "unseen", "seen"),
    [
        (Change.FOUND, answer(0), answer(1), answer(1, score=0.1)),
        (Change.GONE, answer(0, score=0.9), answer(1, score=0.9), answer(1)),
        (Change.RISEN, answer(0, score=0.5), answer(1, score=0.50001), answer(1, score=0.51)),
        (Change.RISEN, answer(0, score=0.5), answer(1), answer(1, score=0.6)),
        (Change.OWN_VECTOR, answer(0), answer(1, score=0.9), Answer(at=1.0, is_found=False)),
        (
            Change.FRESH_VECTOR,
            Answer(at=0.0, is_found=True, score=0.5),
            Answer(at=1.0, is_found=True, score=0.6),
            Answer(at=1.0, is_found=True, score=0.5, is_fresh=True),
        ),
    ],
)
def test_an_answer_shows_a_probe(
    change: Change, before: Answer, unseen: Answer, seen: Answer
) -> None:
    """What each kind of change is seen by; the answer before never shows it."""
    assert not shows(change, None, before)
    assert not shows(change, before, unseen)
    assert shows(change, before, seen)


def test_a_probe_that_is_not_seen_in_time_has_no_time() -> None:
    """It counts as infinitely slow, and tells nothing of claims."""
    found, _ = followed([answer(100.1, 102.0), answer(111.0, 112.0)], timeout=10.0)

    assert found.seen is None
    assert found.seconds == float("inf")
    assert found.claim_error_seconds is None
    assert not found.is_overclaimed


@pytest.mark.parametrize(
    ("unseen", "seen", "error", "is_over"),
    [
        pytest.param(answer(101.0, 99.0), answer(102.0, 101.0), 0.0, False, id="true"),
        pytest.param(answer(101.0, 100.3), answer(102.0, 101.0), 0.0, False, id="on its way"),
        pytest.param(answer(101.0, 100.8), answer(102.0, 101.0), 0.3, True, id="too new"),
        pytest.param(answer(101.0, 98.0), answer(102.0, 99.0), 1.0, False, id="too old"),
        pytest.param(None, answer(102.0, 99.5), 0.5, False, id="seen at once"),
        pytest.param(answer(101.0), answer(102.0), None, False, id="no claim"),
    ],
)
def test_a_claim_is_wrong_by_what_the_answers_around_it_disprove(
    unseen: Answer | None, seen: Answer, error: float | None, is_over: bool
) -> None:
    """One that shows a probe should claim its time; one that does not must not."""
    found = sighting(unseen, seen)

    assert found.claim_error_seconds == (None if error is None else pytest.approx(error))
    assert found.is_overclaimed == is_over


def test_percentiles_are_values_that_were_measured() -> None:
    """Of a hundred, the 99th is what all but one do not exceed."""
    values = [float(value) for value in range(100, 0, -1)]

    assert percentile(values, 0.5) == 50.0
    assert percentile(values, 0.99) == 99.0
    assert percentile(values, 1.0) == 100.0
    assert percentile([3.0], 0.5) == 3.0
    with pytest.raises(ValueError, match="no value"):
        percentile([], 0.5)
