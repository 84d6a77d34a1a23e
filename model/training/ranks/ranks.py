"""What a training asks of the ranks that it runs on, and the answer where there is one
process only.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol, TypeVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network.graph import IdTable

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]


class Ranks(Protocol):
    """The processes of one training.

    All of them call the same methods in the same order. What `first` raises on the
    first rank is raised on all.

    Attributes:
        rank: this process's number, from 0.
        size: how many there are.
        per_machine: how many of them share this machine.
        device: where this rank trains; of one process the settings say.
    """

    rank: int
    size: int
    per_machine: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        """Whether this is the rank that judges, saves and publishes."""

    def either(self, *flags: bool) -> tuple[bool, ...]:
        """Return for each flag whether any rank has it set."""

    def least(self, value: int) -> int:
        """Return the least that any rank gives."""

    def total(self, value: Tensor) -> float:
        """Return the sum of a scalar over the ranks."""

    def part(self, count: int) -> slice:
        """Return this rank's part of so many rows: neighbours, of about one size."""

    def every_row(self, rows: Tensor, count: int) -> Tensor:
        """Return the rows of all ranks' parts, ``float32 [count, dim]``.

        Their gradients go back to the rank that each is of, added up.

        Args:
            rows: ``float32 [n, dim]``, those of this rank's `part` of `count`.
            count: how many all ranks have.
        """

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Replace gradients by their sums over the ranks; a parameter without one on
        any rank keeps none.
        """

    def own_draws(self) -> AbstractContextManager[None]:
        """Let this rank draw from torch's generator by itself: afterwards it is again
        where all others' are.
        """

    def first(self, make: Callable[[], T]) -> T | None:
        """Return what `make` returns on the first rank; None on all others."""

    def same(self, make: Callable[[], T]) -> T:
        """Return on all ranks what `make` returns on the first: numbers, texts, lists
        and mappings of them.
        """

    def arrays(self, arrays: Arrays | None) -> Arrays:
        """Return the first rank's arrays, by name, on all ranks.

        Args:
            arrays: on the first rank; None on others.
        """

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """Give tensors the values that they have on the first rank."""

    def table(self, num_nodes: int) -> "PartitionedTable | None":
        """Return how the vectors of so many nodes are partitioned; None: they are
        not.
        """


class PartitionedTable(IdTable, Protocol):
    """A row for each node, held by one rank each: node ``n`` by rank ``n % size``.

    Attributes:
        num_nodes: of all ranks.
        num_own: those of them that this rank holds.
    """

    num_nodes: int
    num_own: int

    def collect(self, own: Tensor) -> Tensor | None:
        """Return all rows ``[num_nodes, ...]`` in the first rank's host memory, None on
        others.
        """

    def spread(self, whole: Tensor | None, own: Tensor) -> None:
        """Write this rank's rows of what the first rank has into `own`."""

    def gathered(self, own: Tensor) -> AbstractContextManager[None]:
        """Hold all rows on the first rank for as long as the context lasts, for
        `IdTable.whole`.
        """


class OneRank:
    """See `Ranks`: this process alone."""

    rank = 0  # the first
    size = 1  # this process
    per_machine = 1  # the same
    is_first = True
    device = torch.device("cpu")

    def either(self, *flags: bool) -> tuple[bool, ...]:
        """See `Ranks`."""
        return flags

    def least(self, value: int) -> int:
        """See `Ranks`."""
        return value

    def total(self, value: Tensor) -> float:
        """See `Ranks`."""
        return float(value)

    def part(self, count: int) -> slice:
        """See `Ranks`."""
        return slice(0, count)

    def every_row(self, rows: Tensor, count: int) -> Tensor:  # noqa: ARG002  # they are all
        """See `Ranks`."""
        return rows

    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """See `Ranks`."""

    @contextmanager
    def own_draws(self) -> Iterator[None]:
        """See `Ranks`."""
        yield

    def first(self, make: Callable[[], T]) -> T | None:
        """See `Ranks`."""
        return make()

    def same(self, make: Callable[[], T]) -> T:
        """See `Ranks`."""
        return make()

    def arrays(self, arrays: Arrays | None) -> Arrays:
        """See `Ranks`."""
        return arrays or {}

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """See `Ranks`."""

    def table(self, num_nodes: int) -> None:
        """See `Ranks`."""


ONE_RANK = OneRank()
"""This process alone."""


def part_of(count: int, rank: int, size: int) -> slice:
    """Return a rank's part of so many rows; the parts follow each other."""
    return slice(count * rank // size, count * (rank + 1) // size)


def flat(tensors: Iterable[Tensor]) -> Tensor:
    """Return tensors of one type as one, one after the other."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def written_back(flat_values: Tensor, tensors: Iterable[Tensor]) -> None:
    """Write what `flat` made back into the tensors."""
    start = 0
    for tensor in tensors:
        tensor.copy_(flat_values[start : start + tensor.numel()].view_as(tensor))
        start += tensor.numel()
