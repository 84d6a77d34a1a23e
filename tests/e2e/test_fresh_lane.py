"""Clicks, products and deletions reach answers without a training: of a real store and
feed, by a real refresher and server.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread

import pytest

from freshet_client import (
    ClientError,
    Equals,
    Filter,
    InRange,
    RetrievalClient,
    RetrieveResult,
)
from model.artifact.overlay.folder import OverlayFolder
from stream.clock import now_ms
from stream.events.types import CatalogItem, Interaction
from testing.refresher.shop_lane import ShopLane, ids_of
from testing.retrieval_server import wait_until
from testing.small_shop import click, shop_events, shop_items

ROOT = Path(__file__).resolve().parent.parent.parent
NEW = CatalogItem(item_id="lamp-pack", title="Amber Backpack Lamp")


@pytest.fixture
def client(lane: ShopLane) -> Iterator[RetrievalClient]:
    """A client of a server of the shop, beside a refresher."""
    with lane.refreshing(), lane.serving() as client:
        yield client


def clicks(query: str, item: str, sessions: int, name: str = "now") -> list[Interaction]:
    """Return as many sessions that clicked an item for a query."""
    return [click(10**9 + n, f"{name}-{n}", query, item) for n in range(sessions)]


def is_covered(client: RetrievalClient, query: str, since_ms: int) -> RetrieveResult | None:
    """Return an answer that has all that was written by then, or None."""
    answer = client.retrieve(query, 10)
    return answer if answer.receipt.reflected_ms >= since_ms else None


def answer_with(client: RetrievalClient, query: str, since_ms: int) -> RetrieveResult:
    """Wait for an answer whose receipt claims everything up to then."""
    wait_until(lambda: is_covered(client, query, since_ms), f"{query!r} is answered as freshly")
    return client.retrieve(query, 10)


def test_a_click_changes_answers_without_a_training(
    lane: ShopLane, client: RetrievalClient
) -> None:
    """Shoppers who look for one thing click another: it moves up, and the receipt says
    that the answer has their clicks.
    """
    live = lane.artifacts.current_id()
    before = answer_with(client, "blue mug", 0)
    rank = ids_of(client.retrieve("blue mug", 30)).index("kettle-amber")

    written = lane.write(clicks("blue mug", "kettle-amber", 40))
    after = answer_with(client, "blue mug", written)

    assert ids_of(client.retrieve("blue mug", 30)).index("kettle-amber") < rank
    assert after.path == "fresh"
    assert before.receipt.generation == after.receipt.generation == live


def test_a_new_query_leans_to_what_was_clicked_for_it(
    lane: ShopLane, client: RetrievalClient
) -> None:
    """Nobody asked it before, and its words are in no title."""
    written = lane.write(clicks("xylotrim vandelay", "scarf-violet", 3))

    answer = answer_with(client, "xylotrim vandelay", written)

    assert answer.path == "fresh"
    assert ids_of(answer)[0] == "scarf-violet"


def test_a_new_item_is_found_by_its_title_and_by_its_query(
    lane: ShopLane, client: RetrievalClient
) -> None:
    """Listed and clicked a moment ago."""
    by_title = answer_with(client, NEW.title, lane.write([], [NEW]))
    written = lane.write(clicks("red lamp", "lamp-pack", 5))
    by_query = answer_with(client, "red lamp", written)

    assert ids_of(by_title)[0] == "lamp-pack"
    assert by_title.hits[0].title == NEW.title
    assert "lamp-pack" in ids_of(by_query)


def test_a_new_price_and_a_new_item_can_be_filtered_at_once(
    lane: ShopLane, client: RetrievalClient
) -> None:
    """By what the catalogue says of them since a moment ago, not by what it said."""
    attributes = {"price": "30", "brand": "acme"}
    lane.write([], [replace(item, attributes=attributes, ts_ms=1) for item in shop_items()])
    generation = lane.train()
    wait_until(
        lambda: (
            client.freshness().receipt is not None
            and client.retrieve("lamp", 1).receipt.generation == generation
        ),
        "the generation with attributes is live",
    )
    first, second, *_ = ids_of(client.retrieve("red lamp", 5))
    cheap = Filter(conditions=[InRange("price", at_most=20), Equals("brand", "acme")])
    dear = Filter(conditions=[InRange("price", more_than=20)], excluded_item_ids=[second])
    assert client.retrieve("red lamp", 5, filter_by=cheap).hits == ()

    known = {item.item_id: item for item in shop_items()}
    cheaper = replace(known[first], attributes=attributes | {"price": "19.90"}, ts_ms=2)
    new = replace(NEW, attributes=attributes | {"price": "5"}, ts_ms=2)
    written = lane.write([], [cheaper, new])
    answer_with(client, "red lamp", written)
    # It moves, and keeps the attributes that the generation has.
    written = lane.write(clicks("red lamp", known[first].item_id, 5))
    answer_with(client, "red lamp", written)

    assert {*ids_of(client.retrieve("red lamp", 50, filter_by=cheap))} == {first, NEW.item_id}
    others = {*known} - {first, second}
    assert {*ids_of(client.retrieve("red lamp", 50, filter_by=dear))} == others


def test_a_deletion_is_gone_and_stays_gone(lane: ShopLane) -> None:
    """Over a new generation, a restart without a refresher, and a rollback."""
    first = lane.artifacts.current_id()
    with lane.refreshing(), lane.serving() as client:
        assert "mug-red" in ids_of(answer_with(client, "red mug", 0))
        deleted = CatalogItem(item_id="mug-red", deleted=True, ts_ms=now_ms())
        written = lane.write([], [deleted])
        assert "mug-red" not in ids_of(answer_with(client, "red mug", written))
        second = lane.train()
        wait_until(lambda: client.retrieve("red mug").receipt.generation == second, "it is live")
        assert "mug-red" not in ids_of(client.retrieve("red mug", 30))
    (lane.root / "artifacts" / "CURRENT").write_text(f"{first}\n")
    with lane.serving() as client:
        answer = client.retrieve("red mug", 30)

    assert answer.receipt.generation == first
    assert "mug-red" not in ids_of(answer)


def test_freshness_never_goes_back_while_a_generation_goes_live(lane: ShopLane) -> None:
    """Somebody asks throughout: the product that was listed stays found, and no receipt
    claims less than one before it.
    """
    stop, claims = Event(), list[int]()
    errors, missing, generations = list[str](), list[str](), list[str]()

    def ask(client: RetrievalClient) -> None:
        while not stop.is_set():
            try:
                answer = client.retrieve(NEW.title, 5)
            except ClientError as error:
                errors.append(str(error))
                continue
            claims.append(answer.receipt.reflected_ms)
            if answer.receipt.generation not in generations:
                generations.append(answer.receipt.generation)
            if "lamp-pack" not in ids_of(answer):
                missing.append(answer.receipt.generation)

    with lane.refreshing(), lane.serving() as client:
        answer_with(client, NEW.title, lane.write([], [NEW]))
        thread = Thread(target=ask, args=(client,))
        thread.start()
        try:
            for number in range(2):
                lane.write(clicks(f"query {number}", "lamp-pack", 3, f"during-{number}"))
                new = lane.train()
                lane.write(clicks(f"another {number}", "lamp-red", 3, f"after-{number}"))
                wait_until(lambda: new in generations, "clients see the new generation")  # noqa: B023  # called at once
        finally:
            stop.set()
            thread.join()

    assert errors == []
    assert missing == []
    assert len(generations) == 3
    assert claims == sorted(claims)


def test_a_shop_of_several_shards_is_one(tmp_path: Path) -> None:
    """Each has writes of its own; what is claimed is that of the slowest."""
    lane = ShopLane(root=tmp_path, num_shards=3)
    lane.write(shop_events(200), shop_items(), 1)
    lane.train()
    with lane.refreshing(), lane.serving() as client:
        written = [
            lane.write(clicks("tripartite widget", "backpack-green", 2, f"s{shard}"), shard=shard)
            for shard in range(3)
        ]
        answer = answer_with(client, "tripartite widget", written[-1])

    assert ids_of(answer)[0] == "backpack-green"


def test_a_dead_refresher_changes_nothing_but_the_age(lane: ShopLane) -> None:
    """Answers stay, fresh ones too, and a new refresher goes on."""
    with lane.serving() as client:
        with lane.refreshing():
            before = answer_with(client, NEW.title, lane.write([], [NEW]))
        later = CatalogItem(item_id="later-1", title="Violet Notebook Kettle")
        written = lane.write([], [later])
        meanwhile = client.retrieve(NEW.title, 10)
        with lane.refreshing():
            after = answer_with(client, later.title, written)

    assert ids_of(meanwhile) == ids_of(before)
    assert meanwhile.receipt.reflected_ms == before.receipt.reflected_ms
    assert ids_of(after)[0] == "later-1"


@pytest.mark.parametrize("moment", ["segment", "pointer", "gone", "start"])
def test_killed_at_any_point_it_goes_on(lane: ShopLane, moment: str) -> None:
    """With -9, in the middle of a publication: the server refuses nothing that it would
    need, and the next refresher publishes what was under way.
    """
    with lane.serving() as client:
        deleted = CatalogItem(item_id="mug-red", deleted=True, ts_ms=now_ms())
        written = lane.write(clicks("kill test", "lamp-blue", 3), [NEW, deleted])
        killed = subprocess.run(
            [
                *(sys.executable, "-m", "testing.processes.refresher"),
                *(str(lane.store), str(lane.root / "artifacts"), moment),
            ],
            cwd=ROOT,
            check=False,
            timeout=120,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        assert killed.returncode == -signal.SIGKILL
        assert client.retrieve("red lamp", 5).hits
        with lane.refreshing():
            answer = answer_with(client, "kill test", written)
            by_title = client.retrieve(NEW.title, 5)

    assert ids_of(answer)[0] == "lamp-blue"
    assert ids_of(by_title)[0] == "lamp-pack"
    assert "mug-red" not in ids_of(answer)
    folder = OverlayFolder.of(lane.root / "artifacts")
    live = lane.artifacts.current_id()
    assert live is not None
    assert list(folder.generation_path(live).glob(".*.tmp")) == []
