"""The binary layout: round trips, scan order, golden bytes, unknown versions."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.events import native
from stream.events.columns import Keys
from stream.events.types import CatalogItem, SourcePartition
from stream.graph.facts import Digest
from stream.graph.sessions import SessionWindows
from stream.shard import codec
from stream.shard.codec import PartitionProgress, ShardFormat, ShardState, StoredSession
from testing.graph.fact_rows import columns

NOON_MS = 1_700_000_000_000
HALF_LIFE_MS = 30 * 86_400_000
LARGEST = 2**64 - 1

words = st.integers(0, LARGEST)
times_ms = st.integers(-(2**63) + 1, 2**63 - 1)
texts = st.text(max_size=30)
tables = st.lists(st.tuples(words, words, words), max_size=8)
digests = st.builds(Digest, words, words, words)
items = st.builds(
    CatalogItem,
    item_id=texts,
    title=texts,
    text=texts,
    attributes=st.dictionaries(texts, texts, max_size=3),
    available=st.booleans(),
    deleted=st.booleans(),
    ts_ms=st.sampled_from([0, NOON_MS]),
)


def keys_of(values: list[int]) -> Keys:
    """Return numbers as keys."""
    return np.array(values, dtype=np.uint64)


def rows(table: list[tuple[int, ...]]) -> bytes:
    """Return rows of three words, packed."""
    return codec.pack_rows(*(keys_of([row[place] for row in table]) for place in range(3)))


@given(texts, st.lists(words, max_size=3), tables)
def test_session_round_trip(
    session_id: str, users: list[int], table: list[tuple[int, ...]]
) -> None:
    """A session comes back as it was, alone and among many."""
    packed = codec.pack_session(session_id, users, rows(table))

    assert codec.unpack_session(packed) == StoredSession(session_id, tuple(users), rows(table))
    assert codec.pack_sessions(["other", session_id], [[7], users], [b"", rows(table)])[1] == packed


@given(st.lists(st.tuples(words, tables), max_size=4))
def test_facts_of_sessions_come_back(sessions: list[tuple[int, list[tuple[int, ...]]]]) -> None:
    """Every fact has the key of its session, in the order of the records."""
    records = [StoredSession("s", (), rows(table)) for _, table in sessions]
    facts = codec.facts_of_sessions(keys_of([key for key, _ in sessions]), records)

    parts = facts.session, facts.query, facts.item, facts.stamp
    assert list(zip(*(part.tolist() for part in parts), strict=True)) == [
        (key, *row) for key, table in sessions for row in table
    ]


@given(st.lists(tables, min_size=1, max_size=5))
def test_rows_round_trip(pieces: list[list[tuple[int, ...]]]) -> None:
    """Rows come back word by word, and split where they were joined."""
    packed = [rows(piece) for piece in pieces]
    first, second, third, sizes = codec.unpack_rows(packed)
    starts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)[:-1]

    table = [row for piece in pieces for row in piece]
    assert list(zip(first.tolist(), second.tolist(), third.tolist(), strict=True)) == table
    assert sizes.tolist() == [len(piece) for piece in pieces]
    for natively in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(native, "IS_HERE", natively)
            assert codec.split_rows(b"".join(packed), starts) == packed


@given(tables, words, words)
def test_facts_by_query_and_by_item_come_back(
    table: list[tuple[int, ...]], key: int, sequence: int
) -> None:
    """A run of rows is read with the key that it is stored under, in its place."""
    for kind, unpack in ((codec.BY_QUERY, codec.by_query), (codec.BY_ITEM, codec.by_item)):
        facts = unpack(codec.run_keys(kind, keys_of([key]), sequence), [rows(table)])
        major, minor = (
            (facts.query, facts.item) if kind == codec.BY_QUERY else (facts.item, facts.query)
        )

        assert major.tolist() == [key] * len(table)
        read = zip(minor.tolist(), facts.session.tolist(), facts.stamp.tolist(), strict=True)
        assert list(read) == table


@given(st.lists(st.tuples(words, words), max_size=8).map(sorted), words)
def test_users_round_trip(pairs: list[tuple[int, int]], sequence: int) -> None:
    """Every pair is in the record that its user is looked up by, and in no other."""
    users, sessions = (
        keys_of([user for user, _ in pairs]),
        keys_of([session for _, session in pairs]),
    )
    keys, values = codec.user_runs(users, sessions, sequence)
    found = [
        (int(user), int(session), key)
        for key, value in zip(keys, values, strict=True)
        for user, session in zip(*codec.unpack_users(value), strict=True)
    ]

    assert [(user, session) for user, session, _ in found] == pairs
    assert all(key.startswith(codec.user_prefix(user)) for user, _, key in found)
    assert keys == sorted(set(keys))


@given(words, items)
def test_catalog_round_trip(key: int, item: CatalogItem) -> None:
    """A catalogue entry comes back as it was."""
    assert codec.unpack_catalog(codec.catalog_key(key), codec.pack_catalog(item)) == (key, item)


@given(words, texts)
def test_name_round_trip(key: int, text: str) -> None:
    """A text comes back as it was, alone and among many."""
    packed = codec.pack_name(text)

    assert codec.unpack_name(codec.name_key(codec.ITEM_NAME, key), packed) == (key, text)
    assert codec.pack_names(["other", text])[1] == packed
    assert codec.unpack_text(packed) == text


@given(texts, st.integers(0, 2**32 - 1), st.integers(0, 2**63), st.none() | times_ms)
def test_progress_round_trip(
    source: str, partition: int, offset: int, watermark_ms: int | None
) -> None:
    """A place in a source comes back as it was, with and without a watermark."""
    position, progress = SourcePartition(source, partition), PartitionProgress(offset, watermark_ms)
    packed = codec.pack_partition_progress(progress)

    assert codec.unpack_partition_progress(codec.position_key(position), packed) == (
        position,
        progress,
    )


@given(words, st.none() | times_ms, digests, digests, st.tuples(words, words, words))
def test_state_round_trip(
    sequence: int,
    watermark_ms: int | None,
    facts: Digest,
    edges: Digest,
    counts: tuple[int, int, int],
) -> None:
    """The shard's state comes back as it was, with and without a watermark."""
    state = ShardState(sequence, watermark_ms, facts, edges, *counts)

    assert codec.unpack_state(codec.pack_state(state)) == state


@given(st.lists(words, max_size=5), st.lists(words, max_size=5), words)
def test_dirty_round_trip(queries: list[int], items: list[int], sequence: int) -> None:
    """What a write touched comes back as it was."""
    found = codec.unpack_dirty(codec.pack_dirty(keys_of(queries), keys_of(items)))

    assert [part.tolist() for part in found] == [queries, items]
    assert codec.unpack_sequence(codec.dirty_key(sequence)) == sequence


@given(st.lists(st.tuples(words, words), max_size=10))
def test_keys_sort_as_their_parts(parts: list[tuple[int, int]]) -> None:
    """Bytes order is the order of (key, sequence), so scans are sorted."""
    packed = {
        part: codec.run_keys(codec.BY_QUERY, keys_of([part[0]]), part[1])[0] for part in parts
    }

    assert sorted(parts) == sorted(parts, key=packed.__getitem__)
    assert all(
        key.startswith(codec.key_prefix(codec.BY_QUERY, part[0])) for part, key in packed.items()
    )
    for make in (codec.session_key, codec.catalog_key, codec.dirty_key):
        assert sorted(parts) == sorted(parts, key=lambda part: (make(part[0]), part[1]))


@given(st.lists(words, max_size=6), words)
def test_keys_by_the_thousand_are_those_made_one_by_one(keys: list[int], sequence: int) -> None:
    """Packing and unpacking many keys at once is the same as one at a time."""
    one = codec.one_keys(codec.SESSION, keys_of(keys))
    run = codec.run_keys(codec.BY_ITEM, keys_of(keys), sequence)

    assert one == [codec.session_key(key) for key in keys]
    assert run == [
        codec.key_prefix(codec.BY_ITEM, key) + sequence.to_bytes(8, "big") for key in keys
    ]
    assert codec.unpack_keys(run).tolist() == keys
    assert codec.unpack_keys(run, 1).tolist() == [sequence] * len(keys)


FACTS = columns([(5, 0, 2, 1, NOON_MS + 1), (5, 1, 2, 3, NOON_MS)])
ITEM = CatalogItem(item_id="a", title="T", text="x", attributes={"k": "v"}, available=False)
STATE = ShardState(7, NOON_MS, Digest(9, 2, 3), Digest(8, 4, LARGEST), 5, 6, 7)
WINDOWS_SAMPLE = SessionWindows(
    keys_of([5, 5]), np.array([NOON_MS, NOON_MS + 9]), np.array([NOON_MS + 1, NOON_MS + 9])
)
USERS = codec.user_runs(keys_of([1, 2**63]), keys_of([5, 6]), 7)

GOLDEN = {
    "format": codec.FORMAT_KEY + codec.pack_format(ShardFormat(2, 2, 3, HALF_LIFE_MS, 1_800_000)),
    "state": codec.STATE_KEY + codec.pack_state(STATE),
    "state without events": codec.pack_state(ShardState(1)),
    "position": codec.position_key(SourcePartition("freshet.clicks", 2))
    + codec.pack_partition_progress(PartitionProgress(41, NOON_MS)),
    "position without events": codec.pack_partition_progress(PartitionProgress(41, None)),
    "query name": codec.name_key(codec.QUERY_NAME, 1) + codec.pack_name("tv ü"),
    "item name": codec.name_key(codec.ITEM_NAME, LARGEST) + codec.pack_name("a"),
    "catalogue": codec.catalog_key(2) + codec.pack_catalog(ITEM),
    "catalogue with a time": codec.pack_catalog(replace(ITEM, ts_ms=NOON_MS)),
    "session": codec.session_key(5)
    + codec.pack_session("s-1", (1, 2**63), codec.pack_rows(FACTS.query, FACTS.item, FACTS.stamp)),
    "by query": codec.run_keys(codec.BY_QUERY, keys_of([1]), 7)[0]
    + codec.pack_rows(FACTS.item, FACTS.session, FACTS.stamp),
    "by item": codec.run_keys(codec.BY_ITEM, keys_of([2]), 7)[0]
    + codec.pack_rows(FACTS.query, FACTS.session, FACTS.stamp),
    "users": b"".join(key + value for key, value in zip(*USERS, strict=True)),
    "visitor": b"".join(
        key + value for key, value in zip(*codec.pack_windows(WINDOWS_SAMPLE), strict=True)
    ),
    "dirty": codec.dirty_key(7) + codec.pack_dirty(keys_of([1]), keys_of([2, LARGEST])),
}
BYTES = {
    "format": "00666f726d617401000200020003000000009a7ec80000000000001b7740",
    "state": (
        "0073746174650100000000000000070000018bcfe5680000000000000000090000000000000002000000"
        "000000000300000000000000080000000000000004ffffffffffffffff00000000000000050000000000"
        "000006000000000000000780000000000000000000000000000000000000000000000000000000000000"
        "00"
    ),
    "state without events": (
        "010000000000000001800000000000000000000000000000000000000000000000000000000000000000"
        "000000000000000000000000000000000000000000000000000000000000000000000000000000000000"
        "00000000008000000000000000000000000000000000000000000000000000000000000000"
    ),
    "position": "0100000002667265736865742e636c69636b730100000000000000290000018bcfe56800",
    "position without events": "0100000000000000298000000000000000",
    "query name": "02000000000000000101747620c3bc",
    "item name": "03ffffffffffffffff0161",
    "catalogue": (
        "0800000000000000020186a76974656d5f6964a161a57469746c65a154a474657874a178aa6174747269"
        "627574657381a16ba176a9617661696c61626c65c2a764656c65746564c2"
    ),
    "catalogue with a time": (
        "0187a76974656d5f6964a161a57469746c65a154a474657874a178aa6174747269"
        "627574657381a16ba176a9617661696c61626c65c2a764656c65746564c2a57473"
        "5f6d73cf0000018bcfe56800"
    ),
    "session": (
        "1000000000000000050100030002732d3101000000000000000000000000000080000000000000000002"
        "0000000000000009402b7f5e0c00000100000000000000020000000000000003402b7f5e0c0000"
    ),
    "by query": (
        "11000000000000000100000000000000070200000000000000050000000000000009402b7f5e0c000002"
        "00000000000000050000000000000003402b7f5e0c0000"
    ),
    "by item": (
        "12000000000000000200000000000000070000000000000000050000000000000009402b7f5e0c000001"
        "00000000000000050000000000000003402b7f5e0c0000"
    ),
    "users": (
        "130000000000000000070100000000000000050000000000000013800000000000000007000000000000"
        "00800600000000000000"
    ),
    "visitor": (
        "180000000000000005010068e5cf8b0100000168e5cf8b0100000968e5cf8b0100000968e5cf8b010000"
    ),
    "dirty": "140000000000000007010000000101000000000000000200000000000000ffffffffffffffff",
}


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    """The layout is what stores on disk have.

    A difference needs another kind, and a reader for the old.
    """
    assert GOLDEN[name].hex() == BYTES[name]


def test_a_catalogue_record_without_a_time_is_read() -> None:
    """Records of earlier stores have no time; the item in them has none."""
    record = bytes.fromhex(BYTES["catalogue"])

    assert codec.unpack_catalog(record[:9], record[9:]) == (2, ITEM)
    assert ITEM.ts_ms == 0


def test_format_of_stores_without_a_session_gap_is_read() -> None:
    """The record of earlier stores has no gap; it counts as the default."""
    packed = bytes.fromhex("01000200020003000000009a7ec800")

    assert codec.unpack_format(packed) == ShardFormat(2, 2, 3, HALF_LIFE_MS)


UNPACKERS: dict[str, Callable[[bytes], object]] = {
    "format": codec.unpack_format,
    "state": codec.unpack_state,
    "session": codec.unpack_session,
    "catalogue": partial(codec.unpack_catalog, codec.catalog_key(1)),
    "name": partial(codec.unpack_name, codec.name_key(codec.ITEM_NAME, 1)),
    "position": partial(
        codec.unpack_partition_progress, codec.position_key(SourcePartition("x", 0))
    ),
    "dirty": codec.unpack_dirty,
    "visitor": lambda value: codec.unpack_windows(keys_of([1]), [value]),
}


@pytest.mark.parametrize(
    "value", [b"\x09" + bytes(60), b"", b"\x01\xff"], ids=["version 9", "empty", "short"]
)
@pytest.mark.parametrize("kind", UNPACKERS)
def test_foreign_bytes_are_refused(kind: str, value: bytes) -> None:
    """Bytes of another version, or damaged ones, raise an error that the store turns
    into its own.
    """
    with pytest.raises(codec.BAD_ENTRY_ERRORS):
        UNPACKERS[kind](value)


@pytest.mark.parametrize("missing", [1, 8, 23])
def test_rows_that_are_cut_are_refused(missing: int) -> None:
    """Half a row is damage, wherever rows are."""
    cut = rows([(1, 2, 3)])[:-missing]

    for read in (
        lambda: codec.unpack_rows([cut]),
        lambda: codec.unpack_session(codec.pack_session("s", (), cut)),
        lambda: codec.by_query(codec.run_keys(codec.BY_QUERY, keys_of([1]), 1), [cut]),
        lambda: codec.by_item(codec.run_keys(codec.BY_ITEM, keys_of([1]), 1), [cut]),
    ):
        with pytest.raises(ValueError, match="whole"):
            read()


@pytest.mark.parametrize("num_users", [65_535, 65_536])
def test_session_of_a_crowd_round_trip(num_users: int) -> None:
    """A session id that everybody sends has more users than 16 bits can count."""
    users = tuple(range(1, num_users + 1))

    assert codec.unpack_session(
        codec.pack_session("unknown", users, rows([(1, 2, 3)]))
    ) == StoredSession("unknown", users, rows([(1, 2, 3)]))


def test_session_whose_users_are_cut_is_refused() -> None:
    """A record that announces more users than it holds is damage."""
    packed = codec.pack_session("s", (1, 2, 3), b"")

    with pytest.raises(ValueError, match="does not hold whole facts"):
        codec.unpack_session(packed[:-8])


def test_users_that_are_cut_are_refused() -> None:
    """So is half a pair of a user and a session."""
    (value,) = codec.user_runs(keys_of([1]), keys_of([2]), 3)[1]

    with pytest.raises(codec.BAD_ENTRY_ERRORS):
        codec.unpack_users(value[:-8])
