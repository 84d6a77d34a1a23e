"""Compressed batches: every codec within a limit, and what is more or broken."""

import gzip
import struct
from collections.abc import Callable

import cramjam
import lz4.frame
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from stream.kafka.python.unpacking import UnpackFailed, unpack

LIMIT = 3 * 1024 * 1024


def xerial(content: bytes) -> bytes:
    """Return snappy as Java's producers write it: a header, then blocks of 32 KiB."""
    blocks = [content[start : start + 32_768] for start in range(0, len(content), 32_768)]
    packed = [bytes(cramjam.snappy.compress_raw(block)) for block in blocks]
    header = b"\x82SNAPPY\x00" + struct.pack(">ii", 1, 1)
    return header + b"".join(struct.pack(">i", len(each)) + each for each in packed)


CODECS: dict[str, tuple[int, Callable[[bytes], bytes]]] = {
    "gzip": (1, gzip.compress),
    "gzip of two members": (1, lambda each: gzip.compress(each[:9]) + gzip.compress(each[9:])),
    "snappy": (2, lambda each: bytes(cramjam.snappy.compress_raw(each))),
    "snappy of Java": (2, xerial),
    "lz4": (3, lz4.frame.compress),
    "zstd": (4, zstandard.ZstdCompressor().compress),
}
codecs = pytest.mark.parametrize("name", list(CODECS))


@codecs
@given(content=st.binary(min_size=1))
def test_what_was_packed_comes_out(name: str, content: bytes) -> None:
    """Byte for byte."""
    codec, pack = CODECS[name]
    assert unpack(codec, pack(content), LIMIT) == content


@codecs
def test_the_limit_is_exact(name: str) -> None:
    """As much is unpacked, a byte more is not."""
    codec, pack = CODECS[name]
    content = b"0" * LIMIT
    assert unpack(codec, pack(content), LIMIT) == content
    with pytest.raises(UnpackFailed, match=f"unpack to more than {LIMIT}") as raised:
        unpack(codec, pack(content + b"0"), LIMIT)
    assert raised.value.reason == "too_large"


@codecs
def test_what_is_broken_is_named(name: str) -> None:
    """Garbage is of no codec."""
    codec, _ = CODECS[name]
    said = f"18 bytes are no {name.split(maxsplit=1)[0]}: "
    with pytest.raises(UnpackFailed, match=said) as raised:
        unpack(codec, b"\x82SNAPPY\x00 and so on", LIMIT)
    assert raised.value.reason == "damaged"


@pytest.mark.parametrize("name", ["gzip", "snappy", "snappy of Java", "lz4"])
def test_what_is_cut_short_is_broken(name: str) -> None:
    """Half a batch is none."""
    codec, pack = CODECS[name]
    packed = pack(bytes(range(256)) * 1000)
    with pytest.raises(UnpackFailed) as raised:
        unpack(codec, packed[: len(packed) // 2], LIMIT)
    assert raised.value.reason == "damaged"


def test_a_codec_that_is_not_known_is_named() -> None:
    """Kafka has numbers for three more."""
    with pytest.raises(UnpackFailed, match="codec 5 is not one of gzip, snappy, lz4 and zstd"):
        unpack(5, b"", LIMIT)
