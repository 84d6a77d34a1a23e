"""Changes of a log add up to its graph, wherever they are cut."""

from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest

from model.data.graph import whole_graph
from model.evaluation.log_changes import LogChanges
from stream.actions import Action
from stream.events.types import Interaction
from stream.feed.changes import ShardChanges
from stream.graph.arrays import GraphArrays
from stream.reading.reader import GraphReader, open_graph
from stream.settings import StreamSettings
from testing.small_shop import START_MS, click, fill_store, shop_items

Pair = tuple[int, int]
_SPAN_MS = 1000  # so short that events share times


def _events(seed: int) -> list[Interaction]:
    """Return events of sessions that run side by side, repeats and views among them."""
    random = Random(seed)
    return [
        click(
            random.randrange(_SPAN_MS),
            f"s{random.randrange(12)}",
            random.choice(["red mug", "lamp", "gift", ""]),
            random.choice(["mug-red", "lamp-blue", "scarf-red", "new-1", "new-2"]),
            random.choice(list(Action)),
        )
        for _ in range(60)
    ]


def _edges(arrays: GraphArrays) -> dict[Pair, int]:
    """Return the sessions of each edge, by keys."""
    query, item = (
        arrays.query_keys[arrays.edge_query].tolist(),
        arrays.item_keys[arrays.edge_item].tolist(),
    )
    return dict(zip(zip(query, item, strict=True), arrays.edge_sessions.tolist(), strict=True))


def _hyperedges(arrays: GraphArrays) -> Counter[frozenset[int]]:
    """Return the members of all hyperedges, by keys, as training takes them."""
    part = whole_graph(arrays)
    keys = [*arrays.query_keys.tolist(), *arrays.item_keys.tolist()]
    members: dict[int, set[int]] = {}
    for hyperedge, node in zip(
        part.incidence_hyperedge.tolist(), part.incidence_node.tolist(), strict=True
    ):
        members.setdefault(hyperedge, set()).add(keys[node])
    return Counter(frozenset(each) for each in members.values())


def _rows(found: ShardChanges, *, after: bool) -> list[frozenset[int]]:
    """Return the members of each session that has a hyperedge."""
    rows = []
    for number in range(len(found.sessions)):
        queries, items = found.sessions.members(number, after=after)
        row = [*queries.tolist(), *items.tolist()]
        assert len(set(row)) == len(row)
        rows.append(frozenset(row))
    return [row for row in rows if row]


def _graph(root: Path, events: list[Interaction]) -> GraphReader:
    fill_store(root, events, shop_items())
    return open_graph(root, StreamSettings())


@pytest.mark.parametrize("seed", range(5))
def test_changes_add_up_to_the_graph(tmp_path: Path, seed: int) -> None:
    """Edges and hyperedges are those of the graph as it was at each cut."""
    random = Random(seed)
    with _graph(tmp_path / "store", _events(seed)) as graph:
        changes = LogChanges(graph.arrays())
        edges: Counter[Pair] = Counter()
        hyperedges: Counter[frozenset[int]] = Counter()
        cuts = sorted({0, _SPAN_MS, *(random.randrange(_SPAN_MS) for _ in range(8))})
        for since, until in pairwise(cuts):
            found = changes.between(START_MS + since, START_MS + until)
            if found is not None:
                _add(found, edges, hyperedges)
            arrays = graph.arrays(before_ms=START_MS + until)
            assert dict(edges) == _edges(arrays)
            assert +hyperedges == _hyperedges(arrays)


def _add(found: ShardChanges, edges: Counter[Pair], hyperedges: Counter[frozenset[int]]) -> None:
    pairs = zip(found.edges.query.tolist(), found.edges.item.tolist(), strict=True)
    for pair, sessions in zip(pairs, found.edges.sessions.tolist(), strict=True):
        edges[pair] += sessions
    hyperedges.subtract(_rows(found, after=False))
    hyperedges.update(_rows(found, after=True))


def test_names_come_once_with_the_first_event(tmp_path: Path) -> None:
    """A query and an item that come twice; another item is only viewed."""
    events = [
        click(1, "a", "red mug", "mug-red"),
        click(1, "a", "", "mug-blue", Action.VIEW),
        click(5, "b", "red mug", "mug-red"),
    ]
    with _graph(tmp_path / "store", events) as graph:
        changes = LogChanges(graph.arrays())
    first = changes.between(START_MS, START_MS + 5)
    second = changes.between(START_MS + 5, START_MS + 6)

    assert first is not None
    assert second is not None
    assert list(first.query_names.values()) == ["red mug"]
    assert set(first.item_names.values()) == {"mug-red", "mug-blue"}
    assert not second.query_names
    assert not second.item_names
    assert changes.between(START_MS + 2, START_MS + 5) is None
