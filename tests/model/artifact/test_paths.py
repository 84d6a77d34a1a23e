"""Paths between a query and an item.

What they are, how strong, and what a generation keeps of them.
"""

from dataclasses import replace
from math import log, sqrt

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact import paths
from model.artifact.generation import Generation, open_generation
from model.artifact.manifest import MANIFEST_NAME
from model.artifact.paths import (
    AnyPath,
    ClickPath,
    ItemSessionPath,
    OtherQueryPath,
    PathGraph,
    QuerySessionPath,
    strongest_paths,
)
from model.artifact.store import ArtifactStore
from model.artifact.writer import GenerationWriter
from model.data.trainable import select_trainable
from model.data.training_set import build_training_set
from model.errors import GenerationCorrupt
from model.publishing import path_graph
from model.publishing.path_graph import build_path_graph
from model.publishing.publish import publish
from model.settings import ModelSettings
from model.training.train import train
from stream.actions import Action
from stream.events.types import CatalogItem, Interaction
from stream.graph.arrays import GraphArrays
from testing.small_shop import NOW_MS, MakeArrays, click, shop_events, shop_items, snapshot_of

ENOUGH = 100_000


def view(ms: int, session: str, item: str) -> Interaction:
    """Return a view that came from no search."""
    return click(ms, session, "", item, Action.VIEW)


@pytest.fixture(scope="module")
def tiny(make_arrays: MakeArrays) -> GraphArrays:
    """Return two queries, four items and four sessions, small enough to work out by
    hand.

    ``s1`` and ``s2`` search "mug" and click A, and ``s1`` views B, too. ``s3`` searches
    "cup" and clicks A and C. D was viewed with B in ``s4``, and with nothing that "mug"
    was clicked for.
    """
    events = [
        click(0, "s1", "mug", "A"),
        view(1, "s1", "B"),
        click(2, "s2", "mug", "A"),
        click(3, "s3", "cup", "A"),
        click(4, "s3", "cup", "C"),
        view(5, "s4", "B"),
        view(6, "s4", "D"),
    ]
    return make_arrays(
        events, [CatalogItem(item_id=each, title=f"Title {each}") for each in "ABCD"]
    )


class Asked:
    """Paths of a whole snapshot, asked for and named by text and item id."""

    def __init__(self, arrays: GraphArrays) -> None:
        self.arrays = arrays
        self.items = np.flatnonzero(~arrays.item_deleted)
        self.item_ids = [arrays.item_ids[row] for row in self.items]
        self.graph = build_path_graph(arrays, self.items, arrays.num_queries)

    def paths(self, query: str, item_id: str, limit: int = ENOUGH) -> list[AnyPath]:
        """Return the paths from a query to an item."""
        row, item = self.arrays.query_texts.index(query), self.item_ids.index(item_id)
        return strongest_paths(self.graph, row, item, limit)


def test_a_click_has_the_weight_that_it_has_in_the_convolution(tiny: GraphArrays) -> None:
    """Two sessions: log 3, over the root of the degrees.

    Log 3 of "mug", log 3 + log 2 of A.
    """
    found = Asked(tiny).paths("mug", "A")

    strength = log(3) / sqrt(log(3) * (log(3) + log(2)))
    assert isinstance(found[0], ClickPath)
    assert found[0].strength == pytest.approx(strength)
    assert found[0].num_sessions == 2


def test_a_session_of_the_query_links_it_with_all_items_in_it(tiny: GraphArrays) -> None:
    """``s1`` is "mug", A and B, and the query's only hyperedge.

    The session of one item has none.
    """
    asked = Asked(tiny)
    (own,) = [path for path in asked.paths("mug", "B") if isinstance(path, QuerySessionPath)]

    assert own.strength == pytest.approx(1 / 3)
    assert len(own.hyperedges) == 1
    assert own.is_complete


def test_a_clicked_item_leads_on_to_what_was_seen_with_it(tiny: GraphArrays) -> None:
    """A click, then half of A's two hyperedges, of three nodes."""
    asked = Asked(tiny)
    (path,) = [path for path in asked.paths("mug", "B") if isinstance(path, ItemSessionPath)]

    first = log(3) / sqrt(log(3) * (log(3) + log(2)))
    assert path.strength == pytest.approx(first * (1 / 3) / 2)
    assert asked.item_ids[path.via] == "A"
    assert len(path.hyperedges) == 1


def test_another_query_leads_to_both(tiny: GraphArrays) -> None:
    """Mug - A - cup - C: three clicks."""
    asked = Asked(tiny)
    (path,) = [path for path in asked.paths("mug", "C") if isinstance(path, OtherQueryPath)]

    degree_of_a, degree_of_cup = log(3) + log(2), 2 * log(2)
    first = log(3) / sqrt(log(3) * degree_of_a)
    middle = log(2) / sqrt(degree_of_cup * degree_of_a)
    last = log(2) / sqrt(degree_of_cup * log(2))
    assert path.strength == pytest.approx(first * middle * last)
    assert asked.item_ids[path.via] == "A"
    assert tiny.query_texts[path.other] == "cup"


def test_what_is_further_away_has_no_path(tiny: GraphArrays) -> None:
    """D is two sessions from what was clicked."""
    assert Asked(tiny).paths("mug", "D") == []


def test_the_strongest_come_first_and_only_as_many_as_asked_for(tiny: GraphArrays) -> None:
    """Of all paths, the best."""
    asked = Asked(tiny)
    every = asked.paths("mug", "B")

    strengths = [path.strength for path in every]
    assert len(every) > 1
    assert strengths == sorted(strengths, reverse=True)
    assert asked.paths("mug", "B", limit=1) == every[:1]


class Dense:
    """The matrices that the network propagates with, all nodes by all nodes, of a
    training set's graph.
    """

    def __init__(self, arrays: GraphArrays, settings: ModelSettings) -> None:
        part = build_training_set(arrays, settings).whole
        adjacency = np.zeros((part.num_nodes, part.num_nodes))
        adjacency[part.edge_query, part.num_queries + part.edge_item] = part.edge_weight
        adjacency += adjacency.T
        root = 1 / np.sqrt(np.maximum(adjacency.sum(axis=1), 1e-9))
        self.clicks = adjacency * root[:, None] * root[None, :]
        incidence = np.zeros((part.num_nodes, part.num_hyperedges))
        incidence[part.incidence_node, part.incidence_hyperedge] = 1
        by_node = incidence / np.maximum(incidence.sum(axis=1), 1)[:, None]
        by_hyperedge = incidence / np.maximum(incidence.sum(axis=0), 1)[None, :]
        self.sessions = by_node @ by_hyperedge.T
        self.num_queries = part.num_queries

    def strength(self, query: int, item: int, path: AnyPath, items: NDArray[np.int64]) -> float:
        """Return a path's product of entries.

        `items` has the training set's index of each of the path's.
        """
        node = self.num_queries + item
        if isinstance(path, ClickPath):
            return float(self.clicks[query, node])
        if isinstance(path, QuerySessionPath):
            return float(self.sessions[query, node])
        via = self.num_queries + items[path.via]
        if isinstance(path, ItemSessionPath):
            return float(self.clicks[query, via] * self.sessions[via, node])
        back, last = self.clicks[via, path.other], self.clicks[path.other, node]
        return float(self.clicks[query, via] * back * last)

    def totals(self, query: int, item: int) -> dict[type, float]:
        """Return what all paths of a kind carry together, those that turn back on a
        step left out.
        """
        node, queries = self.num_queries + item, slice(0, self.num_queries)
        steps = self.clicks[query].copy()
        steps[node] = 0
        ways_back = self.clicks[:, queries] * self.clicks[queries, node]
        ways_back[:, query] = 0
        return {
            ClickPath: float(self.clicks[query, node]),
            QuerySessionPath: float(self.sessions[query, node]),
            ItemSessionPath: float(steps @ self.sessions[:, node]),
            OtherQueryPath: float(steps @ ways_back.sum(axis=1)),
        }


def with_deleted(arrays: GraphArrays, *item_ids: str) -> GraphArrays:
    """Return the graph with some items deleted from the catalogue."""
    deleted = np.array([item_id in item_ids for item_id in arrays.item_ids])
    return replace(arrays, item_deleted=deleted)


@pytest.mark.parametrize("deleted", [(), ("mug-violet", "lamp-blue")], ids=["all", "some deleted"])
def test_strengths_are_shares_of_what_the_network_propagates(
    make_arrays: MakeArrays, settings: ModelSettings, deleted: tuple[str, ...]
) -> None:
    """Each path's, and all of a kind together, for every query with every item that is
    left.
    """
    arrays = with_deleted(make_arrays(shop_events(24, seed=3), shop_items()), *deleted)
    asked, dense = Asked(arrays), Dense(select_trainable(arrays).arrays, settings)
    kinds = set()
    for query in range(arrays.num_queries):
        for item, row in enumerate(asked.items.tolist()):
            found = strongest_paths(asked.graph, query, item, ENOUGH)
            carried = dict.fromkeys(dense.totals(query, row), 0.0)
            for path in found:
                carried[type(path)] += path.strength
                assert path.strength == pytest.approx(
                    dense.strength(query, row, path, asked.items), rel=1e-5
                )
            assert carried == pytest.approx(dense.totals(query, row), rel=1e-5, abs=1e-12)
            kinds |= {type(path) for path in found}

    assert kinds == {ClickPath, QuerySessionPath, ItemSessionPath, OtherQueryPath}


def popular_events(num_sessions: int) -> list[Interaction]:
    """Return sessions that search "mug", click A and see B.

    The first of them sees a rare item, too.
    """
    events = [view(5, "s000", "rare")]
    for number in range(num_sessions):
        events += [
            click(10 * number, f"s{number:03}", "mug", "A"),
            view(10 * number + 1, f"s{number:03}", "B"),
        ]
    return events


def test_old_hyperedges_of_popular_nodes_are_left_out_and_said_to_be(
    make_arrays: MakeArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest stay, and an old one that a rare item has.

    Counts of what is left say "at least".
    """
    monkeypatch.setattr(path_graph, "KEPT_HYPEREDGES", 4)
    asked = Asked(make_arrays(popular_events(20)))

    (popular,) = [path for path in asked.paths("mug", "B") if isinstance(path, ItemSessionPath)]
    (rare,) = [path for path in asked.paths("mug", "rare") if isinstance(path, ItemSessionPath)]

    assert len(popular.hyperedges) == 5
    assert list(popular.hyperedges) == sorted(popular.hyperedges, reverse=True)
    assert not popular.is_complete
    assert len(rare.hyperedges) == 1
    assert rare.is_complete
    assert len(asked.graph.hyperedge_sizes) == 5


def test_no_more_hyperedges_are_visited_than_the_bound(
    make_arrays: MakeArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest so many, of the node that has fewer."""
    asked = Asked(make_arrays(popular_events(20)))
    every = next(path for path in asked.paths("mug", "B") if isinstance(path, ItemSessionPath))
    monkeypatch.setattr(paths, "VISITED_HYPEREDGES", 3)

    (path,) = [path for path in asked.paths("mug", "B") if isinstance(path, ItemSessionPath)]

    assert every.is_complete
    assert path.hyperedges == every.hyperedges[:3]
    assert not path.is_complete


def test_only_the_strongest_clicks_are_followed(
    make_arrays: MakeArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one step allowed, through what more sessions clicked.

    The click itself is always found.
    """
    monkeypatch.setattr(paths, "VISITED_ITEMS", 1)
    events = [
        *(click(number, f"a{number}", "mug", "A") for number in range(5)),
        *(
            event
            for item in "BC"
            for event in (click(50, f"s{item}", "mug", item), view(51, f"s{item}", "D"))
        ),
        click(60, "z", "mug", "A"),
        view(61, "z", "D"),
    ]
    asked = Asked(make_arrays(events))

    through = [path for path in asked.paths("mug", "D") if isinstance(path, ItemSessionPath)]

    assert [asked.item_ids[path.via] for path in through] == ["A"]
    assert isinstance(asked.paths("mug", "B")[0], ClickPath)


def test_an_item_keeps_the_queries_with_its_strongest_clicks(
    make_arrays: MakeArrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The way back from a popular item is bounded, the click of each query is not."""
    monkeypatch.setattr(path_graph, "KEPT_QUERIES", 1)
    events = [
        *(click(number, f"s{number}", "often", "A") for number in range(4)),
        click(10, "t", "once", "A"),
        click(11, "u", "once", "B"),
    ]
    asked = Asked(make_arrays(events))

    row = asked.item_ids.index("A")
    kept = asked.graph.item_queries[asked.graph.item_starts[row] : asked.graph.item_starts[row + 1]]

    assert [asked.arrays.query_texts[each] for each in kept] == ["often"]
    assert any(isinstance(path, ClickPath) for path in asked.paths("once", "A"))


def test_a_log_without_queries_has_no_paths(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """Titles stand in for queries while it is trained, and no query is in the
    generation.
    """
    events = [
        view(number, f"s{number // 3}", f"{'mug' if number % 2 else 'lamp'}-red")
        for number in range(90)
    ]
    arrays = make_arrays(events, shop_items())
    trained = train(arrays, settings)

    generation_id = publish(trained, arrays, snapshot_of(arrays), artifacts, settings, NOW_MS)
    graph = open_generation(artifacts.generation_path(generation_id)).paths

    assert graph is not None
    assert graph.num_queries == 0
    assert len(graph.click_items) == len(graph.node_hyperedges) == len(graph.hyperedge_sizes) == 0


def test_a_generation_answers_as_the_graph_it_was_made_of(
    generation: Generation, arrays: GraphArrays
) -> None:
    """Every array comes back, memory-mapped."""
    made = build_path_graph(arrays, np.arange(arrays.num_items), arrays.num_queries)

    assert generation.paths is not None
    for name, array in generation.paths.arrays().items():
        assert array.dtype == paths.ARRAY_TYPES[name]
        assert not array.flags.writeable
        np.testing.assert_array_equal(array, made.arrays()[name])


def test_indexes_are_those_of_the_generation_when_items_are_deleted(
    make_arrays: MakeArrays, settings: ModelSettings, artifacts: ArtifactStore
) -> None:
    """The rows of what is left move up, in ids, vectors and paths alike."""
    arrays = with_deleted(make_arrays(shop_events(100), shop_items()), "mug-red", "kettle-blue")
    generation_id = publish(
        train(arrays, settings), arrays, snapshot_of(arrays), artifacts, settings, NOW_MS
    )
    generation = open_generation(artifacts.generation_path(generation_id))

    clicked = {
        (arrays.query_texts[query], arrays.item_ids[item])
        for query, item in zip(arrays.edge_query, arrays.edge_item, strict=True)
    }

    assert generation.paths is not None
    assert generation.find_item("mug-red") is None
    for query in range(10):
        for item in range(generation.manifest.num_items):
            found = strongest_paths(generation.paths, query, item, ENOUGH)
            is_clicked = any(isinstance(path, ClickPath) for path in found)
            assert is_clicked == (
                (generation.query_texts[query], generation.item_ids[item]) in clicked
            )


def test_queries_and_items_are_found_by_what_they_are_called(generation: Generation) -> None:
    """And what is not there is not."""
    assert [generation.find_query(text) for text in generation.query_texts] == list(
        range(generation.manifest.num_queries)
    )
    assert [generation.find_item(item_id) for item_id in generation.item_ids] == list(
        range(generation.manifest.num_items)
    )
    assert generation.find_query("no such query") is None
    assert generation.find_item("no such item") is None


def sealed_again(generation: Generation) -> Generation:
    """Return the generation opened again with a manifest for the files that are there
    now.
    """
    manifest = generation.manifest
    (generation.path / MANIFEST_NAME).unlink()
    GenerationWriter(generation.path).seal(manifest)
    return open_generation(generation.path)


def test_a_generation_from_before_has_no_paths_and_opens(generation: Generation) -> None:
    """It has the same format version and no such files."""
    for file in (*generation.path.glob("paths.*"), *generation.path.glob("fresh.*")):
        file.unlink()

    assert sealed_again(generation).paths is None


def test_half_a_graph_is_none(generation: Generation) -> None:
    """An array that is not there is named."""
    (generation.path / "paths.node_degrees.npy").unlink()

    with pytest.raises(GenerationCorrupt, match="node_degrees"):
        sealed_again(generation)


@pytest.mark.parametrize("name", sorted(set(paths.ARRAY_TYPES) - {"hyperedge_sizes"}))
def test_an_array_of_another_length_is_found(generation: Generation, name: str) -> None:
    """Even where its checksum is right."""
    array = np.load(generation.path / f"paths.{name}.npy")
    (generation.path / f"paths.{name}.npy").unlink()
    GenerationWriter(generation.path).add_array(f"paths.{name}", array[:-1])

    with pytest.raises(GenerationCorrupt, match=r"paths\..*shape"):
        sealed_again(generation)


def test_nothing_says_whose_session_it_was(make_arrays: MakeArrays) -> None:
    """The same graph, whatever sessions are called.

    Ids are not in it, only their order in time.
    """
    named = make_arrays(
        [replace(event, session_id=f"x{event.session_id}") for event in popular_events(9)]
    )
    plain = make_arrays(popular_events(9))

    assert_equal(Asked(named).graph, Asked(plain).graph)


def assert_equal(first: PathGraph, second: PathGraph) -> None:
    """Compare two graphs array by array."""
    for name, array in first.arrays().items():
        np.testing.assert_array_equal(array, second.arrays()[name])
