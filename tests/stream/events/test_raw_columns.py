"""Reading many records at once, before anything is checked."""

from dataclasses import replace

from stream.actions import Action
from stream.events.raw_columns import parse_all, raw_columns_of, times_of
from testing.records import CLICK


def test_objects_become_columns() -> None:
    """One entry an event, in order, with the row of its record."""
    view = replace(CLICK, ts_ms=5, query="", user_id="", action=Action.VIEW)

    columns = raw_columns_of([CLICK, view], [3, 3])

    assert columns.ts_ms.tolist() == [CLICK.ts_ms, 5]
    assert list(columns.session.texts) == ["s1", "s1"]
    assert list(columns.user.texts) == ["u1", ""]
    assert list(columns.query.texts) == ["xbox 360", ""]
    assert list(columns.item.texts) == ["i1", "i1"]
    assert columns.action.tolist() == [Action.CLICK, Action.VIEW]
    assert columns.row.tolist() == [3, 3]
    assert columns.session.index is None


def test_what_cannot_be_parsed_is_told_by_its_row() -> None:
    """The others are parsed, each with its row; rows not asked for are left."""
    values = ["1", "x", "3", None, "5"]

    assert parse_all(int, values, [0, 2, 4], ValueError) == ([1, 3, 5], [0, 2, 4], [])
    assert parse_all(int, values, [0, 1, 4], ValueError) == ([1, 5], [0, 4], [1])
    assert parse_all(int, values, [], ValueError) == ([], [], [])


def test_times_are_numbers_or_plain_texts() -> None:
    """One that is neither plainly, or that no calendar has, is 0, hurting no other."""
    given: list[int | str] = [
        7,
        "2024-05-01T10:00:00Z",
        "2024-05-01T10:00:00.250Z",
        "2024-05-01",
        2**70,
        "-001",
    ]

    assert times_of(given).tolist() == [7, 1714557600000, 1714557600250, 0, 0, 0]
    assert times_of([*given[1:3], "2024-02-30T10:00:00Z"]).tolist() == [
        1714557600000,
        1714557600250,
        0,
    ]
    assert times_of([]).tolist() == []
