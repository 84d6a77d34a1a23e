"""What was clicked for a query between a time and each of its clicks."""

import numpy as np

from model.data.repeat_clicks import RepeatClicks, repeat_clicks
from stream.events.types import Interaction
from stream.graph.arrays import GraphArrays
from testing.small_shop import START_MS, MakeArrays, click, shop_events


def told(arrays: GraphArrays, clicks: RepeatClicks) -> dict[tuple[str, str], dict[str, int]]:
    """Return by query and item what was before each click."""
    found = {}
    for number in range(len(clicks)):
        rows = clicks.place == number
        asked = (arrays.query_texts[clicks.query[number]], arrays.item_ids[clicks.item[number]])
        before = [arrays.item_ids[item] for item in clicks.before[rows].tolist()]
        found[asked] = dict(zip(before, clicks.sessions[rows].tolist(), strict=True))
    return found


def test_what_is_before_a_click(make_arrays: MakeArrays) -> None:
    """Of its query alone, since the time, once a session; what is at the same time is
    not before it, and a session's second click for a query is none to judge by.
    """
    events = [
        click(1, "old", "cup", "mug"),
        click(10, "a", "cup", "jar"),
        click(11, "a", "cup", "jar"),
        click(12, "b", "cup", "jar"),
        click(13, "c", "plate", "dish"),
        click(14, "c", "cup", "mug"),
        click(14, "d", "cup", "bowl"),
        click(15, "d", "cup", "jug"),
    ]
    arrays = make_arrays(events)
    everything = np.ones(arrays.num_items, dtype=np.bool_)

    clicks = repeat_clicks(arrays, START_MS + 10, everything, most=100)

    assert told(arrays, clicks) == {
        ("cup", "jar"): {"jar": 1},
        ("cup", "mug"): {"jar": 2},
        ("cup", "bowl"): {"jar": 2},
    }
    unseen = {arrays.item_ids[item] for item in clicks.item[clicks.is_unseen].tolist()}
    assert unseen == {"bowl"}


def test_items_that_do_not_count_are_neither_before_nor_after(make_arrays: MakeArrays) -> None:
    """Such as those that are not shown."""
    events = [click(ms, f"s{ms}", "cup", item) for ms, item in enumerate(["jar", "mug", "jar"])]
    arrays = make_arrays(events)
    is_jar = np.array([item == "jar" for item in arrays.item_ids])

    clicks = repeat_clicks(arrays, START_MS, is_jar, most=100)

    assert told(arrays, clicks) == {("cup", "jar"): {"jar": 1}}


def test_many_are_thinned_evenly(make_arrays: MakeArrays) -> None:
    """Not the newest alone, which have most before them."""
    events: list[Interaction] = shop_events(300)
    arrays = make_arrays(events)
    everything = np.ones(arrays.num_items, dtype=np.bool_)

    whole = repeat_clicks(arrays, 0, everything, most=10_000)
    some = repeat_clicks(arrays, 0, everything, most=50)

    assert len(some) == 50 < len(whole)
    assert {some.query[0], some.query[-1]} == {whole.query[0], whole.query[-1]}


def test_a_log_without_clicks_has_none(make_arrays: MakeArrays) -> None:
    """Nor has one where nothing is held out."""
    arrays = make_arrays(shop_events(20))
    everything = np.ones(arrays.num_items, dtype=np.bool_)

    assert not len(repeat_clicks(arrays, np.iinfo(np.int64).max, everything, most=10))
