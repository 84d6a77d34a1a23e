"""How the clicks since a training move a query's vector: what the fresh lane does, and
what is validated.
"""

import math
from typing import NamedTuple

import numpy as np

from model.sums import add_products
from stream.dtypes import Float32s, Float64s, Int64s


class NewClicks(NamedTuple):
    """Sessions that clicked items for some queries since a training.

    Attributes:
        place: ``int64 [n]``, which of the queries each is of.
        sessions: ``int64 [n]``, how many sessions, at least one.
        item: ``int64 [n]``, which of the items.
        items: ``float32 [num_items, dim]``, their vectors.
    """

    place: Int64s
    sessions: Int64s
    item: Int64s
    items: Float32s


class Reach(NamedTuple):
    """How near queries must come to what was clicked for them, weight or not.

    Attributes:
        cosine: of a query with the mean of its items, between 0 and 1.
        most: ``float64 [num_queries]``, what that mean may count at most beside a query
            to get there, a vector of length one; 0: nothing is asked of that query.
    """

    cosine: float
    most: Float64s


class FedBack(NamedTuple):
    """Queries once their new clicks count.

    Attributes:
        vectors: ``float32 [num_queries, dim]``, where they point, of length one.
        shifts: ``float64 [num_queries]``, how far each moves, at most, as the mean of
            its items moves by one; 0 where there is no new click.
    """

    vectors: Float32s
    shifts: Float64s


def fed_back(
    queries: Float32s, clicks: NewClicks, weight: float, reach: Reach | None = None
) -> FedBack:
    """Return where queries point once their new clicks count.

    Relevance feedback (Rocchio, 1971): ``unit(q + a * ln(1 + clicks) * mean(items))``,
    and further where `reach` says so. The network alone moves the vector of a query
    that it has learned next to nothing for a click, and cannot move a new one to an
    item that shares no word with it: it joins channels, and one click is one neighbour
    of little weight.

    A query without a new click stays as it is.

    Args:
        queries: ``float32 [num_queries, dim]`` unit vectors.
        clicks: their new clicks.
        weight: what they are worth.
        reach: how near they come at least; None: nothing is asked.
    """
    mean, strength = _pulls(clicks, len(queries), queries.shape[1])
    shift = weight * strength
    if reach is not None:
        shift = np.maximum(shift, _shifts_to(queries, mean, reach))
    moved = queries + (shift[:, None] * mean).astype(np.float32)
    lengths = np.sqrt(np.einsum("nd,nd->n", moved, moved))
    # Opposite to its items to the last digit: it has no direction of its own then. A
    # vector that is not finite stays so, for whoever looks for those.
    moves = mean.any(axis=1) & ~(lengths == 0.0)
    there: Float32s = queries.copy()
    there[moves] = moved[moves] / lengths[moves, None]
    shifts = np.divide(shift, lengths, out=np.zeros_like(shift), where=moves & (lengths > 0.0))
    return FedBack(there, shifts)


def pulls(clicks: NewClicks, num_queries: int, dim: int) -> Float32s:
    """Return ``float32 [num_queries, dim]``: ``ln(1 + clicks)`` times the mean of the
    items, each by ``ln(1 + sessions)``; zeros where there is no click.
    """
    mean, strength = _pulls(clicks, num_queries, dim)
    pull: Float32s = (mean * strength[:, None]).astype(np.float32)
    return pull


def _pulls(clicks: NewClicks, num_queries: int, dim: int) -> tuple[Float32s, Float64s]:
    """Return ``float32 [num_queries, dim]``, the mean of each query's items, and
    ``float64 [num_queries]``, ``ln(1 + clicks)``; zeros where there is none.
    """
    weight = np.log1p(clicks.sessions.astype(np.float64))
    whole = np.bincount(clicks.place, weight, minlength=num_queries)
    strength = np.log1p(np.bincount(clicks.place, clicks.sessions, minlength=num_queries))
    mean = np.zeros((num_queries, dim), dtype=np.float32)
    # By shares, not by weights and then divided: no product of a click is kept.
    add_products(mean, clicks.place, weight / whole[clicks.place], clicks.items, clicks.item)
    return mean, strength


def _shifts_to(queries: Float32s, mean: Float32s, reach: Reach) -> Float64s:
    """Return what the mean of each query's items must count beside it to have the
    cosine of `reach` with it, ``float64 [num_queries]``, at most as `reach` allows; 0
    where it has it.

    By the law of sines, in the triangle of the query, the shift and their sum.
    """
    length = np.sqrt(np.einsum("nd,nd->n", mean, mean, dtype=np.float64))
    has_mean = length > 0.0
    cosine = np.einsum("nd,nd->n", queries, mean, dtype=np.float64)
    cosine = np.divide(cosine, length, out=np.ones_like(cosine), where=has_mean)
    near = math.acos(reach.cosine)
    away = np.maximum(np.arccos(np.clip(cosine, -1.0, 1.0)) - near, 0.0)
    wanted = np.minimum(np.sin(away) / math.sin(near), reach.most)
    shifts: Float64s = np.divide(wanted, length, out=np.zeros_like(length), where=has_mean)
    return shifts
