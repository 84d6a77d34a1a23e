"""How the clicks since a training move a query's vector: what the fresh lane does, and
what is validated.
"""

from typing import NamedTuple

import numpy as np

from stream.dtypes import Float32s, Int64s


class NewClicks(NamedTuple):
    """Sessions that clicked items for some queries since a training.

    Attributes:
        place: ``int64 [n]``, which of the queries each is of.
        sessions: ``int64 [n]``, how many sessions, at least one.
        items: ``float32 [n, dim]``, the vectors of the items.
    """

    place: Int64s
    sessions: Int64s
    items: Float32s


def fed_back(queries: Float32s, clicks: NewClicks, weight: float) -> Float32s:
    """Return where queries point once their new clicks count, ``float32 [num_queries,
    dim]`` of length one.

    Relevance feedback (Rocchio, 1971): ``unit(q + a * ln(1 + clicks) * mean(items))``.
    The network alone moves the vector of a query that it has learned next to nothing
    for a click, and cannot move a new one to an item that shares no word with it: it
    joins channels, and one click is one neighbour of little weight.

    A query without a new click stays as it is.

    Args:
        queries: ``float32 [num_queries, dim]`` unit vectors.
        clicks: their new clicks.
        weight: what they are worth.
    """
    pull = pulls(clicks, len(queries), queries.shape[1])
    moved = queries + np.float32(weight) * pull
    lengths = np.sqrt(np.einsum("nd,nd->n", moved, moved))
    # Opposite to its items to the last digit: it has no direction of its own then. A
    # vector that is not finite stays so, for whoever looks for those.
    moves = pull.any(axis=1) & ~(lengths == 0.0)
    there: Float32s = queries.copy()
    there[moves] = moved[moves] / lengths[moves, None]
    return there


def pulls(clicks: NewClicks, num_queries: int, dim: int) -> Float32s:
    """Return ``float32 [num_queries, dim]``: ``ln(1 + clicks)`` times the mean of the
    items, each by ``ln(1 + sessions)``; zeros where there is no click.
    """
    weight = np.log1p(clicks.sessions.astype(np.float64))
    share = np.bincount(clicks.place, weight, minlength=num_queries)
    strength = np.log1p(np.bincount(clicks.place, clicks.sessions, minlength=num_queries))
    order = np.argsort(clicks.place, kind="stable")
    queries, firsts = np.unique(clicks.place[order], return_index=True)
    pull = np.zeros((num_queries, dim), dtype=np.float32)
    if len(queries):
        sums = np.add.reduceat(weight[order, None] * clicks.items[order], firsts, axis=0)
        pull[queries] = sums * (strength[queries] / share[queries])[:, None]
    return pull
