"""Tests of the simulated shop."""

import json
from collections import Counter
from hashlib import sha256
from itertools import islice, pairwise

import pytest

from freshet.shop.shop import DEFAULT_START_MS, Shop

NUM_EVENTS = 20_000


@pytest.fixture(scope="module")
def events() -> list[dict[str, object]]:
    """The first events of a shop."""
    return list(islice(Shop(7).events(), NUM_EVENTS))


def _digest(lines: object) -> str:
    return sha256(json.dumps(lines).encode()).hexdigest()[:16]


def test_the_same_seed_gives_the_same_bytes(events: list[dict[str, object]]) -> None:
    """Two shops of a seed agree to the last event, and with what they were when this
    was written.
    """
    assert list(islice(Shop(7).events(), NUM_EVENTS)) == events
    assert _digest(list(Shop(7).catalog())) == "30a9cfeef775d1c7"
    assert _digest(events) == "0e0bedac5b61a982"


def test_another_seed_gives_another_shop(events: list[dict[str, object]]) -> None:
    """The seed matters, for the catalogue and the events."""
    assert list(Shop(8).catalog()) != list(Shop(7).catalog())
    assert list(islice(Shop(8).events(), 100)) != events[:100]


def test_events_are_in_order_of_time_and_sessions_run_side_by_side(
    events: list[dict[str, object]],
) -> None:
    """Somebody who follows the log sees many shoppers at once, never
    time going back.
    """
    times = [int(str(event["ts_ms"])) for event in events]
    changes = sum(first["session_id"] != second["session_id"] for first, second in pairwise(events))

    assert times[0] >= DEFAULT_START_MS
    assert all(first <= second for first, second in pairwise(times))
    assert changes > len({event["session_id"] for event in events})


def test_every_event_is_in_the_neutral_form(events: list[dict[str, object]]) -> None:
    """Fields and types are those that the file source reads.

    A search action has a query, a view has none.
    """
    for event in events:
        assert list(event) == ["ts_ms", "type", "session_id", "user_id", "query", "item_id"]
        assert event["type"] in {"search_click", "view", "add_to_cart", "purchase"}
        assert bool(event["query"]) == (event["type"] != "view")


def test_queries_have_a_head_and_a_long_tail(events: list[dict[str, object]]) -> None:
    """A few queries are typed all the time, and a quarter of all queries once."""
    counts = Counter(event["query"] for event in events if event["query"])
    top = sum(count for _, count in counts.most_common(20))

    assert top > 0.15 * counts.total()
    assert sum(count == 1 for count in counts.values()) > 0.25 * len(counts)


def test_popularity_is_skewed_and_reaches_far(events: list[dict[str, object]]) -> None:
    """The most popular tenth gets a third of everything, and still most products are
    seen.
    """
    counts = Counter(event["item_id"] for event in events)
    top = sum(count for _, count in counts.most_common(200))

    assert top > 0.33 * len(events)
    assert len(counts) > 1600


def test_most_sessions_see_several_products(events: list[dict[str, object]]) -> None:
    """There is something to learn from sessions."""
    items: dict[object, set[object]] = {}
    for event in events:
        items.setdefault(event["session_id"], set()).add(event["item_id"])

    assert sum(len(seen) > 1 for seen in items.values()) > 0.6 * len(items)


def test_what_is_wanted_moves_over_time() -> None:
    """The share of a product type changes from week to week."""
    shop = Shop(7)
    kind = max(shop.types, key=lambda each: each.popularity)
    wanted = [kind.popularity_at(DEFAULT_START_MS + day * 86_400_000) for day in range(30)]

    assert max(wanted) > 2 * min(wanted)


def test_new_products_are_launched_and_clicked() -> None:
    """Every 2,000 events a product appears that was not in the first catalogue, and
    shoppers take to it.
    """
    shop = Shop(7)
    known = {line["item_id"] for line in shop.catalog()}
    log = list(islice(shop.events(), 10_000))
    launched = {line["item_id"] for line in shop.take_launched()}

    assert len(launched) == 5
    assert not launched & known
    assert {event["item_id"] for event in log} <= known | launched
    assert launched & {event["item_id"] for event in log}
    assert shop.take_launched() == []


def test_a_live_shop_launches_other_products_than_its_history() -> None:
    """Ids of launched products depend on where the log begins, so that two logs of a
    shop do not disagree.
    """
    ids = []
    for start_ms in (DEFAULT_START_MS, DEFAULT_START_MS + 86_400_000):
        shop = Shop(7)
        list(islice(shop.events(start_ms), 4000))
        ids.append({line["item_id"] for line in shop.take_launched()})

    assert not ids[0] & ids[1]


@pytest.mark.parametrize("rate", [0.05, 20.0])
def test_the_rate_of_events_is_as_asked(rate: float) -> None:
    """From the first event on, within a tenth."""
    log = list(islice(Shop(7).events(DEFAULT_START_MS, rate), 4000))
    seconds = (int(str(log[-1]["ts_ms"])) - DEFAULT_START_MS) / 1000

    assert 4000 / seconds == pytest.approx(rate, rel=0.1)


def test_a_launch_can_be_asked_for() -> None:
    """It has a query of its own, and clicks at the times that were given, each in its
    own session.
    """
    shop = Shop(7, num_items=100)
    launch = shop.launch_product(3)
    clicks = [
        event
        for event in shop.launch_events(launch, [10, 20, 30, 40])
        if event["type"] == "search_click"
    ]

    assert shop.launch_product(4).product.item_id != launch.product.item_id
    assert launch.product.model.lower() in launch.query
    assert [event["ts_ms"] for event in clicks] == [10, 20, 30, 40]
    assert {event["item_id"] for event in clicks} == {launch.product.item_id}
    assert len({event["session_id"] for event in clicks}) == 4
    assert [event["query"] == launch.query for event in clicks] == [False, True, True, False]


def test_a_shop_that_is_told_to_stop_makes_no_more() -> None:
    """Also before its first event, while sessions begin that it starts with: at a high
    rate that takes minutes.
    """
    looks = iter([False, False, True])

    assert list(Shop(7).events(events_per_second=5000.0, is_over=lambda: next(looks))) == []
