"""What changed in the graph: many writes of the feed as one."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from stream.dtypes import Int64s
from stream.events.types import CatalogItem

Keys = NDArray[np.uint64]


def _no_keys() -> Keys:
    return np.zeros(0, dtype=np.uint64)


@dataclass(frozen=True, kw_only=True)
class Members:
    """Keys of the nodes of some sessions, as compressed rows.

    Attributes:
        starts: ``int64 [num_sessions + 1]``.
        keys: ``uint64 [starts[-1]]``.
    """

    starts: Int64s = field(default_factory=lambda: np.zeros(1, dtype=np.int64))
    keys: Keys = field(default_factory=_no_keys)


@dataclass(frozen=True, kw_only=True)
class GraphChanges:
    """What some writes changed, in their order.

    Attributes:
        edge_query: ``uint64 [num_edges]``, query key of each edge that changed.
        edge_item: ``uint64 [num_edges]``, its item key.
        edge_sessions: ``int64 [num_edges]``, distinct sessions that it gained or lost.
        items_before: items of each touched session's hyperedge, before; none where it
            had no hyperedge.
        queries_before: queries of the same hyperedge.
        items_after: items of the hyperedge afterwards.
        queries_after: its queries.
        query_names: texts of keys that are new.
        item_names: ids of keys that are new.
        catalog: catalogue states by item key, the newest of each.
        gone_items: ``uint64 [n]``, keys of items that an erasure removed.
        gone_queries: ``uint64 [n]``, keys of queries that an erasure removed.
    """

    edge_query: Keys = field(default_factory=_no_keys)
    edge_item: Keys = field(default_factory=_no_keys)
    edge_sessions: Int64s = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    items_before: Members = field(default_factory=Members)
    queries_before: Members = field(default_factory=Members)
    items_after: Members = field(default_factory=Members)
    queries_after: Members = field(default_factory=Members)
    query_names: Mapping[int, str] = field(default_factory=dict)
    item_names: Mapping[int, str] = field(default_factory=dict)
    catalog: Mapping[int, CatalogItem] = field(default_factory=dict)
    gone_items: Keys = field(default_factory=_no_keys)
    gone_queries: Keys = field(default_factory=_no_keys)
