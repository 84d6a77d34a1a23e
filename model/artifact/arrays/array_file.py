"""Several arrays in one file, each mapped where it lies.

Each is as NumPy writes it, and begins at a multiple of 64 bytes.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from model.artifact.arrays.header import read_header
from model.artifact.arrays.load import map_array
from model.errors import ArtifactError, GenerationCorrupt
from stream.errors import described, refusal

# Bytes. NumPy pads its headers to it: a cache line. Twice as much gains nothing.
_ALIGNMENT = 64


def write_array(out: BinaryIO, array: NDArray[Any]) -> None:
    """Write an array byte for byte as ``np.save`` does, never pickled.

    NumPy hands a file to C, which keeps the last 4 kB to itself and says nothing where
    a full disk does not take them: the file is cut short, and its manifest is of that.

    Raises:
        OSError: it cannot be written; closing the file may raise it, too.
    """
    whole = np.asarray(array, order="C")
    header = np.lib.format.header_data_from_array_1_0(whole)
    np.lib.format.write_array_header_1_0(out, header)
    out.write(whole.reshape(-1).view(np.uint8).data)


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays into one file, in their order.

    Raises:
        ArtifactError: the file cannot be written.
    """
    try:
        with path.open("wb") as out:
            for array in arrays.values():
                write_array(out, array)
                out.write(bytes(-out.tell() % _ALIGNMENT))
    except OSError as error:
        raise ArtifactError(f"the index {path} cannot be written: {described(error)}") from error


def map_arrays(path: Path, wanted: Mapping[str, tuple[Any, int]]) -> dict[str, NDArray[Any]]:
    """Map the arrays of a file, read-only.

    Args:
        path: the file.
        wanted: dtype and number of axes of each, in the order that they were written
            in.

    Raises:
        GenerationCorrupt: the file cannot be read, or an array has another dtype or
            number of axes.
    """
    try:
        with path.open("rb") as file:
            arrays = {name: _map_next(path, file) for name in wanted}
    except (OSError, ValueError, EOFError, OverflowError) as error:
        if refusal(error):
            raise
        raise GenerationCorrupt(f"the index {path} cannot be loaded: {error}") from error
    for name, (dtype, axes) in wanted.items():
        found = arrays[name]
        if found.dtype != dtype or found.ndim != axes:
            raise GenerationCorrupt(
                f"the index {path} holds {found.dtype} {found.shape} as {name}, not "
                f"{np.dtype(dtype)} with {axes} axes"
            )
    return arrays


def _map_next(path: Path, file: BinaryIO) -> NDArray[Any]:
    header = read_header(file)
    if header.is_by_column:
        raise ValueError(f"an array of {header.dtype} is not stored row by row")
    array = map_array(path, header, file.tell())
    end = file.tell() + header.num_bytes
    file.seek(end + -end % _ALIGNMENT)
    return array
