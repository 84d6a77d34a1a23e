"""The end-to-end test: a real log through a real Kafka, killed on the way, trained,
served, swapped.

``pytest tests/e2e -rP --log-level=INFO`` shows what was measured.
"""

import logging

import pytest

from tests.e2e.conftest import Outcome

logger = logging.getLogger(__name__)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]


def test_a_stream_killed_in_mid_batch_makes_the_graph_of_a_plain_batch_build(
    outcome: Outcome,
) -> None:
    """Kill -9 three times while it applies, start again.

    Nothing is lost, nothing counted twice.
    """
    assert outcome.num_kills == 3
    assert outcome.hash_early == outcome.batch_hash_early
    assert outcome.hash_all == outcome.batch_hash_all
    assert outcome.hash_all != outcome.hash_early


def test_known_queries_get_their_clicked_items(outcome: Outcome) -> None:
    """Of the clicks after training, far more are answered than the most clicked items
    would answer.
    """
    logger.info(
        "known queries recall_10=%.3f popularity=%.3f",
        outcome.model_recall,
        outcome.popularity_recall,
    )
    assert outcome.model_recall >= 0.8
    assert outcome.model_recall >= 2 * outcome.popularity_recall


def test_an_unseen_spelling_gets_what_the_right_one_gets(outcome: Outcome) -> None:
    """A slip of the fingers costs little.

    The best item is there, and half of the answer is the same.
    """
    logger.info(
        "unseen spellings hits=%.3f overlap=%.3f", outcome.spelling_hits, outcome.spelling_overlap
    )
    assert outcome.spelling_hits >= 0.8
    assert outcome.spelling_overlap >= 0.4


def test_a_second_generation_swaps_in_without_an_error(outcome: Outcome) -> None:
    """Clients that never pause see one generation, then the other, and nothing else."""
    logger.info("swap answers=%d errors=%d", outcome.swap.num_answers, len(outcome.swap.errors))
    assert outcome.swap.errors == []
    assert outcome.swap.generations == [outcome.first, outcome.second]
    assert outcome.swap.num_answers > 100


def test_every_process_ends_when_it_is_told_to(outcome: Outcome) -> None:
    """SIGTERM, exit code 0."""
    assert outcome.stopped_with == {"server": 0, "stream": 0}
