"""The prior of an item beside the rest of its vector: how often sessions have it,
whatever is asked for.

A network that is trained against popular items (`model.training.objective`) says how
well an item fits a query, and not that most people want few of those that fit. An
item's share is the root of the sessions that have it, clicked or seen, over those of
the item that most have: what a random walk over items and sessions makes of it in the
long run, up to a root (the first eigenvector of the walk's matrix). A session counts
half as much for each half-life that it is older than another: what is wanted now is
what was wanted lately. There is a least share, and one of what nobody has clicked yet:
that is not rare, it is new.

A query's vector is ``[v, s, 0] / sqrt(1 + s^2)`` with ``s^2`` what the prior counts
beside the rest, an item's ``[v, s p, s sqrt(1 - p^2)] / sqrt(1 + s^2)`` with ``p`` its
share: all are equally long in the rest, and score by it as before, ``s^2 p`` added.
"""

from dataclasses import dataclass

import numpy as np

from model.beside.joined import joined, joined_alike
from stream.dtypes import Bools, Float32s, Float64s, Int64s

DIM = 2
"""How many numbers of a vector the block has."""

_DAY_MS = 86_400_000.0  # a day, in milliseconds
# Items of sessions that must count together, each by its age; by hand. Twice as many: a
# shop of a few sessions a day goes by more days.
_ENOUGH = 100.0


@dataclass(frozen=True, kw_only=True)
class PriorBlock:
    """The block of a generation.

    Attributes:
        weight: what a share counts beside the rest's inner product; above 0.
        new_share: of items that are new since; what the least is of the others is in
            their shares.
    """

    weight: float
    new_share: float

    @property
    def dim(self) -> int:
        """Length of the block."""
        return DIM

    def queries(self, vectors: Float32s) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: ``float32 [n, rest]``, unit vectors.
        """
        return joined(vectors, np.full((len(vectors), 1), self._scale, dtype=np.float32))

    def items(self, vectors: Float32s, shares: Float32s) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: as in `queries`.
            shares: ``float32 [n]``, from 0 to 1.
        """
        rows = np.ones((len(vectors), 1), dtype=np.float32)
        scales = (self._scale * shares).astype(np.float32)
        return joined_alike(vectors, rows, scales, self._scale)

    def new_items(self, vectors: Float32s) -> Float32s:
        """Return the same of items that no session has."""
        return self.items(vectors, np.full(len(vectors), self.new_share, dtype=np.float32))

    def shares_of(self, vectors: Float32s) -> Float32s:
        """Return ``float32 [n]``, the shares in vectors as `items` returns them."""
        length = np.sqrt(1.0 + self.weight)
        shares: Float32s = np.clip(vectors[:, -DIM] * (length / self._scale), 0.0, 1.0)
        return shares.astype(np.float32)

    @property
    def _scale(self) -> float:
        return float(np.sqrt(self.weight))


def seen_shares(sessions: Float64s) -> Float32s:
    """Return ``float32 [num_items]``, the share of each item, from 0 to 1.

    Args:
        sessions: ``float64 [num_items]``, how many have it, each by what it counts.
    """
    most = sessions.max(initial=0.0) or 1.0
    shares: Float32s = np.sqrt(sessions / most).astype(np.float32)
    return shares


def recency(last_ms: Int64s, half_life_days: float) -> Float64s:
    """Return ``float64 [n]``, what sessions count by their age: the newest 1, one that
    is a half-life older half of that.

    Where so few count that the newest of them would decide alone, as after a quiet
    week, the half-life is doubled until enough do.

    Args:
        last_ms: ``int64 [n]``, when each ended.
        half_life_days: 0: all count alike.
    """
    if not half_life_days or not len(last_ms):
        return np.ones(len(last_ms), dtype=np.float64)
    days = (last_ms.max() - last_ms) / _DAY_MS
    while True:
        counts: Float64s = np.exp2(-days / half_life_days)
        if counts.sum() >= min(_ENOUGH, len(last_ms) / 2):
            return counts
        half_life_days *= 2.0


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What item priors are to count.

    Attributes:
        weight: of a share beside the rest's inner product.
        known_share: the least share of items that have been clicked.
        new_share: that of others.
        half_life_days: by which the age of sessions counts; 0: it does not.
    """

    weight: float
    known_share: float
    new_share: float
    half_life_days: float = 0.0

    def shares(self, seen: Float32s, is_known: Bools) -> Float32s:
        """Return ``float32 [num_items]``, from 0 to 1.

        Args:
            seen: ``float32 [num_items]``, as `seen_shares` returns them.
            is_known: ``bool [num_items]``: it has been clicked.
        """
        least = np.where(is_known, self.known_share, self.new_share).astype(np.float32)
        shares: Float32s = np.maximum(seen, least)
        return shares
