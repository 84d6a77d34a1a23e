"""Our Adam against torch's."""

import torch

from model.optimizer import Adam


def test_it_takes_the_same_steps_as_torchs() -> None:
    """Over many steps, with parameters that get no gradient in some of them."""
    torch.manual_seed(1)
    ours = [torch.nn.Parameter(torch.randn(5, 3)), torch.nn.Parameter(torch.randn(2))]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    mine, torchs = Adam(ours, 0.01), torch.optim.Adam(theirs, lr=0.01)

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
