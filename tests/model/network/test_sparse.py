"""Sparse products against dense ones, and against the message passing classes they
stand for.
"""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.network.sparse import Adjacency, Pattern

CPU = torch.device("cpu")


def random_pattern(
    num_rows: int, num_columns: int, num_entries: int
) -> tuple[Pattern, NDArray[np.int64], NDArray[np.int64]]:
    """Return distinct random entries."""
    rng = np.random.default_rng(4)
    cells = rng.choice(num_rows * num_columns, size=num_entries, replace=False)
    row, column = cells // num_columns, cells % num_columns
    return Pattern(row, column, num_rows, num_columns, CPU), row, column


@pytest.mark.parametrize("num_entries", [0, 1, 12])
def test_products_equal_dense_ones(num_entries: int) -> None:
    """Both ways, empty rows and an empty matrix included."""
    pattern, row, column = random_pattern(5, 4, num_entries)
    values, x, y = torch.randn(num_entries), torch.randn(4, 3), torch.randn(5, 3)
    dense = torch.zeros(5, 4)
    dense[row, column] = values

    torch.testing.assert_close(pattern.product(values, x), dense @ x)
    torch.testing.assert_close(pattern.transposed_product(values, y), dense.T @ y)
    torch.testing.assert_close(pattern.row_sums(values), dense.sum(dim=1))
    torch.testing.assert_close(pattern.column_sums(values), dense.sum(dim=0))


def test_the_gradient_is_that_of_the_dense_product() -> None:
    """With respect to what is propagated."""
    pattern, row, column = random_pattern(6, 5, 14)
    values, weight = torch.randn(14), torch.randn(6, 3)
    dense = torch.zeros(6, 5)
    dense[row, column] = values
    sparse_x = torch.randn(5, 3, requires_grad=True)
    dense_x = sparse_x.detach().clone().requires_grad_()

    (pattern.product(values, sparse_x) * weight).sum().backward()  # type: ignore[no-untyped-call]
    (dense @ dense_x * weight).sum().backward()  # type: ignore[no-untyped-call]

    torch.testing.assert_close(sparse_x.grad, dense_x.grad)


def test_a_layer_of_the_bipartite_channel_is_a_light_graph_convolution() -> None:
    """It equals PyG's `LGConv` on an edge list, hidden edges, nodes that hear nothing,
    gradients included.
    """
    from torch_geometric.nn import LGConv

    _, row, column = random_pattern(6, 5, 14)
    adjacency = Adjacency(row, column, 6, 5, CPU)
    weight = torch.rand(14) + 0.1
    weight[[2, 5]] = 0.0
    both = torch.from_numpy(np.stack([np.r_[row, 6 + column], np.r_[6 + column, row]]))
    ours = torch.randn(11, 3, requires_grad=True)
    theirs = ours.detach().clone().requires_grad_()

    listens = torch.ones(11)
    listens[[1, 8]] = 0.0

    found = adjacency.convolve(
        adjacency.normalised(weight, adjacency.degrees(weight), listens), ours
    )
    expected = LGConv()(theirs, both, torch.cat([weight, weight])) * listens[:, None]
    scale = torch.randn(11, 3)
    (found * scale).sum().backward()  # type: ignore[no-untyped-call]
    (expected * scale).sum().backward()

    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)


def test_two_averaging_products_are_a_hypergraph_convolution() -> None:
    """The hypergraph channel equals PyG's `HypergraphConv` with the identity as its
    weight.
    """
    from torch_geometric.nn import HypergraphConv

    pattern, row, column = random_pattern(4, 7, 13)
    x = torch.randn(7, 3)
    plain = HypergraphConv(3, 3, bias=False)
    with torch.no_grad():
        plain.lin.weight.copy_(torch.eye(3))
    expected = plain(x, torch.from_numpy(np.stack([column, row])), num_edges=4)
    ones = torch.ones(13)

    session = pattern.product(ones / pattern.row_sums(ones)[pattern.row], x)
    found = pattern.transposed_product(
        ones / pattern.column_sums(ones).clamp(min=1)[pattern.column], session
    )

    torch.testing.assert_close(found, expected.detach())
