"""What is said of files in which nothing, or not even half, can be used."""

from pathlib import Path

import pytest

from stream.events.types import Record, Rejection, SourcePartition
from stream.quarantine.file import FileQuarantine
from stream.quarantine.rejections import QuarantineTally
from stream.sources.files import FileRead
from stream.sources.verdict import FileOptions, judge_files

GOOD = b'{"ts_ms": 1700000000000, "type": "view", "session_id": "s", "item_id": "i"}'


@pytest.fixture
def tally(tmp_path: Path) -> QuarantineTally:
    """A tally of a quarantine file."""
    return QuarantineTally(FileQuarantine(tmp_path / "rejected.jsonl"))


def read_of(name: str, num_lines: int, head: bytes = GOOD + b"\n", **more: bool) -> FileRead:
    """Return what was read of a file."""
    kinds = {"from_start": True, "is_pipe": False, "is_catalog": False, **more}
    return FileRead(
        path=Path("/") / name,
        position=SourcePartition(f"/{name}#0", 0),
        num_lines=num_lines,
        head=head,
        **kinds,
    )


def rejected(
    name: str, offset: int, reason: str = "malformed", detail: str = "not JSON", value: bytes = b"{"
) -> Rejection:
    """Return a rejection of a line of that file."""
    record = Record(
        position=SourcePartition(f"/{name}#0", 0),
        offset=offset,
        next_offset=offset + 1,
        content_type="",
        key=None,
        value=value,
    )
    return Rejection(record=record, reason=reason, detail=detail)


def test_nothing_usable(tally: QuarantineTally) -> None:
    """Files without a usable line are named with what is wrong; others are in order."""
    tally.put([rejected("a", 0), rejected("a", 5), rejected("b", 0)], 0)
    files = [read_of("a", 2, b"[1,\n2]\n"), read_of("b", 2), read_of("empty", 0, b"")]
    unusable, doubtful = judge_files(files, tally)
    assert unusable.startswith("nothing in /a can be used: it starts like a JSON array; ")
    assert "/b" not in unusable
    assert not doubtful


def test_a_record_with_two_faults_is_one(tally: QuarantineTally) -> None:
    """Of a file with a good line something can be used, however much is wrong in the
    other.
    """
    tally.put([rejected("a", 0), rejected("a", 0, "wrong_type")], 0)
    assert judge_files([read_of("a", 2)], tally) == ("", [])


def test_main_reason(tally: QuarantineTally) -> None:
    """Where the form is right, the most frequent reason is said with its first case."""
    tally.put([rejected("a", 0, "wrong_type", "x is a list", GOOD)], 0)
    tally.put([rejected("a", n, "missing_field", f"{n} is absent", GOOD) for n in (7, 8)], 0)
    unusable, _ = judge_files([read_of("a", 3)], tally)
    assert "most of which is rejected as missing_field" in unusable
    assert "the line at byte 7: 7 is absent" in unusable


@pytest.mark.parametrize(
    ("time", "unit"),
    [
        (1_700_000_000, "seconds, not in milliseconds (1700000000); multiply them by 1,000"),
        (1_700_000_000_000_000, "microseconds, not in milliseconds"),
        (1_700_000_000_000_000_000, "nanoseconds, not in milliseconds"),
        (7, "1 lines, most of which is rejected as absurd_timestamp"),
    ],
)
def test_unit_of_times(tally: QuarantineTally, time: int, unit: str) -> None:
    """Times in another unit are told by their size."""
    tally.put([rejected("a", 0, "absurd_timestamp", f"{time} is absurd", GOOD)], 0)
    assert unit in judge_files([read_of("a", 1)], tally).unusable


def test_items_and_events_in_each_others_place(tally: QuarantineTally) -> None:
    """Items given as events, and events as items, are told by the names of fields."""
    item = b'{"item_id": "i", "title": "Lamp"}'
    tally.put([rejected("items", 0, "missing_field", "ts_ms is absent", item)], 0)
    tally.put([rejected("events", 0, "missing_field", "no", b'{"session_id": "s"}')], 0)
    unusable, _ = judge_files(
        [read_of("items", 1, item), read_of("events", 1, is_catalog=True)], tally
    )
    assert (
        "/items can be used: it seems to hold catalogue items; give it with --catalog" in unusable
    )
    assert "/events can be used: it seems to hold events; give it with --source" in unusable

    options = FileOptions("--events", "--items")
    unusable, _ = judge_files([read_of("items", 1, item)], tally, options)
    assert "give it with --items" in unusable


def test_more_than_half_unusable(tally: QuarantineTally) -> None:
    """It is a warning with the share and the main reason; half is not."""
    tally.put([rejected("a", n) for n in range(3)] + [rejected("b", n) for n in range(2)], 0)
    unusable, doubtful = judge_files([read_of("a", 4), read_of("b", 4)], tally)
    assert not unusable
    (warning,) = doubtful
    assert warning.startswith(
        "75% of /a cannot be used (3 of 4 lines): most of that is rejected as"
    )


def test_more_than_half_of_an_array(tally: QuarantineTally) -> None:
    """The last object of an array with one a line has no comma and can be used."""
    tally.put([rejected("a", n) for n in range(3)], 0)
    _, (warning,) = judge_files([read_of("a", 4, b'[\n{"a":1},\n{"b":2}\n]\n')], tally)
    assert "75% of /a cannot be used" in warning
    assert "it starts like a JSON array" in warning


def test_other_encodings(tally: QuarantineTally) -> None:
    """Lines that look like JSON and are not UTF-8 are told by that."""
    tally.put([rejected("a", 0, value='{"query": "café"}'.encode("latin-1"))], 0)
    unusable, _ = judge_files([read_of("a", 1, b'{"query')], tally)
    assert "is not in UTF-8" in unusable
    assert "WINDOWS-1252" in unusable
    assert "SHIFT_JIS" in unusable


def test_only_the_last_line_again(tally: QuarantineTally) -> None:
    """A last line without a newline, which each run reads again, condemns no file."""
    tally.put([rejected("a", 90)], 0)
    assert judge_files([read_of("a", 1, b"", from_start=False)], tally) == ("", [])


def test_many_files(tally: QuarantineTally) -> None:
    """Three are named, and the rest are counted."""
    tally.put([rejected(f"{n}", 0) for n in range(5)], 0)
    unusable, _ = judge_files([read_of(f"{n}", 1) for n in range(5)], tally)
    assert "/2 can be used" in unusable
    assert "/3" not in unusable
    assert unusable.endswith("nor can anything in 2 more files")


def test_silent_pipe(tally: QuarantineTally) -> None:
    """A pipe out of which nothing came is worth a word: its writer may have failed."""
    _, doubtful = judge_files([read_of("dev/stdin", 0, b"", is_pipe=True)], tally)
    assert doubtful == ["nothing came out of /dev/stdin: look at what writes to it"]
