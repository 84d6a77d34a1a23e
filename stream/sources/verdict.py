"""What to say of files in which nothing, or not even half, can be used."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from stream.events.types import Rejection
from stream.quarantine.rejections import QuarantineTally, RejectedRecords
from stream.sources.files import FileRead
from stream.sources.forms import text_form

# Files that a message names; more would bury the advice.
_MAX_NAMED = 3
# Event times that are believed, 2000 to 2100, in milliseconds: what is among them once
# it is multiplied or divided by a thousand was in another unit.
_PLAUSIBLE_MS = range(946_684_800_000, 4_102_444_800_000)
# What turns a time in another unit into milliseconds.
_UNITS = (
    ("seconds", 1000.0, "multiply them by 1,000"),
    ("microseconds", 1e-3, "divide them by 1,000"),
    ("nanoseconds", 1e-6, "divide them by 1,000,000"),
)
_ITEM_FIELDS = {"title", "text", "attributes", "available", "deleted"}
_EVENT_FIELDS = {
    "action_name",
    "anonymousId",
    "event_name",
    "query",
    "session_id",
    "type",
    "user_id",
    "user_pseudo_id",
    "visitorId",
}


class FileOptions(NamedTuple):
    """What a command calls the options that name files.

    Attributes:
        events: of events.
        items: of catalogue items.
    """

    events: str
    items: str


STREAM_OPTIONS = FileOptions("--source", "--catalog")
"""Those of `freshet stream`."""


class FileVerdicts(NamedTuple):
    """What is wrong with files as a whole.

    Attributes:
        unusable: a sentence about the files in which nothing can be used; empty: there
            are none.
        doubtful: a sentence about each file of which more than half cannot be used, and
            about each pipe out of which nothing came.
    """

    unusable: str
    doubtful: Sequence[str]


def judge_files(
    files: Sequence[FileRead], tally: QuarantineTally, options: FileOptions = STREAM_OPTIONS
) -> FileVerdicts:
    """Return what is wrong with files as a whole.

    Empty files are in order, and so is what was read before. A last line without a
    newline is read again by each run: alone it tells nothing of its file.

    Args:
        files: that were read to their end.
        tally: what was rejected of them.
        options: of the command that they were given to, for what to do.
    """
    unusable: list[str] = []
    doubtful: list[str] = []
    for file in files:
        rejected = tally.of(file.position)
        if file.is_pipe and not file.num_lines:
            doubtful.append(f"nothing came out of {file.path}: look at what writes to it")
        elif not file.from_start and file.num_lines == 1:
            continue
        elif file.num_lines and rejected.num_records >= file.num_lines:
            unusable.append(
                f"nothing in {file.path} can be used: it {_what_is_wrong(file, rejected, options)}"
            )
        elif rejected.num_records * 2 > file.num_lines:
            share = 100 * rejected.num_records // file.num_lines
            form = text_form(file.head) if file.head else None
            why = f"it {form}" if form else f"most of that {_main_reason(rejected)}"
            doubtful.append(
                f"{share}% of {file.path} cannot be used ({rejected.num_records:,} of "
                f"{file.num_lines:,} lines): {why}"
            )
    more = len(unusable) - _MAX_NAMED
    named = unusable[:_MAX_NAMED] + ([f"nor can anything in {more:,} more files"] * (more > 0))
    return FileVerdicts("; ".join(named), doubtful)


def _what_is_wrong(file: FileRead, rejected: RejectedRecords, options: FileOptions) -> str:
    """Return the rest of a sentence that begins with the file."""
    form = text_form(file.head) if file.head else None
    return (
        form
        or _of_other_kind(file, rejected, options)
        or _of_other_unit(rejected)
        or _of_other_encoding(rejected)
        or (f"has {file.num_lines:,} lines, most of which {_main_reason(rejected)}")
    )


def _of_other_kind(file: FileRead, rejected: RejectedRecords, options: FileOptions) -> str | None:
    """Return what to do with items among the events, or events among the items."""
    fields = _fields(rejected.examples[rejected.main_reason])
    if not file.is_catalog and "item_id" in fields and fields & _ITEM_FIELDS:
        return f"seems to hold catalogue items; give it with {options.items}"
    if file.is_catalog and fields & _EVENT_FIELDS:
        return f"seems to hold events; give it with {options.events}"
    return None


def _of_other_unit(rejected: RejectedRecords) -> str | None:
    """Return what to do about event times that are not in milliseconds."""
    if rejected.main_reason != "absurd_timestamp":
        return None
    found = re.search(r"\d+", rejected.examples["absurd_timestamp"].detail)
    for unit, factor, advice in _UNITS:
        if found and int(int(found[0]) * factor) in _PLAUSIBLE_MS:
            return f"has its times in {unit}, not in milliseconds ({found[0]}); {advice}"
    return None


def _of_other_encoding(rejected: RejectedRecords) -> str | None:
    """Return what to do about text that is not UTF-8."""
    if rejected.main_reason != "malformed":
        return None
    try:
        (rejected.examples["malformed"].record.value or b"").decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return (
            "is not in UTF-8; convert it from what it was written in, as by: iconv -f "
            "WINDOWS-1252 -t UTF-8 FILE (of Western Europe; SHIFT_JIS, GB18030 or another "
            "of elsewhere: read a line of what comes out)"
        )
    return None


def _main_reason(rejected: RejectedRecords) -> str:
    """Return why most cannot be used, as the rest of a sentence."""
    reason = rejected.main_reason
    example = rejected.examples[reason]
    return (
        f"is rejected as {reason}, as the line at byte {example.record.offset:,}: {example.detail}"
    )


def _fields(rejection: Rejection) -> set[str]:
    """Return the names of the fields of a JSON line; none where it is no object."""
    try:
        found = msgspec.json.decode(rejection.record.value or b"")
    except (ValueError, RecursionError):
        return set()
    return set(found) if isinstance(found, dict) else set()
