"""The laws: what must hold of a store after any delivery of a case, beside a plain
build of its events.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from protos.text import text_key
from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.events.limits import CUT_PREFIX
from stream.events.types import Interaction
from stream.graph.facts import Digest, FactColumns, merge_facts
from stream.reading.hashing import graph_hash
from stream.reading.reader import GraphReader
from stream.shard import codec
from stream.shard.reader import ShardReader
from testing.laws.case import NOON_MS, Case
from testing.laws.expected import (
    ExpectedShard,
    expected_items,
    expected_shards,
    joined_visits,
)
from testing.laws.stores import SETTINGS, CaseShards, MemoryShards
from testing.oracle import Oracle, first_difference


def broken_laws(case: Case, shards: CaseShards) -> list[str]:
    """Return in words which laws do not hold; empty: all do.

    Args:
        case: what was delivered.
        shards: where to; all shards are closed.
    """
    expected = expected_shards(case, round(SETTINGS.session_gap_seconds * 1000))
    readers = shards.readers()
    try:
        graph = graph_of(readers)
        return [
            *_graph_laws(expected, graph),
            *_count_laws(case, expected, readers),
            *_index_laws(expected, readers),
        ]
    finally:
        for reader in readers:
            reader.close()


def graph_of(readers: Sequence[ShardReader]) -> GraphReader:
    """Return the graph of shards that are open for reading."""
    folders = [reader.path for reader in readers]
    return GraphReader(
        folders[0].parent, folders, SETTINGS, SETTINGS.half_life_seconds, shards=readers
    )


def _graph_laws(expected: Sequence[ExpectedShard], graph: GraphReader) -> Iterator[str]:
    events = joined_visits(expected)
    found, plain = graph.graph_hash(), _plain_hash(events)
    if found != plain:
        yield f"the graph's hash is {found}, that of a plain batch build {plain}"
    # A fact, or a part of a visit, that several shards hold is in the sums of each.
    recorded, sums = graph.recorded_hash(), _sums_hash(expected)
    if recorded != sums:
        yield f"the hash of the recorded sums is {recorded}, that of plain builds {sums}"
    dump = [json.loads(line) for line in graph.dump(NOON_MS)]
    difference = first_difference(dump, Oracle.of(events).dump(NOON_MS))
    if difference:
        yield f"the dump differs: {difference}"
    items = {item.item_id: item for _, item in graph.catalog()}
    if items != expected_items(expected):
        yield f"the catalogue is {items}, expected {expected_items(expected)}"


def _plain_hash(events: Sequence[Interaction]) -> str:
    """Return the hash of a graph that is built in one shard and one write."""
    shards, texts = MemoryShards(Path("plain"), 1), Texts()
    apply_batch(shards.open(0), batch_of(events, texts), texts)
    shards.close(0)
    return graph_of(shards.readers()).recorded_hash()


def _sums_hash(expected: Sequence[ExpectedShard]) -> str:
    """Return the hash of the sums over shards that are each built in one write."""
    facts = edge_facts = Digest()
    for own in expected:
        shard, texts = MemoryShards(Path("plain"), 1).open(0), Texts()
        apply_batch(shard, batch_of(own.events, texts), texts)
        facts, edge_facts = facts + shard.state().facts, edge_facts + shard.state().edge_facts
    return graph_hash(facts, edge_facts)


def _count_laws(
    case: Case, expected: Sequence[ExpectedShard], readers: Sequence[ShardReader]
) -> Iterator[str]:
    """Compare every shard's positions, and what its state says is in it."""
    for index, (reader, own) in enumerate(zip(readers, expected, strict=True)):
        state, progress = reader.state(), reader.progress()
        oracle = Oracle.of(own.events)
        hyperedges = oracle.hyperedges()
        counts = (
            len({session for session, *_ in oracle.facts}),
            len(hyperedges),
            sum(len(line["items"]) for line in hyperedges),
            max((event.ts_ms for event in own.read), default=None),
        )
        counted = state.num_sessions, state.num_hyperedges, state.num_incidences, state.watermark_ms
        if counted != counts:
            yield f"shard {index} counts {counted} sessions, hyperedges, items, time; not {counts}"
        for log in case.logs:
            at = progress[log.position].next_offset if log.position in progress else 0
            if len(log.shards) == 1 and index in log.shards and at != len(log.records):
                yield f"shard {index} is at {at} of {log.position}, which has {len(log.records)}"


def _index_laws(expected: Sequence[ExpectedShard], readers: Sequence[ShardReader]) -> Iterator[str]:
    """Compare what is found by item with what is found by session, the names, and which
    users were seen where.
    """
    for index, (reader, own) in enumerate(zip(readers, expected, strict=True)):
        records = list(reader.entries(codec.BY_ITEM))
        facts = codec.by_item([key for key, _ in records], [value for _, value in records])
        found = merge_facts(FactColumns.empty(), facts).facts.digest() if records else Digest()
        if found != reader.state().facts:
            yield f"shard {index} holds {found} by item, {reader.state().facts} by session"
        names = {text for _, text in reader.query_names()}
        needed = {event.query for event in own.events if event.query}
        if names != needed:
            yield f"shard {index} has the queries {names}, and needs {needed}"
        yield from _user_laws(index, own, reader)


def _user_laws(index: int, own: ExpectedShard, reader: ShardReader) -> Iterator[str]:
    """Compare who is known to have been seen in which session: everybody who left a
    fact there, and nobody who is erased.

    A session that was renamed, or that lives on without what an erased item was in it,
    may leave a pair that nothing needs.
    """
    users = {pair for _, value in reader.entries(codec.USER) for pair in _pairs(value)}
    needed = {
        (text_key(event.user_id), text_key(event.session_id))
        for event in own.events
        if event.user_id
    }
    if not needed <= users:
        yield f"shard {index} lacks {len(needed - users)} of {len(needed)} users in sessions"
    erased = {text_key(user) for user in own.erased_users} & {user for user, _ in users}
    if erased:
        yield f"shard {index} knows {len(erased)} erased users"
    has_visits = any(event.session_id.startswith(CUT_PREFIX) for event in own.named)
    if users != needed and not has_visits and len(own.events) == len(own.named):
        yield f"shard {index} has {len(users)} users in sessions, expected {len(needed)}"


def _pairs(value: bytes) -> Iterator[tuple[int, int]]:
    users, sessions = codec.unpack_users(value)
    return zip(users.tolist(), sessions.tolist(), strict=True)
