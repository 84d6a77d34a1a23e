"""Pure: evaluates a generation on the clicks that it has not learned."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from model.artifact.generation import Generation
from model.data.parent import ParentRows, learned_by, rows_in
from model.ranking import figures_by_query, scored_ranks
from stream.dtypes import Bools, Float32s, Float64s, Int64s
from stream.graph.arrays import GraphArrays

_LATE_MS = 3_600_000
"""How long before the newest event of a generation a pair may have come that it has not
learned, and still be new: an event that was late. What is older was added to the past,
such as a backfill, and what it says of last year is no news of the answers of today.
Twice as long lets in twice as much of that.
"""


class Segment(StrEnum):
    """Which queries; values of the label `segment`."""

    ALL = "all"
    KNOWN = "known"
    """Those that the generation has a vector of."""


class Figure(StrEnum):
    """What is measured of each query (`model.ranking.Quality`); values of the label
    `figure`.
    """

    MRR = "mrr"
    RECALL_10 = "recall_10"


@dataclass(frozen=True, slots=True)
class Sample:
    """A figure of some queries, summed up.

    Attributes:
        num: how many queries.
        total: the sum of their figures.
        squares: the sum of their squares.
    """

    num: int = 0
    total: float = 0.0
    squares: float = 0.0

    @classmethod
    def of(cls, values: Float64s) -> "Sample":
        """Return the sample of some values, ``float64 [num]``."""
        return cls(len(values), float(values.sum()), float((values * values).sum()))

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(self.num + other.num, self.total + other.total, self.squares + other.squares)

    @property
    def mean(self) -> float:
        """The mean; of no query there is none."""
        return self.total / self.num

    @property
    def mean_variance(self) -> float:
        """The variance of the mean, at least two queries given."""
        return max(0.0, self.squares / self.num - self.mean**2) / (self.num - 1)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """How a generation answered clicks that it had not learned.

    Attributes:
        generation_id: which.
        at_ms: when it was evaluated, UTC epoch milliseconds.
        num_pairs: pairs of query and item that were looked for.
        samples: by segment and figure.
    """

    generation_id: str
    at_ms: int
    num_pairs: int
    samples: Mapping[tuple[Segment, Figure], Sample]


def evaluate_newest(
    generation: Generation, arrays: GraphArrays, most_queries: int, now_ms: int
) -> Evaluation | None:
    """Rank the items of pairs that a generation has not learned, for their queries.

    A pair counts once, whatever the number of its clicks; an item that the generation
    does not have, or does not show, is not found. Items that it has learned of a query
    are not ranked for it. What the overlay would answer is left out: it has learned
    the clicks. Clicks of long before its newest event are left out, too: a backfill.

    Args:
        generation: the live one.
        arrays: the graph of now.
        most_queries: those with the newest pairs are taken, with all of theirs.
        now_ms: the time to put down.

    Returns:
        The evaluation; None: nothing came that it has not learned and could show.
    """
    rows = rows_in(generation, arrays.query_keys, arrays.item_ids)
    is_learned = learned_by(generation, arrays, rows).sessions > 0
    is_new = arrays.edge_first_ms >= generation.manifest.snapshot.watermark_ms - _LATE_MS
    can_be_shown = (arrays.item_available & ~arrays.item_deleted)[arrays.edge_item]
    pairs = _newest(arrays, np.flatnonzero(~is_learned & is_new & can_be_shown), most_queries)
    if not len(pairs):
        return None
    chosen = np.unique(arrays.edge_query[pairs])
    query = np.searchsorted(chosen, arrays.edge_query[pairs])
    ranks = _ranks(
        generation,
        _vectors(generation, rows, arrays, chosen),
        (query, rows.item[arrays.edge_item[pairs]]),
        _seen(arrays, rows, is_learned, chosen),
    )
    figures = figures_by_query(ranks, query)
    is_known = rows.query[chosen] >= 0
    return Evaluation(
        generation_id=generation.id,
        at_ms=now_ms,
        num_pairs=len(pairs),
        samples={
            (segment, figure): Sample.of(figures[figure][of_segment])
            for segment, of_segment in (
                (Segment.ALL, np.ones_like(is_known)),
                (Segment.KNOWN, is_known),
            )
            for figure in Figure
        },
    )


def _newest(arrays: GraphArrays, pairs: Int64s, most_queries: int) -> Int64s:
    """Return all pairs of the queries that have the newest of them."""
    newest_first = pairs[np.argsort(-arrays.edge_first_ms[pairs], kind="stable")]
    queries, first = np.unique(arrays.edge_query[newest_first], return_index=True)
    chosen = queries[np.argsort(first, kind="stable")[:most_queries]]
    return pairs[np.isin(arrays.edge_query[pairs], chosen)]


def _vectors(
    generation: Generation, rows: ParentRows, arrays: GraphArrays, queries: Int64s
) -> Float32s:
    """Return what the generation searches with, ``float32 [len(queries), dim]``: a
    vector that it has, else its text encoder's.
    """
    row = rows.query[queries]
    vectors = np.empty((len(queries), generation.manifest.dim), dtype=np.float32)
    vectors[row >= 0] = generation.query_vectors[row[row >= 0]]
    encoder = generation.text_encoder()
    for place in np.flatnonzero(row < 0).tolist():
        vectors[place] = encoder.encode(arrays.query_texts[queries[place]])
    return vectors


def _seen(
    arrays: GraphArrays, rows: ParentRows, is_learned: Bools, queries: Int64s
) -> tuple[Int64s, Int64s]:
    """Return the learned edges of some queries: places among these, and item rows."""
    edges = np.flatnonzero(is_learned & np.isin(arrays.edge_query, queries))
    item = rows.item[arrays.edge_item[edges]]
    edges, item = edges[item >= 0], item[item >= 0]
    return np.searchsorted(queries, arrays.edge_query[edges]), item


def _ranks(
    generation: Generation,
    vectors: Float32s,
    pairs: tuple[Int64s, Int64s],
    seen: tuple[Int64s, Int64s],
) -> Float64s:
    """Return the rank of each pair's item among those shown, ``float64 [num_pairs]``;
    infinity: the generation cannot answer with it.
    """
    is_shown = np.zeros(len(generation.item_vectors), dtype=np.bool_)
    is_shown[generation.index_items] = True

    def scores_of(queries: Int64s) -> Float32s:
        scores: Float32s = vectors[queries] @ generation.item_vectors.T
        scores[:, ~is_shown] = -np.inf
        return scores

    query, item = pairs
    ranks = np.full(len(query), np.inf)
    can_answer = item >= 0
    can_answer[can_answer] = is_shown[item[can_answer]]
    ranks[can_answer] = scored_ranks(
        scores_of, len(is_shown), (query[can_answer], item[can_answer]), seen
    )
    return ranks
