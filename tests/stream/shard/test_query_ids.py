"""What is held of ids of searches, as bytes."""

import msgspec
import pytest

from protos.text import text_key
from stream.shard import codec
from stream.shard.query_ids import (
    NamedAction,
    QueryIdEntry,
    SearchText,
    changed_ms,
    pack_query_id,
    query_id_key,
    unpack_query_id,
)

ENTRY = QueryIdEntry(
    (SearchText("green tea", (7, 9), -5, 1_700_000_000_000),),
    (NamedAction("", "c-1", "ü", 2, 1_700_000_000_001, 0, 2**64 - 1, 3),),
)


def test_an_entry_is_laid_out_as_documented() -> None:
    """A version, the time of the last change, and arrays in MessagePack."""
    packed = pack_query_id(ENTRY, 258)

    assert packed[:9] == b"\x01" + bytes(6) + b"\x01\x02"
    assert msgspec.msgpack.decode(packed[9:]) == [
        [["green tea", [7, 9], -5, 1_700_000_000_000]],
        [["", "c-1", "ü", 2, 1_700_000_000_001, 0, 2**64 - 1, 3]],
    ]
    assert query_id_key(text_key("q")) == b"\x1a" + text_key("q").to_bytes(8, "big")


def test_what_was_packed_is_unpacked() -> None:
    """Both ways agree, for nothing too."""
    for entry in (ENTRY, QueryIdEntry()):
        packed = pack_query_id(entry, -1)
        assert (unpack_query_id(packed), changed_ms(packed)) == (entry, -1)


@pytest.mark.parametrize("value", [b"", b"\x01", b"\x02" + bytes(8) + b"\x92\x90\x90"])
def test_other_bytes(value: bytes) -> None:
    """Of another version, or cut short, they are damage."""
    with pytest.raises(codec.BAD_ENTRY_ERRORS):
        unpack_query_id(value)
