"""Pure: what several segments leave, one on top of the other."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeVar

import numpy as np

from model.artifact.overlay.segment import OverlayRows
from protos.text import text_key

Key = TypeVar("Key")
Value = TypeVar("Value")

Places = dict[str, int]
"""Row of each item or query among the rows of all parts, one part behind the other."""


def merge_rows(parts: Sequence[OverlayRows]) -> OverlayRows:
    """Return what several parts leave, each on top of those before it.

    A part's items and queries replace their older selves, and are no longer gone; what
    is gone in a part has no vector any more.

    Args:
        parts: at least one, oldest first, of one dim.
    """
    items: Places = {}
    queries: Places = {}
    gone_items: dict[str, int] = {}
    gone_queries: dict[int, None] = {}
    first_item = first_query = 0
    for part in parts:
        _drop(items, part.gone_items)
        gone_items.update(zip(part.gone_items, part.gone_item_ms.tolist(), strict=True))
        _place(items, part.item_ids, first_item)
        _drop(gone_items, part.item_ids)
        if len(part.gone_queries):
            gone = dict.fromkeys(part.gone_queries.tolist())
            _drop(queries, [text for text in queries if text_key(text) in gone])
            gone_queries.update(gone)
        _place(queries, part.query_texts, first_query)
        if gone_queries:
            _drop(gone_queries, map(text_key, part.query_texts))
        first_item += len(part.item_ids)
        first_query += len(part.query_texts)
    item_rows = np.fromiter(items.values(), dtype=np.int64, count=len(items))
    query_rows = np.fromiter(queries.values(), dtype=np.int64, count=len(queries))
    titles = list(chain.from_iterable(part.item_titles for part in parts))
    attributes = list(chain.from_iterable(part.item_attributes for part in parts))
    clicks = list(chain.from_iterable(part.query_clicks for part in parts))
    return OverlayRows(
        item_ids=tuple(items),
        item_titles=tuple(titles[row] for row in items.values()),
        item_attributes=tuple(attributes[row] for row in items.values()),
        item_shown=np.concatenate([part.item_shown for part in parts])[item_rows],
        item_catalog_ms=np.concatenate([part.item_catalog_ms for part in parts])[item_rows],
        item_sessions=np.concatenate([part.item_sessions for part in parts])[item_rows],
        item_vectors=np.concatenate([part.item_vectors for part in parts])[item_rows],
        query_texts=tuple(queries),
        query_clicks=tuple(clicks[row] for row in queries.values()),
        query_vectors=np.concatenate([part.query_vectors for part in parts])[query_rows],
        gone_items=tuple(gone_items),
        gone_item_ms=np.fromiter(gone_items.values(), dtype=np.int64, count=len(gone_items)),
        gone_queries=np.fromiter(gone_queries, dtype=np.uint64, count=len(gone_queries)),
    )


def _place(places: Places, names: Sequence[str], first: int) -> None:
    places.update(zip(names, range(first, first + len(names)), strict=True))


def _drop(entries: dict[Key, Value], keys: Iterable[Key]) -> None:
    for key in keys:
        entries.pop(key, None)
