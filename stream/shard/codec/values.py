"""What most values are made of: a version, times, texts."""

from itertools import pairwise
from struct import error as StructError

import numpy as np

from stream.dtypes import Int64s
from stream.errors import PARSE_ERRORS
from stream.events import native

BAD_ENTRY_ERRORS = (*PARSE_ERRORS, LookupError, StructError)
"""What unpacking raises on bytes that this package did not write."""

# Layout too, fixed by docs/formats.md: not tunable.
VERSION = 1  # the first byte of most values
_NO_TIME = -(2**63)  # stands for no time: no event is as old


def cut_pieces(packed: bytes, starts: Int64s) -> list[bytes]:
    """Return the pieces of some bytes that begin at each of `starts`."""
    if native.IS_HERE:
        return native.cut(packed, np.ascontiguousarray(starts))
    bounds = [*starts.tolist(), len(packed)]
    return [packed[low:high] for low, high in pairwise(bounds)]


def stored_time(ts_ms: int | None) -> int:
    """Return what stands for a time; None: there is none."""
    return _NO_TIME if ts_ms is None else ts_ms


def read_time(ts_ms: int) -> int | None:
    """Return the time that a stored one stands for; None: there is none."""
    return None if ts_ms == _NO_TIME else ts_ms


def check_version(value: bytes) -> None:
    """Check the first byte of a value.

    Raises:
        ValueError: it is of a version that this Freshet does not know.
    """
    if value[0] != VERSION:
        raise ValueError(f"an entry has version {value[0]}, which this Freshet does not know")


def encode_text(text: str) -> bytes:
    """Return the bytes of any text, half a surrogate pair included."""
    return text.encode("utf-8", "surrogatepass")


def decode_text(data: bytes) -> str:
    """Return the text of such bytes."""
    return data.decode("utf-8", "surrogatepass")
