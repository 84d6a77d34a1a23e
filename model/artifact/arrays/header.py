"""What stands before an array in NumPy's format.

NumPy's own reader gives the header to Python's parser, whose count of nested calls is
the interpreter's, not the thread's, in Python 3.11: where two threads parse, a
whole file raises ``SystemError: AST constructor recursion depth mismatch`` now and
then. Besides, a header is bytes that somebody else may have written. So it is matched
as `numpy.save` writes it, and anything else is refused.

Format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import re
from typing import Any, BinaryIO, NamedTuple

import numpy as np

_MAGIC = b"\x93NUMPY"
# Bytes of a header's length, little-endian, by the format's version.
_LENGTH_BYTES = {b"\x01\x00": 2, b"\x02\x00": 4}
# Bytes. Those of two axes take 118; NumPy's own reader refuses longer ones, too.
_MOST_BYTES = 10_000
# Numbers, truth values and text of a fixed width: what is stored row by row as it is.
_DTYPE = "[<>|][biufcSU][0-9]{1,9}"
_HEADER = re.compile(
    rb"\{'descr': '(" + _DTYPE.encode() + rb")', "
    rb"'fortran_order': (True|False), "
    rb"'shape': \(((?:[0-9]{1,18}, )*[0-9]{1,18}|[0-9]{1,18},|)\), \} *\n"
)


class ArrayHeader(NamedTuple):
    """What an array is like.

    Attributes:
        shape: of its axes.
        is_by_column: whether the first axis varies fastest.
        dtype: of its numbers.
    """

    shape: tuple[int, ...]
    is_by_column: bool
    dtype: np.dtype[Any]

    @property
    def num_bytes(self) -> int:
        """How many bytes the array itself takes."""
        return int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize


def read_header(file: BinaryIO) -> ArrayHeader:
    """Read the header of an array, up to where its first number begins.

    Raises:
        OSError: the file cannot be read.
        ValueError: no such header begins here.
    """
    begin = file.read(len(_MAGIC) + 2)
    length_bytes = _LENGTH_BYTES.get(begin[len(_MAGIC) :])
    if not begin.startswith(_MAGIC) or length_bytes is None:
        raise ValueError(f"no array of NumPy's format 1.0 or 2.0: it begins with {begin!r}")
    length = int.from_bytes(file.read(length_bytes), "little")
    if length > _MOST_BYTES:
        raise ValueError(f"its header is said to have {length} bytes, more than {_MOST_BYTES}")
    text = file.read(length)
    match = _HEADER.fullmatch(text)
    if len(text) < length or match is None:
        raise ValueError(f"its header does not parse: {text[:200]!r}")
    dtype, order, shape = match.groups()
    return ArrayHeader(
        shape=tuple(int(axis) for axis in shape.split(b",") if axis.strip()),
        is_by_column=order == b"True",
        dtype=plain_dtype(dtype.decode("ascii")),
    )


def plain_dtype(text: str) -> np.dtype[Any]:
    """Return the dtype of plain numbers or texts of a fixed width, such as ``<f4``.

    Raises:
        ValueError: there is no such dtype.
    """
    try:
        if re.fullmatch(_DTYPE, text):
            return np.dtype(text)
    except TypeError:
        pass
    raise ValueError(f"{text[:200]!r} is no dtype of plain numbers")
