"""Edges whose facts are folded into one sum."""

from struct import Struct

from stream.graph.decay import Decayed, canonical
from stream.graph.facts import Digest
from stream.graph.folded import FoldedEdge, FoldedFacts
from stream.shard.codec.keys import TWO_KEYS
from stream.shard.codec.kinds import FOLDED
from stream.shard.codec.values import VERSION, check_version

_FOLDED_HEAD = Struct(">BIqqQQB")
_FOLDED_FACTS = Struct(">BIiH")


def pack_folded(edge: FoldedEdge) -> bytes:
    """Pack a folded edge; equal sets of facts give equal bytes."""
    pieces = [
        _FOLDED_HEAD.pack(
            VERSION,
            edge.sessions,
            edge.first_ms,
            edge.last_ms,
            edge.digest.first,
            edge.digest.second,
            len(edge.actions),
        )
    ]
    for action, (num_facts, total) in sorted(edge.actions.items()):
        mantissa, shift_bytes = canonical(total)
        size = (mantissa.bit_length() + 7) >> 3
        pieces.append(
            _FOLDED_FACTS.pack(action, num_facts, shift_bytes, size)
            + mantissa.to_bytes(size, "little")
        )
    return b"".join(pieces)


def unpack_folded(value: bytes) -> FoldedEdge:
    """Unpack a folded edge."""
    check_version(value)
    _, sessions, first_ms, last_ms, first, second, num_actions = _FOLDED_HEAD.unpack_from(value)
    start = _FOLDED_HEAD.size
    actions = {}
    for _ in range(num_actions):
        action, num_facts, shift_bytes, size = _FOLDED_FACTS.unpack_from(value, start)
        start += _FOLDED_FACTS.size + size
        mantissa = int.from_bytes(value[start - size : start], "little")
        actions[action] = FoldedFacts(num_facts, Decayed(mantissa, shift_bytes))
    if start != len(value):
        raise ValueError(f"a folded edge has {len(value)} bytes instead of {start}")
    count = sum(folded.num_facts for folded in actions.values())
    return FoldedEdge(sessions, first_ms, last_ms, actions, Digest(count, first, second))


def unpack_folded_pair(key: bytes) -> tuple[int, int]:
    """Unpack ``(query_key, item_key)`` of a record of the kind `FOLDED` or
    `FOLDED_BY_ITEM`.
    """
    _, major, minor = TWO_KEYS.unpack(key)
    return (major, minor) if key[:1] == FOLDED else (minor, major)
