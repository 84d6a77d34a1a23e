"""A synthetic shop of any size: its graph, and rounds of clicks that come after it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.train.graph import distinct_pairs, heavy_tailed
from protos.text import text_keys
from stream.actions import Action
from stream.dtypes import Int64s
from stream.events.types import CatalogItem
from stream.feed.changes import (
    EdgeChanges,
    KeyedTexts,
    MemberRows,
    SessionChanges,
    ShardChanges,
)
from stream.graph.arrays import GraphArrays

_WORDS, _WORDS_OF_TEXT = 20_000, 3  # about what the logs of docs/benchmarks.md have
_REPEATED = 0.5  # clicks that repeat a pair, for each edge; so have the logs
_FACTS_OF_SESSION = 3  # clicks; so have the logs
_NEW_QUERIES, _NEW_ITEMS = 0.1, 0.05  # of a round's sessions: they name one nobody had
_START_MS = 1_700_000_000_000  # any time


@dataclass(frozen=True, kw_only=True)
class Shop:
    """Names and clicks, by places that never change; keys do not order them.

    Attributes:
        queries: texts.
        titles: of items; the id of item `n` is ``i`` and its place.
        session: ``int64 [num_clicks]``.
        query: ``int64 [num_clicks]``.
        item: ``int64 [num_clicks]``.
    """

    queries: list[str]
    titles: list[str]
    session: Int64s
    query: Int64s
    item: Int64s

    @property
    def item_ids(self) -> list[str]:
        """The ids of items."""
        return [f"i{number}" for number in range(len(self.titles))]


def make_shop(edges: int, nodes: int, seed: int) -> Shop:
    """Return a shop with heavy-tailed clicks, half of its nodes queries."""
    rng = np.random.default_rng(seed)
    num_queries = nodes // 2
    query, item = distinct_pairs(edges, num_queries, nodes - num_queries, rng)
    again = rng.integers(0, edges, int(_REPEATED * edges))
    query, item = np.concatenate([query, query[again]]), np.concatenate([item, item[again]])
    sessions = max(1, len(query) // _FACTS_OF_SESSION)
    return Shop(
        queries=_texts("q", num_queries, rng),
        titles=_texts("t", nodes - num_queries, rng),
        session=rng.integers(0, sessions, len(query)),
        query=query,
        item=item,
    )


def next_round(shop: Shop, nodes: int, seed: int) -> tuple[Shop, ShardChanges]:
    """Return the shop after a round of sessions, and what they changed.

    A session clicks two items for one query: half of the sessions what was clicked for
    it before, the others anything, by how much it is clicked.

    Args:
        shop: the shop before.
        nodes: queries and items of the round's sessions, those that are named twice
            counted twice.
        seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    count, clicks = nodes // 3, len(shop.query)
    drawn = rng.integers(0, clicks, (3, count))
    query, items = shop.query[drawn[0]], shop.item[drawn]
    anything = rng.random(count) < 0.5  # noqa: PLR2004  # half of the sessions
    items[0, anything] = shop.item[rng.integers(0, clicks, int(anything.sum()))]
    new_query, new_item = rng.random(count) < _NEW_QUERIES, rng.random(count) < _NEW_ITEMS
    query[new_query] = len(shop.queries) + np.arange(new_query.sum())
    items[1, new_item] = len(shop.titles) + np.arange(new_item.sum())
    items = items[:2]
    items[1] = np.where(items[0] == items[1], (items[1] + 1) % len(shop.titles), items[1])
    session = int(shop.session.max()) + 1 + np.arange(count)
    after = Shop(
        queries=[*shop.queries, *_texts(f"q{seed}", int(new_query.sum()), rng)],
        titles=[*shop.titles, *_texts(f"t{seed}", int(new_item.sum()), rng)],
        session=np.concatenate([shop.session, session, session]),
        query=np.concatenate([shop.query, query, query]),
        item=np.concatenate([shop.item, *items]),
    )
    return after, _changes(shop, after, query, items)


def graph_of(shop: Shop) -> GraphArrays:
    """Return the shop's graph as a snapshot has it."""
    query_keys, by_query, query_of = _ordered(shop.queries)
    item_ids = shop.item_ids
    item_keys, by_item, item_of = _ordered(item_ids)
    order = np.argsort(shop.session, kind="stable")
    session, query, item = (
        shop.session[order],
        query_of[shop.query[order]],
        item_of[shop.item[order]],
    )
    num_items = len(item_keys)
    _, session = np.unique(session, return_inverse=True)
    edges, sessions = _edges(session, query * num_items + item)
    members = np.unique(session * num_items + item)
    member_session, member_item = members // num_items, members % num_items
    sizes = np.bincount(member_session, minlength=int(session[-1]) + 1)
    kept = sizes[member_session] > 1
    times = _START_MS + np.arange(int(session[-1]) + 1)
    return GraphArrays(
        query_keys=query_keys,
        query_texts=[shop.queries[place] for place in by_query.tolist()],
        item_keys=item_keys,
        item_ids=[item_ids[place] for place in by_item.tolist()],
        item_titles=[shop.titles[place] for place in by_item.tolist()],
        item_texts=[""] * num_items,
        item_available=np.ones(num_items, dtype=np.bool_),
        item_deleted=np.zeros(num_items, dtype=np.bool_),
        item_catalog_ms=np.zeros(num_items, dtype=np.int64),
        edge_query=edges // num_items,
        edge_item=edges % num_items,
        edge_weight=sessions.astype(np.float32),
        edge_sessions=sessions.astype(np.int32),
        edge_first_ms=np.full(len(edges), _START_MS, dtype=np.int64),
        edge_last_ms=np.full(len(edges), _START_MS, dtype=np.int64),
        num_sessions=len(times),
        session_last_ms=times,
        incidence_session=member_session[kept],
        incidence_item=member_item[kept],
        incidence_ms=times[member_session[kept]],
        fact_session=session,
        fact_query=query,
        fact_item=item,
        fact_action=np.full(len(session), int(Action.CLICK), dtype=np.int8),
        fact_ms=times[session],
        watermark_ms=int(times[-1]),
        at_ms=int(times[-1]),
    )


def _edges(session: Int64s, pair: Int64s) -> tuple[Int64s, Int64s]:
    """Return the distinct pairs, ascending, and how many distinct sessions each has."""
    order = np.lexsort((session, pair))
    pair, session = pair[order], session[order]
    starts = np.append(True, pair[1:] != pair[:-1])
    new_session = starts | np.append(True, session[1:] != session[:-1])
    firsts = np.flatnonzero(starts)
    return pair[firsts], np.add.reduceat(new_session.astype(np.int64), firsts)


def _changes(shop: Shop, after: Shop, query: Int64s, items: Int64s) -> ShardChanges:
    """Return what sessions of one query and two items each change, all of them new."""
    query_keys = np.array(text_keys([after.queries[each] for each in query.tolist()]), np.uint64)
    item_keys = np.array(
        [text_keys([f"i{each}" for each in row.tolist()]) for row in items], dtype=np.uint64
    )
    count = len(query)
    ones = np.ones(2 * count, dtype=np.int64)
    edges = EdgeChanges(np.tile(query_keys, 2), item_keys.reshape(-1), ones)
    rows = MemberRows(
        session=np.repeat(np.arange(count), 3),
        member=np.stack([*item_keys, query_keys], axis=1).reshape(-1),
        is_query=np.tile(np.array([False, False, True]), count),
        was_in=np.zeros(3 * count, dtype=np.bool_),
        is_in=np.ones(3 * count, dtype=np.bool_),
    )
    ids = [f"i{place}" for place in range(len(shop.titles), len(after.titles))]
    return ShardChanges(
        shard=0,
        sequence=1,
        edges=edges.summed(),
        sessions=SessionChanges.of_rows(rows, np.zeros(count, dtype=np.bool_)),
        query_names=_named(after.queries[len(shop.queries) :]),
        item_names=_named(ids),
        catalog=_states(ids, after.titles[len(shop.titles) :]),
    )


def _states(ids: list[str], titles: list[str]) -> dict[int, CatalogItem]:
    return {
        key: CatalogItem(item_id=item_id, title=title)
        for key, item_id, title in zip(text_keys(ids), ids, titles, strict=True)
    }


def _named(texts: list[str]) -> KeyedTexts:
    return KeyedTexts(np.array(text_keys(texts), dtype=np.uint64), texts)


def _ordered(names: list[str]) -> tuple[NDArray[np.uint64], Int64s, Int64s]:
    """Return keys, ascending, the place of each, and the number of each place."""
    keys = np.array(text_keys(names), dtype=np.uint64)
    order = np.argsort(keys)
    number = np.empty(len(order), dtype=np.int64)
    number[order] = np.arange(len(order))
    return keys[order], order, number


def _texts(prefix: str, count: int, rng: np.random.Generator) -> list[str]:
    """Return distinct texts of a few words, some much more frequent than others."""
    words = heavy_tailed(count * _WORDS_OF_TEXT, _WORDS, rng).reshape(count, -1).tolist()
    return [
        " ".join(f"w{word}" for word in row) + f" {prefix}{number}"
        for number, row in enumerate(words)
    ]
