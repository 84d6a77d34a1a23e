"""What of a session counts."""

from model.context import NEWEST_MEMBERS
from server.session.context import NO_SESSION, SessionContext, parse_context


def test_queries_are_normalised_and_the_asked_one_is_no_context() -> None:
    """What normalises to nothing is passed over."""
    found = parse_context(["4711"], ["Desk  LAMP", "?", "Bulb!"], "desk lamp", 100)

    assert found == SessionContext(item_ids=("4711",), queries=("bulb",), older=2)


def test_the_newest_count_each_once() -> None:
    """A session of thousands is as good as its end."""
    many = [f"item {number}" for number in range(5000)]
    again = [*many, many[-2]]

    found = parse_context(again, [], "lamp", 100)

    assert found.item_ids == (*many[-NEWEST_MEMBERS:-2], many[-1], many[-2])
    assert found.older == len(again) - NEWEST_MEMBERS


def test_what_is_too_long_is_passed_over() -> None:
    """Nothing so long was learned."""
    assert parse_context(["x" * 11, "y"], ["z" * 11], "lamp", 10) == SessionContext(
        item_ids=("y",), older=2
    )


def test_no_session_is_none() -> None:
    """As every request before there were sessions."""
    assert parse_context([], [], "lamp", 100) == NO_SESSION
