"""What a session held before a click."""

from model.context import NEWEST_MEMBERS
from model.data.session_clicks import SessionClicks, session_clicks
from stream.actions import Action
from stream.graph.arrays import GraphArrays
from testing.small_shop import START_MS, MakeArrays, click


def told(arrays: GraphArrays, clicks: SessionClicks) -> list[tuple[str, str, list[str], list[str]]]:
    """Return query, item, items and queries before of each click, by their texts."""
    return [
        (
            arrays.query_texts[clicks.query[row]],
            arrays.item_ids[clicks.item[row]],
            [arrays.item_ids[item] for item in clicks.items[row]],
            [arrays.query_texts[query] for query in clicks.queries[row]],
        )
        for row in range(len(clicks))
    ]


def test_only_what_came_before_is_context(make_arrays: MakeArrays) -> None:
    """In its session, oldest first; what has the click's own time is not before."""
    arrays = make_arrays(
        [
            click(0, "s", "cup", "mug"),
            click(1, "s", "", "lamp", Action.VIEW),
            click(2, "s", "light", "kettle"),
            click(2, "s", "tea", "scarf"),
            click(3, "s", "tea", "mug"),
            click(3, "t", "tea", "mug"),
        ]
    )

    clicks = session_clicks(arrays, START_MS)

    assert sorted(told(arrays, clicks)) == [
        ("light", "kettle", ["mug", "lamp"], ["cup"]),
        ("tea", "mug", ["mug", "lamp", "kettle", "scarf"], ["cup", "light"]),
        ("tea", "scarf", ["mug", "lamp"], ["cup"]),
    ]


def test_a_click_counts_at_its_first_time(make_arrays: MakeArrays) -> None:
    """What a session does again after a time was clicked before it."""
    arrays = make_arrays(
        [
            click(0, "s", "cup", "mug"),
            click(1, "s", "cup", "kettle"),
            click(5, "s", "cup", "kettle", Action.ADD_TO_CART),
            click(6, "s", "tea", "kettle"),
            click(7, "t", "cup", "kettle"),
        ]
    )

    clicks = session_clicks(arrays, START_MS + 5)

    assert told(arrays, clicks) == [("tea", "kettle", ["mug", "kettle"], ["cup"])]


def test_what_the_same_query_got_before_is_known(make_arrays: MakeArrays) -> None:
    """And a later action for the same query and item is no click of its own."""
    arrays = make_arrays(
        [
            click(0, "s", "cup", "mug"),
            click(1, "s", "cup", "kettle"),
            click(2, "s", "cup", "kettle", Action.ADD_TO_CART),
        ]
    )

    clicks = session_clicks(arrays, START_MS)

    assert told(arrays, clicks) == [("cup", "kettle", ["mug"], [])]
    assert [[arrays.item_ids[item] for item in each] for each in clicks.answered] == [["mug"]]


def test_the_newest_are_kept(make_arrays: MakeArrays) -> None:
    """Of clicks as many as wanted, of a session as many as a server looks at."""
    long = NEWEST_MEMBERS + 3
    arrays = make_arrays(
        [click(step, "s", f"query {step}", f"item {step}") for step in range(long)]
    )

    clicks = session_clicks(arrays, START_MS, most=2)

    assert [item for _, item, _, _ in told(arrays, clicks)] == [
        f"item {long - 2}",
        f"item {long - 1}",
    ]
    _, _, items, queries = told(arrays, clicks)[-1]
    assert items == [f"item {step}" for step in range(2, long - 1)]
    assert queries == [f"query {step}" for step in range(2, long - 1)]


def test_clicks_before_the_time_are_not_asked(make_arrays: MakeArrays) -> None:
    """They are context all the same."""
    arrays = make_arrays([click(step, "s", "cup", f"item {step}") for step in range(4)])

    clicks = session_clicks(arrays, START_MS + 3)

    assert [(item, items) for _, item, items, _ in told(arrays, clicks)] == [
        ("item 3", ["item 0", "item 1", "item 2"])
    ]
    assert not len(session_clicks(arrays, START_MS + 4))


def test_the_only_item_of_a_session_is_context_of_its_next_query(make_arrays: MakeArrays) -> None:
    """It makes no hyperedge, but was clicked."""
    arrays = make_arrays([click(0, "s", "cup", "mug"), click(1, "s", "red cup", "mug")])

    assert told(arrays, session_clicks(arrays, START_MS)) == [("red cup", "mug", ["mug"], ["cup"])]
