"""Which of today's nodes and edges the parent generation has.

The rows of its nodes, and the clicks it has learned.

Event time alone does not suffice: a click may come late, and where partitions lag
unequally, a generation has learned clicks from after its watermark. So it is read off
the graph that is stored with a generation.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.artifact.generation import Generation
from model.artifact.paths import PathGraph
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays
from stream.graph.keysets import indexes_of


@dataclass(frozen=True, kw_only=True)
class ParentRows:
    """The rows of nodes in the parent generation, found by key and id, never by row.

    Attributes:
        query: ``int64 [num_queries]``; -1: it does not have the query.
        item: ``int64 [num_items]``; -1: it does not have the item.
    """

    query: Int64s
    item: Int64s


@dataclass(frozen=True, kw_only=True)
class LearnedClicks:
    """The clicks that the parent generation has learned.

    Attributes:
        sessions: ``int64 [num_edges]``, how many sessions of each edge; 0: it does not
            know the edge.
        until_ms: its watermark.
    """

    sessions: Int64s
    until_ms: int


def rows_in(
    generation: Generation, query_keys: NDArray[np.uint64], item_ids: Sequence[str]
) -> ParentRows:
    """Return the rows that some queries and items have in the parent generation."""
    row_of = {item_id: row for row, item_id in enumerate(generation.item_ids)}
    return ParentRows(
        query=indexes_of(generation.query_keys, query_keys),
        item=np.array([row_of.get(item_id, -1) for item_id in item_ids], dtype=np.int64),
    )


def learned_by(generation: Generation, arrays: GraphArrays, rows: ParentRows) -> LearnedClicks:
    """Return what a generation has learned of the edges of `arrays`.

    For one of a log without queries, or from before graphs were stored, its watermark
    decides.

    Args:
        generation: the parent.
        arrays: what is to be learned from.
        rows: of the queries and items of `arrays`, in `generation`.
    """
    until_ms = generation.manifest.snapshot.watermark_ms
    if generation.paths is None or not generation.paths.num_queries:
        return LearnedClicks(sessions=_sessions_until(arrays, until_ms), until_ms=until_ms)
    place = _places_of_clicks(
        generation.paths, rows.query[arrays.edge_query], rows.item[arrays.edge_item]
    )
    sessions = np.zeros(len(place), dtype=np.int64)
    sessions[place >= 0] = generation.paths.click_sessions[place[place >= 0]]
    return LearnedClicks(sessions=sessions, until_ms=until_ms)


def has_learned(
    generation: Generation, rows: ParentRows, query: Int64s, item: Int64s, first_ms: Int64s
) -> Bools:
    """Return ``bool [num_edges]``: whether a generation has learned an edge.

    Args:
        generation: which one.
        rows: of queries and items, in `generation`.
        query: ``int64 [num_edges]``, an index of `rows.query`.
        item: ``int64 [num_edges]``, an index of `rows.item`.
        first_ms: ``int64 [num_edges]``, when each was first seen; for a generation that
            has it by time only.
    """
    if generation.paths is None:
        by_time: Bools = first_ms <= generation.manifest.snapshot.watermark_ms
        return by_time
    known: Bools = _places_of_clicks(generation.paths, rows.query[query], rows.item[item]) >= 0
    return known


def _sessions_until(arrays: GraphArrays, until_ms: int) -> Int64s:
    """Return ``int64 [num_edges]``, the sessions of each edge less those that have
    clicked it since.
    """
    # A session counts once for an edge, whatever the number of its facts. One with some
    # before and some after counts as later, which errs on the side of learning.
    since = arrays.fact_ms > until_ms
    edge, session = arrays.edge_of_fact[since], arrays.fact_session[since]
    codes = np.unique(edge * max(1, arrays.num_sessions) + session)
    added = np.bincount(codes // max(1, arrays.num_sessions), minlength=len(arrays.edge_query))
    sessions: Int64s = np.where(
        arrays.edge_first_ms > until_ms, 0, np.maximum(1, arrays.edge_sessions - added)
    )
    return sessions


def _places_of_clicks(paths: PathGraph, query: Int64s, item: Int64s) -> Int64s:
    """Return ``int64 [n]``, the place of each click among those of `paths`.

    -1: it is not there.
    """
    # Clicks are stored by query, then item: their codes ascend.
    num_items = max(1, len(paths.item_starts) - 1)
    counts = np.diff(paths.click_starts)
    codes = np.repeat(np.arange(len(counts)), counts) * num_items + paths.click_items
    asked = np.where((query >= 0) & (item >= 0), query * num_items + item, -1)
    return indexes_of(codes, asked)
