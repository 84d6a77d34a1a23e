"""Rankers that learn no vectors: popularity, BM25 over titles, co-occurrence with query
expansion.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import bm25s
import numpy as np
import torch
from torch import Tensor

from model.data.texts import item_texts
from model.evaluation.holdout import Holdout
from protos.text import normalize_query
from stream.dtypes import Float32s, Int64s
from stream.graph.arrays import GraphArrays

# Weight of popularity beside a score: so small that it decides between equals only.
# Chosen by hand; twice as much would, too.
_TIE_BREAK = 1e-4
# What most search engines start BM25 with: saturation, and how much length counts.
_K1, _B = 1.2, 0.75
logging.getLogger("bm25s").setLevel(logging.WARNING)  # it sets DEBUG on import


class Ranker(Protocol):
    """Scores all items for queries."""

    def scores(self, queries: Int64s) -> Float32s:
        """Return ``float32 [len(queries), num_items]`` for queries given by their place
        in the texts.
        """


class Popularity:
    """Every query gets the items that were clicked most."""

    def __init__(self, holdout: Holdout) -> None:
        self._clicks = popularity(holdout.arrays)

    def scores(self, queries: Int64s) -> Float32s:
        """Return the same row for each query."""
        return np.broadcast_to(self._clicks, (len(queries), len(self._clicks))).copy()


@dataclass
class Bm25:
    """BM25 (Robertson and Zaragoza, 2009) of the query's words over the items' titles
    and texts, by bm25s.

    Items that score alike, such as those without any of the words, follow by
    popularity.
    """

    holdout: Holdout
    k1: float = _K1
    b: float = _B
    _words: "_WordIndex" = field(init=False)

    def __post_init__(self) -> None:
        texts = [normalize_query(text) for text in item_texts(self.holdout.arrays)]
        self._words = _WordIndex(texts, self.k1, self.b)
        self._clicks = popularity(self.holdout.arrays)

    def scores(self, queries: Int64s) -> Float32s:
        """Return BM25, plus a share of popularity that only decides between equals."""
        found = np.stack(
            [self._words.scores(self.holdout.texts[query]) for query in queries.tolist()]
        )
        return found + _TIE_BREAK * self._clicks / max(1.0, float(self._clicks.max(initial=0.0)))


@dataclass
class CoOccurrence:
    """Items seen in the same sessions as the items of the query, and of queries with
    the same words.

    A query's seeds are its clicked items, ``w = log(1 + clicks)``, and, times
    `expansion`, those of the ten most similar known queries by BM25, in proportion to
    their scores. The factors are tuned; the ten is chosen by hand, twice as many add
    weaker ones. An item scores its own seed weight and, times `neighbours`, the sum
    over seeds of ``w`` times the cosine of the two items over sessions (Linden et al.,
    2003).
    """

    holdout: Holdout
    # Where nothing is chosen on a validation part: both count as much as own clicks.
    # Ten alike queries are what the docstring says; twice as many add less alike ones.
    expansion: float = 1.0
    neighbours: float = 1.0
    num_alike: int = 10

    def __post_init__(self) -> None:
        arrays = self.holdout.arrays
        self._clicks = _click_matrix(arrays)
        self._sessions = _session_matrix(arrays)
        self._queries = _WordIndex(arrays.query_texts, _K1, _B)
        self._popularity = popularity(arrays)

    def scores(self, queries: Int64s) -> Float32s:
        """Return seeds and their neighbours, with popularity where neither scores an
        item.
        """
        alike = torch.from_numpy(np.stack([self._alike(query) for query in queries.tolist()]))
        seeds = torch.sparse.mm(self._clicks.T, alike.T)
        together = torch.sparse.mm(self._sessions.T, torch.sparse.mm(self._sessions, seeds))
        found: Float32s = (seeds + self.neighbours * together).T.numpy()
        largest = max(1.0, float(self._popularity.max(initial=0.0)))
        return found + np.float32(_TIE_BREAK / largest) * self._popularity

    def _alike(self, query: int) -> Float32s:
        """Return ``float32 [num_queries]``, how much each known query counts for this
        one.
        """
        arrays = self.holdout.arrays
        scores = self._queries.scores(self.holdout.texts[query])
        if query < arrays.num_queries:
            scores[query] = 0.0
        kept = np.zeros_like(scores)
        best = np.argsort(-scores, kind="stable")[: self.num_alike]
        best = best[scores[best] > 0]
        if len(best):
            kept[best] = self.expansion * scores[best] / scores[best].sum()
        if query < arrays.num_queries:
            kept[query] = 1.0
        return kept


def popularity(arrays: GraphArrays) -> Float32s:
    """Return ``float32 [num_items]``, how often each item was clicked
    out of a search.
    """
    return np.bincount(arrays.fact_item, minlength=arrays.num_items).astype(np.float32)


class _WordIndex:
    """BM25 over normalised texts."""

    def __init__(self, texts: Sequence[str], k1: float, b: float) -> None:
        self._num_texts = len(texts)
        self._words = {word for text in texts for word in text.split()}
        self._index: Any = bm25s.BM25(k1=k1, b=b) if self._words else None
        if self._index is not None:
            self._index.index([text.split() for text in texts], show_progress=False)

    def scores(self, text: str) -> Float32s:
        """Return ``float32 [num_texts]``; zeros where no text has any of the words."""
        words = [word for word in text.split() if word in self._words]
        if not words:
            return np.zeros(self._num_texts, dtype=np.float32)
        found: Float32s = np.asarray(self._index.get_scores(words), dtype=np.float32)
        return found


def _click_matrix(arrays: GraphArrays) -> Tensor:
    weights = np.log1p(arrays.edge_sessions).astype(np.float32)
    return _sparse(
        arrays.edge_query, arrays.edge_item, weights, (arrays.num_queries, arrays.num_items)
    )


def _session_matrix(arrays: GraphArrays) -> Tensor:
    """Return the incidence of sessions and items, columns scaled to length one."""
    counts = np.bincount(arrays.incidence_item, minlength=arrays.num_items).astype(np.float32)
    values = (1.0 / np.sqrt(counts[arrays.incidence_item])).astype(np.float32)
    shape = (max(1, arrays.num_sessions), arrays.num_items)
    return _sparse(arrays.incidence_session, arrays.incidence_item, values, shape)


def _sparse(rows: Int64s, columns: Int64s, values: Float32s, shape: tuple[int, int]) -> Tensor:
    place = torch.from_numpy(np.stack([rows, columns]))
    return torch.sparse_coo_tensor(
        place, torch.from_numpy(values), shape, check_invariants=False
    ).coalesce()
