"""Logs lead back through a shard's history, and say where they do not."""

from collections.abc import Sequence

import pytest

from stream.feed.changes import ShardChanges, WriterMark
from stream.feed.codec import pack_changes
from stream.feed.log import (
    LogHead,
    LogName,
    NoPath,
    Span,
    frame,
    frames,
    pack_head,
    path_between,
    unpack_head,
)

A, B, C = "aa" * 16, "bb" * 16, "cc" * 16
BEGIN = WriterMark()


def names_of(heads: Sequence[LogHead]) -> list[LogName]:
    """Return the names of logs."""
    return [LogName(head.first, head.writer) for head in heads]


def path(heads: Sequence[LogHead], since: WriterMark, until: WriterMark) -> list[Span]:
    """Return the path through logs with these heads."""
    by_name = dict(zip(names_of(heads), heads, strict=True))
    return path_between(list(by_name), by_name.__getitem__, since, until)


# A wrote 1 to 9 in two logs; B went on from 7, which a checkpoint had; C opened the
# shard behind B and wrote nothing yet.
HEADS = [
    LogHead(0, A, 1, BEGIN),
    LogHead(0, A, 5, WriterMark(A, 4)),
    LogHead(0, B, 8, WriterMark(A, 7)),
    LogHead(0, C, 11, WriterMark(B, 10)),
]
A1, A5, B8, C11 = names_of(HEADS)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (BEGIN, WriterMark(C, 10), [Span(A1, 4), Span(A5, 7), Span(B8, 10)]),
        (BEGIN, WriterMark(C, 12), [Span(A1, 4), Span(A5, 7), Span(B8, 10), Span(C11, 12)]),
        (WriterMark(A, 7), WriterMark(B, 10), [Span(B8, 10)]),
        (WriterMark(B, 7), WriterMark(B, 10), [Span(B8, 10)]),
        (WriterMark(A, 2), WriterMark(B, 8), [Span(A1, 4), Span(A5, 7), Span(B8, 8)]),
        (WriterMark(A, 5), WriterMark(A, 6), [Span(A5, 6)]),
        (WriterMark(B, 10), WriterMark(C, 10), []),
        (WriterMark(C, 10), WriterMark(C, 10), []),
    ],
)
def test_a_path_leads_over_all_writers(
    since: WriterMark, until: WriterMark, expected: list[Span]
) -> None:
    """Each log up to where the next one goes on from it."""
    assert path(HEADS, since, until) == expected


@pytest.mark.parametrize(
    ("heads", "since", "reason", "rewound"),
    [
        (HEADS, WriterMark(A, 9), "it went back to write 7, and 9 was read", True),
        (HEADS, WriterMark("dd" * 16, 9), "does not lead over what was read", True),
        (HEADS[1:], BEGIN, "does not reach back to write 0", False),
        (HEADS[2:], WriterMark(A, 3), "does not reach back to write 3", False),
        (HEADS[:2] + HEADS[3:], WriterMark(A, 3), "does not reach back to write 3", False),
        (HEADS, WriterMark("", 5), "nothing says who wrote it", False),
    ],
)
def test_a_path_that_does_not_lead_there_says_why(
    heads: list[LogHead], since: WriterMark, reason: str, *, rewound: bool
) -> None:
    """Logs that were removed, and a history that turned back."""
    with pytest.raises(NoPath, match=reason) as raised:
        path(heads, since, WriterMark(C, 10))

    assert raised.value.rewound is rewound


def test_an_object_has_the_writes_that_its_name_says() -> None:
    """And none behind them, whatever is asked."""
    whole = LogName(1, A, 4)

    with pytest.raises(NoPath):
        path_between([whole], lambda _name: HEADS[0], BEGIN, WriterMark(A, 5))
    assert path_between([whole], lambda _name: HEADS[0], BEGIN, WriterMark(A, 4)) == [
        Span(whole, 4)
    ]


@pytest.mark.parametrize("name", [*names_of(HEADS), LogName(7, A, 12)])
def test_names_are_read_as_they_are_written(name: LogName) -> None:
    """Others are no logs."""
    assert LogName.parse(str(name)) == name
    assert LogName.parse(f".{name}.tmp") is None
    assert LogName.parse("000001.status") is None


@pytest.mark.parametrize("head", HEADS)
def test_heads_are_read_as_they_are_written(head: LogHead) -> None:
    """One that is cut short, or something else, is none."""
    packed = pack_head(head)

    assert unpack_head(packed + b"more") == head
    for bad in (packed[:-1], b"X" + packed[1:], b""):
        with pytest.raises(ValueError, match="a log of the feed"):
            unpack_head(bad)


def test_records_end_at_the_first_that_is_not_whole() -> None:
    """Cut short, of other bytes, or of none, as after a power cut."""
    records = [pack_changes(ShardChanges(shard=0, sequence=number)) for number in (1, 2)]
    content = b"".join(part for record in records for part in (frame(record), record))
    torn = bytearray(content)
    torn[-1] ^= 1

    assert [(each.sequence, each.record) for each in frames(content, 64)] == [
        (1, records[0]),
        (2, records[1]),
    ]
    assert [each.end for each in frames(content, 64)][-1] == 64 + len(content)
    for bad in (content[:-1], bytes(torn), content[: len(content) // 2] + bytes(100)):
        assert [each.sequence for each in frames(bad, 64)] == [1]
