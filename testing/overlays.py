"""Small overlay rows with random vectors."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.artifact.encoder import unit_rows
from model.artifact.overlay.segment import OverlayRows
from protos.text import text_key


def random_units(random: np.random.Generator, count: int, dim: int) -> NDArray[np.float32]:
    """Return ``float32 [count, dim]`` random unit vectors."""
    return unit_rows(random.standard_normal((count, dim)).astype(np.float32))


def overlay_rows(
    dim: int,
    *,
    items: Mapping[str, NDArray[np.float32]] | None = None,
    queries: Mapping[str, NDArray[np.float32]] | None = None,
    gone_items: Iterable[str] = (),
    gone_queries: Iterable[str] = (),
    hidden: Iterable[str] = (),
    attributes: Mapping[str, Mapping[str, str]] | None = None,
) -> OverlayRows:
    """Return rows of named vectors.

    Args:
        dim: length of the vectors.
        items: vectors by id; the title of each is ``new`` and its id.
        queries: vectors by normalised text.
        gone_items: ids that are gone.
        gone_queries: texts of queries that are gone.
        hidden: ids of `items` that are unavailable.
        attributes: of `items`, by id; those of the others are as before.
    """
    items, queries, gone = items or {}, queries or {}, tuple(gone_items)
    attributes = attributes or {}
    hidden = frozenset(hidden)
    return OverlayRows(
        item_ids=tuple(items),
        item_titles=tuple(f"new {item}" for item in items),
        item_attributes=tuple(
            json.dumps(attributes[item]) if item in attributes else "" for item in items
        ),
        item_shown=np.array([item not in hidden for item in items], dtype=np.bool_),
        item_catalog_ms=np.zeros(len(items), dtype=np.int64),
        item_sessions=np.zeros(len(items), dtype=np.int64),
        item_vectors=_matrix(items, dim),
        query_texts=tuple(queries),
        query_clicks=("",) * len(queries),
        query_vectors=_matrix(queries, dim),
        gone_items=gone,
        gone_item_ms=np.zeros(len(gone), dtype=np.int64),
        gone_queries=np.array([text_key(text) for text in gone_queries], dtype=np.uint64),
    )


def with_evidence(
    rows: OverlayRows,
    clicks: Mapping[str, Mapping[str, int]],
    sessions: Mapping[str, int] | None = None,
) -> OverlayRows:
    """Return rows that say what came since the generation.

    Args:
        rows: named vectors.
        clicks: sessions by item, by text of a query in `rows`.
        sessions: by id of an item in `rows`.
    """
    sessions = sessions or {}
    return replace(
        rows,
        item_sessions=np.array([sessions.get(item, 0) for item in rows.item_ids], dtype=np.int64),
        query_clicks=tuple(
            json.dumps(clicks[query]) if query in clicks else "" for query in rows.query_texts
        ),
    )


def _matrix(vectors: Mapping[str, NDArray[np.float32]], dim: int) -> NDArray[np.float32]:
    return np.array(list(vectors.values()), dtype=np.float32).reshape(len(vectors), dim)
