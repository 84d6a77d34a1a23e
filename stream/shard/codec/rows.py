"""Rows of facts: little-endian words, read and written by the thousand as one
array.
"""

from collections.abc import Sequence

import numpy as np

from stream.dtypes import Int64s
from stream.events.columns import Keys
from stream.graph.facts import FactColumns
from stream.shard.codec.keys import WORDS, unpack_keys
from stream.shard.codec.kinds import ROW_BYTES
from stream.shard.codec.values import cut_pieces

TIMES = np.dtype("<i8")
_ROW_WORDS = 3  # minor key, session, stamp


def pack_rows(*words: Keys) -> bytes:
    """Pack rows of three words each, `ROW_BYTES` a row."""
    rows = np.empty((len(words[0]), _ROW_WORDS), dtype=WORDS)
    for place, column in enumerate(words):
        rows[:, place] = column
    return rows.tobytes()


def split_rows(packed: bytes, starts: Int64s) -> list[bytes]:
    """Cut packed rows into pieces that begin at the rows `starts`."""
    return cut_pieces(packed, starts * ROW_BYTES)


def unpack_rows(pieces: Sequence[bytes]) -> tuple[Keys, Keys, Keys, Int64s]:
    """Unpack packed rows.

    Returns:
        The three words of all rows, ``uint64 [num_rows]`` each, and the rows of each
        piece, ``int64``.
    """
    sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
    if (sizes % ROW_BYTES).any():
        raise ValueError("an entry does not hold whole rows")
    words = np.frombuffer(b"".join(pieces), dtype=WORDS).reshape(-1, _ROW_WORDS)
    return (
        words[:, 0].astype(np.uint64),
        words[:, 1].astype(np.uint64),
        words[:, 2].astype(np.uint64),
        sizes // ROW_BYTES,
    )


def without_sessions(pieces: Sequence[bytes], sessions: Keys) -> list[bytes]:
    """Return packed rows of kind `BY_QUERY` or `BY_ITEM`, piece by piece, without those
    of some sessions.
    """
    # Rows of all pieces, one piece after the other, stay in order: the rows kept of
    # each piece, counted, say where the pieces begin.
    first, session, stamp, sizes = unpack_rows(pieces)
    is_kept = ~np.isin(session, sessions)
    kept_of_piece = np.bincount(
        np.repeat(np.arange(len(pieces)), sizes)[is_kept], minlength=len(pieces)
    )
    packed = pack_rows(first[is_kept], session[is_kept], stamp[is_kept])
    return split_rows(packed, np.cumsum(kept_of_piece) - kept_of_piece)


def by_query(keys: Sequence[bytes], values: Sequence[bytes]) -> FactColumns:
    """Unpack entries of the kind `BY_QUERY`.

    Rows of (item, session, stamp) behind a query.
    """
    item, session, stamp, sizes = unpack_rows(values)
    return FactColumns(session, np.repeat(unpack_keys(keys), sizes), item, stamp)


def by_item(keys: Sequence[bytes], values: Sequence[bytes]) -> FactColumns:
    """Unpack entries of the kind `BY_ITEM`.

    Rows of (query, session, stamp) behind an item.
    """
    query, session, stamp, sizes = unpack_rows(values)
    return FactColumns(session, query, np.repeat(unpack_keys(keys), sizes), stamp)
