"""Early stopping: what is kept of passes, and what is not."""

from dataclasses import replace

import pytest
import torch

from model.data.training_set import build_training_set
from model.ranking import Quality
from model.settings import ModelSettings
from model.training.passes.early_stopping import BestPass, better_pass, restore_best
from model.training.step import Learner
from stream.graph.arrays import GraphArrays


def quality(mrr: float) -> Quality:
    """Return a validation result."""
    return Quality(num_queries=1, num_edges=1, mrr=mrr, recall_10=0.0, recall_100=0.0, ndcg_10=0.0)


@pytest.fixture
def learner(arrays: GraphArrays, settings: ModelSettings) -> Learner:
    """Return the shop's network before its first step."""
    torch.manual_seed(0)
    return Learner(build_training_set(arrays, settings), settings, torch.device("cpu"))


@pytest.fixture
def results(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let validations give these figures, in this order."""
    figures: list[float] = []
    monkeypatch.setattr(
        "model.training.passes.early_stopping._validate", lambda _: quality(figures.pop(0))
    )
    return figures


def fill(learner: Learner, value: float) -> None:
    """Give every weight and its average one value, as a pass might."""
    with torch.no_grad():
        for parameter in learner.network.parameters():
            parameter.fill_(value)
    learner.average.restart()


def test_bad_passes_are_counted_until_a_better_one_comes(
    learner: Learner, results: list[float]
) -> None:
    """As good is not better."""
    results += [0.5, 0.4, 0.5, 0.6, 0.1]
    best, counted = BestPass(), []
    for _ in range(5):
        best = better_pass(best, learner)
        counted.append(best.bad_passes)

    assert counted == [0, 1, 2, 0, 1]
    assert best.quality == quality(0.6)


def test_the_weights_of_the_best_pass_come_back(learner: Learner, results: list[float]) -> None:
    """Whatever later passes made of them."""
    results += [0.5, 0.6, 0.1]
    best = BestPass()
    for value in (1.0, 2.0, 3.0):
        fill(learner, value)
        best = better_pass(best, learner)

    restore_best(best, learner)

    assert all((parameter == 2.0).all() for parameter in learner.network.parameters())


def test_the_average_is_validated_and_steps_go_on_without_it(learner: Learner) -> None:
    """Training itself continues from the last step's weights."""
    learner.step(torch.arange(8).numpy())
    before = {name: value.clone() for name, value in learner.network.state_dict().items()}
    averaged = {name: value.clone() for name, value in learner.average.tensors().items()}

    best = better_pass(BestPass(), learner)

    after = learner.network.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(best.weights["ids"], averaged["of.ids"])
    assert not torch.equal(best.weights["ids"], before["ids"])


def test_where_nothing_is_held_out_the_average_is_kept(
    arrays: GraphArrays, settings: ModelSettings
) -> None:
    """No pass is a bad one, so only their number ends training."""
    data = build_training_set(arrays, settings)
    nothing = data.validation_query[:0]
    learner = Learner(
        replace(data, validation_query=nothing, validation_item=nothing),
        settings,
        torch.device("cpu"),
    )
    fill(learner, 1.0)
    with torch.no_grad():
        learner.network.ids.fill_(5.0)

    best = better_pass(BestPass(), learner)
    restore_best(best, learner)

    assert best == BestPass()
    assert (learner.network.ids == 1.0).all()
