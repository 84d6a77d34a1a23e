"""The titles of items as texts that may be asked for: their hashed features, and which
are alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.data.texts import HashedTexts
from model.settings import ModelSettings
from protos.text import normalize_query
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays


@dataclass(frozen=True, kw_only=True)
class Titles:
    """What items are called, for those that may be asked for by their title.

    Attributes:
        item: ``int64 [num_titles]``, ascending: an item that is not deleted and whose
            title has words.
        name: ``int64 [num_items]``, the number of each item's title: equal in normal
            form, equal in number; -1: not among `item`.
        starts: ``int64 [num_titles + 1]``, where the terms of each title begin
        term: ``int64 [num_mentions]``, among these, as `HashedTexts` numbers them.
    """

    item: Int64s
    name: Int64s
    starts: Int64s
    term: Int64s

    def shares_word(self, texts: HashedTexts, node: Int64s, item: Int64s) -> Bools:
        """Return ``bool [n]``, whether each text has a term of the item's title; not
        where the item has none.

        Args:
            texts: with terms numbered as these.
            node: ``int64 [n]``, of which text.
            item: ``int64 [n]``, of which item.
        """
        place = np.minimum(np.searchsorted(self.item, item), max(len(self.item) - 1, 0))
        shares = np.zeros(len(item), dtype=np.bool_)
        if not len(self.item) or not len(texts.node):
            return shares
        with_title = np.flatnonzero(self.item[place] == item)
        lengths = (self.starts[place + 1] - self.starts[place])[with_title]
        pair = np.repeat(with_title, lengths)
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        term = self.term[self.starts[place[pair]] + within]
        is_asked = np.zeros(int(max(node.max(initial=0), texts.node[-1])) + 1, dtype=np.bool_)
        is_asked[node] = True
        own = np.flatnonzero(is_asked[texts.node])
        # A node and a term as one number.
        size = int(max(texts.term.max(initial=0), self.term.max(initial=0))) + 1
        known = texts.node[own] * size + texts.term[own]
        shares[pair[np.isin(node[pair] * size + term, known)]] = True
        return shares


def titles_of(arrays: GraphArrays) -> list[str]:
    """Return each item's title as a query would have it; empty: nothing to ask for."""
    return [
        "" if is_deleted else normalize_query(title)
        for title, is_deleted in zip(arrays.item_titles, arrays.item_deleted, strict=True)
    ]


def title_numbers(titles: Sequence[str]) -> Int64s:
    """Return ``int64 [num_titles]``: equal titles have equal numbers, empty ones -1."""
    number: dict[str, int] = {}
    return np.array(
        [number.setdefault(title, len(number)) if title else -1 for title in titles],
        dtype=np.int64,
    )


def index_titles(titles: Sequence[str], hashed: HashedTexts, row: Int64s) -> Titles:
    """Return the titles of items.

    Args:
        titles: of `titles_of`.
        hashed: texts, that of each title among them.
        row: ``int64 [num_items]``, which of them it is.
    """
    item = np.flatnonzero([bool(title) for title in titles]).astype(np.int64)
    begins = np.searchsorted(hashed.node, row[item])
    lengths = np.searchsorted(hashed.node, row[item], side="right") - begins
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    within = np.arange(starts[-1]) - np.repeat(starts[:-1], lengths)
    term = hashed.term[np.repeat(begins, lengths) + within]
    return Titles(item=item, name=title_numbers(titles), starts=starts, term=term)


def num_drawn(titles: Titles, settings: ModelSettings) -> int:
    """Return how many titles a step draws, to find their items."""
    return settings.num_titles if settings.title_loss and len(titles.item) else 0
