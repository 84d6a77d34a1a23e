"""Fields that a server does not know are refused, wherever they are."""

import pytest

from protos import retrieval_v1_pb2 as pb
from server.errors import QueryRefused
from server.methods.unknown_fields import check_fields

FIELD_99 = b"\x98\x06\x01"  # a varint, as a newer client would send it


def newer(message: bytes) -> bytes:
    """Return the bytes of a message with a field more."""
    return message + FIELD_99


def nested(number: int, message: bytes) -> bytes:
    """Return the bytes of a field that holds a message."""
    return bytes([number << 3 | 2, len(message)]) + message


CONDITION = pb.Condition(attribute="brand", equals="acme").SerializeToString()
REQUEST = pb.RetrieveRequest(query="lamp", k=3).SerializeToString()


@pytest.mark.parametrize(
    ("request_bytes", "where"),
    [
        (newer(REQUEST), "field 99 of RetrieveRequest is not known"),
        (newer(REQUEST) + b"\xa0\x06\x01", "fields 99, 100 of RetrieveRequest are not known"),
        (REQUEST + nested(6, newer(b"")), r"field 99 of RetrieveRequest\.filter is"),
        (
            REQUEST + nested(6, nested(1, CONDITION) + nested(1, newer(CONDITION))),
            r"field 99 of RetrieveRequest\.filter\.conditions\[1\] is",
        ),
        (
            REQUEST + nested(6, nested(1, CONDITION + nested(4, newer(b"")))),
            r"field 99 of RetrieveRequest\.filter\.conditions\[0\]\.range is",
        ),
        (REQUEST + nested(3, newer(b"")), r"field 99 of RetrieveRequest\.min_freshness is"),
    ],
)
def test_an_unknown_field_is_named(request_bytes: bytes, where: str) -> None:
    """By its number and its place."""
    with pytest.raises(QueryRefused, match=where):
        check_fields(pb.RetrieveRequest.FromString(request_bytes))


def test_known_fields_pass() -> None:
    """All that this contract has."""
    check_fields(
        pb.RetrieveRequest(
            query="lamp",
            context_item_ids=["a"],
            min_freshness=pb.MinFreshness(reflected_ms=1),
            filter=pb.Filter(
                conditions=[pb.Condition(attribute="a", range=pb.NumberRange(at_least=1))],
                group_by=pb.GroupBy(attribute="b"),
            ),
        )
    )
