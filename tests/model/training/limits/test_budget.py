"""How a training's time is divided."""

import time
from dataclasses import replace

import pytest

from model.errors import TrainingFailed
from model.settings import ModelSettings
from model.training.limits.budget import Budget


def test_each_part_ends_before_the_next() -> None:
    """Pre-training leaves time for passes, these for the closing ones, all for the
    export.
    """
    budget = Budget.of(
        ModelSettings(budget_seconds=100.0, index_engine="annoy", num_trees=10),
        20_000,
        began=1000.0,
    )

    assert budget.pretraining_end == pytest.approx(1040.0)
    assert budget.passes_end == pytest.approx(1089.2)
    assert budget.end == pytest.approx(1099.2)


def test_more_items_and_trees_leave_less_for_steps() -> None:
    """The index of a large shop takes long."""
    settings = ModelSettings(budget_seconds=100.0, index_engine="annoy", num_trees=10)
    ends = [
        Budget.of(replace(settings, num_trees=trees), items, began=0.0).end
        for items, trees in ((20_000, 10), (200_000, 10), (200_000, 50))
    ]

    assert ends == sorted(ends, reverse=True)
    assert len(set(ends)) == 3


def test_half_of_a_small_budget_is_for_steps() -> None:
    """Whatever the export is expected to take."""
    budget = Budget.of(ModelSettings(budget_seconds=2.0), 1_000_000, began=0.0)

    assert budget.end == 1.0


def test_what_was_spent_before_a_restart_counts() -> None:
    """All ends come earlier."""
    budget = Budget.of(ModelSettings(budget_seconds=100.0), 1000, began=time.monotonic())

    after = budget.after_restart(60.0)

    assert after.spent() >= 60.0
    assert after.end == pytest.approx(budget.end - 60.0)


def test_a_training_without_a_step_is_refused() -> None:
    """With the setting to raise."""
    budget = Budget.of(ModelSettings(budget_seconds=0.5), 1000, began=0.0)
    budget.refuse_no_step(1)

    with pytest.raises(TrainingFailed, match=r"0\.5 s was over.*raise model\.budget_seconds"):
        budget.refuse_no_step(0)
