"""What the recall of an index is measured with: known queries, unseen texts, the newest
items.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from model.artifact.encoder import TextEncoder
from protos.text import normalize_query
from stream.dtypes import Bools, Float32s, Int64s

# Questions of each kind: 2,000 places, a recall of .98 within .003. Twice as many: to
# 0.7 of that, in twice the time, which is half a second at 100,000 items.
_QUESTIONS = 200
# Fewer where the exact scan of so many would take longer than some 2 s of a core: 200
# up to a million items of 128 dimensions. Twice as many products take twice that.
_PRODUCTS = 200 * 1_000_000 * 128
# But never fewer: a recall within .006 then.
_LEAST_QUESTIONS = 50
# Words that people search for, who do not type whole titles; chosen by hand.
_WORDS = 2


class Kind(StrEnum):
    """Kinds of questions, each of which an index must answer by itself."""

    KNOWN = "known"
    UNSEEN = "unseen"
    NEWEST = "newest"


@dataclass(frozen=True, kw_only=True)
class IndexedItems:
    """The items of an index, by its ids.

    Attributes:
        vectors: ``float32 [n, dim]``, unit rows.
        titles: their titles; empty where the catalogue has none.
        catalog_ms: ``int64 [n]``, event time of the catalogue's state; 0: it has none.
        has_clicks: ``bool [n]``, whether anybody clicked it.
    """

    vectors: Float32s
    titles: Sequence[str]
    catalog_ms: Int64s
    has_clicks: Bools

    def newest(self, count: int) -> Int64s:
        """Return up to `count` items that came last: by the catalogue's time, those
        that nobody clicked before others.
        """
        return np.lexsort((self.has_clicks, -self.catalog_ms))[:count]


def ask(
    items: IndexedItems,
    query_texts: Sequence[str],
    query_vectors: Float32s,
    encoder: TextEncoder,
) -> Mapping[Kind, Float32s]:
    """Return the questions of each kind, ``float32 [num, dim]``; where there are no
    queries the items' own vectors stand in for them.

    Args:
        items: what the index holds.
        query_texts: normalised texts of all known queries.
        query_vectors: ``float32 [num_queries, dim]``, theirs.
        encoder: makes the vectors of texts that are not known.
    """
    count = _num_questions(*items.vectors.shape)
    known = query_vectors if len(query_vectors) else items.vectors
    newest = items.newest(count // 2)
    is_known = frozenset(query_texts).__contains__
    unseen = _texts(items.titles, _spread(len(items.titles), count), is_known)
    new = _texts(items.titles, newest, is_known)
    return {
        Kind.KNOWN: known[_spread(len(known), count)],
        Kind.UNSEEN: encoder.encode_all(unseen),
        Kind.NEWEST: np.concatenate([items.vectors[newest], encoder.encode_all(new)]),
    }


def _num_questions(num_items: int, dim: int) -> int:
    affordable = _PRODUCTS // max(1, num_items * dim)
    return max(_LEAST_QUESTIONS, min(_QUESTIONS, affordable))


def _spread(length: int, count: int) -> Int64s:
    """Return up to `count` positions, evenly spread over ``0..length - 1``."""
    taken = min(length, count)
    return np.arange(taken) * length // max(1, taken)


def _texts(titles: Sequence[str], rows: Int64s, is_known: Callable[[str], bool]) -> list[str]:
    """Return what could be searched for and was not: titles, and the beginning of every
    other one.
    """
    texts = []
    for place, row in enumerate(rows.tolist()):
        title = normalize_query(titles[row])
        text = " ".join(title.split()[:_WORDS]) if place % 2 else title
        if text and not is_known(text):
            texts.append(text)
    return texts
