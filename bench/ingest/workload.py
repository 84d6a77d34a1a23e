"""The events that ingestion is measured with."""

from collections.abc import Iterator

import numpy as np

from stream.actions import Action
from stream.events.types import Interaction

START_MS = 1_767_225_600_000  # 2026-01-01
EVENTS_PER_SESSION = 5  # as the simulated shop has on average (4.9)
# A catalogue of a fifth, and queries of a quarter, of the edges: five edges an item.
_ITEMS_PER_EDGE, _QUERIES_PER_EDGE = 0.2, 0.25
_NEW_EDGE_SHARE = 0.2  # of events: the long tail, which costs a new name and more entries
_WORDS = (
    "red running shoes",
    "cordless drill",
    "usb c cable",
    "garden chair",
    "4k monitor",
    "espresso cups",
)
_CHUNK = 10_000


def shop_events(count: int, num_edges: int, *, seed: int) -> Iterator[Interaction]:
    """Yield events of sessions of five.

    A tenth views, the rest clicks, add-to-carts and purchases.

    Each event but a view falls on one of `num_edges` edges, some far more often than
    others, or, one in five, on an edge that is rarely seen again.
    """
    rng = np.random.default_rng(seed)
    for start in range(0, count, _CHUNK):
        size = min(_CHUNK, count - start)
        known = (num_edges * rng.random(size) ** 3).astype(np.int64)
        new = num_edges + rng.integers(0, max(count, 1), size)
        edges = np.where(rng.random(size) < _NEW_EDGE_SHARE, new, known).tolist()
        kinds = rng.random(size).tolist()
        for number, edge, kind in zip(range(start, start + size), edges, kinds, strict=True):
            yield _event(seed, number, edge, num_edges, kind)


def first_events(first_edge: int, num_edges: int, num_edges_at_last: int) -> Iterator[Interaction]:
    """Yield one click for each of `num_edges` new edges."""
    for edge in range(first_edge, first_edge + num_edges):
        yield _event(0, edge, edge, num_edges_at_last, 0.0)


def _event(seed: int, number: int, edge: int, num_edges: int, kind: float) -> Interaction:
    session = number // EVENTS_PER_SESSION
    query = int(edge * _QUERIES_PER_EDGE)
    is_view = kind >= 0.9  # noqa: PLR2004  # a tenth
    return Interaction(
        ts_ms=START_MS + 50 * number,
        session_id=f"session-{seed:02d}-{session:09d}",
        user_id=f"user-{session % 50_021:06d}",
        query="" if is_view else f"{_WORDS[query % len(_WORDS)]} {query}",
        item_id=f"item-{edge * 2_654_435_761 % (int(num_edges * _ITEMS_PER_EDGE) + 1):08d}",
        action=_action(kind),
    )


def _action(kind: float) -> Action:
    if kind >= 0.9:  # noqa: PLR2004  # shares of the actions
        return Action.VIEW
    if kind >= 0.83:  # noqa: PLR2004
        return Action.ADD_TO_CART
    return Action.PURCHASE if kind >= 0.8 else Action.CLICK  # noqa: PLR2004
