"""How the running session shifts a query's vector: what servers do, and what is
validated.
"""

from typing import NamedTuple

import numpy as np

from stream.dtypes import Float32s

NEWEST_MEMBERS = 10
"""Items of a session that count, and as many of its queries: the newest.

Chosen by hand: few sessions are longer, and what was long ago tells less. Twice as many
take twice the look-ups of an answer, some microseconds each.
"""


class ContextWeights(NamedTuple):
    """How far a session draws its next query; 0 and 0: not at all."""

    items: float = 0.0
    """Of the mean of the vectors of its items."""

    queries: float = 0.0
    """Of the mean of the vectors of its queries, the asked one left out."""


NO_CONTEXT = ContextWeights()


def shifted(
    query: Float32s, items: Float32s, queries: Float32s, weights: ContextWeights
) -> Float32s:
    """Return where a query points in its session, ``float32 [dim]`` of length one.

    The hypergraph channel gives a node the mean of the sessions that it is in; this is
    the session that is not in the graph yet: ``unit(q + a * mean(items) + b *
    mean(queries))``. Means are not scaled to length one: a session whose members have
    nothing in common draws less.

    Args:
        query: ``float32 [dim]``, a unit vector.
        items: ``float32 [num_items, dim]``, unit vectors of the session's items.
        queries: ``float32 [num_queries, dim]``, those of its queries.
        weights: what the two are worth.
    """
    shift = mean_of(items) * np.float32(weights.items)
    shift += mean_of(queries) * np.float32(weights.queries)
    if not shift.any():
        return query
    moved = query + shift
    length = float(np.linalg.norm(moved))
    # Opposite to its session to the last digit: it has no direction of its own then.
    if length > 0.0:
        moved /= np.float32(length)
        return moved
    return query


def mean_of(members: Float32s) -> Float32s:
    """Return the mean of some vectors ``float32 [n, dim]``; zeros where n is 0."""
    num_members, dim = members.shape
    if not num_members:
        return np.zeros(dim, dtype=np.float32)
    mean: Float32s = members.mean(axis=0, dtype=np.float32)
    return mean
