"""What a shard remembers beside its records: names known to be stored, what writes touched, users."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protos.text import text_key
from stream import apply, codec, shard
from stream.errors import StoreUnreadable
from stream.events import CatalogItem
from stream.shard import KnownKeys, Shard
from tests.stream.conftest import OpenStore
from tests.stream.histories import NOON_MS, apply_events, event


@given(st.lists(st.sets(st.integers(0, 30) | st.just(2**64 - 1), max_size=12), max_size=8))
def test_known_keys_are_those_learnt(batches: list[set[int]]) -> None:
    """What was learnt is known from then on, and nothing else is."""
    known, learnt = KnownKeys(), set[int]()
    for batch in batches:
        unknown = known.unknown(np.array(sorted(batch), dtype=np.uint64))
        assert unknown.tolist() == sorted(batch - learnt)
        known.learn(unknown)
        learnt |= batch


def test_known_keys_are_forgotten_when_they_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded: over the bound all are forgotten but the newest, and learnt again."""
    monkeypatch.setattr(shard, "_MAX_KNOWN_NAMES", 10)
    known = KnownKeys()
    for start in (0, 6):
        known.learn(np.arange(start, start + 6, dtype=np.uint64))

    assert known.unknown(np.arange(12, dtype=np.uint64)).tolist() == list(range(6))
    known.clear()
    assert len(known.unknown(np.arange(12, dtype=np.uint64))) == 12


def test_dirty_is_what_later_writes_touched(open_store: OpenStore) -> None:
    """New and moved facts touch their query and item, catalogue items themselves, repeats nothing."""
    one = open_store().shard(0)
    apply_events(one, [event("s-1", "tv", "a", NOON_MS + 5)])
    apply_events(
        one, [event("s-1", "", "b"), event("s-1", "tv", "a", NOON_MS + 9)], [CatalogItem(item_id="z")]
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


def test_dirty_is_not_known_for_ever(open_store: OpenStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many writes are kept; whoever asks further back must take everything for touched."""
    monkeypatch.setattr(apply, "_DIRTY_KEPT", 3)
    one = open_store().shard(0)
    for number in range(6):
        apply_events(one, [event(item_id=f"i-{number}")])

    assert one.dirty_since(2) is None
    since = one.dirty_since(3)
    assert since is not None
    assert since[1].tolist() == sorted(text_key(f"i-{number}") for number in (3, 4, 5))


def test_users_are_found_by_their_key(open_store: OpenStore) -> None:
    """The sessions of a user are those it was seen in, once each, over several writes."""
    one = open_store().shard(0)
    for session in ("s-1", "s-2", "s-1"):
        apply_events(one, [event(session, user_id="u-1"), event("s-9", user_id="u-2")])

    sessions = one.sessions_of_user(text_key("u-1")).tolist()
    assert sessions == sorted(text_key(session) for session in ("s-1", "s-2"))
    assert one.sessions_of_user(text_key("u-3")).tolist() == []


READS: dict[bytes, Callable[[Shard], object]] = {
    codec.DIRTY: lambda one: one.dirty_since(-1),
    codec.USER: lambda one: one.sessions_of_user(0),
    codec.BY_QUERY: lambda one: one.facts_of_query(0),
    codec.BY_ITEM: lambda one: one.facts_of_item(0),
}


@pytest.mark.parametrize("kind", READS)
def test_damaged_records_name_the_store(open_store: OpenStore, tmp_path: Path, kind: bytes) -> None:
    """What does not unpack is an error of the store's, not of the bytes."""
    one = open_store().shard(0)
    one.write({kind + bytes(8): b"\x01\x02\x03"})

    with pytest.raises(StoreUnreadable, match=str(tmp_path)):
        READS[kind](one)
