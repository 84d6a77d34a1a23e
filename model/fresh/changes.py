"""Many writes of the feed as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Bools, Int64s
from stream.events.types import CatalogItem
from stream.feed.changes import EdgeChanges, ShardChanges
from stream.graph.catalog import newest_over_shards


@dataclass(frozen=True, kw_only=True)
class MergedChanges:
    """What several writes changed together.

    Attributes:
        edges: each once, over all shards.
        session: ``int64 [num_members]`` ascending, a number for each touched session in
            each write.
        member: ``uint64 [num_members]``, key of an item or a query.
        is_item: ``bool [num_members]``.
        was_in: ``bool [num_members]``, in the hyperedge before the write.
        is_in: ``bool [num_members]``, in it afterwards.
        is_partial: ``bool [num_members]``, of a session of which not all are told.
        query_names: texts of keys.
        item_names: ids of keys.
        catalog: the newest state of each item, by key.
        gone_queries: keys that a shard has nothing of any more, and which shards.
        gone_items: the same of items.
    """

    edges: EdgeChanges
    session: Int64s
    member: NDArray[np.uint64]
    is_item: Bools
    was_in: Bools
    is_in: Bools
    is_partial: Bools
    query_names: Mapping[int, str]
    item_names: Mapping[int, str]
    catalog: Mapping[int, CatalogItem]
    gone_queries: Mapping[int, set[int]]
    gone_items: Mapping[int, set[int]]


def merged(changes: Sequence[ShardChanges]) -> MergedChanges:
    """Return what writes changed together, whatever the order of their shards."""
    sessions = [each.sessions for each in changes]
    firsts = np.cumsum([0, *map(len, sessions)])
    edges = EdgeChanges(
        _joined([each.edges.query for each in changes], np.uint64),
        _joined([each.edges.item for each in changes], np.uint64),
        _joined([each.edges.sessions for each in changes], np.int64),
    )
    return MergedChanges(
        edges=edges.summed(),
        session=_joined(
            [
                each.session_of_member + first
                for each, first in zip(sessions, firsts.tolist(), strict=False)
            ],
            np.int64,
        ),
        member=_joined([each.member for each in sessions], np.uint64),
        is_item=~_joined([each.is_query for each in sessions], np.bool_),
        was_in=_joined([each.was_in for each in sessions], np.bool_),
        is_in=_joined([each.is_in for each in sessions], np.bool_),
        is_partial=_joined(
            [each.is_partial[each.session_of_member] for each in sessions], np.bool_
        ),
        query_names={key: name for each in changes for key, name in each.query_names.items()},
        item_names={key: name for each in changes for key, name in each.item_names.items()},
        catalog=_newest_states(changes),
        gone_queries=_shards_of([(each.shard, each.gone_queries) for each in changes]),
        gone_items=_shards_of([(each.shard, each.gone_items) for each in changes]),
    )


def _shards_of(gone: Sequence[tuple[int, NDArray[np.uint64]]]) -> dict[int, set[int]]:
    """Return which shards name each key."""
    shards: dict[int, set[int]] = {}
    for shard, keys in gone:
        for key in keys.tolist():
            shards.setdefault(key, set()).add(shard)
    return shards


def _newest_states(changes: Sequence[ShardChanges]) -> dict[int, CatalogItem]:
    """Return the state of each item that counts: the last that a shard stored, and of
    those of several shards the newest.
    """
    by_shard: dict[int, dict[int, CatalogItem]] = {}
    for each in changes:
        states = by_shard.setdefault(each.shard, {})
        states.update(each.catalog)
        for key in each.gone_items.tolist():
            states.pop(key, None)
    keys = {key for states in by_shard.values() for key in states}
    return {
        key: newest_over_shards(
            [by_shard[shard][key] for shard in sorted(by_shard) if key in by_shard[shard]]
        )
        for key in keys
    }


def _joined(columns: Sequence[NDArray[Any]], dtype: type) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, dtype=dtype), *columns])
