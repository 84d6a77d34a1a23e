"""Unpacks compressed batches of records, up to a limit."""

import zlib
from collections.abc import Callable

import cramjam
import lz4.frame
import zstandard

# What a producer of Java puts before snappy: a mark, then two versions of four bytes
# each; blocks follow, each behind its length.
_XERIAL_MARK = b"\x82SNAPPY\x00"
_XERIAL_HEADER_BYTES = 16  # bytes: the mark and the versions
_LENGTH_BYTES = 4  # bytes, big-endian, before each block
# Bytes unpacked at a time, which are set aside beforehand: more than most batches.
_PART_BYTES = 1024 * 1024
# zlib's window for gzip: the largest window, 15 bits, and 16 for gzip's own header.
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class UnpackFailed(Exception):
    """A batch cannot be unpacked.

    Attributes:
        reason: ``too_large``, or ``damaged``: it is not of its codec.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


class _TooLarge(Exception):
    """There is more than the limit."""


def unpack(codec: int, packed: bytes, max_bytes: int) -> bytes:
    """Return the unpacked records of a batch.

    Takes little more memory than the limit, whatever the batch says of itself.

    Args:
        codec: Kafka's number: 1 gzip, 2 snappy, 3 lz4, 4 zstd.
        packed: the records as they are in the batch.
        max_bytes: the most that they may unpack to.

    Raises:
        UnpackFailed: they are more, or damaged; or Kafka has a new codec.
    """
    if codec not in _CODECS:
        raise UnpackFailed("damaged", f"codec {codec} is not one of gzip, snappy, lz4 and zstd")
    name, unpack_codec = _CODECS[codec]
    try:
        return unpack_codec(packed, max_bytes)
    except _TooLarge:
        detail = f"{len(packed)} bytes of {name} unpack to more than {max_bytes}"
        raise UnpackFailed("too_large", detail) from None
    except Exception as error:  # each library has errors of its own, some no class at all
        raise UnpackFailed("damaged", f"{len(packed)} bytes are no {name}: {error}") from error


def _gzip(packed: bytes, max_bytes: int) -> bytes:
    parts, left = [], max_bytes
    while packed:
        stream = zlib.decompressobj(_GZIP_WINDOW)
        while packed and not stream.eof:
            parts.append(stream.decompress(packed, min(left + 1, _PART_BYTES)))
            left -= len(parts[-1])
            if left < 0:
                raise _TooLarge
            packed = stream.unconsumed_tail
        if not stream.eof:
            raise ValueError("it is cut short")
        packed = stream.unused_data
    return b"".join(parts)


def _lz4(packed: bytes, max_bytes: int) -> bytes:
    stream = lz4.frame.LZ4FrameDecompressor()
    parts, left = [], max_bytes
    while not stream.eof:
        parts.append(stream.decompress(packed, min(left + 1, _PART_BYTES)))
        left -= len(parts[-1])
        if left < 0:
            raise _TooLarge
        if not parts[-1] and stream.needs_input:
            raise ValueError("it is cut short")
        packed = b""
    return b"".join(parts)


def _zstd(packed: bytes, max_bytes: int) -> bytes:
    # The window is memory, too, and the frame's own claim.
    decompressor = zstandard.ZstdDecompressor(max_window_size=max_bytes)
    parts, left = [], max_bytes
    with decompressor.stream_reader(packed, read_across_frames=True) as reader:
        while part := reader.read(min(left + 1, _PART_BYTES)):
            parts.append(part)
            left -= len(part)
            if left < 0:
                raise _TooLarge
    return b"".join(parts)


def _snappy(packed: bytes, max_bytes: int) -> bytes:
    if not packed.startswith(_XERIAL_MARK):
        return _snappy_block(packed, max_bytes)
    parts, left, at = [], max_bytes, _XERIAL_HEADER_BYTES
    while at < len(packed):
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(packed[at:start], "big")
        if at > len(packed):
            raise ValueError("it is cut short")
        parts.append(_snappy_block(packed[start:at], left))
        left -= len(parts[-1])
    return b"".join(parts)


def _snappy_block(packed: bytes, max_bytes: int) -> bytes:
    if cramjam.snappy.decompress_raw_len(packed) > max_bytes:
        raise _TooLarge
    return bytes(cramjam.snappy.decompress_raw(packed))


_CODECS: dict[int, tuple[str, Callable[[bytes, int], bytes]]] = {
    1: ("gzip", _gzip),
    2: ("snappy", _snappy),
    3: ("lz4", _lz4),
    4: ("zstd", _zstd),
}
