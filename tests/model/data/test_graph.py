"""What is propagated over: who is in a hyperedge, and what made an edge."""

from model.data.graph import GraphPart, whole_graph
from stream.actions import Action
from testing.small_shop import MakeArrays, click


def members(part: GraphPart, hyperedge: int) -> set[int]:
    """Return a hyperedge's nodes."""
    return set(part.incidence_node[part.incidence_hyperedge == hyperedge].tolist())


def test_a_hyperedge_holds_the_sessions_items_and_queries(make_arrays: MakeArrays) -> None:
    """A view brings its item; the query of a click sits beside its item."""
    arrays = make_arrays(
        [
            click(0, "s", "mug", "a"),
            click(1, "s", "lamp", "b"),
            click(2, "s", "", "c", Action.VIEW),
            click(3, "alone", "mug", "a"),
        ]
    )
    whole = whole_graph(arrays)
    name = [*arrays.query_texts, *arrays.item_ids]

    assert whole.num_hyperedges == 1
    assert {name[node] for node in members(whole, 0)} == {"mug", "lamp", "a", "b", "c"}


def test_every_edge_knows_the_hyperedges_whose_sessions_made_it(make_arrays: MakeArrays) -> None:
    """And no others: those are what a step hides with it."""
    arrays = make_arrays(
        [
            click(0, "s1", "mug", "a"),
            click(1, "s1", "", "b", Action.VIEW),
            click(2, "s2", "mug", "a"),
            click(3, "s2", "lamp", "c"),
            click(4, "s3", "", "a", Action.VIEW),
            click(5, "s3", "", "b", Action.VIEW),
        ]
    )
    whole = whole_graph(arrays)
    query, item = arrays.query_texts.index("mug"), arrays.item_ids.index("a")
    edge = next(
        n
        for n in range(len(whole.edge_query))
        if (whole.edge_query[n], whole.edge_item[n]) == (query, item)
    )
    made_by = whole.source_hyperedge[whole.source_edge == edge].tolist()
    names = [*arrays.query_texts, *arrays.item_ids]

    assert sorted(sorted(names[node] for node in members(whole, each)) for each in made_by) == [
        ["a", "b", "mug"],
        ["a", "c", "lamp", "mug"],
    ]
