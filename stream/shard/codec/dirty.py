"""Which nodes a write changed."""

from struct import Struct

import numpy as np

from stream.events.columns import Keys
from stream.shard.codec.keys import BIG_WORD, ONE_KEY, WORDS
from stream.shard.codec.kinds import DIRTY
from stream.shard.codec.values import VERSION, check_version

_DIRTY_HEAD = Struct(">BI")


def dirty_key(sequence: int) -> bytes:
    """Return the key of what one write touched."""
    return ONE_KEY.pack(DIRTY[0], sequence)


def pack_sequence(sequence: int) -> bytes:
    """Return what stands for a write behind the key of a query or an item."""
    return BIG_WORD.pack(sequence)


def unpack_sequence(key: bytes) -> int:
    """Unpack which write a record of the kind `DIRTY` is about."""
    return int(ONE_KEY.unpack(key)[1])


def pack_dirty(queries: Keys, items: Keys) -> bytes:
    """Pack the queries and items that a write touched."""
    words = np.concatenate([queries, items]).astype(WORDS, copy=False)
    return _DIRTY_HEAD.pack(VERSION, len(queries)) + words.tobytes()


def unpack_dirty(value: bytes) -> tuple[Keys, Keys]:
    """Unpack the queries and items that a write touched."""
    check_version(value)
    _, num_queries = _DIRTY_HEAD.unpack_from(value)
    words = np.frombuffer(value, dtype=WORDS, offset=_DIRTY_HEAD.size).astype(np.uint64)
    return words[:num_queries], words[num_queries:]
