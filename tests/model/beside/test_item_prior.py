"""The prior of an item: how often it is seen, beside the rest of its vector."""

import numpy as np
import pytest

from model.beside.item_prior import DIM, Prior, PriorBlock, recency, seen_shares
from stream.dtypes import Float32s

DAY_MS = 86_400_000
SHARES = np.array([0.0, 0.25, 1.0], dtype=np.float32)


def units(count: int, seed: int) -> Float32s:
    """Return random unit vectors."""
    found = np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)
    unit: Float32s = found / np.linalg.norm(found, axis=1, keepdims=True)
    return unit


def test_a_share_is_added_to_what_the_rest_says() -> None:
    """By as much as it counts, whatever is asked; vectors keep length one."""
    block = PriorBlock(weight=0.3, new_share=0.5)
    queries, items = units(4, seed=1), units(3, seed=2)

    extended = block.queries(queries), block.items(items, SHARES)

    wanted = (queries @ items.T + 0.3 * SHARES) / 1.3
    assert extended[0] @ extended[1].T == pytest.approx(wanted, abs=1e-6)
    for vectors in extended:
        assert vectors.shape[1] == 6 + DIM == 6 + block.dim
        assert np.linalg.norm(vectors, axis=1) == pytest.approx(1.0, abs=1e-6)
    assert block.shares_of(extended[1]) == pytest.approx(SHARES, abs=1e-6)


def test_what_is_new_has_a_share_of_its_own() -> None:
    """No session has it."""
    block = PriorBlock(weight=0.1, new_share=0.5)

    assert block.shares_of(block.new_items(units(2, seed=3))) == pytest.approx(0.5, abs=1e-6)


def test_shares_go_by_the_root_of_sessions() -> None:
    """None have more than one; of nothing they are nothing."""
    assert seen_shares(np.array([0.0, 4.0, 16.0, 1.0])) == pytest.approx([0.0, 0.5, 1.0, 0.25])
    assert seen_shares(np.array([0.0, 0.1])) == pytest.approx([0.0, 1.0])
    assert seen_shares(np.zeros(2)).tolist() == [0.0, 0.0]
    assert len(seen_shares(np.zeros(0))) == 0


def test_a_session_counts_half_as_much_a_half_life_later() -> None:
    """The newest counts 1; without a half-life all do."""
    last_ms = np.repeat(np.array([0, 3, 6]) * DAY_MS, 100)

    assert recency(last_ms, 3.0)[::100] == pytest.approx([0.25, 0.5, 1.0])
    assert recency(last_ms, 0.0).tolist() == [1.0] * 300
    assert len(recency(last_ms[:0], 3.0)) == 0


def test_a_few_sessions_after_a_quiet_time_do_not_decide_alone() -> None:
    """The half-life is doubled until a hundred count together, or half of fewer."""
    quiet = np.concatenate([np.full(500, 0), np.full(2, 90 * DAY_MS)])

    counts = recency(quiet, 3.0)

    assert counts.sum() >= 100.0
    assert recency(quiet, 3.0) == pytest.approx(recency(quiet, 48.0))
    assert recency(np.array([0, 900 * DAY_MS]), 3.0).sum() >= 1.0


def test_no_share_is_below_the_least_of_its_kind() -> None:
    """Items that nobody clicked have another least than those that somebody did."""
    prior = Prior(weight=0.1, known_share=0.1, new_share=0.3)
    is_known = np.array([True, True, False, False])

    shares = prior.shares(np.array([0.0, 0.6, 0.0, 0.6], dtype=np.float32), is_known)

    assert shares == pytest.approx([0.1, 0.6, 0.3, 0.6])
