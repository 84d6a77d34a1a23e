"""Tests of what the demo asks for and launches."""

import json
from pathlib import Path

from freshet.demo.launch import labelled_product, simulated_product
from freshet.demo.queries import choose_queries
from freshet.shop.shop import Shop
from tests.freshet.conftest import Command


def test_the_three_queries_are_what_they_are_said_to_be(run: Command, tmp_path: Path) -> None:
    """The frequent one leads, the rare one was hardly typed, the unseen one is not in
    the graph.
    """
    from random import Random

    assert run("simulate", "--items", 100, "--events", 3000, "--out", tmp_path).returncode == 0
    store = tmp_path / "store"
    assert (
        run("stream", "--source", f"file:{tmp_path}/events.jsonl", "--store", store).returncode == 0
    )
    sessions: dict[str, int] = {}
    for line in run("graph", "dump", "--store", store).stdout.splitlines():
        edge = json.loads(line)
        if edge["kind"] == "edge":
            sessions[edge["query"]] = sessions.get(edge["query"], 0) + edge["sessions"]

    queries = choose_queries(store, Random(1))

    assert sessions[queries.frequent] == max(sessions.values())
    assert sessions[queries.rare] == 1
    assert queries.unseen not in sessions
    assert queries.like in sessions


def test_launched_products_are_new_each_time() -> None:
    """A second run must not find its product in the answer already."""
    shop = Shop(7, num_items=100)
    products = [simulated_product(shop, 1), simulated_product(shop, 2)]
    products += [labelled_product("red shoes", number, 1_760_000_000_000) for number in (1, 2)]

    assert len({product.item_id for product in products}) == 4
    assert len({product.query for product in products}) == 4
    for product in products:
        assert product.item["item_id"] == product.item_id
        assert any(
            click["item_id"] == product.item_id and click["query"] == product.query
            for click in product.clicks
        )
