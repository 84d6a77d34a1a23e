"""The laws: what must hold of a store after any delivery of a case, beside a plain
build of its events.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from protos.text import text_key
from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.graph.facts import Digest, FactColumns, merge_facts
from stream.reading.reader import GraphReader
from stream.shard import codec
from stream.shard.reader import ShardReader
from testing.laws.case import NOON_MS, Case, shard_index_of
from testing.laws.stores import SETTINGS, CaseShards, MemoryShards
from testing.oracle import Oracle, first_difference


def broken_laws(case: Case, shards: CaseShards) -> list[str]:
    """Return in words which laws do not hold; empty: all do.

    Args:
        case: what was delivered.
        shards: where to; all shards are closed.
    """
    readers = shards.readers()
    try:
        graph = graph_of(readers)
        return [*_graph_laws(case, graph), *_count_laws(case, readers), *_index_laws(case, readers)]
    finally:
        for reader in readers:
            reader.close()


def graph_of(readers: Sequence[ShardReader]) -> GraphReader:
    """Return the graph of shards that are open for reading."""
    folders = [reader.path for reader in readers]
    return GraphReader(
        folders[0].parent, folders, SETTINGS, SETTINGS.half_life_seconds, shards=readers
    )


def _graph_laws(case: Case, graph: GraphReader) -> Iterator[str]:
    found, plain = graph.graph_hash(), _plain_hash(case)
    if found != plain:
        yield f"the graph's hash is {found}, that of a plain batch build {plain}"
    if found != graph.recorded_hash():
        yield f"the graph's hash is {found}, that of the recorded sums {graph.recorded_hash()}"
    dump = [json.loads(line) for line in graph.dump(NOON_MS)]
    difference = first_difference(dump, Oracle.of(case.events).dump(NOON_MS))
    if difference:
        yield f"the dump differs: {difference}"
    items = {item.item_id: item for _, item in graph.catalog()}
    if items != case.items():
        yield f"the catalogue is {items}, expected {case.items()}"


def _plain_hash(case: Case) -> str:
    """Return the hash of a graph that is built in one shard and one write."""
    shards, texts = MemoryShards(Path("plain"), 1), Texts()
    apply_batch(shards.open(0), batch_of(case.events, texts), texts)
    shards.close(0)
    return graph_of(shards.readers()).recorded_hash()


def _count_laws(case: Case, readers: Sequence[ShardReader]) -> Iterator[str]:
    """Compare every shard's positions, and what its state says is in it."""
    for index, reader in enumerate(readers):
        state, progress = reader.state(), reader.progress()
        own = [event for event in case.events if shard_index_of(event, case.num_shards) == index]
        oracle = Oracle.of(own)
        hyperedges = oracle.hyperedges()
        expected = (
            len({session for session, *_ in oracle.facts}),
            len(hyperedges),
            sum(len(line["items"]) for line in hyperedges),
            max((event.ts_ms for event in own), default=None),
        )
        counted = state.num_sessions, state.num_hyperedges, state.num_incidences, state.watermark_ms
        if counted != expected:
            yield (
                f"shard {index} counts {counted} sessions, hyperedges, items, time; not {expected}"
            )
        for log in case.logs:
            at = progress[log.position].next_offset if log.position in progress else 0
            if len(log.shards) == 1 and index in log.shards and at != len(log.entries):
                yield f"shard {index} is at {at} of {log.position}, which has {len(log.entries)}"


def _index_laws(case: Case, readers: Sequence[ShardReader]) -> Iterator[str]:
    """Compare what is found by item with what is found by session, and which users were
    seen where.
    """
    for index, reader in enumerate(readers):
        records = list(reader.entries(codec.BY_ITEM))
        facts = codec.by_item([key for key, _ in records], [value for _, value in records])
        found = merge_facts(FactColumns.empty(), facts).facts.digest() if records else Digest()
        if found != reader.state().facts:
            yield f"shard {index} holds {found} by item, {reader.state().facts} by session"
    users = {
        pair
        for reader in readers
        for _, value in reader.entries(codec.USER)
        for pair in _pairs(value)
    }
    expected = {
        (text_key(event.user_id), text_key(event.session_id))
        for event in case.events
        if event.user_id
    }
    if users != expected:
        yield f"{len(users)} users in sessions are stored, expected {len(expected)}"


def _pairs(value: bytes) -> Iterator[tuple[int, int]]:
    users, sessions = codec.unpack_users(value)
    return zip(users.tolist(), sessions.tolist(), strict=True)
