"""Plain requests are read as messages are, and checked as they are."""

from contextlib import suppress
from typing import Any

import pytest
from google.protobuf.message import DecodeError
from hypothesis import example, given
from hypothesis import strategies as st

import freshet_native
from protos import retrieval_v1_pb2 as retrieval_pb
from protos.text import normalize_query
from server import service
from server.errors import QueryRefused
from server.methods import plain
from server.methods.field_mask import EVERYTHING
from server.methods.plain import PlainRequests
from server.retrieve import RetrievalQuery
from server.settings import ServerSettings

SETTINGS = ServerSettings(max_query_chars=30, max_k=200, default_k=10)
read = PlainRequests(SETTINGS)

# Of letters and digits with few others among them, so that most are plain or nearly so.
TEXTS = st.text(st.sampled_from("aaazz019   A&.;\tßé\u0131"), max_size=40) | st.text(max_size=10)
NUMBERS = st.sampled_from([0, 1, 10, 127, 128, 200, 201, 1 << 20, (1 << 32) - 1])
MESSAGES = st.builds(
    lambda query, k, rest: retrieval_pb.RetrieveRequest(query=query, k=k, **rest),
    TEXTS,
    NUMBERS,
    st.sampled_from(
        [
            {},
            {},
            {"context_item_ids": ["a"]},
            {"context_queries": ["b"]},
            {"min_freshness": retrieval_pb.MinFreshness(max_age_seconds=1.0)},
            {"filter": retrieval_pb.Filter()},
            {"field_mask": {"paths": ["hits"]}},
        ]
    ),
).map(lambda message: message.SerializeToString())
"""Requests of all kinds, as bytes."""


def asked_by(message: bytes) -> Any:
    """Return what a message asks for as Python reads it, or why it is refused."""
    request = retrieval_pb.RetrieveRequest.FromString(message)
    try:
        return service._query_of(request, SETTINGS), service._mask_of(request)
    except QueryRefused as refused:
        return str(refused)


def check(message: bytes) -> None:
    """Check that the reader makes of bytes what Python does."""
    try:
        retrieval_pb.RetrieveRequest.FromString(message)
    except DecodeError:
        assert freshet_native.plain_request(message) is None
        assert read(message) is None
        return
    found = read(message)
    if found is not None:
        assert asked_by(message) == (found, EVERYTHING)


@given(MESSAGES)
@example(b"")
@example(retrieval_pb.RetrieveRequest(query="a" * 31).SerializeToString())
def test_a_request_asks_for_the_same_however_it_is_read(message: bytes) -> None:
    """Text, number and all defaults, also where it is refused."""
    check(message)


@given(MESSAGES, st.data())
def test_damaged_bytes_are_read_as_python_reads_them(message: bytes, data: st.DataObject) -> None:
    """Cut, changed, doubled, or with anything behind them."""
    at = data.draw(st.integers(0, len(message)))
    check(message[:at])
    check(message + message)
    check(message + data.draw(st.binary(max_size=6)))
    if at < len(message):
        check(message[:at] + bytes([data.draw(st.integers(0, 255))]) + message[at + 1 :])


@given(st.binary(max_size=20))
def test_any_bytes_are_read_as_python_reads_them(message: bytes) -> None:
    """None of them is taken for what it is not."""
    check(message)


@pytest.mark.parametrize(
    ("message", "is_plain"),
    [
        (b"\x0a\x03abc", True),
        (b"\x0a\x03abc\x10\x05", True),
        (b"\x10\x05\x0a\x03abc", True),
        (b"\x0a\x03abc\x10\x85\x00", True),  # a number longer than it need be
        (b"\x0a\x03a b", True),
        (b"\x0a\x03ab ", False),
        (b"\x0a\x04a  b", False),
        (b"\x0a\x03aBc", False),
        (b"\x0a\x00", False),
        (b"\x10\x05", False),
        (b"\x0a\x03abc\x0a\x03abd", False),  # the last would count
        (b"\x0a\x03abc\x10\x05\x10\x06", False),
        (b"\x0a\x03abc\x10\x80\x80\x80\x80\x10", False),  # more than 32 bits
        (b"\x0a\x04abc", False),
        (b"\x0a\x03abc\x22\x01d", False),
        (b"\x8a\x00\x03abc", True),  # a field's number likewise
    ],
)
def test_what_is_plain(message: bytes, *, is_plain: bool) -> None:
    """A text in normal form and a number, each once."""
    assert (freshet_native.plain_request(message) is not None) == is_plain
    with suppress(DecodeError):
        check(message)


def test_a_plain_text_is_its_own_normal_form() -> None:
    """All that is taken for one."""
    text = "abcdefghijklmnopqrstuvwxyz 0123456789"
    message = retrieval_pb.RetrieveRequest(query=text).SerializeToString()

    assert freshet_native.plain_request(message) == (text, 0)
    assert normalize_query(text) == text


def test_a_number_beyond_the_limit_is_refused_as_ever() -> None:
    """By who has the words for it."""
    for query, k in (("a", 201), ("a" * 31, 3)):
        message = retrieval_pb.RetrieveRequest(query=query, k=k).SerializeToString()
        assert freshet_native.plain_request(message) is not None
        assert read(message) is None
        assert isinstance(asked_by(message), str)


def test_without_the_library_all_are_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    """And answered as before."""
    message = retrieval_pb.RetrieveRequest(query="lamp", k=3).SerializeToString()
    assert isinstance(read(message), RetrievalQuery)

    monkeypatch.setattr(plain, "IS_NATIVE", False)

    assert read(message) is None
