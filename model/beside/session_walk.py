"""The walk block of a vector: where clicks lead through sessions, beside the dimensions
of the network and of pretrained text.

What was in one session makes items alike: of the matrix ``N = D^-1/2 H^T H D^-1/2``,
with ``H`` the incidence of sessions and items and ``D`` the sessions of each item (its
entries are the cosines of Linden et al., 2003), a generation keeps the directions in
which it is largest. Each item is a row ``r`` of length one in them, and a query the
direction of the sum of its items' rows, each by ``ln(1 + sessions)``: the walk query,
item, session, item, folded into so many numbers. A mean over a whole session, which is
what the hypergraph channel hears, says little of each of its items; this counts who was
with whom.

A query that was never asked, or is clicked for nothing that sessions know, has a guess
by its words in place of a direction: a linear map of the rest of its vector, fitted to
the queries that have one (`WalkGuess`). It is the shorter the less the map knows.

An item's vector is ``[v, b r, f] / sqrt(1 + B^2)`` with ``b`` its scale, ``B`` the
largest and ``f = sqrt(B^2 - b^2)``, ``B`` where it has no direction: items are all
shrunk alike, so that a query without any direction ranks them as before. A query's is
``[v, a r, 0] / sqrt(1 + |a r|^2)``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from model.beside.joined import directions, joined, joined_alike
from model.errors import GenerationCorrupt
from stream.dtypes import Bools, Float32s

GUESS = "walk.guess"
"""Name of the array that `WalkGuess` is stored as, among those of the text encoder."""

# Weight of a map that guesses nothing, in queries. 1 and 100 give the same on three
# logs (docs/experiments.md); twice as much makes guesses of small shops shorter.
_RIDGE = 10.0
# Queries that the map is fitted to, evenly over all: 50 MB at 192 dimensions, in a
# second of a core. Twice as many take twice both.
_FITTED_QUERIES = 1 << 15


@dataclass(frozen=True, kw_only=True)
class WalkScales:
    """What the block counts beside the rest of a vector, which has length 1.

    Attributes:
        query: of queries that have a direction.
        new_query: of others, for which it is guessed.
        item: of items that have been clicked.
        new_item: of others.
    """

    query: float
    new_query: float
    item: float
    new_item: float

    @property
    def is_off(self) -> bool:
        """Whether the block adds nothing to any score."""
        return not ((self.query or self.new_query) and self.largest)

    @property
    def largest(self) -> float:
        """The largest of an item."""
        return max(self.item, self.new_item)

    def of_items(self, is_known: Bools) -> Float32s:
        """Return ``float32 [n]``, the scale of each item.

        Args:
            is_known: ``bool [n]``: it has been clicked.
        """
        return np.where(is_known, self.item, self.new_item).astype(np.float32)


WALK_OFF = WalkScales(query=0.0, new_query=0.0, item=0.0, new_item=0.0)


@dataclass(frozen=True, kw_only=True)
class WalkGuess:
    """Where walks may lead a query, by the rest of its vector.

    Attributes:
        matrix: ``float32 [rest + 1, dim - 1]``, of a vector and a one behind it.
    """

    matrix: Float32s

    def of(self, vectors: Float32s) -> Float32s:
        """Return ``float32 [n, dim - 1]``, shorter than a direction.

        Args:
            vectors: ``float32 [n, rest]``, unit vectors.
        """
        guesses: Float32s = vectors @ self.matrix[:-1] + self.matrix[-1]
        return guesses


def fitted_guess(vectors: Float32s, directions: Float32s) -> WalkGuess:
    """Return the map that leads from queries' vectors to their directions: of least
    squares, with a small weight on guessing nothing.

    Args:
        vectors: ``float32 [num_queries, rest]``, unit vectors.
        directions: ``float32 [num_queries, dim - 1]``, rows of length one; rows of
            zeros do not count.
    """
    has = np.flatnonzero(directions.any(axis=1))
    has = has[:: max(1, len(has) // _FITTED_QUERIES)]
    known = np.pad(vectors[has], ((0, 0), (0, 1)), constant_values=1.0).astype(np.float64)
    squares = known.T @ known + _RIDGE * np.eye(known.shape[1])
    matrix = np.linalg.solve(squares, known.T @ directions[has])
    return WalkGuess(matrix=matrix.astype(np.float32))


@dataclass(frozen=True, kw_only=True)
class WalkBlock:
    """The block of a generation.

    Attributes:
        dim: its length: one number more than a direction has.
        scales: what it counts.
        guess: of queries without a direction; None: they have nothing in its place, as
            in generations from before it.
    """

    dim: int
    scales: WalkScales
    guess: WalkGuess | None = field(default=None, compare=False)

    def queries(self, vectors: Float32s, directions: Float32s) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: ``float32 [n, rest]``, unit vectors.
            directions: ``float32 [n, dim - 1]``, rows of length one, or zeros where it
                is guessed.
        """
        rows = directions * np.float32(self.scales.query)
        if self.guess is not None and self.scales.new_query:
            new = np.flatnonzero(~directions.any(axis=1))
            rows[new] = self.guess.of(vectors[new]) * np.float32(self.scales.new_query)
        return joined(vectors, rows)

    def items(self, vectors: Float32s, directions: Float32s, is_known: Bools) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: as in `queries`.
            directions: as in `queries`.
            is_known: as in `WalkScales.of_items`.
        """
        return joined_alike(
            vectors, directions, self.scales.of_items(is_known), self.scales.largest
        )

    def without_sessions(self, vectors: Float32s, *, is_item: bool) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]`` of nodes that no session
        knows.
        """
        nothing = np.zeros((len(vectors), self.dim - 1), dtype=np.float32)
        if is_item:
            return self.items(vectors, nothing, np.zeros(len(vectors), dtype=np.bool_))
        return self.queries(vectors, nothing)

    def directions_of(self, vectors: Float32s) -> Float32s:
        """Return ``float32 [n, dim - 1]``, the directions in vectors as `items` returns
        them.
        """
        return directions(vectors[:, -self.dim : -1])

    def arrays(self) -> dict[str, Float32s]:
        """Return what `walk_block` reads, by name."""
        return {} if self.guess is None else {GUESS: self.guess.matrix}


def walk_block(
    arrays: Mapping[str, Float32s], *, rest: int, dim: int, scales: WalkScales
) -> WalkBlock:
    """Return the block of some stored arrays.

    Args:
        arrays: those of the text encoder; without a guess where it counts nothing.
        rest: length of the vectors that it stands beside.
        dim: as `WalkBlock` has it.
        scales: the same.

    Raises:
        GenerationCorrupt: the guess is missing or has another shape.
    """
    matrix = arrays.get(GUESS)
    if matrix is None and not scales.new_query:
        return WalkBlock(dim=dim, scales=scales)
    if matrix is None or matrix.shape != (rest + 1, dim - 1):
        found = "is missing" if matrix is None else f"has the shape {matrix.shape}"
        raise GenerationCorrupt(
            f"the array {GUESS} {found}, but vectors have {rest} numbers before the {dim} of "
            "walks through sessions; train again"
        )
    return WalkBlock(dim=dim, scales=scales, guess=WalkGuess(matrix=np.asarray(matrix)))
