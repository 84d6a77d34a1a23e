"""What a shard remembers beside its records.

Names known to be stored, what writes dirty, users.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from protos.text import text_key
from stream.errors import StoreUnreadable, StoreWriteFailed
from stream.events.types import CatalogItem
from stream.shard import codec
from stream.shard import dirty_log as dirty
from stream.shard.changed_entries import ShardWrite
from stream.shard.names import text_hashes
from stream.shard.rocksdb import Database
from stream.shard.shard import Shard
from testing.histories import NOON_MS, apply_events, event
from tests.stream.conftest import OpenStore


def test_names_of_an_opened_shard_are_learnt_in_slices(open_store: OpenStore) -> None:
    """Names stored before are known once all slices were read.

    Another text with a key of theirs is not.
    """
    items = [f"item-{number}" for number in range(20)]
    with open_store() as first:
        apply_events(first.shard(0), [event("s-1", "tv", item) for item in items])
    one = open_store().shard(0)
    known = one.name_caches[codec.ITEM_NAME]
    keys = np.sort(np.array([text_key(item) for item in items], dtype=np.uint64))
    by_key = {text_key(item): item for item in items}
    hashes = text_hashes([by_key[key] for key in keys.tolist()])
    for _ in range(6):
        assert not known.is_complete
        assert known.find(keys, hashes)[1].any()
        one.load_names(4)
    assert known.is_complete
    is_stored, is_unsure = known.find(keys, hashes)
    assert is_stored.all()
    assert not is_unsure.any()
    is_stored, is_unsure = known.find(keys, hashes + np.uint32(1))
    assert is_unsure.all()
    assert not is_stored.any()
    is_stored, is_unsure = known.find(keys + np.uint64(1), hashes)
    assert not (is_stored | is_unsure).any()


def test_dirty_is_what_later_writes_touched(open_store: OpenStore) -> None:
    """New and moved facts touch their query and item, catalogue items themselves,
    repeats nothing.
    """
    one = open_store().shard(0)
    apply_events(one, [event("s-1", "tv", "a", NOON_MS + 5)])
    apply_events(
        one,
        [event("s-1", "", "b"), event("s-1", "tv", "a", NOON_MS + 9)],
        [CatalogItem(item_id="z")],
    )
    apply_events(one, [event("s-1", "tv", "a", NOON_MS)])
    apply_events(one, [event("s-1", "tv", "a", NOON_MS + 7)])
    tv, a, b, z = (text_key(text) for text in ("tv", "a", "b", "z"))
    found = [one.dirty_since(sequence) for sequence in range(5)]

    assert [pair and (pair[0].tolist(), pair[1].tolist()) for pair in found] == [
        ([tv], sorted([a, b, z])),
        ([tv], sorted([a, b, z])),
        ([tv], [a]),
        ([], []),
        ([], []),
    ]


def test_dirty_is_not_known_for_ever(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only so many writes are kept.

    Whoever asks further back must take everything for dirty.
    """
    monkeypatch.setattr(dirty, "MAX_WRITES", 3)
    one = open_store().shard(0)
    for number in range(6):
        apply_events(one, [event(item_id=f"i-{number}")])

    assert one.dirty_since(2) is None
    since = one.dirty_since(3)
    assert since is not None
    assert since[1].tolist() == sorted(text_key(f"i-{number}") for number in (3, 4, 5))


def test_dirty_is_bound_by_bytes(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes that are too large together go, oldest first, also those of before.

    The newest stays.
    """
    note_bytes = len(codec.pack_dirty(np.zeros(1, np.uint64), np.zeros(1, np.uint64)))
    with open_store() as first:
        for number in range(3):
            apply_events(first.shard(0), [event(item_id=f"i-{number}")])
    monkeypatch.setattr(dirty, "MAX_BYTES", 2 * note_bytes + 8)
    one = open_store().shard(0)
    apply_events(one, [event(item_id="i-3")])
    assert one.dirty_since(1) is None
    assert one.dirty_since(2) is not None

    apply_events(one, [event("s-2", "many", f"i-{number}") for number in range(100)])
    assert [codec.unpack_sequence(key) for key, _ in one.entries(codec.DIRTY)] == [5]


def test_a_write_that_fails_drops_no_note(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to go with a write is still there when the disk refuses it, and goes with
    the next.
    """
    monkeypatch.setattr(dirty, "MAX_WRITES", 2)
    one = open_store().shard(0)
    for number in range(2):
        apply_events(one, [event(item_id=f"i-{number}")])
    with monkeypatch.context() as patch:
        patch.setattr(Database, "write", _refuse)
        with pytest.raises(StoreWriteFailed):
            apply_events(one, [event(item_id="i-2")])
    assert [codec.unpack_sequence(key) for key, _ in one.entries(codec.DIRTY)] == [1, 2]

    apply_events(one, [event(item_id="i-2")])
    assert [codec.unpack_sequence(key) for key, _ in one.entries(codec.DIRTY)] == [2, 3]


def test_a_writer_leaves_its_mark(open_store: OpenStore) -> None:
    """Writes of one opening share a mark.

    Looking leaves none, and the next opening that writes another.
    """
    with open_store() as first:
        apply_events(first.shard(0), [event()])
        mark = first.shard(0).writer_id()
        apply_events(first.shard(0), [event(item_id="b")])
        assert mark is not None
        assert first.shard(0).writer_id() == mark
    again = open_store().shard(0)
    assert again.writer_id() == mark
    apply_events(again, [event(item_id="c")])
    assert again.writer_id() not in {mark, None}


def _refuse(*_: object) -> None:
    raise StoreWriteFailed("disk full")


def test_users_are_found_by_their_key(open_store: OpenStore) -> None:
    """The sessions of a user are those it was seen in, once each,
    over several writes.
    """
    one = open_store().shard(0)
    for session in ("s-1", "s-2", "s-1"):
        apply_events(one, [event(session, user_id="u-1"), event("s-9", user_id="u-2")])

    sessions = one.sessions_of_user(text_key("u-1")).tolist()
    assert sessions == sorted(text_key(session) for session in ("s-1", "s-2"))
    assert one.sessions_of_user(text_key("u-3")).tolist() == []


READS: dict[bytes, Callable[[Shard], object]] = {
    codec.DIRTY: lambda one: one.dirty_since(-1),
    codec.USER: lambda one: one.sessions_of_user(0),
    codec.BY_QUERY: lambda one: one.facts_of_queries(np.zeros(1, dtype=np.uint64)),
    codec.BY_ITEM: lambda one: one.facts_of_item(0),
}


@pytest.mark.parametrize("kind", READS)
def test_damaged_records_name_the_store(open_store: OpenStore, tmp_path: Path, kind: bytes) -> None:
    """What does not unpack is an error of the store's, not of the bytes."""
    one = open_store().shard(0)
    one.write(ShardWrite.of({kind + bytes(8): b"\x01\x02\x03"}))

    with pytest.raises(StoreUnreadable, match=str(tmp_path)):
        READS[kind](one)
