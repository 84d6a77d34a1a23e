"""The hash of a graph: of the set of facts, however they lie in shards."""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from struct import Struct

import numpy as np

from stream.errors import StoreUnreadable
from stream.events.columns import Keys
from stream.graph.facts import Digest, FactColumns, merge_facts
from stream.graph.keysets import distinct, repeated
from stream.reading.scan import edge_chunks, session_chunks
from stream.reading.visits import JoinedVisits
from stream.shard import codec
from stream.shard.reader import ShardReader

_DIGEST = Struct(">QQQ")
# Sessions read in one look-up of those that are in several shards: bounds memory.
_CHUNK_SESSIONS = 512


def graph_hash(facts: Digest, edge_facts: Digest) -> str:
    """Return the hash of a graph whose facts, and whose facts on edges, have these
    fingerprints.
    """
    packed = [
        _DIGEST.pack(digest.count, digest.first, digest.second) for digest in (facts, edge_facts)
    ]
    return sha256(b"freshet graph 2\n" + b"".join(packed)).hexdigest()


def hash_of_shards(path: Path, shards: Mapping[int, ShardReader], visits: JoinedVisits) -> str:
    """Return the hash of what shards hold, which every record of a fact is read for.

    Args:
        path: the store or snapshot, to name in errors.
        shards: by index, those that something was written to.
        visits: the visits of which several of them have a part.

    Raises:
        StoreUnreadable: the records do not add up to what was written: some are damaged
            or lost.
    """
    facts = edge_facts = Digest()
    sessions: list[Keys] = []  # eight bytes a session
    for index, shard in shards.items():
        state = shard.state()
        held = Digest()
        for chunk in session_chunks([shard]):
            held += chunk.facts.digest()
            sessions.append(chunk.keys)
        held += state.folded
        on_edges = sum((edges.digest() for edges in edge_chunks([shard])), Digest())
        if (held, on_edges) != (state.facts, state.edge_facts):
            raise StoreUnreadable(
                f"the records of shard {index} of {path} do not add up: {held.count} facts, "
                f"{on_edges.count} on edges, not {state.facts.count} and {state.edge_facts.count}"
            )
        facts, edge_facts = facts + held, edge_facts + on_edges
    in_several = repeated(np.concatenate([np.empty(0, dtype=np.uint64), *sessions]))
    in_several = distinct(np.concatenate([in_several, visits.new]))
    again, on_edges_again = _counted_again(list(shards.values()), in_several, visits)
    return graph_hash(facts - again, edge_facts - on_edges_again)


def _counted_again(
    shards: Sequence[ShardReader], sessions: Keys, visits: JoinedVisits
) -> tuple[Digest, Digest]:
    """Return what adding up the shards counts of some sessions more than once, of
    all facts and of those that make edges.
    """
    again = on_edges = Digest()
    for keys in _chunks(sessions.tolist(), _CHUNK_SESSIONS):
        parts = visits.parts_of(np.array(keys, dtype=np.uint64)).tolist()
        held = FactColumns.concatenate(
            [
                codec.facts_of_sessions(np.array([key], dtype=np.uint64), [record])
                for shard in shards
                for key, record in shard.get_sessions(parts).items()
            ]
        )
        once = merge_facts(FactColumns.empty(), visits.joined(held)).facts
        again += held.digest() - once.digest()
        on_edges += held.take(held.makes_edge).digest()
        on_edges = on_edges - once.take(once.makes_edge).digest()
    return again, on_edges


def _chunks(keys: list[int], size: int) -> Iterator[list[int]]:
    return (keys[start : start + size] for start in range(0, len(keys), size))
