"""What several segments leave, one on top of the other."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from model.artifact.overlay.segment import OverlayRows
from protos.text import text_key
from stream.dtypes import Int64s

_ITEM_COLUMNS: Final = (
    "item_titles",
    "item_attributes",
    "item_shown",
    "item_catalog_ms",
    "item_sessions",
    "item_vectors",
)
_QUERY_COLUMNS: Final = ("query_clicks", "query_vectors")
_TEXTS: Final = frozenset({"item_titles", "item_attributes", "query_clicks"})
"""Columns of texts; the others are arrays."""


def merge_rows(parts: Sequence[OverlayRows]) -> OverlayRows:
    """Return what several parts leave, each on top of those before it.

    Args:
        parts: at least one, oldest first, of one dim.
    """
    merged = MergedRows()
    for part in parts:
        merged.add(part)
    return merged.rows()


class MergedRows:
    """What parts leave that come one after the other: adding one costs what it has.

    A part's items and queries replace their older selves, and are no longer gone; what
    is gone in a part has no vector any more.
    """

    def __init__(self) -> None:
        self._items = _NamedRows(_ITEM_COLUMNS)
        self._queries = _NamedRows(_QUERY_COLUMNS)
        self._gone_items: dict[str, int] = {}
        self._gone_queries: dict[int, None] = {}

    def add(self, part: OverlayRows) -> None:
        """Put a part on top. Only where queries are gone in it, all are looked
        through.
        """
        self._items.drop(part.gone_items)
        self._gone_items.update(zip(part.gone_items, part.gone_item_ms.tolist(), strict=True))
        self._items.put(part.item_ids, part)
        if self._gone_items:
            for name in part.item_ids:
                self._gone_items.pop(name, None)
        if len(part.gone_queries):
            gone = dict.fromkeys(part.gone_queries.tolist())
            self._queries.drop([text for text in self._queries.names if text_key(text) in gone])
            self._gone_queries.update(gone)
        self._queries.put(part.query_texts, part)
        if self._gone_queries:
            for text in part.query_texts:
                self._gone_queries.pop(text_key(text), None)

    def rows(self) -> OverlayRows:
        """Return all of it, as copies."""
        gone_items, gone_queries = self._gone_items, self._gone_queries
        columns: dict[str, Any] = {**self._items.columns(), **self._queries.columns()}
        return OverlayRows(
            item_ids=tuple(self._items.names),
            query_texts=tuple(self._queries.names),
            gone_items=tuple(gone_items),
            gone_item_ms=np.fromiter(gone_items.values(), dtype=np.int64, count=len(gone_items)),
            gone_queries=np.fromiter(gone_queries, dtype=np.uint64, count=len(gone_queries)),
            **columns,
        )


class _NamedRows:
    """Rows by name, with room for more; a name that is dropped leaves its row empty
    until half of them are.

    Args:
        columns: of `OverlayRows`, as long as its names.
    """

    def __init__(self, columns: Sequence[str]) -> None:
        self._names = columns
        self._columns: dict[str, NDArray[Any]] = {}
        self._places: dict[str, int] = {}
        self._count = 0

    @property
    def names(self) -> Mapping[str, int]:
        """The row of each name."""
        return self._places

    def put(self, names: Sequence[str], rows: OverlayRows) -> None:
        """Let rows replace those of the same names."""
        given = {name: _as_array(name, getattr(rows, name)) for name in self._names}
        if self._count > 2 * len(self._places):
            self._pack()
        for name in names:
            if name not in self._places:
                self._places[name] = self._count
                self._count += 1
        self._make_room(given)
        places = np.array([self._places[name] for name in names], dtype=np.int64)
        for name, values in given.items():
            self._columns[name][places] = values

    def drop(self, names: Sequence[str]) -> None:
        """Take rows away, where there are any."""
        for name in names:
            self._places.pop(name, None)

    def columns(self) -> dict[str, Any]:
        """Return copies, row by row as the names are."""
        kept = self._kept()
        found = {name: column[kept] for name, column in self._columns.items()}
        return {
            name: tuple(column.tolist()) if name in _TEXTS else column
            for name, column in found.items()
        }

    def _kept(self) -> Int64s:
        return np.fromiter(self._places.values(), dtype=np.int64, count=len(self._places))

    def _pack(self) -> None:
        kept = self._kept()
        self._columns = {name: column[kept] for name, column in self._columns.items()}
        self._places = {name: place for place, name in enumerate(self._places)}
        self._count = len(kept)

    def _make_room(self, given: Mapping[str, NDArray[Any]]) -> None:
        for name, values in given.items():
            old = self._columns.get(name, values[:0])
            if name in self._columns and self._count <= len(old):
                continue
            room = max(self._count, 2 * len(old))
            grown = np.empty((room, *values.shape[1:]), dtype=values.dtype)
            grown[: len(old)] = old
            self._columns[name] = grown


def _as_array(name: str, values: Sequence[str] | NDArray[Any]) -> NDArray[Any]:
    return np.array(values, dtype=object) if name in _TEXTS else np.asarray(values)
