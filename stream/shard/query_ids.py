"""What a shard holds of the ids of searches: texts, and the actions that name them.

Pure: the layout of the entries of kind `stream.shard.codec.QUERY_ID`.
"""

from struct import Struct

import msgspec

from stream.shard import codec

_VERSION = 1  # the first byte of an entry
_HEAD = Struct(">Bq")
_BODY_AT = _HEAD.size

_encoder = msgspec.msgpack.Encoder()


class SearchText(msgspec.Struct, frozen=True, array_like=True):
    """A text that an id stands for.

    Attributes:
        query: normalised.
        user_keys: who searched, ascending.
        first_ms: the earliest event time of a record that says so.
        last_ms: the latest.
    """

    query: str
    user_keys: tuple[int, ...]
    first_ms: int
    last_ms: int


class NamedAction(msgspec.Struct, frozen=True, array_like=True):
    """An action that names its search by an id.

    Attributes:
        session_id: empty: its user's visits are cut by inactivity.
        user_id: empty: not known.
        item_id: what it is about.
        action: number of a `stream.actions.Action`.
        ts_ms: event time.
        session: key of the session; `NO_KEY`: there is none.
        user: key of the user; `NO_KEY`: there is none.
        item: key of the item.
    """

    session_id: str
    user_id: str
    item_id: str
    action: int
    ts_ms: int
    session: int
    user: int
    item: int


class QueryIdEntry(msgspec.Struct, frozen=True, array_like=True):
    """All that is held of one id.

    Attributes:
        texts: each pair of a text and who searched once.
        actions: each once.
    """

    texts: tuple[SearchText, ...] = ()
    actions: tuple[NamedAction, ...] = ()


_decoder = msgspec.msgpack.Decoder(QueryIdEntry)


def pack_query_id(entry: QueryIdEntry, changed_ms: int) -> bytes:
    """Pack an entry that changed at a time of the clock."""
    return _HEAD.pack(_VERSION, changed_ms) + _encoder.encode(entry)


def unpack_query_id(value: bytes) -> QueryIdEntry:
    """Unpack an entry; raises one of `codec.BAD_ENTRY_ERRORS`."""
    changed_ms(value)
    return _decoder.decode(value[_BODY_AT:])


def changed_ms(value: bytes) -> int:
    """Unpack when an entry changed last, by the clock."""
    version, found = _HEAD.unpack_from(value)
    if version != _VERSION:
        raise ValueError(f"an entry has version {version}, which this Freshet does not know")
    return int(found)


def query_id_key(key: int) -> bytes:
    """Return the key of what is held of an id."""
    return codec.key_prefix(codec.QUERY_ID, key)
