"""Arrays as files."""

import io
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.arrays.array_file import write_array

HEADER_BYTES = 128


@contextmanager
def largest_file(num_bytes: int) -> Iterator[None]:
    """Let no file grow beyond a size, as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4),
        np.zeros((0, 8), np.float32),
        np.array(3, np.int64),
        np.array([True, False]),
        np.array(["ab", "c"]),
        np.arange(6, dtype=np.float16)[::2],
        np.arange(100_000),
    ],
)
def test_an_array_is_written_as_numpy_writes_it(array: NDArray[Any], tmp_path: Path) -> None:
    """Byte for byte, so that every reader of the format reads it."""
    expected, path = io.BytesIO(), tmp_path / "array.npy"
    np.save(expected, array, allow_pickle=False)

    with path.open("wb") as out:
        write_array(out, array)

    assert path.read_bytes() == expected.getvalue()


@pytest.mark.parametrize("num_whole", [0, 4096, 12_288])
def test_the_last_bytes_are_not_lost_without_a_word(num_whole: int, tmp_path: Path) -> None:
    """Where the disk takes all but them, which NumPy does not notice."""
    path = tmp_path / "array.npy"
    array = np.ones(num_whole + 100, np.uint8)

    with largest_file(HEADER_BYTES + num_whole):
        np.save(path, array)
        assert path.stat().st_size == HEADER_BYTES + num_whole
        with pytest.raises(OSError, match="File too large"), path.open("wb") as out:
            write_array(out, array)
