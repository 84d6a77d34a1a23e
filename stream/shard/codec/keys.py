"""Keys: one kind byte, then 64-bit keys big-endian, so that a scan is in ascending
order.
"""

from collections.abc import Sequence
from struct import Struct

import numpy as np
from numpy.typing import NDArray

from stream.events.columns import Keys

WORDS = np.dtype("<u8")

ONE_KEY = Struct(">BQ")
TWO_KEYS = Struct(">BQQ")
WORD = Struct("<Q")
BIG_WORD = Struct(">Q")
FIRST_BYTE = np.uint64(56)  # bits below the first byte of a key


def key_prefix(kind: bytes, key: int) -> bytes:
    """Return what the keys of all entries of a query, an item or a user start with."""
    return ONE_KEY.pack(kind[0], key)


def one_keys(kind: bytes, keys: Keys) -> list[bytes]:
    """Return the entry keys ``kind, key`` of many keys at once."""
    return entry_keys(kind, [keys])


def run_keys(kind: bytes, keys: Keys, sequence: int) -> list[bytes]:
    """Return the entry keys ``kind, key, sequence`` of one write's runs of rows."""
    return entry_keys(kind, [keys, np.full(len(keys), sequence, dtype=np.uint64)])


def pair_keys(kind: bytes, keys: Keys, other: Keys) -> list[bytes]:
    """Return the entry keys ``kind, key, other`` of many pairs at once."""
    return entry_keys(kind, [keys, other])


def unpack_keys(keys: Sequence[bytes], place: int = 0) -> Keys:
    """Unpack the first (`place` 0) or second word behind the kind byte of many record
    keys of one length.
    """
    if not keys:
        return np.empty(0, dtype=np.uint64)
    width = len(keys[0])
    table: NDArray[np.uint8] = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, width)
    at = 1 + 8 * place
    return np.ascontiguousarray(table[:, at : at + 8]).view(">u8").ravel().astype(np.uint64)


def entry_keys(kind: bytes, words: Sequence[Keys]) -> list[bytes]:
    """Return the keys of entries of a kind that have these words, one column a word."""
    width = 1 + 8 * len(words)
    # One row of bytes a key: the kind, then each word big-endian, so that keys sort as
    # their words do.
    table = np.empty((len(words[0]), width), dtype=np.uint8)
    table[:, 0] = kind[0]
    for place, column in enumerate(words):
        at = 1 + 8 * place
        table[:, at : at + 8] = column.astype(">u8").view(np.uint8).reshape(-1, 8)
    # As void scalars, which become bytes: a third of what slices cost.
    keys: list[bytes] = table.view(f"V{width}").ravel().tolist()
    return keys
