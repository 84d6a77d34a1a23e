"""A whole system whose processes tell what a test makes them tell."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from testing.processes.told_shop import ToldShop


@pytest.fixture
def shop(tmp_path: Path, free_port: Callable[[], int]) -> Iterator[ToldShop]:
    """A system that is well."""
    with ExitStack() as stack:
        yield ToldShop(tmp_path, free_port, stack)
