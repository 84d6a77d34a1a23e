"""Records that the native library reads, and those that it leaves: damaged ones decode
as they do without it.
"""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos import events_v1_pb2 as pb
from stream.events import native
from stream.events.formats import neutral
from stream.settings import StreamSettings
from testing.records import (
    BATCH,
    EVENT,
    NEUTRAL,
    NOW_MS,
    batch,
    check_batch_decodes_as_its_records,
    event,
    records,
)

SETTINGS = StreamSettings(max_field_bytes=16, max_query_bytes=24)


def _line(**fields: Any) -> bytes:
    return json.dumps({**NEUTRAL, **fields}).encode()


def _written(line: bytes, old: bytes, new: bytes) -> bytes:
    assert old in line
    return line.replace(old, new)


PLAIN_LINES = {
    "as it is": _line(),
    "in UTF-8": json.dumps({**NEUTRAL, "query": "crème brûlée \U0001f36e"}, ensure_ascii=False),
    "escaped": _line(query='a "b" \\ / \b\f\n\r\t é 漢 \U0001f36e \x7f', item_id="i\x00"),
    "an escaped slash and capitals": _written(_line(query="x"), b'"x"', rb'"\/\u00E9\u00e9"'),
    "numbers for ids": _line(item_id=7, session_id=-12, user_id=123456789012345678),
    "nothing": _line(session_id=None, query=None, type="click"),
    "fields of others": _line(a=1, b=-0.25, c=[], d={}, e=[1, "x", {"f": [None, True, False]}]),
    "blanks": _line().replace(b": ", b" :\t ").replace(b", ", b"\r ,\n"),
    "blanks around": b" \t\r\n" + _line() + b" \r\n",
}
"""Neutral lines that are plain."""

LEFT_LINES = {
    "a field twice": _written(_line(), b"{", b'{"ts_ms": 1, '),
    "an escaped name": _written(_line(), b'"ts_ms"', rb'"ts\u005fms"'),
    "half a pair": _line(query="\ud83d"),
    "the other half": _line(query="\ude00"),
    "half a pair passed over": _line(a="\ud83d"),
    "not UTF-8": _written(_line(), b"Xbox", b"\xff"),
    "a surrogate in UTF-8": _written(_line(), b"Xbox", b"\xed\xa0\xbd"),
    "an overlong form": _written(_line(), b"Xbox", b"\xc0\xaf"),
    "a float for a time": _line(ts_ms=1.5),
    "a long number": _line(ts_ms=10**18),
    "a zero in front": _written(_line(ts_ms=7), b"7", b"07"),
    "a negative zero": _written(_line(item_id=7), b'"item_id": 7', b'"item_id": -0'),
    "an exponent": _written(_line(a=7), b'"a": 7', b'"a": 7e1'),
    "a point without digits": _written(_line(a=7), b'"a": 7', b'"a": 7.'),
    "a text that is cut off": _line()[:-2],
    "more behind it": _line() + b"x",
    "a comma too many": _written(_line(), b"}", b",}"),
    "a line end in a text": _written(_line(), b"Xbox", b"X\nbox"),
    "a cloud event": _line(data={}),
    "an action of UBI": _line(action_name="click"),
    "no item": _line(item_id=None),
    "a query that is a number": _line(query=7),
    "an action that is not known": _line(type="swipe"),
    "deep": _line(a=json.loads("[" * 12 + "]" * 12)),
    "a word that is none": _written(_line(a=None), b"null", b"nul"),
    "a list": b"[" + _line() + b"]",
    "nothing at all": b"",
}
"""Lines that are left to Python, which takes some of them."""


def _bytes(line: str | bytes) -> bytes:
    return line.encode() if isinstance(line, str) else line


@pytest.mark.parametrize("line", PLAIN_LINES.values(), ids=PLAIN_LINES.keys())
def test_plain_lines_are_read(line: str | bytes) -> None:
    """They are not left to Python, and are what they are to it."""
    _, unread = neutral.read_natively([_bytes(line)], [0])

    assert unread == []
    check_batch_decodes_as_its_records(records([("", _bytes(line))]), StreamSettings())


@pytest.mark.parametrize("line", LEFT_LINES.values(), ids=LEFT_LINES.keys())
def test_other_lines_are_left(line: bytes) -> None:
    """They are decoded by Python, and the plain ones beside them are not."""
    columns, unread = neutral.read_natively([_line(), line, None, _line()], [0, 1, 2, 3])

    assert (columns.row.tolist(), unread) == ([0, 3], [1, 2])
    check_batch_decodes_as_its_records(records([("", _line()), ("", line)]), StreamSettings())


def test_only_the_rows_that_are_asked_for_are_read() -> None:
    """Rows are those of the batch, and one that it does not have is an error."""
    columns, unread = neutral.read_natively((_line(), b"x", _line()), [2, 1])

    assert (columns.row.tolist(), unread) == ([2], [1])
    with pytest.raises(IndexError):
        neutral.read_natively([_line()], [1])


_VARINT_TAG = b"\x08"  # the first field of an event, as a number
LEFT_MESSAGES = {
    "a field of another version": event() + b"\x38\x01",
    "a field twice": event() + event(),
    "a field of another type": b"\x09" + bytes(8),
    "a text that is cut off": event()[:-4],
    "not UTF-8": event().replace(b"Xbox", b"\xff\xff\xff\xff"),
    "a number without end": _VARINT_TAG + b"\xff" * 11,
    "a number of more than 64 bits": _VARINT_TAG + b"\xff" * 9 + b"\x02",
    "a large action": pb.Event(action=300).SerializeToString(),  # type: ignore[arg-type]
    "a negative action": pb.Event(action=-1).SerializeToString(),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("message", LEFT_MESSAGES.values(), ids=LEFT_MESSAGES.keys())
def test_other_messages_are_left(message: bytes) -> None:
    """They are parsed by protobuf, and the plain ones beside them are not."""
    *_, unread = native.read_events([event(), message, None], [0, 1, 2])

    assert unread == [1, 2]
    check_batch_decodes_as_its_records(records([(EVENT, event()), (EVENT, message)]), SETTINGS)


LEFT_BATCHES = {
    "none": b"",
    "a column that is short": batch(action=[1]).SerializeToString(),
    "an index behind the end": batch(item=[0, 1, 2]).SerializeToString(),
    "too few users": batch(user_ids=["u"]).SerializeToString(),
    "a number by itself": batch().SerializeToString() + b"\x38\x00",
    "a field of another version": batch().SerializeToString() + b"\x58\x01",
    "cut off": batch().SerializeToString()[:-1],
}


@pytest.mark.parametrize("message", LEFT_BATCHES.values(), ids=LEFT_BATCHES.keys())
def test_other_batches_are_left(message: bytes) -> None:
    """They are parsed by protobuf, and the plain ones around them keep their texts."""
    plain = batch().SerializeToString()
    found, indexes = native.read_batches([plain, message, plain, None], [0, 1, 2, 3])

    assert found[7] == [1, 3]
    assert list(found[3]) == ["s1", "s2"] * 2
    assert len(indexes[0]) == 8 * 6
    check_batch_decodes_as_its_records(records([(BATCH, plain), (BATCH, message)] * 2), SETTINGS)


def test_batches_and_events_are_read() -> None:
    """What producers write is plain, also without users and with times before the base,
    or beyond 64 bits.
    """
    batches = [batch(), batch(user_ids=[]), batch(base_ts_ms=-(2**62), ts_offset_ms=[-(2**63)] * 3)]
    messages = [each.SerializeToString() for each in batches]
    *_, unread = native.read_events([event(), event(ts_ms=-1), b""], [0, 1, 2])

    assert unread == []
    assert native.read_batches(messages, [0, 1, 2])[0][7] == []
    check_batch_decodes_as_its_records(records([(BATCH, each) for each in messages]), SETTINGS)


texts = st.sampled_from(["s-1", "Red  Shoes!", "é漢", "", " ", "cut:u", "x" * 17, "tv\x00\x7f"])
lines = st.builds(
    lambda ascii_only, **fields: json.dumps(fields, ensure_ascii=ascii_only).encode(),
    ascii_only=st.booleans(),
    ts_ms=st.sampled_from([NOW_MS, 0, -5, 10**17]),
    type=st.sampled_from(["view", "click", "search_click", "purchase"]),
    session_id=texts | st.integers(-9, 9) | st.none(),
    user_id=texts | st.none(),
    query=texts | st.none(),
    item_id=texts | st.integers(0, 10**19),
    other=st.recursive(
        st.none() | st.booleans() | st.floats() | st.integers() | texts,
        lambda some: st.lists(some, max_size=2) | st.dictionaries(texts, some, max_size=2),
        max_leaves=4,
    ),
)
messages = st.builds(
    lambda **fields: pb.Event(**fields).SerializeToString(),
    ts_ms=st.sampled_from([NOW_MS, 0, -5, 2**62]),
    session_id=texts,
    user_id=texts,
    query=texts,
    item_id=texts,
    action=st.integers(0, 5),
)
batches = st.builds(
    lambda fields: batch(**fields).SerializeToString(),
    st.fixed_dictionaries(
        {
            "session_ids": st.lists(texts, min_size=2, max_size=2),
            "user_ids": st.just([]) | st.lists(texts, min_size=2, max_size=2),
            "queries": st.lists(texts, min_size=1, max_size=2),
            "item_ids": st.lists(texts, min_size=2, max_size=2),
        }
    ),
)


@st.composite
def _damaged(draw: st.DrawFn, whole: st.SearchStrategy[bytes]) -> bytes:
    """Return bytes of which a few are others, gone, more or moved, mostly none."""
    value = bytearray(draw(whole))
    marks = st.sampled_from(b'"\\{}[],:0-9.eun \t\n\x00\xc3\xed\xff') | st.integers(0, 255)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 1, 2, 5]))):
        place = draw(st.integers(0, len(value)))
        length = draw(st.sampled_from([0, 1, 1, 1, 3]))
        value[place : place + length] = bytes(draw(st.lists(marks, max_size=3)))
    return bytes(value)


@pytest.mark.parametrize(
    ("content_type", "whole"), [("", lines), (EVENT, messages), (BATCH, batches)]
)
def test_damaged_records_decode_as_they_do_without_it(
    content_type: str, whole: st.SearchStrategy[bytes]
) -> None:
    """Whatever bytes are changed, the same events and rejections come of them."""

    @given(st.lists(_damaged(whole), min_size=1, max_size=6))
    @settings(max_examples=600)
    def check(values: list[bytes]) -> None:
        check_batch_decodes_as_its_records(
            records([(content_type, value) for value in values]), SETTINGS
        )

    run: Callable[[], None] = check
    run()
