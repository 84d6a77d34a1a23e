"""Strings by dense index, memory-mapped."""

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from itertools import pairwise
from typing import TYPE_CHECKING, Final, overload

import numpy as np
from numpy.typing import NDArray

from protos.text import text_key
from stream.dtypes import Int64s

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether texts are looked up in C."""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native

_ASCII_END = 0x80  # the first byte that is of no ASCII character
_UTF8_MARK, _UTF8_CONTINUES = 0b1100_0000, 0b1000_0000  # of a byte that begins no character


class StringTable(Sequence[str]):
    """Strings by dense index: memory-mapped UTF-8 and ``int64 [n + 1]`` offsets,
    decoded when read.

    Args:
        offsets: where each string begins; the last: where they end.
        data: the UTF-8 of all.

    Attributes:
        offsets: the same.
        data: the same.
    """

    def __init__(self, offsets: Int64s, data: NDArray[np.uint8]) -> None:
        # Plain arrays over the same map: `np.memmap` is ten times as slow to index.
        self.offsets = np.asarray(offsets)
        self.data = np.asarray(data)
        # Views of both: a number or a slice of one costs a fifth of an array's.
        self._bytes, self._bounds = self.data.data, self.offsets.data

    def fault(self, *, may_be_empty: bool) -> str:
        """Return what is wrong with the table, so that reading a string would go wrong;
        empty: nothing.

        Args:
            may_be_empty: whether a string may be empty.
        """
        offsets, data = self.offsets, self.data
        if not len(offsets) or offsets[0] != 0 or offsets[-1] != len(data):
            return "does not begin and end where its offsets do"
        if not (offsets[1:] >= offsets[:-1]).all():
            return "has offsets that do not ascend"
        if not may_be_empty and not (offsets[1:] > offsets[:-1]).all():
            return "has an empty string"
        return _utf8_fault(offsets, data)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[str]:
        """Yield all strings; one read of all is many times as fast as one by one."""
        data, offsets = self.data.tobytes(), self.offsets.tolist()
        return (data[start:end].decode("utf-8") for start, end in pairwise(offsets))

    def encoded(self, indices: Sequence[int]) -> list[bytes]:
        """Return the UTF-8 of some strings.

        Raises:
            IndexError: there is no such string; indices do not count from the end.
        """
        if indices and min(indices) < 0:
            raise IndexError(min(indices))
        data, bounds = self._bytes, self._bounds
        return [data[bounds[index] : bounds[index + 1]].tobytes() for index in indices]

    def find(self, text: str, keys: NDArray[np.uint64]) -> int | None:
        """Return the index of a string, or None where it is not in the table.

        A key alone proves nothing (two strings may share one), so the string is
        compared, too.

        Args:
            text: the string.
            keys: ``uint64 [n]``, the `protos.text.text_key` of each, ascending.
        """
        if IS_NATIVE:
            found = freshet_native.row_of(keys, self.offsets, self.data, text)
            return None if found < 0 else found
        key = np.uint64(text_key(text))
        row = int(keys.searchsorted(key))
        return row if row < len(keys) and keys[row] == key and self[row] == text else None

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        bounds = self._bounds
        position = index + len(bounds) - 1 if index < 0 else index
        if not 0 <= position < len(bounds) - 1:
            raise IndexError(index)
        return str(self._bytes[bounds[position] : bounds[position + 1]], "utf-8")


def _utf8_fault(offsets: Int64s, data: NDArray[np.uint8]) -> str:
    if not len(data) or data.max() < _ASCII_END:
        return ""  # each byte is a character: a tenth of the time
    try:
        str(data.tobytes(), "utf-8")
    except UnicodeDecodeError as error:
        return f"is not UTF-8 at byte {error.start}"
    starts = offsets[offsets < len(data)]
    if ((data[starts] & _UTF8_MARK) == _UTF8_CONTINUES).any():
        return "has an offset within a character"
    return ""


def string_table(strings: Iterable[str]) -> StringTable:
    """Return a table of strings, in memory."""
    encoded = [string.encode("utf-8") for string in strings]
    offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
    np.cumsum([len(piece) for piece in encoded], out=offsets[1:])
    return StringTable(offsets, np.frombuffer(b"".join(encoded), dtype=np.uint8))
