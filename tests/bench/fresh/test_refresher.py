"""The measurement of the fresh lane, on tiny shops."""

import json
from collections import Counter
from pathlib import Path

import numpy as np

from bench.fresh.refresher import run
from bench.fresh.shop import Shop, graph_of, make_shop, next_round
from stream.graph.arrays import GraphArrays

Pair = tuple[int, int]


def edges_of(arrays: GraphArrays) -> Counter[Pair]:
    """Return the sessions of each edge, by keys."""
    query, item = arrays.query_keys[arrays.edge_query], arrays.item_keys[arrays.edge_item]
    pairs = zip(query.tolist(), item.tolist(), strict=True)
    return Counter(dict(zip(pairs, arrays.edge_sessions.tolist(), strict=True)))


def hyperedges_of(arrays: GraphArrays) -> Counter[frozenset[int]]:
    """Return the members of each hyperedge, by keys."""
    members: dict[int, set[int]] = {}
    for session, item in zip(arrays.incidence_session, arrays.incidence_item, strict=True):
        members.setdefault(int(session), set()).add(int(arrays.item_keys[item]))
    for session, query in zip(arrays.fact_session, arrays.fact_query, strict=True):
        if int(session) in members:
            members[int(session)].add(int(arrays.query_keys[query]))
    return Counter(map(frozenset, members.values()))


def test_a_round_tells_what_makes_its_graph() -> None:
    """Edges and hyperedges, by the graphs before and after; names of what is new."""
    shop: Shop = make_shop(400, 80, seed=3)
    for seed in range(3):
        after, changes = next_round(shop, 60, seed)
        before_arrays, after_arrays = graph_of(shop), graph_of(after)

        edges = edges_of(before_arrays)
        pairs = zip(changes.edges.query.tolist(), changes.edges.item.tolist(), strict=True)
        for pair, sessions in zip(pairs, changes.edges.sessions.tolist(), strict=True):
            edges[pair] += sessions
        assert edges == edges_of(after_arrays)
        hyperedges = hyperedges_of(before_arrays)
        for number in range(len(changes.sessions)):
            queries, items = changes.sessions.members(number, after=True)
            hyperedges[frozenset([*queries.tolist(), *items.tolist()])] += 1
        assert hyperedges == hyperedges_of(after_arrays)
        new = set(after_arrays.query_keys.tolist()) - set(before_arrays.query_keys.tolist())
        assert set(changes.query_names) == new
        shop = after


def test_it_prints_costs_and_cosines(tmp_path: Path) -> None:
    """Of two sizes, with the growth from one to the other."""
    out = tmp_path / "figures.jsonl"

    run(["--edges", "3000", "6000", "--rounds", "2", "--nodes", "90", "--dim", "16",
         "--folder", str(tmp_path), "--json", str(out)])  # fmt: skip

    figures = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    values = {figure["name"]: figure["value"] for figure in figures}
    assert values["worst cosine to a full pass, 6,000 edges"] >= 0.999
    assert values["state in a generation, 3,000 edges"] > 0
    assert values["round, 3,000 edges"] > 0
    assert np.isfinite(values["growth from the smallest to the largest"])
