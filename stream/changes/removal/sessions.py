"""Sessions without some of their facts."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from stream.changes.removal.pairs import Pairs
from stream.events.columns import Keys
from stream.feed.members import FactTable
from stream.graph.facts import FactColumns, hyperedge_sizes
from stream.graph.keysets import run_starts
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import StoredSession
from stream.shard.rocksdb import Puts, store_error
from stream.shard.shard import Shard


class ChangedSessions(NamedTuple):
    """Sessions that lose facts.

    Attributes:
        records: what is written of them.
        emptied: those that have no fact left, as they were.
        gone: the facts that they lose.
        table: their facts before and after.
        wides: ``uint64 [num_wides]`` those of them that are wide.
        num_hyperedges: how many hyperedges are lost.
        num_incidences: how many items of hyperedges are lost.
    """

    records: ShardWrite
    emptied: dict[int, StoredSession]
    gone: FactColumns
    table: FactTable
    wides: Keys
    num_hyperedges: int
    num_incidences: int


def without_facts(shard: Shard, sessions: Keys, pairs: Pairs) -> ChangedSessions:
    """Take the facts of some pairs of session and item out of sessions."""
    # Stored facts are by session, ascending, and stay so without those that go: a run
    # of one session is its new value, and a session without a run is emptied.
    records = shard.get_sessions(sessions.tolist())
    stored = facts_of(shard, records)
    is_gone = pairs.contains(stored.session, stored.item)
    gone, kept = stored.take(is_gone), stored.take(~is_gone)
    firsts = np.flatnonzero(run_starts(kept.session))
    keys = kept.session[firsts]
    rows = codec.split_rows(codec.pack_rows(kept.query, kept.item, kept.stamp), firsts)
    lasting = {key: records[key] for key in keys.tolist()}
    wides = [key for key, record in records.items() if record.items is not None]
    items = codec.first_items_of(kept, wides)
    values = [
        codec.pack_session(record.session_id, record.user_keys, own)
        if record.items is None
        else codec.pack_wide_session(record.session_id, items[key])
        for (key, record), own in zip(lasting.items(), rows, strict=True)
    ]
    puts = Puts()
    puts.extend(codec.one_keys(codec.SESSION, keys), values)
    of_wide = np.isin(gone.session, np.array(wides, dtype=np.uint64))
    deletes = codec.wide_fact_keys(gone.take(of_wide))
    emptied = {key: record for key, record in records.items() if key not in lasting}
    (_, old_sizes), (_, sizes) = hyperedge_sizes(stored), hyperedge_sizes(kept)
    return ChangedSessions(
        records=ShardWrite(puts, [*deletes, *(codec.session_key(key) for key in emptied)]),
        emptied=emptied,
        gone=gone,
        table=FactTable(
            facts=stored,
            was_in=np.ones(len(stored), dtype=np.bool_),
            is_in=~is_gone,
            old_stamp=stored.stamp,
        ),
        wides=np.array(wides, dtype=np.uint64),
        num_hyperedges=int((old_sizes > 0).sum()) - int((sizes > 0).sum()),
        num_incidences=int(old_sizes.sum()) - int(sizes.sum()),
    )


def facts_of(shard: Shard, records: Mapping[int, StoredSession]) -> FactColumns:
    """Return the facts of stored sessions, given by key.

    Raises:
        StoreUnreadable: an entry is damaged.
    """
    try:
        return codec.facts_of_sessions(
            np.array(list(records), dtype=np.uint64), list(records.values())
        )
    except codec.BAD_ENTRY_ERRORS as error:
        raise store_error(shard.path, error) from error
