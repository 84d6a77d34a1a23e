"""The sessions of users, and the windows in which those are open."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from stream.events.columns import Keys
from stream.graph.keysets import run_starts
from stream.graph.sessions import SessionWindows
from stream.shard.codec.keys import BIG_WORD, FIRST_BYTE, ONE_KEY, WORDS, one_keys
from stream.shard.codec.kinds import PAIR_BYTES, USER, WINDOWS
from stream.shard.codec.rows import TIMES
from stream.shard.codec.values import check_version, cut_pieces

_WINDOW_BYTES = 16  # first and last time


def user_runs(users: Keys, sessions: Keys, sequence: int) -> tuple[list[bytes], list[bytes]]:
    """Return the records that say which users, given in ascending order, one write saw
    in which sessions.

    Users are looked up seldom and written often: one record holds those of a write that
    share a first byte.
    """
    first_byte = users >> FIRST_BYTE
    firsts = np.flatnonzero(run_starts(first_byte))
    keys = [
        user_prefix(byte << 56) + BIG_WORD.pack(sequence) for byte in first_byte[firsts].tolist()
    ]
    packed = pack_users(users, sessions)
    bounds = [*(firsts * PAIR_BYTES).tolist(), len(packed)]
    return keys, [packed[low:high] for low, high in pairwise(bounds)]


def user_prefix(user: int) -> bytes:
    """Return what the keys of all entries start with that may hold a user."""
    return USER + bytes([user >> 56])


def pack_users(users: Keys, sessions: Keys) -> bytes:
    """Pack users and the sessions that they were seen in, `PAIR_BYTES` a pair."""
    pairs = np.empty((len(users), 2), dtype=WORDS)
    pairs[:, 0], pairs[:, 1] = users, sessions
    return pairs.tobytes()


def unpack_users(value: bytes) -> tuple[Keys, Keys]:
    """Unpack users and the sessions that they were seen in, ``uint64 [num_pairs]``
    each.
    """
    pairs = np.frombuffer(value, dtype=WORDS).reshape(-1, 2)
    return pairs[:, 0].astype(np.uint64), pairs[:, 1].astype(np.uint64)


def windows_key(user: int) -> bytes:
    """Return the key of the windows of a user's cut sessions."""
    return ONE_KEY.pack(WINDOWS[0], user)


def pack_windows(windows: SessionWindows) -> tuple[list[bytes], list[bytes]]:
    """Pack windows, given by (user, start), as keys and values: one entry a user."""
    firsts = np.flatnonzero(run_starts(windows.user))
    packed = (
        np.stack((windows.start_ms, windows.end_ms), axis=1).astype(TIMES, copy=False).tobytes()
    )
    values = [b"\x01" + piece for piece in cut_pieces(packed, firsts * _WINDOW_BYTES)]
    return one_keys(WINDOWS, windows.user[firsts]), values


def unpack_windows(users: Keys, values: Sequence[bytes]) -> SessionWindows:
    """Unpack the windows of users whose keys these are."""
    for value in values:
        check_version(value)
    pieces = [value[1:] for value in values]
    sizes = np.array([len(piece) for piece in pieces], dtype=np.int64)
    if (sizes % _WINDOW_BYTES).any():
        raise ValueError("a user's entry does not hold whole windows")
    times = np.frombuffer(b"".join(pieces), dtype=TIMES).astype(np.int64).reshape(-1, 2)
    return SessionWindows(np.repeat(users, sizes // _WINDOW_BYTES), times[:, 0], times[:, 1])
