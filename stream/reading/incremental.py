"""Caches what was read of a store's shards, so that the next snapshot reads only what
changed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self, TypeVar

import numpy as np

from stream.events.types import CatalogItem
from stream.graph.catalog import newest_over_shards
from stream.graph.facts import Digest, FactColumns, merge_facts
from stream.graph.keysets import contains, distinct, run_starts
from stream.reading.scan import session_chunks
from stream.reading.visits import NO_VISITS, JoinedVisits
from stream.shard import codec
from stream.shard.reader import ShardReader

_Value = TypeVar("_Value")


class ShardContents(NamedTuple):
    """What one shard, or all of them together, holds.

    Attributes:
        facts: those of sessions that are held, in ascending order of (session, query,
            item, action).
        queries: texts of queries by key, ascending.
        items: ids of items by key, ascending.
        catalog: catalogue entries by item key, ascending.
    """

    facts: FactColumns
    queries: Mapping[int, str]
    items: Mapping[int, str]
    catalog: Mapping[int, CatalogItem]


class GraphCache:
    """Reads what shards hold, and reads only dirty keys again.

    It keeps 32 bytes a fact, and all names. A shard is read in full where it is new,
    another writer opened it, its log of dirty keys does not reach back to the last
    read, or facts were erased, folded or moved to another session, which the
    fingerprint of its facts shows.

    Attributes:
        read_in_full: how many shards the last `read` read in full.
    """

    def __init__(self) -> None:
        self.read_in_full = 0
        self._shards: dict[bytes, _CachedShard] = {}

    def read(
        self, shards: Iterable[ShardReader], visits: JoinedVisits = NO_VISITS
    ) -> ShardContents:
        """Return what the shards hold together.

        Args:
            shards: to read.
            visits: sessions that are part of others.

        Raises:
            StoreUnreadable: an entry is damaged.
        """
        self.read_in_full = 0
        known: dict[bytes, _CachedShard] = {}
        parts: list[ShardContents] = []
        for shard in shards:
            found = self._read_one(shard)
            parts.append(found.contents)
            if found.writer is not None:
                known[found.writer] = found
        self._shards = known
        return _together(parts, visits)

    def _read_one(self, shard: ShardReader) -> "_CachedShard":
        writer = shard.writer_id()
        known = self._shards.get(writer) if writer is not None else None
        updated = known and known.updated(shard)
        if updated is None:
            self.read_in_full += 1
            return _CachedShard.read(shard)
        return updated


@dataclass(frozen=True, kw_only=True)
class _CachedShard:
    """A shard as it was after one of its writes.

    Attributes:
        writer: the mark of whoever wrote it last.
        sequence: of the last write.
        held: the fingerprint of the facts that it held.
        contents: what it held.
    """

    writer: bytes | None
    sequence: int
    held: Digest
    contents: ShardContents

    @classmethod
    def read(cls, shard: ShardReader) -> Self:
        """Read all of a shard."""
        state = shard.state()
        contents = ShardContents(
            facts=FactColumns.concatenate([chunk.facts for chunk in session_chunks([shard])]),
            queries=dict(shard.query_names()),
            items=dict(shard.item_names()),
            catalog=dict(shard.catalog()),
        )
        return cls(
            writer=shard.writer_id(),
            sequence=state.sequence,
            held=state.facts - state.folded,
            contents=contents,
        )

    def updated(self, shard: ShardReader) -> Self | None:
        """Read what later writes touched.

        Return None where that does not tell what the shard holds now.
        """
        state = shard.state()
        touched = shard.dirty_since(self.sequence)
        if touched is None or state.sequence < self.sequence:
            return None
        queries, items = touched
        before = self.contents
        facts, held = _with_changes(before.facts, shard.facts_on_items_since(items, self.sequence))
        held += self.held
        if held != state.facts - state.folded:
            return None
        asked = [key for key in queries.tolist() if key not in before.queries]
        contents = ShardContents(
            facts=facts,
            queries=_updated(before.queries, asked, shard.get_names(codec.QUERY_NAME, asked)),
            items=_updated(
                before.items, items.tolist(), shard.get_names(codec.ITEM_NAME, items.tolist())
            ),
            catalog=_updated(before.catalog, items.tolist(), shard.get_catalog(items.tolist())),
        )
        return type(self)(writer=self.writer, sequence=state.sequence, held=held, contents=contents)


def _with_changes(facts: FactColumns, changes: FactColumns) -> tuple[FactColumns, Digest]:
    """Return facts with new and moved ones among them, and what that adds to their
    fingerprint.

    Args:
        facts: in ascending order of (session, query, item, action).
        changes: in any order.
    """
    if not len(changes):
        return facts, Digest()
    is_same = contains(distinct(changes.session), facts.session)
    merge = merge_facts(facts.take(is_same), changes)
    merged = FactColumns.concatenate([facts.take(~is_same), merge.facts])
    added = merge.facts.take(merge.is_new | merge.is_moved).digest() - merge.replaced.digest()
    # Each session's facts are in one of two ordered parts, which a stable sort merges.
    return merged.take(np.argsort(merged.session, kind="stable")), added


def _updated(
    before: Mapping[int, _Value], keys: Sequence[int], found: Mapping[int, _Value]
) -> Mapping[int, _Value]:
    """Return records, by key, with those of some keys as they are now.

    Found, or gone.
    """
    if all(before.get(key) == found.get(key) for key in keys):
        return before
    after = {**before, **found}
    for key in keys:
        if key not in found:
            after.pop(key, None)
    return after if after.keys() == before.keys() else dict(sorted(after.items(), key=_key))


def _together(parts: Sequence[ShardContents], visits: JoinedVisits) -> ShardContents:
    """Return what shards hold together.

    Of a name that several hold, the first shard's; of an item, the newest state.
    """
    if len(parts) == 1:
        return parts[0]
    facts = visits.joined(FactColumns.concatenate([part.facts for part in parts]))
    facts = facts.take(np.argsort(facts.session, kind="stable"))
    if _num_sessions(facts) < sum(_num_sessions(part.facts) for part in parts):
        facts = merge_facts(FactColumns.empty(), facts).facts
    return ShardContents(
        facts=facts,
        queries=_union([part.queries for part in parts]),
        items=_union([part.items for part in parts]),
        catalog=_newest([part.catalog for part in parts]),
    )


def _newest(parts: Sequence[Mapping[int, CatalogItem]]) -> Mapping[int, CatalogItem]:
    union: dict[int, CatalogItem] = {}
    for part in parts:
        in_both = union.keys() & part.keys()
        newest = {key: newest_over_shards([union[key], part[key]]) for key in in_both}
        union = {**union, **part, **newest}
    return dict(sorted(union.items(), key=_key))


def _union(parts: Sequence[Mapping[int, _Value]]) -> Mapping[int, _Value]:
    union: dict[int, _Value] = {}
    for part in reversed(parts):
        union.update(part)
    return dict(sorted(union.items(), key=_key))


def _key(record: tuple[int, object]) -> int:
    return record[0]


def _num_sessions(facts: FactColumns) -> int:
    return int(run_starts(facts.session).sum()) if len(facts) else 0
