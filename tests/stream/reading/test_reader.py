"""Reading the graph: the dump's exact form, what the hash depends on, the arrays that
training takes.
"""

import json
import struct
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.text import text_key
from stream.actions import Action
from stream.errors import StoreUnreadable
from stream.events.types import CatalogItem, Interaction
from stream.graph.arrays import GraphArrays
from stream.reading import dump as reading_dump
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.shard.changed_entries import ShardWrite
from testing.graph.deliveries import deliveries, interactions
from testing.histories import (
    EFFORT,
    NOON_MS,
    apply_all,
    apply_events,
    build,
    dump,
    event,
    graph_hash,
)
from testing.oracle import Oracle, assert_same_dump
from tests.stream.conftest import OpenStore

DAY_MS = 86_400_000
DEFAULTS = StreamSettings()


def test_dump_lines_are_exactly_the_contract(open_store: OpenStore) -> None:
    """Field order, compact separators, raw Unicode, actions by
    number, canonical order.
    """
    at_ms = 655 * 30 * DAY_MS
    store = open_store()
    events = [
        event("s-2", "tv ü", "b", at_ms + 5, Action.PURCHASE),
        event("s-2", "tv ü", "b", at_ms - 30 * DAY_MS),
        event("s-1", "", "a", at_ms, Action.VIEW),
        event("s-1", "radio", "c", at_ms),
        event("s-1", "tv ü", "a", at_ms + 4, Action.ADD_TO_CART),
    ]
    apply_all(store, events)

    with open_graph(store.root, DEFAULTS) as graph:
        lines = list(graph.dump(at_ms))
    assert lines[0] == (
        '{"kind":"edge","query":"radio","item":"c","weight":1.0,"sessions":1,'
        '"first_ms":1697760000000,"last_ms":1697760000000,"actions":{"click":1}}'
    )
    assert [(line["query"], line["item"]) for line in map(json.loads, lines[1:3])] == [
        ("tv ü", "a"),
        ("tv ü", "b"),
    ]
    assert '"query":"tv ü"' in lines[1]
    assert lines[2].endswith('"actions":{"click":1,"purchase":1}}')
    assert lines[3:] == [
        '{"kind":"hyperedge","session":"s-1","items":["a","c"],"last_ms":1697760000004}'
    ]


def test_dump_is_at_the_watermark_by_default(open_store: OpenStore) -> None:
    """Without a time, weights are those at the largest event time applied."""
    store = open_store()
    apply_all(
        store, [event(ts_ms=NOON_MS), event("s-2", "", "b", NOON_MS + 30 * DAY_MS, Action.VIEW)]
    )

    assert dump(store.root, DEFAULTS)[0]["weight"] == pytest.approx(0.5, rel=1e-12)


def test_action_weights_apply_when_read(open_store: OpenStore) -> None:
    """Other action weights need no new store.

    An action that is not listed weighs nothing.
    """
    store = open_store()
    apply_all(store, [event(action=Action.CLICK), event(action=Action.PURCHASE)])
    weights = [
        dump(store.root, replace(DEFAULTS, action_weights=table), NOON_MS)[0]["weight"]
        for table in ({"click": 1.0, "purchase": 4.0}, {"purchase": 10.0}, {})
    ]

    assert weights == pytest.approx([5.0, 10.0, 0.0])


def test_empty_store_reads_as_empty(open_store: OpenStore) -> None:
    """A store that nothing was applied to has an empty dump, a hash, and arrays without
    rows.
    """
    store = open_store(num_shards=2)

    with open_graph(store.root, DEFAULTS) as graph:
        arrays = graph.arrays()
        assert list(graph.dump()) == []
        assert len(graph.graph_hash()) == 64
        assert (
            arrays.num_queries,
            arrays.num_items,
            arrays.num_sessions,
            len(arrays.edge_query),
        ) == (
            0,
            0,
            0,
            0,
        )


@given(st.lists(interactions, min_size=1, max_size=8), interactions)
@settings(max_examples=30 * EFFORT)
def test_hash_tells_sets_of_facts_apart(events: list[Interaction], extra: Interaction) -> None:
    """One more event changes the hash exactly when it changes the set of facts."""
    with TemporaryDirectory() as folder:
        build(Path(folder, "without"), [events], DEFAULTS, 1)
        build(Path(folder, "with"), [[*events, extra]], DEFAULTS, 1)
        same = graph_hash(Path(folder, "without"), DEFAULTS) == graph_hash(
            Path(folder, "with"), DEFAULTS
        )

    assert same == (Oracle.of(events) == Oracle.of([*events, extra]))


def test_hash_depends_on_facts_alone(open_store: OpenStore, tmp_path: Path) -> None:
    """Half-life, action weights, catalogue, users and compaction do
    not touch the hash.
    """
    events = [
        event("s-1", "tv", "a"),
        event("s-1", "tv", "b", NOON_MS + 5),
        event("s-2", "radio", "a"),
    ]
    plain = open_store(tmp_path / "plain")
    apply_all(plain, events)
    slow = replace(DEFAULTS, half_life_seconds=365 * 86400.0, action_weights={"click": 7.0})
    other = open_store(tmp_path / "other", settings=slow)
    apply_all(other, [replace(one, user_id="u") for one in events])
    apply_events(
        other.shard(0), [], [CatalogItem(item_id="a", title="A"), CatalogItem(item_id="z")], {}
    )
    other.shard(0).compact()

    assert graph_hash(other.root, slow) == graph_hash(plain.root, DEFAULTS)


def test_hash_is_as_documented(open_store: OpenStore) -> None:
    """The hash can be computed from the facts by what `docs/formats.md` says."""
    events = [
        event("s-1", "tv", "a", NOON_MS, Action.PURCHASE),
        event("s-1", "tv", "a", NOON_MS + 3),
        event("s-1", "", "b", NOON_MS - 7, Action.VIEW),
        event("s-2", "radio", "a", NOON_MS + 1),
        event("s-2", "tv", "a", NOON_MS + 2),
    ]
    store = open_store(num_shards=2)
    apply_all(store, events)

    assert graph_hash(store.root, DEFAULTS) == documented_hash(Oracle.of(events))


def documented_hash(oracle: Oracle) -> str:
    """Return the hash by the book."""
    mask = 2**64 - 1

    def mix(word: int) -> int:
        word = (word + 0x9E3779B97F4A7C15) & mask
        word = ((word ^ (word >> 30)) * 0xBF58476D1CE4E5B9) & mask
        word = ((word ^ (word >> 27)) * 0x94D049BB133111EB) & mask
        return word ^ (word >> 31)

    def total(facts: list[tuple[int, int, int, int]], seed: int) -> int:
        return sum(mix(mix(mix(mix(s ^ seed) ^ q) ^ i) ^ stamp) for s, q, i, stamp in facts) & mask

    everything, on_edges = [], []
    for (session, query, item, action), ts_ms in oracle.facts.items():
        keys = text_key(session), text_key(query) if query else 0, text_key(item)
        everything.append((*keys, ts_ms * 8 + action))
        if query and action is not Action.VIEW:
            on_edges.append(everything[-1])
    digest = sha256(b"freshet graph 2\n")
    for facts in (everything, on_edges):
        sums = (total(facts, seed) for seed in (0x243F6A8885A308D3, 0x13198A2E03707344))
        digest.update(struct.pack(">QQQ", len(facts), *sums))
    return digest.hexdigest()


def test_hash_is_pinned(open_store: OpenStore) -> None:
    """The hash of a small graph stays what it was.

    Snapshots carry it from one version to the next.
    """
    store = open_store()
    apply_all(store, [event("s-1", "tv", "a"), event("s-1", "", "b", NOON_MS + 5, Action.VIEW)])

    assert (
        graph_hash(store.root, DEFAULTS)
        == "9cc9d13fa638eeac49f809d2a265ed60dc2b5ea8b208b515e02e6cc088c6c675"
    )


def test_half_life_of_the_store_counts_for_readers(open_store: OpenStore) -> None:
    """A reader needs no configuration to get the weights that the
    store was made for.
    """
    store = open_store(settings=replace(DEFAULTS, half_life_seconds=86400.0))
    apply_all(store, [event(ts_ms=NOON_MS)])

    assert dump(store.root, DEFAULTS, NOON_MS + DAY_MS)[0]["weight"] == pytest.approx(
        0.5, rel=1e-12
    )


def test_stats_count_everything(open_store: OpenStore) -> None:
    """Each figure of the statistics, over two shards."""
    store = open_store(num_shards=2)
    apply_all(
        store,
        [
            event("s-1"),
            event("s-2"),
            event("s-1", "", "b", NOON_MS + 1, Action.VIEW),
            event("s-3", "x"),
        ],
    )
    apply_events(store.shard(0), [], [CatalogItem(item_id="z", deleted=True)], {})

    with open_graph(store.root, DEFAULTS) as graph:
        stats = graph.stats()
    assert (stats.facts, stats.sessions, stats.queries, stats.items) == (4, 3, 2, 3)
    assert (stats.edges, stats.hyperedges, stats.incidences, stats.catalog_items) == (2, 1, 2, 1)
    assert stats.watermark_ms == NOON_MS
    assert stats.bytes_on_disk > 0


def test_missing_names_are_damage(open_store: OpenStore) -> None:
    """An edge whose item has no name is an error from dump and arrays, not a crash or a
    wrong graph.
    """
    store = open_store()
    apply_events(store.shard(0), [event(query="tv", item_id="a")])
    store.shard(0).write(ShardWrite.of({}, [codec.name_key(codec.ITEM_NAME, text_key("a"))]))

    with open_graph(store.root, DEFAULTS) as graph:
        with pytest.raises(StoreUnreadable, match="names are missing"):
            list(graph.dump())
        with pytest.raises(StoreUnreadable, match="names are missing"):
            graph.arrays()


def rows_of(arrays: GraphArrays) -> dict[str, Any]:
    """Return the arrays' content by texts in place of indexes."""
    queries, items = arrays.query_texts, arrays.item_ids
    hyperedges: dict[int, list[str]] = {}
    for session, item in zip(arrays.incidence_session, arrays.incidence_item, strict=True):
        hyperedges.setdefault(int(session), []).append(items[item])
    return {
        "edges": {
            (queries[query], items[item]): (float(weight), int(sessions), int(first), int(last))
            for query, item, weight, sessions, first, last in zip(
                arrays.edge_query,
                arrays.edge_item,
                arrays.edge_weight,
                arrays.edge_sessions,
                arrays.edge_first_ms,
                arrays.edge_last_ms,
                strict=True,
            )
        },
        "hyperedges": sorted(
            (kept, int(arrays.session_last_ms[session])) for session, kept in hyperedges.items()
        ),
        "facts": sorted(
            (queries[query], items[item], int(action), int(ts_ms))
            for query, item, action, ts_ms in zip(
                arrays.fact_query, arrays.fact_item, arrays.fact_action, arrays.fact_ms, strict=True
            )
        ),
    }


@given(deliveries(), st.integers(1, 3))
@settings(max_examples=30 * EFFORT)
def test_arrays_hold_the_graph(
    delivery: tuple[list[Interaction], list[list[Interaction]]], num_shards: int
) -> None:
    """Edges, hyperedges and facts of the arrays are those of the batch build."""
    events, batches = delivery
    oracle = Oracle.of(events)
    with TemporaryDirectory() as folder:
        build(Path(folder, "store"), batches, DEFAULTS, num_shards)
        with open_graph(Path(folder, "store"), DEFAULTS) as graph:
            arrays = graph.arrays(NOON_MS)
    rows = rows_of(arrays)

    assert rows["edges"] == {
        (edge["query"], edge["item"]): (
            pytest.approx(edge["weight"], rel=1e-6),
            edge["sessions"],
            edge["first_ms"],
            edge["last_ms"],
        )
        for edge in oracle.edges(NOON_MS)
    }
    assert rows["hyperedges"] == sorted(
        (line["items"], line["last_ms"]) for line in oracle.hyperedges()
    )
    assert rows["facts"] == sorted(
        (query, item, int(action), ts_ms)
        for (_, query, item, action), ts_ms in oracle.facts.items()
        if query and action is not Action.VIEW
    )
    assert arrays.num_sessions == len({session for session, *_ in oracle.facts})


def test_arrays_are_dense_typed_and_in_order_of_key(open_store: OpenStore) -> None:
    """Shapes, dtypes and order are what the docstring promises.

    Facts point to the session that made them.
    """
    store = open_store(num_shards=3)
    events = [event(f"s-{n}", f"q {n % 5}", f"i-{n % 7}", NOON_MS + n) for n in range(40)]
    apply_all(store, [*events, event("s-0", "", "i-1", NOON_MS + 99, Action.VIEW)])
    with open_graph(store.root, DEFAULTS) as graph:
        arrays = graph.arrays()

    assert arrays.query_keys.tolist() == sorted(text_key(text) for text in arrays.query_texts)
    assert arrays.item_keys.tolist() == [text_key(text) for text in arrays.item_ids]
    assert np.all(np.diff(arrays.item_keys.astype(np.float64)) > 0)
    assert {
        name: str(getattr(arrays, name).dtype)
        for name in (
            "query_keys",
            "edge_query",
            "edge_weight",
            "edge_sessions",
            "edge_last_ms",
            "fact_action",
        )
    } == {
        "query_keys": "uint64",
        "edge_query": "int64",
        "edge_weight": "float32",
        "edge_sessions": "int32",
        "edge_last_ms": "int64",
        "fact_action": "int8",
    }
    assert np.all(np.diff(arrays.fact_session) >= 0)
    assert np.array_equal(
        arrays.session_last_ms[arrays.fact_session] >= arrays.fact_ms, np.ones(40, dtype=bool)
    )


def test_arrays_carry_the_catalogue(open_store: OpenStore) -> None:
    """Titles, texts and flags come from the catalogue.

    Items without a record are shown and untitled.
    """
    store = open_store()
    items = [
        CatalogItem(item_id="a", title="A", text="all about a"),
        CatalogItem(item_id="gone", deleted=True),
        CatalogItem(item_id="out", title="O", available=False),
    ]
    apply_events(store.shard(0), [event(item_id="clicked")], items, {})
    with open_graph(store.root, DEFAULTS) as graph:
        arrays = graph.arrays()

    found = {
        item_id: (title, text, bool(available), bool(deleted))
        for item_id, title, text, available, deleted in zip(
            arrays.item_ids,
            arrays.item_titles,
            arrays.item_texts,
            arrays.item_available,
            arrays.item_deleted,
            strict=True,
        )
    }
    assert found == {
        "a": ("A", "all about a", True, False),
        "gone": ("", "", True, True),
        "out": ("O", "", False, False),
        "clicked": ("", "", True, False),
    }


@pytest.mark.parametrize("num_items", [49, 50, 51, 70])
def test_arrays_bound_hyperedges_as_the_dump_does(open_store: OpenStore, num_items: int) -> None:
    """At the bound, with ties in time, arrays and dump keep the same items in the same
    order.
    """
    store = open_store()
    apply_all(
        store,
        [event("s-1", "", f"i-{n:02d}", NOON_MS + n // 20, Action.VIEW) for n in range(num_items)],
    )
    with open_graph(store.root, DEFAULTS) as graph:
        arrays = graph.arrays()
        (line,) = map(json.loads, graph.dump())

    assert line["items"] == [f"i-{n:02d}" for n in range(min(num_items, 50))]
    assert [arrays.item_ids[item] for item in arrays.incidence_item] == line["items"]


def test_dump_is_the_same_whatever_is_read_at_once(
    open_store: OpenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Queries and lines are read and encoded by the chunk: lines come in order over
    their bounds, texts with line ends and quotes in them included.
    """
    texts = ["b", 'a "b"', "line\u2028end", "é", "日本"]
    events = [
        event("s-1" if at % 3 else "s\n2", text, f"i\n{at % 4}", ts_ms=NOON_MS + at)
        for at, text in enumerate(texts * 3)
    ]
    store = open_store(settings=StreamSettings(num_shards=2))
    apply_all(store, events)
    whole = dump(store.root, DEFAULTS, NOON_MS)
    monkeypatch.setattr(reading_dump, "_CHUNK_QUERIES", 2)
    monkeypatch.setattr(reading_dump, "_CHUNK_LINES", 2)
    assert dump(store.root, DEFAULTS, NOON_MS) == whole
    assert_same_dump(whole, Oracle.of(events).dump(NOON_MS))
