"""Id vectors partitioned over ranks.

Each holds those of its own nodes, with the moments of Adam and the running average
beside them, and reads those of others as a batch reaches them.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


class Partition:
    """See `model.training.ranks.ranks.PartitionedTable`.

    Nodes are dealt out in turn, not in ranges: queries come before items, and whoever
    held the items would be read from most.

    Args:
        num_nodes: of all ranks.
        rank: this process.
        size: number of ranks.
    """

    def __init__(self, num_nodes: int, rank: int, size: int) -> None:
        self.num_nodes = num_nodes
        self._rank, self._size = rank, size
        self.num_own = self._held_by(rank)
        self._whole: Tensor | None = None

    def rows(self, own: Tensor, nodes: Tensor) -> Tensor:
        """See `model.network.graph.IdTable`: one exchange of what is asked for, one
        of rows; the gradient goes back the same way.
        """
        rows: Tensor = _RowsOfAll.apply(own, nodes, self._size)
        return rows

    def whole(self, own: Tensor) -> Tensor:  # noqa: ARG002  # it was gathered
        """See `model.network.graph.IdTable`; in `gathered`, on the first rank."""
        if self._whole is None:
            raise AssertionError("all id vectors are read where they were not gathered")
        return self._whole

    @contextmanager
    def gathered(self, own: Tensor) -> Iterator[None]:
        """See `PartitionedTable`."""
        self._whole = self.collect(own)
        try:
            yield
        finally:
            self._whole = None

    @torch.no_grad()
    def collect(self, own: Tensor) -> Tensor | None:
        """See `PartitionedTable`."""
        mine = own.detach().cpu().contiguous()
        if self._rank:
            dist.send(mine, 0)
            return None
        whole = mine.new_empty(self.num_nodes, *mine.shape[1:])
        whole[:: self._size] = mine
        for rank in range(1, self._size):
            rows = mine.new_empty(self._held_by(rank), *mine.shape[1:])
            dist.recv(rows, rank)
            whole[rank :: self._size] = rows
        return whole

    @torch.no_grad()
    def spread(self, whole: Tensor | None, own: Tensor) -> None:
        """See `PartitionedTable`."""
        if self._rank or whole is None:
            rows = torch.empty(own.shape, dtype=own.dtype)
            dist.recv(rows, 0)
            own.copy_(rows)
            return
        for rank in range(1, self._size):
            dist.send(whole[rank :: self._size].contiguous(), rank)
        own.copy_(whole[:: self._size])

    def _held_by(self, rank: int) -> int:
        return len(range(rank, self.num_nodes, self._size))


class _RowsOfAll(torch.autograd.Function):
    """Rows of a table that is dealt out over ranks in turn."""

    @staticmethod
    def forward(ctx: Any, own: Tensor, nodes: Tensor, size: int) -> Tensor:
        order = torch.argsort(nodes % size, stable=True)
        asked = torch.bincount(nodes % size, minlength=size)
        wanted = torch.empty_like(asked)
        dist.all_to_all_single(wanted, asked)
        ctx.asked, ctx.wanted = asked.tolist(), wanted.tolist()
        places = nodes.new_empty(sum(ctx.wanted))
        dist.all_to_all_single(places, nodes[order] // size, ctx.wanted, ctx.asked)
        found = own.new_empty(len(nodes), own.shape[1])
        dist.all_to_all_single(found, own[places], ctx.asked, ctx.wanted)
        ctx.num_own = len(own)
        ctx.save_for_backward(order, places)
        return torch.empty_like(found).index_copy_(0, order, found)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        order, places = ctx.saved_tensors
        (gradient,) = gradients
        received = gradient.new_empty(len(places), gradient.shape[1])
        dist.all_to_all_single(received, gradient[order].contiguous(), ctx.wanted, ctx.asked)
        # A node that several ranks read gets the sum of their gradients.
        own = gradient.new_zeros(ctx.num_own, gradient.shape[1])
        return own.index_add_(0, places, received), None, None
