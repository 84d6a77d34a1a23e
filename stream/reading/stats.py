"""How much there is in a graph."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


@dataclass(frozen=True, kw_only=True)
class GraphStats:
    """How much there is in a graph.

    Attributes:
        facts: (session, query or none, item, action) seen at least once, folded ones
            left out.
        sessions: sessions with at least one of these.
        queries: distinct normalised queries.
        items: distinct items, in the catalogue or in a fact.
        edges: query-item pairs with a click, add-to-cart or purchase.
        hyperedges: those of them of at least two distinct items.
        incidences: items over all hyperedges.
        catalog_items: items in the catalogue, deleted ones included.
        watermark_ms: minimum over shards of the largest event time applied; None:
            nothing was applied.
        bytes_on_disk: of the shards' files.
    """

    facts: int
    sessions: int
    queries: int
    items: int
    edges: int
    hyperedges: int
    incidences: int
    catalog_items: int
    watermark_ms: int | None
    bytes_on_disk: int


class GraphSummary(NamedTuple):
    """What one pass over the graph tells."""

    graph_hash: str
    stats: GraphStats


def count(records: Iterator[object]) -> int:
    """Return how many there are; all are read."""
    return sum(1 for _ in records)


def folder_bytes(path: Path) -> int:
    """Return what the files of a folder take on disk; 0 where it is gone."""
    return sum(map(_file_bytes, path.glob("*")))  # none where the shard changes hands right now


def _file_bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # compacted away since it was listed
