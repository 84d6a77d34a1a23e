"""Names of queries and items, and what the catalogue says of an item."""

from collections.abc import Sequence

import msgspec

from stream.events.types import CatalogItem
from stream.shard.codec.keys import ONE_KEY
from stream.shard.codec.kinds import CATALOG
from stream.shard.codec.values import check_version, decode_text, encode_text

_catalog_encoder = msgspec.msgpack.Encoder()
_catalog_decoder = msgspec.msgpack.Decoder(CatalogItem)


def name_key(kind: bytes, key: int) -> bytes:
    """Return the key of a query's or an item's text.

    `kind` is `QUERY_NAME` or `ITEM_NAME`.
    """
    return ONE_KEY.pack(kind[0], key)


def pack_name(text: str) -> bytes:
    """Pack the text behind a key."""
    return b"\x01" + encode_text(text)


def pack_names(texts: Sequence[str]) -> list[bytes]:
    """Pack the texts behind many keys."""
    return [b"\x01" + text.encode("utf-8", "surrogatepass") for text in texts]


def unpack_text(value: bytes) -> str:
    """Unpack the text behind a key."""
    check_version(value)
    return decode_text(value[1:])


def unpack_name(key: bytes, value: bytes) -> tuple[int, str]:
    """Unpack a key and the text behind it."""
    return int(ONE_KEY.unpack(key)[1]), unpack_text(value)


def catalog_key(item_key: int) -> bytes:
    """Return the key of an item's catalogue entry."""
    return ONE_KEY.pack(CATALOG[0], item_key)


def pack_catalog(item: CatalogItem) -> bytes:
    """Pack an item's catalogue entry: a version byte and MessagePack.

    A time that is not said is left out, so that such a record has the bytes it always
    had.
    """
    fields = msgspec.to_builtins(item)
    if not item.ts_ms:
        del fields["ts_ms"]
    return b"\x01" + _catalog_encoder.encode(fields)


def unpack_catalog(key: bytes, value: bytes) -> tuple[int, CatalogItem]:
    """Unpack ``(item_key, item)``."""
    check_version(value)
    return int(ONE_KEY.unpack(key)[1]), _catalog_decoder.decode(value[1:])
