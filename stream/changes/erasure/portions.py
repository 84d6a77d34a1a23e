"""How much of which erasure one write takes, and how each stands after it."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from stream.changes.erasure.removables import Removable, SeenSessions, removable_of
from stream.changes.removal.plan import Removal, Removed
from stream.events.columns import NO_KEY, Keys
from stream.graph.facts import FactColumns
from stream.graph.keysets import distinct
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from stream.shard.codec import AuditEntry, ErasureKind, ErasureTombstone
from stream.shard.rocksdb import Puts
from stream.shard.shard import Shard

FACTS_A_WRITE = 50_000  # facts; bounds memory and how long a batch waits: both double with it


class Part(NamedTuple):
    """One erasure's part in a write.

    Attributes:
        order: the erasure as it was.
        facts: that no other erasure of the write takes.
        removable: all that it would take; None: there was no budget left.
    """

    order: ErasureTombstone
    facts: FactColumns
    removable: Removable | None


def parts_of(shard: Shard, orders: Sequence[ErasureTombstone]) -> list[Part]:
    """Add as much of each erasure as fits into one write."""
    seen, budget = SeenSessions(shard), FACTS_A_WRITE
    taken: set[tuple[int, int]] = set()
    parts = []
    for order in orders:
        if not budget:
            parts.append(Part(order, FactColumns.empty(), None))
            continue
        removable = removable_of(seen, order.kind, order.key, budget, 0 if taken else 1)
        pairs = list(
            zip(removable.facts.session.tolist(), removable.facts.item.tolist(), strict=True)
        )
        facts = removable.facts.take(
            np.array([pair not in taken for pair in pairs], dtype=np.bool_)
        )
        taken.update(pairs)
        budget = max(budget - len(facts), 0) if removable.is_all else 0
        parts.append(Part(order, facts, removable))
    return parts


def removal_of(parts: Sequence[Part]) -> Removal:
    """Return what all parts take out together."""
    removables = [part.removable for part in parts if part.removable is not None]
    finished = [
        part.order for part in parts if part.removable is not None and part.removable.is_all
    ]
    none = np.empty(0, dtype=np.uint64)
    return Removal(
        facts=FactColumns.concatenate([FactColumns.empty(), *(part.facts for part in parts)]),
        rows=FactColumns.concatenate(
            [FactColumns.empty(), *(removable.rows for removable in removables)]
        ),
        sessions=distinct(
            np.concatenate([none, *(removable.sessions for removable in removables)])
        ),
        seen=_seen(parts),
        items=_keys_of("item", finished),
        users=_keys_of("user", finished),
    )


def _seen(parts: Sequence[Part]) -> dict[int, list[int]]:
    """Return which erased users were seen in which of their sessions."""
    seen: dict[int, list[int]] = {}
    for part in parts:
        if part.order.kind == "user" and part.removable is not None:
            for session in part.removable.sessions.tolist():
                seen.setdefault(session, []).append(part.order.key)
    return seen


def _keys_of(kind: ErasureKind, orders: Sequence[ErasureTombstone]) -> Keys:
    keys = [order.key for order in orders if order.kind == kind]
    return np.array(sorted(keys), dtype=np.uint64)


def counted(parts: Sequence[Part], removed: Removed) -> list[ErasureTombstone]:
    """Return the erasures as they stand after the write, with what it took away."""
    last_part: dict[int, int] = {}
    for number, part in enumerate(parts):
        last_part.update(dict.fromkeys(part.facts.session.tolist(), number))
    num_emptied = Counter(last_part[session] for session in removed.emptied)
    tombstones = []
    for number, (order, facts, removable) in enumerate(parts):
        is_finished = order.is_finished if removable is None else removable.is_all
        num_folded = removed.folded.get(order.key, 0) if order.kind == "item" else 0
        tombstones.append(
            order._replace(
                is_finished=is_finished,
                facts=order.facts + len(facts) + num_folded,
                sessions=order.sessions + num_emptied[number],
            )
        )
    return tombstones


def changed_tombstones(
    shard: Shard, parts: Sequence[Part], tombstones: Sequence[ErasureTombstone]
) -> list[ErasureTombstone]:
    """Return the tombstones that the write changes or adds.

    A user's sessions are erased for good, too, those that nobody asked for themselves.
    """
    after: dict[tuple[ErasureKind, int], ErasureTombstone] = {}
    for order, _, removable in parts:
        if order.kind == "user" and removable is not None:
            is_marked = shard.erased.contains("session", removable.sessions)
            for session in removable.sessions[~is_marked].tolist():
                after["session", session] = ErasureTombstone(
                    "session", session, order.asked_ms, is_finished=True, cause=order.key
                )
    after.update({(tombstone.kind, tombstone.key): tombstone for tombstone in tombstones})
    before = shard.erased.pending
    return [tombstone for place, tombstone in after.items() if before.get(place) != tombstone]


def tombstone_entries(
    changed: Sequence[ErasureTombstone],
    tombstones: Sequence[ErasureTombstone],
    sequence: int,
    now_ms: int,
) -> ShardWrite:
    """Return the entries of tombstones, and of the audit of finished erasures."""
    puts = Puts()
    for tombstone in changed:
        puts.put(
            codec.tombstone_key(tombstone.kind, tombstone.key), codec.pack_tombstone(tombstone)
        )
    for number, record in enumerate(_audit(tombstones, now_ms)):
        puts.put(codec.audit_key(sequence, number), codec.pack_audit(record))
    return ShardWrite(puts)


def _audit(tombstones: Sequence[ErasureTombstone], now_ms: int) -> Iterator[AuditEntry]:
    """Yield the records of the erasures that are finished."""
    for tombstone in tombstones:
        if not tombstone.is_finished:
            continue
        counts = tombstone.facts, tombstone.sessions
        if tombstone.cause == NO_KEY:
            yield AuditEntry(
                "erased", tombstone.kind, tombstone.key, tombstone.asked_ms, now_ms, *counts
            )
        elif any(counts):
            yield AuditEntry("erased", "user", tombstone.cause, tombstone.asked_ms, now_ms, *counts)
