"""How rows are dealt out to ranks."""

import pytest

from model.training.ranks.partition import Partition
from model.training.ranks.ranks import part_of


@pytest.mark.parametrize(("count", "size"), [(0, 2), (1, 2), (7, 3), (2048, 5)])
def test_parts_follow_each_other(count: int, size: int) -> None:
    """Every row is in the part of one rank, and parts differ by one row at most."""
    parts = [part_of(count, rank, size) for rank in range(size)]

    rows = [row for part in parts for row in range(part.start, part.stop)]
    sizes = [part.stop - part.start for part in parts]
    assert rows == list(range(count))
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize(("num_nodes", "size"), [(1, 2), (7, 3), (8, 2)])
def test_every_node_is_held_once(num_nodes: int, size: int) -> None:
    """Ranks hold about as many each."""
    held = [Partition(num_nodes, rank, size).num_own for rank in range(size)]

    assert sum(held) == num_nodes
    assert max(held) - min(held) <= 1
