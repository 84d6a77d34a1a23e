"""An array of a file, mapped where it lies."""

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.header import ArrayHeader, read_header


def load_array(path: Path) -> NDArray[Any]:
    """Map an array that `numpy.save` wrote, read-only.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is no such array, or ends before its last number.
    """
    with path.open("rb") as file:
        return map_array(path, read_header(file), file.tell())


def map_array(path: Path, header: ArrayHeader, begin: int) -> NDArray[Any]:
    """Map an array that begins at a byte of a file, read-only.

    Raises:
        OSError: the file cannot be read.
        ValueError: it ends before the array's last number.
    """
    # An empty array cannot be memory-mapped.
    if not header.num_bytes:
        return np.zeros(header.shape, dtype=header.dtype)
    order: Literal["F", "C"] = "F" if header.is_by_column else "C"
    mapped = np.memmap(path, header.dtype, "r", begin, header.shape, order)
    # A plain array over the same map: `np.memmap` is ten times as slow to index.
    return np.asarray(mapped)
