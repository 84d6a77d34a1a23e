"""Both text towers at once against one after the other."""

import pytest
import torch
from torch import Tensor, nn

from model.network.fused_towers import lifted


def tower() -> nn.Sequential:
    """Return a tower of random weights."""
    return nn.Sequential(nn.Linear(5, 7), nn.ReLU(), nn.Linear(7, 5))


@pytest.mark.parametrize("num_queries", [0, 4, 9])
def test_both_towers_are_as_one_after_the_other(num_queries: int) -> None:
    """What they say, and every gradient; of queries alone, of items alone, of both."""
    torch.manual_seed(2)
    towers = nn.ModuleList([tower(), tower()])
    mean, wanted = torch.randn(9, 5, requires_grad=True), torch.randn(9, 5)

    def gradients(result: Tensor) -> list[Tensor]:
        inputs = [mean, *towers.parameters()]
        return list(torch.autograd.grad((result * wanted).sum(), inputs))

    query, item = mean.tensor_split([num_queries])
    apart = torch.cat([query + towers[0](query), item + towers[1](item)])
    together = lifted(mean, num_queries, *towers.parameters())

    torch.testing.assert_close(together, apart)
    for one, other in zip(gradients(together), gradients(apart), strict=True):
        torch.testing.assert_close(one, other)
