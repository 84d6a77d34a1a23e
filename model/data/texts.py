"""The texts of queries and items as hashed features, grouped by term."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from protos.text import text_terms
from stream.dtypes import Int64s
from stream.graph.arrays import GraphArrays


@dataclass(frozen=True, kw_only=True)
class HashedTexts:
    """Hashed text features of nodes, by term: a word with its n-grams, or a pair of
    words.

    Few terms occur in many texts, so a term's features are summed once for all of them.

    Attributes:
        node: ``int64 [num_mentions]``, ascending: the node whose text
        term: ``int64 [num_mentions]``, has this term; a text that repeats it is listed
            as often.
        owner: ``int64 [num_features]``, ascending, the term of each feature; every term
            has one at least.
        feature: ``int64 [num_features]``, its row in `buckets`.
        buckets: ``int64 [num_rows]``, ascending hash buckets, those that occur.
    """

    node: Int64s
    term: Int64s
    owner: Int64s
    feature: Int64s
    buckets: Int64s

    @property
    def num_terms(self) -> int:
        """How many different terms there are."""
        return int(self.owner[-1]) + 1 if len(self.owner) else 0

    def lengths(self, num_nodes: int) -> Int64s:
        """Return ``int64 [num_nodes]``, how many features the text of each node has."""
        of_term = np.bincount(self.owner, minlength=self.num_terms)
        return np.bincount(self.node, weights=of_term[self.term], minlength=num_nodes).astype(
            np.int64
        )

    def first(self, num_texts: int) -> "HashedTexts":
        """Return the first texts alone, with the same numbers of terms and buckets."""
        end = int(np.searchsorted(self.node, num_texts))
        return replace(self, node=self.node[:end], term=self.term[:end])

    def flat(self) -> tuple[Int64s, Int64s]:
        """Return the node of each feature of each text, ascending, and the feature."""
        # Each mention of a term becomes as many rows as the term has features: `within`
        # counts them from 0 in each mention.
        of_term = np.bincount(self.owner, minlength=self.num_terms)
        starts, lengths = (np.cumsum(of_term) - of_term)[self.term], of_term[self.term]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self.node, lengths), self.feature[np.repeat(starts, lengths) + within]


def hash_texts(texts: Sequence[str], num_buckets: int) -> HashedTexts:
    """Hash the features of each text, and number the terms and the
    buckets that occur.
    """
    number: dict[tuple[int, ...], int] = {}
    terms = [
        [number.setdefault(term, len(number)) for term in text_terms(text, num_buckets)]
        for text in texts
    ]
    node, term = _rows_of(terms)
    owner, bucket = _rows_of(list(number))
    buckets, feature = np.unique(bucket, return_inverse=True)
    return HashedTexts(
        node=node, term=term, owner=owner, feature=feature.astype(np.int64), buckets=buckets
    )


def _rows_of(rows: Sequence[Sequence[int]]) -> tuple[Int64s, Int64s]:
    """Return the row of each number, and the numbers one after the other, ``int64``
    both.
    """
    lengths = [len(row) for row in rows]
    numbers = np.fromiter(chain.from_iterable(rows), np.int64, sum(lengths))
    return np.repeat(np.arange(len(rows), dtype=np.int64), lengths), numbers


def item_texts(arrays: GraphArrays) -> list[str]:
    """Return what the text tower reads of each item: its title, then its text."""
    return [
        f"{title} {text}" if text else title
        for title, text in zip(arrays.item_titles, arrays.item_texts, strict=True)
    ]
