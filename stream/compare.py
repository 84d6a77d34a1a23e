"""Two graphs side by side: where they first differ, and how often. Reads both once, in order of key."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeVar, cast

import msgspec

from stream import codec
from stream.codec import StoredEdge, StoredSession
from stream.decay import canonical
from stream.errors import StoreUnreadable
from stream.events import Action, CatalogItem
from stream.facts import NO_QUERY, hyperedge
from stream.graph import GraphReader
from stream.shard import ShardReader

KINDS = ("edge", "hyperedge", "session", "item")
"""What is compared, in the order in which the first difference is looked for."""

_Record = TypeVar("_Record")
Value = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class Difference:
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
        """Where it comes in canonical order: by kind, then by its strings in order of code points."""
        return KINDS.index(self.kind), tuple(self.key.values())


@dataclass(slots=True, kw_only=True)
class Tally:
    """How often one kind differs.

    Attributes:
        differing: both graphs have it, with different values.
        missing: the first graph lacks it.
        extra: only the first graph has it.
    """

    differing: int = 0
    missing: int = 0
    extra: int = 0

    def count(self, difference: Difference) -> None:
        """Count one."""
        if difference.left is None:
            self.missing += 1
        elif difference.right is None:
            self.extra += 1
        else:
            self.differing += 1


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What `compare_graphs` found.

    Attributes:
        first: the first difference in canonical order; None: there is none.
        tallies: how often each kind that was compared differs.
    """

    first: Difference | None = None
    tallies: dict[str, Tally]

    @property
    def is_equal(self) -> bool:
        """Whether there is no difference."""
        return self.first is None

    def add(self, difference: Difference) -> None:
        """Count a difference, and keep it if it comes first."""
        self.tallies[difference.kind].count(difference)
        if self.first is None or difference.place < self.first.place:
            self.first = difference


def compare_graphs(left: GraphReader, right: GraphReader, *, with_catalog: bool = False) -> Comparison:
    """Compare two graphs of the same half-life, exactly: facts, and what was derived from them.

    Users of sessions are not compared; nor are catalogues, unless asked for. Graphs that are equal have the
    same `GraphReader.graph_hash`. Memory does not grow with the graphs.

    Args:
        left: the graph in question.
        right: what it should be.
        with_catalog: compare catalogue items too; one that is deleted is as good as absent.

    Raises:
        StoreUnreadable: one of them is damaged.
    """
    kinds = KINDS if with_catalog else KINDS[:-1]
    comparison = Comparison(tallies={kind: Tally() for kind in kinds})
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
    left: Iterable[_Record], right: Iterable[_Record], key: Callable[[_Record], Any]
) -> Iterator[tuple[_Record | None, _Record | None]]:
    """Pair up the records of two streams that are in strictly ascending order of `key`.

    Yields:
        ``(left, right)`` in ascending order of key; None where a side has no record of that key.
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


class _Side:
    """One of the two graphs: its records in order of key, and the texts behind keys, read one by one."""

    def __init__(self, graph: GraphReader) -> None:
        self._graph = graph

    def edges(self) -> Iterator[StoredEdge]:
        return self._graph._edges()  # noqa: SLF001  # of this room

    def sessions(self) -> Iterator[StoredSession]:
        return self._graph._sessions()  # noqa: SLF001  # of this room

    def catalog(self) -> Iterator[tuple[int, CatalogItem]]:
        scan = self._graph._merged(ShardReader.catalog)  # noqa: SLF001  # of this room
        return ((key, item) for key, item in scan if not item.deleted)

    def query(self, key: int) -> str:
        return self._text(codec.QUERY_NAME, key) if key != NO_QUERY else ""

    def item_id(self, key: int) -> str:
        return self._text(codec.ITEM_NAME, key)

    def _text(self, kind: bytes, key: int) -> str:
        for shard in self._graph._shards:  # noqa: SLF001  # of this room
            found = shard.get_names(kind, [key])
            if found:
                return found[key]
        raise StoreUnreadable(
            f"store {self._graph.path} has records whose names are missing; restore or rebuild it"
        )


def _edge_differences(left: _Side, right: _Side) -> Iterator[Difference]:
    for one, other in merge_join(left.edges(), right.edges(), itemgetter(0, 1)):
        if one == other:
            continue
        value, other_value = _edge_value(one), _edge_value(other)
        if value == other_value:  # one sum may be written in several ways
            continue
        query_key, item_key, _ = _either(one, other)
        side = right if one is None else left
        yield Difference(
            kind="edge",
            key={"query": side.query(query_key), "item": side.item_id(item_key)},
            left=value,
            right=other_value,
        )


def _session_differences(left: _Side, right: _Side) -> Iterator[Difference]:
    """Yield sessions with different facts, each after its hyperedge if that differs for it."""
    for one, other in merge_join(left.sessions(), right.sessions(), itemgetter(0)):
        if one and other and one.facts == other.facts:
            continue
        key = {"session": _either(one, other).session_id}
        members, other_members = _hyperedge_value(left, one), _hyperedge_value(right, other)
        if members != other_members:
            yield Difference(kind="hyperedge", key=key, left=members, right=other_members)
        yield Difference(
            kind="session", key=key, left=_session_value(left, one), right=_session_value(right, other)
        )


def _catalog_differences(left: _Side, right: _Side) -> Iterator[Difference]:
    for one, other in merge_join(left.catalog(), right.catalog(), itemgetter(0)):
        if one != other:
            key = {"item": _either(one, other)[1].item_id}
            yield Difference(kind="item", key=key, left=_item_value(one), right=_item_value(other))


def _edge_value(stored: StoredEdge | None) -> Value | None:
    """Return what an edge is; its decayed sums exactly, in hexadecimal: ``mantissa * 2^exponent``."""
    if stored is None:
        return None
    edge = stored.edge
    totals = {action: canonical(tally.total) for action, tally in edge.actions.items()}
    return {
        "sessions": edge.sessions,
        "first_ms": edge.first_ms,
        "last_ms": edge.last_ms,
        "actions": {Action(action).label: tally.num_facts for action, tally in edge.actions.items()},
        "decayed": {
            Action(action).label: f"{total.mantissa:#x}p{8 * total.shift_bytes}"
            for action, total in totals.items()
        },
    }


def _hyperedge_value(side: _Side, stored: StoredSession | None) -> Value | None:
    facts = codec.unpack_facts(stored.facts) if stored else {}
    members = hyperedge(facts, side.item_id)
    if not members:
        return None
    return {"items": [side.item_id(item_key) for _, item_key in members], "last_ms": max(facts.values())}


def _session_value(side: _Side, stored: StoredSession | None) -> Value | None:
    """Return the facts of a session in the order in which they happened."""
    if stored is None:
        return None
    facts = sorted(
        (ts_ms, side.query(query_key), side.item_id(item_key), Action(action).label)
        for (query_key, item_key, action), ts_ms in codec.unpack_facts(stored.facts).items()
    )
    names = ("ts_ms", "query", "item", "action")
    return {"facts": [dict(zip(names, fact, strict=True)) for fact in facts]}


def _item_value(keyed: tuple[int, CatalogItem] | None) -> Value | None:
    return msgspec.to_builtins(keyed[1]) if keyed else None


def _either(one: _Record | None, other: _Record | None) -> _Record:
    """Return the one that is there."""
    return one if one is not None else cast("_Record", other)
