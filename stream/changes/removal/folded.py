"""Folded edges of items that go, and the names that nothing needs any more."""

from typing import NamedTuple

import numpy as np

from stream.events.columns import Keys
from stream.feed.changes import EdgeChanges
from stream.graph.facts import Digest
from stream.graph.keysets import distinct
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.rocksdb import Puts
from stream.shard.shard import Shard


class GoneEdges(NamedTuple):
    """The folded edges of items that go.

    Attributes:
        records: what is written.
        queries: ``uint64 [num_queries]`` of the edges, ascending.
        edges: what they take from edges' sessions.
        num_facts: how many facts they stand for, by item.
        digest: the fingerprint of these.
    """

    records: ShardWrite
    queries: Keys
    edges: EdgeChanges
    num_facts: dict[int, int]
    digest: Digest


def folded_edges(shard: Shard, items: Keys) -> GoneEdges:
    """Return what takes the folded edges of items away, from both sides."""
    deletes: list[bytes] = []
    queries = [np.empty(0, dtype=np.uint64)]
    digests: dict[int, Digest] = {}
    changes = [EdgeChanges.empty()]
    for item in items.tolist():
        edges = shard.folded_of(codec.FOLDED_BY_ITEM, item)
        of_item = np.array(sorted(query for query, _ in edges), dtype=np.uint64)
        this = np.full(len(of_item), item, dtype=np.uint64)
        deletes += codec.pair_keys(codec.FOLDED, of_item, this)
        deletes += codec.pair_keys(codec.FOLDED_BY_ITEM, this, of_item)
        queries.append(of_item)
        digests[item] = sum((edge.digest for edge in edges.values()), Digest())
        sessions = [-edges[int(query), item].sessions for query in of_item]
        changes.append(EdgeChanges(of_item, this, np.array(sessions, dtype=np.int64)))
    return GoneEdges(
        records=ShardWrite(Puts(), deletes),
        queries=distinct(np.concatenate(queries)),
        edges=EdgeChanges.joined(changes),
        num_facts={item: digest.count for item, digest in digests.items()},
        digest=sum(digests.values(), Digest()),
    )


def bare_queries(shard: Shard, queries: Keys, items: Keys, without_rows: Keys) -> Keys:
    """Return the queries that have neither facts nor folded edges on other items.

    Args:
        shard: read as it is before the write.
        queries: with folded edges on some of the items.
        items: that go.
        without_rows: queries that lose their last fact by this write.
    """
    going, freed = set(items.tolist()), set(without_rows.tolist())
    bare = [
        query
        for query in queries.tolist()
        if {item for _, item in shard.folded_of(codec.FOLDED, query)} <= going
        and (query in freed or not any(shard.entries(codec.key_prefix(codec.BY_QUERY, query))))
    ]
    return np.array(bare, dtype=np.uint64)


def without_folded(shard: Shard, kind: bytes, keys: Keys, *, has_folded: bool) -> Keys:
    """Return the queries or items that have no folded edges."""
    if not has_folded:
        return keys
    has_edges = [bool(shard.folded_of(kind, key)) for key in keys.tolist()]
    return keys[~np.array(has_edges, dtype=np.bool_)]


def unlisted(shard: Shard, items: Keys) -> Keys:
    """Return the items that have no catalogue entry."""
    listed = shard.get_values(codec.one_keys(codec.CATALOG, items))
    return items[np.array([value is None for value in listed], dtype=np.bool_)]
