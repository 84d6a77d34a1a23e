"""The binary layout: round trips, scan order, golden bytes, unknown versions."""

from collections.abc import Callable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream import codec
from stream.codec import ShardFormat, ShardState
from stream.decay import Decayed, canonical, contribution
from stream.events import CatalogItem, Position
from stream.facts import ActionTally, EdgeState, FactKey, SessionState

NOON_MS = 1_700_000_000_000
HALF_LIFE_MS = 30 * 86_400_000

keys = st.integers(0, 2**64 - 1)
times_ms = st.integers(-(2**63) + 1, 2**63 - 1)
texts = st.text(max_size=30)
fact_maps = st.dictionaries(st.tuples(keys, keys, st.integers(1, 4)), times_ms, max_size=5)
tallies = st.builds(
    ActionTally,
    num_facts=st.integers(1, 2**32 - 1),
    total=st.builds(Decayed, mantissa=st.integers(0, 2**200), shift_bytes=st.integers(-100, 9999)).map(
        canonical
    ),
)
edges = st.builds(
    EdgeState,
    sessions=st.integers(0, 2**32 - 1),
    first_ms=times_ms,
    last_ms=times_ms,
    actions=st.dictionaries(st.integers(1, 4), tallies, max_size=3).map(
        lambda found: dict(sorted(found.items()))
    ),
)
items = st.builds(
    CatalogItem,
    item_id=texts,
    title=texts,
    text=texts,
    attributes=st.dictionaries(texts, texts, max_size=3),
    available=st.booleans(),
    deleted=st.booleans(),
)


@given(keys, texts, st.lists(texts, max_size=3), fact_maps)
def test_session_round_trip(key: int, session_id: str, users: list[str], facts: dict[FactKey, int]) -> None:
    """A session comes back as it was."""
    state = SessionState(session_id, tuple(users), facts)

    packed = codec.pack_session(state)

    assert codec.unpack_session(packed) == state
    assert codec.unpack_stored_session(codec.session_key(key), packed).session_key == key


@given(keys, keys, edges)
def test_edge_round_trip(query_key: int, item_key: int, edge: EdgeState) -> None:
    """An edge comes back as it was, under its key."""
    stored = codec.unpack_stored_edge(codec.edge_key(query_key, item_key), codec.pack_edge(edge))

    assert stored == (query_key, item_key, edge)


@given(keys, items)
def test_catalog_round_trip(key: int, item: CatalogItem) -> None:
    """A catalogue record comes back as it was."""
    assert codec.unpack_catalog(codec.catalog_key(key), codec.pack_catalog(item)) == (key, item)


@given(texts, st.integers(0, 2**32 - 1), st.integers(0, 2**63))
def test_position_round_trip(source: str, partition: int, offset: int) -> None:
    """A position comes back as it was."""
    position = Position(source, partition)

    assert codec.unpack_position(*codec.pack_position(position, offset)) == (position, offset)


@given(st.integers(0, 2**63), st.none() | st.integers(0, NOON_MS), st.integers(0, 2**63))
def test_state_round_trip(sequence: int, watermark_ms: int | None, num_facts: int) -> None:
    """The shard's state comes back as it was, with and without a watermark."""
    state = ShardState(sequence, watermark_ms, num_facts)

    assert codec.unpack_state(codec.pack_state(state)) == state


@given(st.lists(st.tuples(keys, keys, keys), max_size=10))
def test_keys_sort_as_their_parts(parts: list[tuple[int, int, int]]) -> None:
    """Bytes order is the order of (query, item, session), so scans are sorted."""
    assert sorted(parts) == sorted(parts, key=lambda part: codec.posting_key(*part))
    assert sorted(parts) == sorted(
        parts, key=lambda part: (codec.edge_key(part[0], part[1]), codec.session_key(part[2]))
    )


def test_equal_sums_pack_to_equal_bytes() -> None:
    """An edge's bytes depend on the sum alone, not on the form that it was added up in."""
    total = contribution(NOON_MS, HALF_LIFE_MS)
    padded = Decayed(total.mantissa << 16, total.shift_bytes - 2)
    packed = [
        codec.pack_edge(EdgeState(1, NOON_MS, NOON_MS, {2: ActionTally(1, form)})) for form in (total, padded)
    ]

    assert packed[0] == packed[1]


SESSION = SessionState("s-1", ("u",), {(1, 2, 3): NOON_MS, (0, 2, 1): NOON_MS + 1})
EDGE = EdgeState(3, NOON_MS, NOON_MS + 9, {2: ActionTally(2, contribution(NOON_MS, HALF_LIFE_MS))})
ITEM = CatalogItem(item_id="a", title="T", text="x", attributes={"k": "v"}, available=False)

GOLDEN = {
    "format": (
        codec.FORMAT_KEY + codec.pack_format(ShardFormat(1, 2, 3, HALF_LIFE_MS)),
        "00666f726d617401000100020003000000009a7ec800",
    ),
    "state": (
        codec.STATE_KEY + codec.pack_state(ShardState(7, NOON_MS, 9)),
        "0073746174650100000000000000070000018bcfe568000000000000000009",
    ),
    "state without events": (
        codec.pack_state(ShardState(1, None, 0)),
        "01000000000000000180000000000000000000000000000000",
    ),
    "position": (
        b"".join(codec.pack_position(Position("freshet.clicks", 2), 41)),
        "0100000002667265736865742e636c69636b73010000000000000029",
    ),
    "query name": (
        codec.name_key(codec.QUERY_NAME, 1) + codec.pack_name("tv ü"),
        "02000000000000000101747620c3bc",
    ),
    "item name": (
        codec.name_key(codec.ITEM_NAME, 2**64 - 1) + codec.pack_name("a"),
        "03ffffffffffffffff0161",
    ),
    "session": (
        codec.session_key(5) + codec.pack_session(SESSION),
        (
            "040000000000000005010003000100000002732d3100017500000000000000000000000000000002"
            "010000018bcfe5680100000000000000010000000000000002030000018bcfe56800"
        ),
    ),
    "edge": (
        codec.edge_key(1, 2) + codec.pack_edge(EDGE),
        (
            "050000000000000001000000000000000201000000030000018bcfe568000000018bcfe568090102"
            "0000000200000051000880efb23e8807900e"
        ),
    ),
    "posting": (
        codec.posting_key(1, 2, 5) + codec.pack_posting(NOON_MS),
        "06000000000000000100000000000000020000000000000005010000018bcfe56800",
    ),
    "reverse edge": (
        codec.reverse_edge_key(2, 1) + codec.PRESENT,
        "070000000000000002000000000000000101",
    ),
    "catalogue": (
        codec.catalog_key(2) + codec.pack_catalog(ITEM),
        (
            "0800000000000000020186a76974656d5f6964a161a57469746c65a154a474657874a178aa617474"
            "7269627574657381a16ba176a9617661696c61626c65c2a764656c65746564c2"
        ),
    ),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    """The layout is what stores on disk have: a difference needs a new version, and a reader for the old."""
    packed, expected = GOLDEN[name]

    assert packed.hex() == expected


UNPACKERS: dict[str, Callable[[bytes], object]] = {
    "format": codec.unpack_format,
    "state": codec.unpack_state,
    "edge": codec.unpack_edge,
    "session": codec.unpack_session,
    "catalogue": partial(codec.unpack_catalog, codec.catalog_key(1)),
    "name": partial(codec.unpack_name, codec.name_key(codec.ITEM_NAME, 1)),
    "posting": partial(codec.unpack_posting, codec.posting_key(1, 2, 3)),
    "position": partial(codec.unpack_position, b"\x01\x00\x00\x00\x00x"),
}


@pytest.mark.parametrize(
    "value", [b"\x09" + bytes(60), b"", b"\x01\xff"], ids=["version 9", "empty", "short"]
)
@pytest.mark.parametrize("kind", UNPACKERS)
def test_foreign_bytes_are_refused(kind: str, value: bytes) -> None:
    """Bytes of another version, or damaged ones, raise an error that the store turns into its own."""
    with pytest.raises(codec.BAD_RECORD_ERRORS):
        UNPACKERS[kind](value)
