"""The prior of an item beside the rest of its vector: how often sessions have it,
whatever is asked for.

A network that is trained against popular items (`model.training.objective`) says how
well an item fits a query, and not that most people want few of those that fit. An
item's share is the root of the sessions that have it, clicked or seen, over those of
the item that most have: what a random walk over items and sessions makes of it in the
long run, up to a root (the first eigenvector of the walk's matrix). There is a least
share, and one of what nobody has clicked yet: that is not rare, it is new.

A query's vector is ``[v, s, 0] / sqrt(1 + s^2)`` with ``s^2`` what the prior counts
beside the rest, an item's ``[v, s p, s sqrt(1 - p^2)] / sqrt(1 + s^2)`` with ``p`` its
share: all are equally long in the rest, and score by it as before, ``s^2 p`` added.
"""

from dataclasses import dataclass

import numpy as np

from model.beside.joined import joined, joined_alike
from stream.dtypes import Bools, Float32s, Int64s

DIM = 2
"""How many numbers of a vector the block has."""


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


def seen_shares(sessions: Int64s) -> Float32s:
    """Return ``float32 [num_items]``, the share of each item, from 0 to 1.

    Args:
        sessions: ``int64 [num_items]``, how many have it.
    """
    shares: Float32s = np.sqrt(sessions / max(1, sessions.max(initial=0))).astype(np.float32)
    return shares


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What item priors are to count.

    Attributes:
        weight: of a share beside the rest's inner product.
        known_share: the least share of items that have been clicked.
        new_share: that of others.
    """

    weight: float
    known_share: float
    new_share: float

    def shares(self, seen: Float32s, is_known: Bools) -> Float32s:
        """Return ``float32 [num_items]``, from 0 to 1.

        Args:
            seen: ``float32 [num_items]``, as `seen_shares` returns them.
            is_known: ``bool [num_items]``: it has been clicked.
        """
        least = np.where(is_known, self.known_share, self.new_share).astype(np.float32)
        shares: Float32s = np.maximum(seen, least)
        return shares
