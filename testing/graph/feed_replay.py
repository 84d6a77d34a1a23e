"""The graph that a feed's changes make in plain Python, to compare a store with."""

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from model.data.graph import whole_graph
from stream.events.types import CatalogItem
from stream.feed import SessionChanges, ShardChanges
from stream.graph.arrays import GraphArrays

Hyperedge = tuple[frozenset[int], frozenset[int]]
"""The queries and the items of a hyperedge, by key."""


class PlainGraph(NamedTuple):
    """A graph by its definition: what a feed promises to tell.

    Attributes:
        edges: distinct sessions by query and item key.
        hyperedges: how many there are with the same members.
        degrees: in how many hyperedges a query (True) or an item is.
        queries: texts by key.
        items: ids by key.
        catalog: states by item key.
    """

    edges: dict[tuple[int, int], int]
    hyperedges: Counter[Hyperedge]
    degrees: Counter[tuple[bool, int]]
    queries: dict[int, str]
    items: dict[int, str]
    catalog: dict[int, CatalogItem]

    @classmethod
    def empty(cls) -> "PlainGraph":
        """Return the graph of nothing."""
        return cls({}, Counter(), Counter(), {}, {}, {})

    def apply(self, changes: Iterable[ShardChanges]) -> None:
        """Apply changes of one shard, in order.

        Raises:
            AssertionError: they take away what is not there.
        """
        for each in changes:
            self._apply_edges(each)
            self._apply_sessions(each.sessions)
            self.queries.update(each.query_names)
            self.items.update(each.item_names)
            self.catalog.update(each.catalog)
            for key in each.gone_queries.tolist():
                del self.queries[key]
            for key in each.gone_items.tolist():
                self.items.pop(key, None)
                self.catalog.pop(key, None)

    def _apply_edges(self, changes: ShardChanges) -> None:
        edges = changes.edges
        rows = zip(edges.query.tolist(), edges.item.tolist(), edges.sessions.tolist(), strict=True)
        for query, item, sessions in rows:
            after = self.edges.get((query, item), 0) + sessions
            assert sessions  # what stays is not told
            assert after >= 0
            if after:
                self.edges[query, item] = after
            else:
                del self.edges[query, item]

    def _apply_sessions(self, sessions: SessionChanges) -> None:
        for number in range(len(sessions)):
            before, after = (_hyperedge(sessions, number, after=side) for side in (False, True))
            for members, change in ((before, -1), (after, 1)):
                for is_query, keys in zip((True, False), members, strict=True):
                    for key in keys:
                        self.degrees[is_query, key] += change
                if not sessions.is_partial[number] and any(members):
                    self.hyperedges[members] += change
            assert before != after


def plain_graph(arrays: GraphArrays, catalog: Iterable[tuple[int, CatalogItem]]) -> PlainGraph:
    """Return the graph that training would be given."""
    graph = whole_graph(arrays)
    queries, items = arrays.query_keys.tolist(), arrays.item_keys.tolist()
    members: list[tuple[set[int], set[int]]] = [(set(), set()) for _ in range(graph.num_hyperedges)]
    degrees: Counter[tuple[bool, int]] = Counter()
    rows = zip(graph.incidence_hyperedge.tolist(), graph.incidence_node.tolist(), strict=True)
    for hyperedge, node in rows:
        is_query = node < graph.num_queries
        key = queries[node] if is_query else items[node - graph.num_queries]
        members[hyperedge][0 if is_query else 1].add(key)
        degrees[is_query, key] += 1
    columns = (arrays.edge_query, arrays.edge_item, arrays.edge_sessions)
    edges = zip(*(np.asarray(column).tolist() for column in columns), strict=True)
    return PlainGraph(
        edges={(queries[query], items[item]): sessions for query, item, sessions in edges},
        hyperedges=Counter((frozenset(own[0]), frozenset(own[1])) for own in members),
        degrees=degrees,
        queries=dict(zip(queries, arrays.query_texts, strict=True)),
        items=dict(zip(items, arrays.item_ids, strict=True)),
        catalog=dict(catalog),
    )


def _hyperedge(sessions: SessionChanges, number: int, *, after: bool) -> Hyperedge:
    queries, items = sessions.members(number, after=after)
    return frozenset(queries.tolist()), frozenset(items.tolist())
