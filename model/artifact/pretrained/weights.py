"""Reads the one matrix of a safetensors file, memory-mapped."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.errors import PretrainedTextUnusable
from stream.dtypes import Float16s, Float32s
from stream.errors import PARSE_ERRORS

_DTYPES: dict[str, np.dtype[Any]] = {"F16": np.dtype("<f2"), "F32": np.dtype("<f4")}
# Bytes before the header: its length, a little-endian unsigned number.
_PREFIX_BYTES = 8
# Header bytes that a file may have, as the format's own reader allows; a damaged length
# reads no more. Twice as many cost twice the memory.
_MOST_HEADER_BYTES = 100_000_000


def read_matrix(path: Path) -> Float16s | Float32s:
    """Return the only tensor of a safetensors file, read-only and shared by all that
    map it.

    The file is a length, a JSON header that names each tensor's type, shape and bytes,
    and the tensors.

    Raises:
        PretrainedTextUnusable: it is not such a file, or holds another number of
            tensors, or none of two axes.
    """
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_PREFIX_BYTES), "little")
            header = json.loads(file.read(min(length, _MOST_HEADER_BYTES)))
        return _mapped(path, header, _PREFIX_BYTES + length)
    except (OSError, *PARSE_ERRORS, KeyError, OverflowError, TypeError, AttributeError) as error:
        raise PretrainedTextUnusable(
            f"{path} is not a safetensors file of one matrix ({error}); "
            "install its package again: pip install --force-reinstall --no-deps PACKAGE"
        ) from error


def _mapped(path: Path, header: dict[str, Any], begin: int) -> NDArray[Any]:
    (tensor,) = (each for name, each in header.items() if name != "__metadata__")
    rows, columns = tensor["shape"]
    first, last = tensor["data_offsets"]
    dtype = _DTYPES[tensor["dtype"]]
    if last - first != rows * columns * dtype.itemsize:
        raise ValueError(f"{last - first} bytes for {rows} by {columns} numbers")
    mapped = np.memmap(path, dtype=dtype, mode="r", offset=begin + first, shape=(rows, columns))
    # A plain array over the same map: `np.memmap` is ten times as slow to index.
    return np.asarray(mapped)
