"""The memory that a round gives back is there for the next one."""

import subprocess
import sys

import pytest

_ROUNDS = """
import resource, sys
import numpy as np
from model.refresher.memory import keep_memory

if sys.argv[1] == "kept":
    assert keep_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    columns = [np.ones((10_000, 128), dtype=np.float32) for _ in range(5)]
    del columns
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def pages_made(how: str) -> int:
    """Return the pages that twenty rounds of five columns, 6,250 pages, make."""
    command = [sys.executable, "-c", _ROUNDS, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone takes the advice")
def test_pages_are_made_once() -> None:
    """Where the C library is left alone, each round makes its own."""
    kept = pages_made("kept")

    assert kept < 2 * 6_250
    assert pages_made("left alone") > 2 * kept
