"""All shards read as one: what is split between shards is joined, and chunks change
nothing.
"""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.errors import StoreUnreadable
from stream.events.types import Interaction
from stream.graph.facts import FactColumns
from stream.reading import scan
from stream.reading.scan import edge_chunks, session_chunks
from stream.shard import codec
from stream.shard.reader import ShardReader
from stream.shard.rocksdb import Puts
from testing.graph.deliveries import interactions
from testing.graph.fact_rows import columns, rows_of
from testing.histories import EFFORT
from testing.oracle import Oracle
from testing.stand_ins.memory_rocksdb import MemoryDatabase, MemoryDisk

Row = tuple[int, int, int, int, int]


def rows_by_key(events: list[Interaction]) -> list[Row]:
    """Return the facts of events by keys, in ascending order."""
    return sorted(
        (text_key(session), text_key(query) if query else 0, text_key(item), int(action), ts_ms)
        for (session, query, item, action), ts_ms in Oracle.of(events).facts.items()
    )


def shard_of_rows(number: int, rows: list[Row], ids: dict[int, str]) -> ShardReader:
    """Return a shard with these facts, a record a session and a query
    and two writes.
    """
    database = MemoryDatabase(Path(f"shard-{number}"), MemoryDisk())
    puts = Puts()
    for session in sorted({row[0] for row in rows}):
        facts = columns(row for row in rows if row[0] == session)
        packed = codec.pack_rows(facts.query, facts.item, facts.stamp)
        puts.put(codec.session_key(session), codec.pack_session(ids[session], (), packed))
    for sequence, half in enumerate((rows[::2], rows[1::2])):
        on_edges = columns(row for row in half if row[1] and row[3] > 1)
        for query in sorted(set(on_edges.query.tolist())):
            facts = on_edges.take(on_edges.query == query)
            packed = codec.pack_rows(facts.item, facts.session, facts.stamp)
            puts.put(codec.key_prefix(codec.BY_QUERY, query) + sequence.to_bytes(8, "big"), packed)
    database.write(puts)
    return ShardReader(database)


@given(st.lists(interactions, max_size=20), st.lists(interactions, max_size=20), st.integers(1, 3))
@settings(max_examples=50 * EFFORT)
def test_shards_are_read_as_one(
    left: list[Interaction], right: list[Interaction], chunk_records: int
) -> None:
    """Sessions and edges of two shards are those of all their facts, in order, in
    chunks of any size.
    """
    ids = {text_key(event.session_id): event.session_id for event in left + right}
    shards = [
        shard_of_rows(number, rows_by_key(part), ids) for number, part in enumerate((left, right))
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scan, "_CHUNK_RECORDS", chunk_records)
        sessions, edges = list(session_chunks(shards)), list(edge_chunks(shards))
    expected = rows_by_key(left + right)

    assert rows_of(FactColumns.concatenate([chunk.facts for chunk in sessions])) == expected
    listed = [
        pair
        for chunk in sessions
        for pair in zip(chunk.keys.tolist(), chunk.session_ids, strict=True)
    ]
    assert listed == sorted(ids.items())
    pairs = [
        pair
        for chunk in edges
        for pair in zip(chunk.query.tolist(), chunk.item.tolist(), strict=True)
    ]
    assert pairs == sorted({row[1:3] for row in expected if row[1] and row[3] > 1})
    on_edges = FactColumns.concatenate([chunk.facts for chunk in edges])
    assert sorted(rows_of(on_edges)) == [row for row in expected if row[1] and row[3] > 1]


@pytest.mark.parametrize("kind", [codec.SESSION, codec.BY_QUERY])
def test_damaged_records_name_the_store(kind: bytes) -> None:
    """What does not unpack is an error of the store's."""
    database = MemoryDatabase(Path("somewhere"), MemoryDisk())
    database.write(Puts.of({codec.key_prefix(kind, 1) + bytes(8): b"\x01\x02"}))
    read = session_chunks if kind == codec.SESSION else edge_chunks

    with pytest.raises(StoreUnreadable, match="somewhere"):
        list(read([ShardReader(database)]))
