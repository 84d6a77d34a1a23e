"""Erasing: whatever the order of events and erasures, one store comes of them."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream.actions import Action
from stream.changes.apply import apply_batch
from stream.events.columns import Texts, batch_of
from stream.events.types import CatalogItem, Erasure, Interaction, SourcePartition
from stream.shard import codec
from stream.shard.shard import Shard
from testing.graph.deliveries import interactions
from testing.graph.erasures import ASKED_MS, ERASABLE
from testing.histories import EFFORT, NOON_MS, event
from testing.laws.stores import MemoryShards
from testing.oracle import Oracle, with_sessions

GAP_MS = 1_800_000  # stream.session_gap_seconds, by default
RETENTION_MS = 6 * GAP_MS
SOURCE = SourcePartition("clicks", 0)

Entry = Interaction | Erasure | CatalogItem

visits = st.builds(
    lambda item, step: event(
        "", "tv", item, user_id="v-1", ts_ms=NOON_MS + step * GAP_MS // 2, action=Action.PURCHASE
    ),
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 8),
)
"""Events without a session, some a gap apart and some more: some bridge others."""

asked = st.builds(
    lambda name: Erasure(kind=name[0], id=name[1], ts_ms=ASKED_MS),
    st.sampled_from(
        [(kind, text) for kind, texts in ERASABLE.items() for text in texts] + [("user", "v-1")]
    ),
)
states = st.builds(
    CatalogItem,
    item_id=st.sampled_from(["a", "b", "c"]),
    title=st.sampled_from(["one", "two"]),
    deleted=st.booleans(),
    ts_ms=st.sampled_from([NOON_MS, NOON_MS + 1]),
)
histories = st.lists(st.one_of(visits, interactions, asked, states), min_size=1, max_size=20)
journeys = st.lists(
    st.one_of(visits, st.just(Erasure(kind="item", id="b", ts_ms=ASKED_MS))), min_size=3, max_size=9
)


def deliver(shard: Shard, batch: Sequence[Entry]) -> None:
    """Apply some entries in one write, as a worker does: without a bound."""
    texts = Texts()
    whole = batch_of(
        [one for one in batch if isinstance(one, Interaction)],
        texts,
        items=[one for one in batch if isinstance(one, CatalogItem)],
        erasures=[one for one in batch if isinstance(one, Erasure)],
        source=SOURCE,
    )
    apply_batch(shard, whole, texts)


def cut(entries: Sequence[Entry], sizes: Sequence[int]) -> Iterator[list[Entry]]:
    """Yield the entries in batches of these sizes, over and over."""
    at = number = 0
    while at < len(entries):
        size = sizes[number % len(sizes)]
        yield list(entries[at : at + size])
        at, number = at + size, number + 1


def contents(shard: Shard) -> dict[str, Any]:
    """Return all that a store tells of: counts and hash, sessions with their facts,
    names, catalogue and windows.
    """
    state = shard.state()
    return {
        "state": state._replace(sequence=0),
        "sessions": [session(shard, key) for key, _ in shard.entries(codec.SESSION)],
        "names": [*shard.entries(codec.QUERY_NAME), *shard.entries(codec.ITEM_NAME)],
        "catalog": list(shard.entries(codec.CATALOG)),
        "windows": list(shard.entries(codec.WINDOWS)),
    }


def session(shard: Shard, entry_key: bytes) -> tuple[str, bytes, set[int]]:
    """Return a session's id, facts and users, wherever these are noted."""
    key = codec.unpack_keys([entry_key]).item()
    (found,) = shard.get_sessions([key]).values()
    noted = {codec.unpack_seen_user(note) for note, _ in shard.entries(codec.seen_prefix(key))}
    return found.session_id, found.facts, {*found.user_keys, *noted}


def survivors(history: Sequence[Entry]) -> list[Interaction]:
    """Return what is left, each with its session: a visit is cut at all of its events,
    those on erased items too.
    """
    ids = {
        kind: {one.id for one in history if isinstance(one, Erasure) and one.kind == kind}
        for kind in ERASABLE
    }
    events = [one for one in history if isinstance(one, Interaction)]
    named = with_sessions(events, GAP_MS)
    gone = ids["session"] | {one.session_id for one in named if one.user_id in ids["user"]}
    return [one for one in named if one.session_id not in gone and one.item_id not in ids["item"]]


@given(st.randoms(use_true_random=False), st.one_of(histories, journeys))
@settings(max_examples=150 * EFFORT, suppress_health_check=[HealthCheck.too_slow])
def test_any_order_of_events_and_erasures_makes_one_store(
    draw: Random, history: list[Entry]
) -> None:
    """Shuffled and cut at random, with repeats, or all erasures first or last: the same
    records, and the facts of the definition.
    """
    erasures = [one for one in history if isinstance(one, Erasure)]
    others = [one for one in history if not isinstance(one, Erasure)]
    repeats = draw.choices(history, k=draw.randint(0, 4))
    orders = [[*erasures, *others], [*others, *erasures], history + repeats, history + repeats]
    for order in orders[2:]:
        draw.shuffle(order)
    found = []
    for order in orders:
        shard = MemoryShards(Path("memory"), 1).open(0)
        for batch in cut(order, [draw.randint(1, 4) for _ in range(3)]):
            deliver(shard, batch)
        found.append(contents(shard))

    for other in found[1:]:
        assert found[0] == other
    assert found[0]["state"].num_facts == len(Oracle.of(survivors(history)).facts)


def test_a_visit_is_cut_at_its_events_on_erased_items_too() -> None:
    """The visitor was there, whatever it was that is forgotten."""
    events = [
        event("", item_id=item, user_id="v-1", ts_ms=NOON_MS + number * GAP_MS)
        for number, item in enumerate("abc")
    ]
    forget = Erasure(kind="item", id="b", ts_ms=ASKED_MS)
    orders: list[list[Entry]] = [
        [forget, *events],
        [*events, forget],
        [events[0], forget, events[2], events[1]],
    ]
    for order in orders:
        shard = MemoryShards(Path("memory"), 1).open(0)
        for entry in order:
            deliver(shard, [entry])

        assert (shard.state().num_sessions, shard.state().num_hyperedges) == (1, 1)
        assert shard.state().num_facts == 2


@pytest.mark.parametrize("is_late", [True, False])
def test_a_refused_event_leaves_no_text(is_late: bool) -> None:
    """What nobody needs is not kept: a name comes with the event that is accepted."""
    shard, texts = MemoryShards(Path("memory"), 1).open(0), Texts()
    age_ms = RETENTION_MS + is_late
    old = event("s-2", "a secret", "rare", ts_ms=NOON_MS - age_ms)
    batch = batch_of([event(), old], texts, items=[CatalogItem(item_id="listed")])
    batch.retention_ms = RETENTION_MS
    apply_batch(shard, batch, texts)
    names = {text for _, text in [*shard.query_names(), *shard.item_names()]}

    assert names == {"tv", "a", "listed"} | (set() if is_late else {"a secret", "rare"})
    apply_batch(shard, batch_of([old], texts, source=SOURCE), texts)
    assert {"a secret", "rare"} <= {text for _, text in [*shard.query_names(), *shard.item_names()]}
