"""Tests of the frame around a message."""

import pytest
from confluent_kafka.schema_registry.serde import SchemaId
from hypothesis import given
from hypothesis import strategies as st

from stream.events.types import Rejected
from stream.registry.frames import ID_BYTES, message_indexes, schema_id_of


@given(
    st.integers(0, 2**32 - 1),
    st.lists(st.integers(0, 2**31 - 1), min_size=1, max_size=5),
    st.binary(max_size=4),
)
def test_frames_are_read_as_the_serializers_write_them(
    schema_id: int, indexes: list[int], message: bytes
) -> None:
    """By confluent-kafka's own writer."""
    frame = SchemaId("PROTOBUF", schema_id, message_indexes=indexes).id_to_bytes()

    assert schema_id_of(frame + message) == schema_id
    assert message_indexes(frame + message) == (tuple(indexes), len(frame))


def test_no_index_is_the_first_message() -> None:
    """What nearly every frame has."""
    assert message_indexes(b"\0\0\0\0\1\0abc") == ((0,), 6)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"\0\0\0\1", "has 5 bytes at least, this 4"),
        (b"\0\0\0\0\1", "cut short within its message indexes"),
        (b"\0\0\0\0\1\2", "cut short within its message indexes"),
        (b"\0\0\0\0\1\xff\xff\xff\xff\xff\xff\xff", "cut short within"),
        (b"\0\0\0\0\1\1", "names a message by -1 places"),
        (b"\0\0\0\0\1\xfe\xff\x07", "names a message by 65535 places"),
    ],
)
def test_a_frame_that_is_none_is_rejected(frame: bytes, words: str) -> None:
    """As malformed, with what is wrong."""
    read = message_indexes if len(frame) >= ID_BYTES else schema_id_of
    with pytest.raises(Rejected, match=words) as caught:
        read(frame)
    assert caught.value.reason == "malformed"


@given(st.binary(max_size=12))
def test_any_bytes_are_read_or_rejected(content: bytes) -> None:
    """Whatever is behind the magic byte."""
    try:
        schema_id_of(b"\0" + content)
        indexes, start = message_indexes(b"\0" + content)
    except Rejected:
        return
    assert indexes
    assert start <= len(content) + 1
