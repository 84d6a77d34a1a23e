"""What is kept of the records that a client library hands out."""

import pytest

from stream.events.types import Headers, RawHeaders, SourcePartition
from stream.kafka.client import ContentTypes, batch_of_columns

_CLOUD: list[tuple[str, bytes | None]] = [
    ("ce_specversion", b"1.0"),
    ("trace", b"x"),
    ("content-type", b"application/json"),
    ("ce_type", b"freshet.click"),
    ("ce_subject", None),
    ("ce_note", b"\xff"),
]


@pytest.mark.parametrize(
    ("found", "content_types", "headers"),
    [
        ([None, []], ["", ""], ()),
        ([[("content-type", b"a/b")], [("Content-Type", b"c")]], ["a/b", "c"], ()),
        ([[("x", b"1"), ("content-type", b"a"), ("content-type", b"b")]], ["a"], ()),
        ([[("content-type", None)]], [""], ()),
        ([[("ce_type", b"freshet.click")]], [""], ()),
        ([[("CE_SpecVersion", b"1.0")]], [""], [[("CE_SpecVersion", "1.0")]]),
        (
            [None, _CLOUD, [("ce_type", b"x")]],
            ["", "application/json", ""],
            [
                (),
                [
                    ("ce_specversion", "1.0"),
                    ("ce_type", "freshet.click"),
                    ("ce_subject", ""),
                    ("ce_note", "\ufffd"),
                ],
                (),
            ],
        ),
    ],
)
def test_headers(found: list[RawHeaders], content_types: list[str], headers: list[Headers]) -> None:
    """The first content-type counts; the attributes of a CloudEvent are kept, and where
    no record has any nothing is.
    """
    nothing = [None] * len(found)
    times = [0] * len(found)
    known = ContentTypes()
    position = SourcePartition("t", 0)

    for _ in range(2):
        batch = batch_of_columns(position, range(len(found)), found, nothing, nothing, times, known)
        assert (batch.content_types, batch.headers) == (content_types, headers)
        assert [batch.record(row).raw_headers for row in range(len(batch))] == found
