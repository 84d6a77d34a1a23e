"""Our Adam against torch's, and the average against its formula."""

from typing import Any

import pytest
import torch

from model.training.optimizer import Adam, WeightAverage


def test_it_takes_the_same_steps_as_torchs() -> None:
    """Over many steps, with a factor on one, which gets no gradient in some."""
    torch.manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(2))]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    groups: list[dict[str, Any]] = [{"params": [theirs[0]]}, {"params": [theirs[1]], "lr": 0.02}]
    mine, torchs = Adam([(ours[0], 1.0), (ours[1], 2.0)], 0.01), torch.optim.Adam(groups, lr=0.01)

    for step in range(30):
        gradients = [torch.randn_like(parameter) for parameter in ours]
        for optimizer, parameters in ((mine, ours), (torchs, theirs)):
            optimizer.zero_grad()
            parameters[0].grad = gradients[0].clone()
            if step % 3:
                parameters[1].grad = gradients[1].clone()
            optimizer.step()

    for our, their in zip(ours, theirs, strict=True):
        torch.testing.assert_close(our, their)


def test_the_average_forgets_where_it_began_and_is_put_in_place_for_a_while() -> None:
    """Ten steps by hand; afterwards the parameter is what it was."""
    parameter = torch.zeros(1)
    average = WeightAverage({"weight": parameter}, 0.98)
    expected = 0.0
    for step in range(1, 11):
        parameter.fill_(float(step))
        average.update()
        decay = min(0.98, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step

    with average.in_place():
        assert float(parameter) == pytest.approx(expected)
    assert float(parameter) == 10.0
    average.adopt()
    assert float(parameter) == pytest.approx(expected)


def test_without_decay_the_average_is_the_last_step() -> None:
    """And after a new beginning it is where it begins."""
    parameter = torch.zeros(1)
    average = WeightAverage({"weight": parameter}, 0.0)
    parameter.fill_(3.0)
    average.update()
    with average.in_place():
        assert float(parameter) == 3.0
    parameter.fill_(7.0)
    average.restart()
    with average.in_place():
        assert float(parameter) == 7.0
