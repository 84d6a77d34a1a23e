"""Runs behind queries and items without the rows of some pairs."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stream.changes.removal.pairs import Pairs
from stream.events.columns import Keys
from stream.graph.keysets import contains, distinct
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard

# Bytes of runs that are rewritten together: bounds memory, which doubles with it.
_RUN_BYTES_AT_ONCE = 64 * 1024 * 1024


class ChangedRuns(NamedTuple):
    """Runs behind queries or items that lose rows.

    Attributes:
        records: what is written of them.
        bare: ``uint64 [num_bare]`` the queries or items that have no row left,
            ascending.
    """

    records: ShardWrite
    bare: Keys


def without_rows(shard: Shard, kind: bytes, majors: Keys, pairs: Pairs) -> ChangedRuns:
    """Rewrite the runs of queries or items without the rows of some pairs."""
    parts: list[ShardWrite] = []
    lasting = [np.empty(0, dtype=np.uint64)]
    for keys, values in _runs_behind(shard, kind, majors):
        try:
            records, kept = _rewritten(kind, keys, values, pairs)
        except codec.BAD_ENTRY_ERRORS as error:
            raise store_error(shard.path, error) from error
        parts.append(records)
        lasting.append(kept)
    bare = majors[~contains(distinct(np.concatenate(lasting)), majors)]
    return ChangedRuns(ShardWrite.joined(parts), bare)


def _runs_behind(
    shard: Shard, kind: bytes, majors: Keys
) -> Iterator[tuple[list[bytes], list[bytes]]]:
    """Yield the keys and values of all runs behind queries or items, many at a time."""
    keys: list[bytes] = []
    values: list[bytes] = []
    num_bytes = 0
    for major in majors.tolist():
        for key, value in shard.entries(codec.key_prefix(kind, major)):
            keys.append(key)
            values.append(value)
            num_bytes += len(value)
        if num_bytes > _RUN_BYTES_AT_ONCE:
            yield keys, values
            keys, values, num_bytes = [], [], 0
    if keys:
        yield keys, values


def _rewritten(
    kind: bytes, keys: list[bytes], values: Sequence[bytes], pairs: Pairs
) -> tuple[ShardWrite, Keys]:
    """Return what is written of the runs that change, and the queries or items of those
    that keep a row.
    """
    # Rows of all runs, one run after the other; `run_of_row` says whose each row is.
    minor, session, stamp, sizes = codec.unpack_rows(values)
    major = codec.unpack_keys(keys)
    item = minor if kind == codec.BY_QUERY else np.repeat(major, sizes)
    is_kept = ~pairs.contains(session, item)
    run_of_row = np.repeat(np.arange(len(keys)), sizes)
    num_kept = np.bincount(run_of_row[is_kept], minlength=len(keys))
    # A run that loses some rows is put again with the others; one that loses all goes.
    is_shrunk = (num_kept < sizes) & (num_kept > 0)
    rows = np.flatnonzero(is_kept & is_shrunk[run_of_row])
    sizes_kept = num_kept[is_shrunk]
    packed = codec.pack_rows(minor[rows], session[rows], stamp[rows])
    pieces = codec.split_rows(packed, np.cumsum(sizes_kept) - sizes_kept)
    puts = Puts()
    puts.extend([keys[run] for run in np.flatnonzero(is_shrunk).tolist()], pieces)
    deletes = [keys[run] for run in np.flatnonzero(num_kept == 0).tolist()]
    return ShardWrite(puts, deletes), major[num_kept > 0]
