"""Two graphs side by side: where they first differ, and how often.

Reads both once, in order of key.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, NamedTuple, TypeVar, cast

import msgspec
import numpy as np

from stream.actions import Action
from stream.events.columns import NO_KEY
from stream.events.types import CatalogItem
from stream.graph.facts import Digest, FactColumns, hyperedge_rows
from stream.graph.folded import FoldedEdge
from stream.reading.reader import GraphReader
from stream.shard import codec

KINDS = ("edge", "hyperedge", "session", "item")
"""What is compared, in the order in which the first difference is looked for."""

_Item = TypeVar("_Item")
Value = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class GraphDifference:
    """One edge, hyperedge, session or catalogue item that two graphs do not have alike.

    Attributes:
        kind: one of `KINDS`.
        key: what it is called: query and item, session, or item.
        left: its value in the first graph; None: it is not there.
        right: its value in the second graph; None: it is not there.
    """

    kind: str
    key: Mapping[str, str]
    left: Value | None
    right: Value | None

    @property
    def place(self) -> tuple[int, tuple[str, ...]]:
        """Where it comes in canonical order.

        By kind, then by its strings in order of code points.
        """
        return KINDS.index(self.kind), tuple(self.key.values())


@dataclass(slots=True, kw_only=True)
class DifferenceCounts:
    """How often one kind differs.

    Attributes:
        differing: both graphs have it, with different values.
        missing: the first graph lacks it.
        extra: only the first graph has it.
    """

    differing: int = 0
    missing: int = 0
    extra: int = 0

    def count(self, difference: GraphDifference) -> None:
        """Count one."""
        if difference.left is None:
            self.missing += 1
        elif difference.right is None:
            self.extra += 1
        else:
            self.differing += 1


@dataclass(slots=True, kw_only=True)
class GraphComparison:
    """What `compare_graphs` found.

    Attributes:
        first: the first difference in canonical order; None: there is none.
        counts: how often each kind that was compared differs.
    """

    first: GraphDifference | None = None
    counts: dict[str, DifferenceCounts]

    @property
    def is_equal(self) -> bool:
        """Whether there is no difference."""
        return self.first is None

    def add(self, difference: GraphDifference) -> None:
        """Count a difference, and keep it if it comes first."""
        self.counts[difference.kind].count(difference)
        if self.first is None or difference.place < self.first.place:
            self.first = difference


def compare_graphs(
    left: GraphReader, right: GraphReader, *, with_catalog: bool = False
) -> GraphComparison:
    """Compare two graphs exactly.

    The facts of sessions, and those that edges are made of.

    Users of sessions are not compared; nor are catalogues, unless asked for. Graphs
    that are equal have the same `GraphReader.graph_hash`. Memory does not grow with the
    graphs.

    Args:
        left: the graph in question.
        right: what it should be.
        with_catalog: compare catalogue items too; one that is deleted is as good as
            absent.

    Raises:
        StoreUnreadable: one of them is damaged.
    """
    kinds = KINDS if with_catalog else KINDS[:-1]
    comparison = GraphComparison(counts={kind: DifferenceCounts() for kind in kinds})
    sides = _Side(left), _Side(right)
    for difference in _edge_differences(*sides):
        comparison.add(difference)
    for difference in _session_differences(*sides):
        comparison.add(difference)
    if with_catalog:
        for difference in _catalog_differences(*sides):
            comparison.add(difference)
    return comparison


def merge_join(
    left: Iterable[_Item], right: Iterable[_Item], key: Callable[[_Item], Any]
) -> Iterator[tuple[_Item | None, _Item | None]]:
    """Pair up the records of two streams that are in strictly ascending order of `key`.

    Yields:
        ``(left, right)`` in ascending order of key; None where a side has no record of
        that key.
    """
    lefts, rights = iter(left), iter(right)
    one, other = next(lefts, None), next(rights, None)
    while one is not None or other is not None:
        if other is None or (one is not None and key(one) < key(other)):
            yield one, None
            one = next(lefts, None)
        elif one is None or key(other) < key(one):
            yield None, other
            other = next(rights, None)
        else:
            yield one, other
            one, other = next(lefts, None), next(rights, None)


class _Edge(NamedTuple):
    """One edge; `facts` are those it is made of that are held, in order of (session,
    action).
    """

    query: int
    item: int
    facts: FactColumns
    value: Value
    folded: FoldedEdge | None

    def equals(self, other: "_Edge") -> bool:
        """Whether the same facts make both, also where one graph has folded more of
        them than the other.
        """
        if self.folded is None and other.folded is None:
            return self.facts.equals(other.facts)
        return self.digest() == other.digest()

    def digest(self) -> Digest:
        """Return the fingerprint of all its facts."""
        return self.facts.digest() + (self.folded.digest if self.folded else Digest())


class _Session(NamedTuple):
    """One session; `facts` are in order of (query, item, action)."""

    key: int
    session_id: str
    facts: FactColumns


class _Side:
    """One of the two graphs: its records in order of key, and the texts behind keys,
    read one by one.
    """

    def __init__(self, graph: GraphReader) -> None:
        self._graph = graph
        self.folded_before_ms = graph.folded_before_ms

    def edges(self) -> Iterator[_Edge]:
        for chunk in self._graph.edges():
            ends = [*chunk.first_fact.tolist(), len(chunk.facts)]
            for row, (query, item) in enumerate(
                zip(chunk.query.tolist(), chunk.item.tolist(), strict=True)
            ):
                value = {
                    "sessions": int(chunk.sessions[row]),
                    "first_ms": int(chunk.first_ms[row]),
                    "last_ms": int(chunk.last_ms[row]),
                    "actions": chunk.actions_of(row),
                }
                facts = chunk.facts.slice(ends[row], ends[row + 1])
                yield _Edge(query, item, facts, value, chunk.folded.get(row))

    def sessions(self) -> Iterator[_Session]:
        for chunk in self._graph.sessions():
            firsts = chunk.facts.session.searchsorted(chunk.keys)
            ends = [*firsts.tolist(), len(chunk.facts)]
            for row, (key, text) in enumerate(
                zip(chunk.keys.tolist(), chunk.session_ids, strict=True)
            ):
                yield _Session(key, text, chunk.facts.slice(ends[row], ends[row + 1]))

    def catalog(self) -> Iterator[tuple[int, CatalogItem]]:
        return ((key, item) for key, item in self._graph.catalog() if not item.deleted)

    def query(self, key: int) -> str:
        return self._graph.name_of(codec.QUERY_NAME, key) if key != NO_KEY else ""

    def item_id(self, key: int) -> str:
        return self._graph.name_of(codec.ITEM_NAME, key)


def _edge_differences(left: _Side, right: _Side) -> Iterator[GraphDifference]:
    """Yield edges made of different facts.

    Where counts and times are equal, their facts are shown.
    """
    for one, other in merge_join(left.edges(), right.edges(), itemgetter(0, 1)):
        if one and other and one.equals(other):
            continue
        side, edge = (right if one is None else left), _either(one, other)
        values = one and one.value, other and other.value
        if values[0] == values[1]:
            values = _facts_value(left, one), _facts_value(right, other)
        yield GraphDifference(
            kind="edge",
            key={"query": side.query(edge.query), "item": side.item_id(edge.item)},
            left=values[0],
            right=values[1],
        )


def _session_differences(left: _Side, right: _Side) -> Iterator[GraphDifference]:
    """Yield sessions with different facts, each after its hyperedge if that differs for
    it.

    One that only one graph holds is no difference where the other may have folded it:
    its edges tell.
    """
    for one, other in merge_join(left.sessions(), right.sessions(), itemgetter(0)):
        if (one and other and one.facts.equals(other.facts)) or _is_folded(left, one, right, other):
            continue
        key = {"session": _either(one, other).session_id}
        members, other_members = _hyperedge_value(left, one), _hyperedge_value(right, other)
        if members != other_members:
            yield GraphDifference(kind="hyperedge", key=key, left=members, right=other_members)
        yield GraphDifference(
            kind="session", key=key, left=_facts_value(left, one), right=_facts_value(right, other)
        )


def _catalog_differences(left: _Side, right: _Side) -> Iterator[GraphDifference]:
    for one, other in merge_join(left.catalog(), right.catalog(), itemgetter(0)):
        if one is None or other is None or not _same_state(one[1], other[1]):
            key = {"item": _either(one, other)[1].item_id}
            yield GraphDifference(
                kind="item", key=key, left=_item_value(one), right=_item_value(other)
            )


def _same_state(one: CatalogItem, other: CatalogItem) -> bool:
    """Whether two states of an item say the same; where one says no time, whatever the
    other's is: Kafka gives a time to a state without one, a file does not.
    """
    if one.ts_ms and other.ts_ms:
        return one == other
    return replace(one, ts_ms=0) == replace(other, ts_ms=0)


def _is_folded(left: _Side, one: _Session | None, right: _Side, other: _Session | None) -> bool:
    """Whether a session that one side lacks is old enough to have been folded there."""
    missing, there = (left, other) if one is None else (right, one)
    if there is None or (one and other) or missing.folded_before_ms is None:
        return False
    return int(there.facts.ts_ms.max()) < missing.folded_before_ms


def _hyperedge_value(side: _Side, session: _Session | None) -> Value | None:
    if session is None:
        return None
    item_ids = {key: side.item_id(key) for key in session.facts.item.tolist()}
    members = _hyperedge_members(session.facts, item_ids)
    return {"items": members, "last_ms": int(session.facts.ts_ms.max())} if members else None


def _facts_value(side: _Side, record: _Edge | _Session | None) -> Value | None:
    """Return facts in the order in which they happened."""
    if record is None:
        return None
    columns = record.facts.ts_ms, record.facts.query, record.facts.item, record.facts.action
    facts = sorted(
        (ts_ms, side.query(query), side.item_id(item), Action(action).label)
        for ts_ms, query, item, action in zip(*(column.tolist() for column in columns), strict=True)
    )
    names = ("ts_ms", "query", "item", "action")
    return {"facts": [dict(zip(names, fact, strict=True)) for fact in facts]}


def _item_value(keyed: tuple[int, CatalogItem] | None) -> Value | None:
    return msgspec.to_builtins(keyed[1]) if keyed else None


def _either(one: _Item | None, other: _Item | None) -> _Item:
    """Return the one that is there."""
    return one if one is not None else cast("_Item", other)


def _hyperedge_members(facts: FactColumns, item_ids: Mapping[int, str]) -> list[str]:
    """Return the item ids of one session's hyperedge, in (time, item id) order.

    None where it has none.
    """
    rank_of_id = {
        text: rank
        for rank, text in enumerate(sorted({item_ids[key] for key in facts.item.tolist()}))
    }
    ranks = np.array([rank_of_id[item_ids[key]] for key in facts.item.tolist()], dtype=np.int64)
    return [
        item_ids[key]
        for key in facts.item[
            hyperedge_rows(facts.session, facts.item, facts.ts_ms, ranks)
        ].tolist()
    ]
