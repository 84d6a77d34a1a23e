"""Several ranks, over torch.distributed: gloo between CPUs, NCCL between GPUs."""

import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from model.errors import ModelError, RankFailed
from model.training.ranks.partition import Partition
from model.training.ranks.ranks import Arrays, flat, part_of, written_back
from stream.errors import StreamError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# Numbers below which gradients travel together: what a message costs beside its bytes
# is then small. Twice as many copy more and save little.
_SMALL = 1 << 16
# Bytes of a message in which arrays are sent: more would be held twice for no gain in
# speed; half as many are as fast.
_MESSAGE_BYTES = 1 << 28


class RankGroup:
    """See `model.training.ranks.ranks.Ranks`.

    Args:
        device: where this rank's network is: what is exchanged in steps is there.
        per_machine: ranks on this machine.
    """

    def __init__(self, device: torch.device, per_machine: int) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.per_machine = per_machine
        self.device = device

    @property
    def is_first(self) -> bool:
        """See `Ranks`."""
        return self.rank == 0

    def either(self, *flags: bool) -> tuple[bool, ...]:
        """See `Ranks`."""
        votes = torch.tensor(flags, dtype=torch.int64)
        dist.all_reduce(votes, dist.ReduceOp.MAX)
        return tuple(bool(vote) for vote in votes.tolist())

    def least(self, value: int) -> int:
        """See `Ranks`."""
        least = torch.tensor(value, dtype=torch.int64)
        dist.all_reduce(least, dist.ReduceOp.MIN)
        return int(least)

    def total(self, value: Tensor) -> float:
        """See `Ranks`."""
        total = value.detach().cpu().double().clone()
        dist.all_reduce(total)
        return float(total)

    def part(self, count: int) -> slice:
        """See `Ranks`."""
        return part_of(count, self.rank, self.size)

    def every_row(self, rows: Tensor, count: int) -> Tensor:
        """See `Ranks`."""
        result: Tensor = _EveryRow.apply(rows, count, self.rank, self.size)
        return result

    @torch.no_grad()
    def add_gradients(self, parameters: Iterable[Tensor]) -> None:
        """See `Ranks`; small ones travel together."""
        parameters = list(parameters)
        has_one = self.either(*(parameter.grad is not None for parameter in parameters))
        gradients: list[Tensor] = []
        for parameter, is_wanted in zip(parameters, has_one, strict=True):
            if not is_wanted:
                continue
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            gradients.append(parameter.grad)
        small = [gradient for gradient in gradients if gradient.numel() < _SMALL]
        for gradient in gradients:
            if gradient.numel() >= _SMALL:
                dist.all_reduce(gradient)
        if small:
            together = flat(small)
            dist.all_reduce(together)
            written_back(together, small)

    @contextmanager
    def own_draws(self) -> Iterator[None]:
        """See `Ranks`."""
        common = torch.get_rng_state()
        torch.manual_seed(int(torch.randint(1 << 62, ())) + self.rank)
        try:
            yield
        finally:
            torch.set_rng_state(common)

    def first(self, make: Callable[[], T]) -> T | None:
        """See `Ranks`."""
        made: list[T] = []

        def told() -> str:
            made.append(make())
            return ""

        self.same(told)
        return made[0] if made else None

    def same(self, make: Callable[[], T]) -> T:
        """See `Ranks`.

        Raises:
            RankFailed: on other ranks, that the first one raised an error.
        """
        if not self.is_first:
            answer = json.loads(bytes(self.arrays(None)["answer"]))
            if "error" in answer:
                raise RankFailed(f"the first rank ended with {answer['error']}")
            value: T = answer["value"]
            return value
        try:
            value = make()
        except (ModelError, StreamError, OSError) as error:
            self._tell({"error": f"{type(error).__name__}: {error}"})
            raise
        self._tell({"value": value})
        return value

    def _tell(self, answer: Mapping[str, Any]) -> None:
        self.arrays({"answer": np.frombuffer(json.dumps(answer).encode(), dtype=np.uint8)})

    def copy_first(self, tensors: Iterable[Tensor]) -> None:
        """See `Ranks`."""
        for tensor in tensors:
            dist.broadcast(tensor.data, 0)

    def table(self, num_nodes: int) -> Partition:
        """See `Ranks`."""
        return Partition(num_nodes, self.rank, self.size)

    def gather(self, text: str) -> list[str]:
        """Return a text of each rank, on all of them, in the order of the ranks."""
        own = torch.from_numpy(np.frombuffer(text.encode(), dtype=np.uint8).copy())
        sizes = torch.zeros(self.size, dtype=torch.int64)
        sizes[self.rank] = len(own)
        dist.all_reduce(sizes)
        padded = torch.zeros(int(sizes.max()) or 1, dtype=torch.uint8)
        padded[: len(own)] = own
        found = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(found, padded)
        return [
            bytes(each[:size].numpy()).decode()
            for each, size in zip(found, sizes.tolist(), strict=True)
        ]

    def arrays(self, arrays: Arrays | None) -> Arrays:
        """See `Ranks`."""
        head: list[tuple[str, str, tuple[int, ...]]] = []
        if arrays is not None:
            head = [(name, array.dtype.str, array.shape) for name, array in arrays.items()]
        text = json.dumps(head).encode()
        size = torch.tensor(len(text), dtype=torch.int64)
        dist.broadcast(size, 0)
        data = np.frombuffer(text, dtype=np.uint8).copy() if arrays is not None else None
        sent = json.loads(bytes(_broadcast(data, int(size))))
        return {
            name: _broadcast(
                None if arrays is None else _bytes_of(arrays[name]),
                int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize,
            )
            .view(dtype)
            .reshape(shape)
            for name, dtype, shape in sent
        }


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    found: NDArray[np.uint8] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return found


def _broadcast(data: NDArray[np.uint8] | None, num_bytes: int) -> NDArray[np.uint8]:
    buffer = np.empty(num_bytes, dtype=np.uint8)
    if data is not None:
        buffer[:] = data
    for start in range(0, num_bytes, _MESSAGE_BYTES):
        dist.broadcast(torch.from_numpy(buffer[start : start + _MESSAGE_BYTES]), 0)
    return buffer


class _EveryRow(torch.autograd.Function):
    """The rows of all ranks' parts; gradients are added up over the ranks."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, count: int, rank: int, size: int) -> Tensor:
        ctx.part = part_of(count, rank, size)
        # A sum with zeros elsewhere, not a gathering: parts differ in size by one row.
        every = rows.new_zeros(count, rows.shape[1])
        every[ctx.part] = rows
        dist.all_reduce(every)
        return every

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:
        total = gradients[0].clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total)
        return total[ctx.part], None, None, None
