"""A log split by time: the graph before a moment, and the query-item pairs that are new
after it.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from model.data.session_clicks import SessionClicks, session_clicks
from model.errors import EvaluationRefused
from stream.dtypes import Bools, Int64s
from stream.events.columns import Keys
from stream.graph.arrays import GraphArrays

SEGMENTS = (
    "all",
    "frequent_queries",
    "rare_queries",
    "new_queries",
    "frequent_items",
    "rare_items",
    "new_items",
    "isolated",
)
# Shares of a log's clicks: models are evaluated on the newest fifth, and tuned on the
# tenth before it. All of docs/benchmarks.md is measured so; other shares give other
# figures.
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
# Clicks below which a query or an item is rare. Chosen by hand; the tables of
# docs/benchmarks.md go by it. Twice as many move queries from frequent to rare.
_RARE_CLICKS = 5


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """What a model may learn from, and the pairs it is evaluated on.

    Attributes:
        arrays: the graph of the events before the moment, with the whole catalogue.
        texts: normalised queries: those of `arrays` by their number, then new ones.
        query: ``int64 [num_edges]``, the query of each unseen pair, an index of
            `texts`.
        item: ``int64 [num_edges]``, its item, an index of the items of `arrays`.
        clicks: all clicks after the moment that have something before them in their
            session, pairs that the graph has among them, in the same numbering.
    """

    arrays: GraphArrays
    texts: list[str]
    query: Int64s
    item: Int64s
    clicks: SessionClicks

    @property
    def seen(self) -> tuple[Int64s, Int64s]:
        """Query and item of each pair that the graph has."""
        return self.arrays.edge_query, self.arrays.edge_item

    def segment(self, name: str) -> Bools:
        """Return ``bool [num_edges]``: which pairs are in a segment of `SEGMENTS`.

        Queries and items are *frequent* from five clicks out of a search before the
        moment, *rare* below, *new* with none. A pair is *isolated* where its query or
        its item has no edge at all (Han et al., section 5.4: nodes that the bipartite
        graph alone has no information on).
        """
        if name == "all":
            return np.ones(len(self.query), dtype=np.bool_)
        by_query = np.bincount(self.arrays.fact_query, minlength=len(self.texts))[self.query]
        by_item = np.bincount(self.arrays.fact_item, minlength=self.arrays.num_items)[self.item]
        if name == "isolated":
            isolated: Bools = (by_query == 0) | (by_item == 0)
            return isolated
        kind, _, side = name.partition("_")
        clicks = by_query if side == "queries" else by_item
        chosen: Bools = {
            "frequent": clicks >= _RARE_CLICKS,
            "rare": (clicks > 0) & (clicks < _RARE_CLICKS),
            "new": clicks == 0,
        }[kind]
        return chosen


def split_by_time(read: Callable[[int | None], GraphArrays]) -> tuple[Holdout, Holdout]:
    """Return the split to choose settings on, after 70% of the clicks, and the one to
    report, after 80%.

    Args:
        read: returns the graph as the events before a time made it; None: all of it.

    Returns: The validation split, evaluated on the clicks from 70% to 80%, and the test
    split, about the rest.

    Raises:
        EvaluationRefused: no pair is left to evaluate on.
    """
    whole = read(None)
    if not len(whole.fact_ms):
        raise EvaluationRefused(
            "there is no click from a search to evaluate on; give a log that has queries"
        )
    shares = [1 - TEST_SHARE - VALIDATION_SHARE, 1 - TEST_SHARE]
    validation_ms, test_ms = (int(ms) for ms in np.quantile(whole.fact_ms, shares, method="higher"))
    end_ms = int(whole.fact_ms.max()) + 1
    splits = (
        _holdout(read(validation_ms), whole, validation_ms, test_ms),
        _holdout(read(test_ms), whole, test_ms, end_ms),
    )
    for split, title in zip(splits, ("10% after the first 70%", "newest 20%"), strict=True):
        if not len(split.query) or not len(split.arrays.edge_query):
            raise EvaluationRefused(
                f"the {title} of the clicks hold no query-item pair that is new and whose item "
                "was known "
                "before; give a longer log, or its catalogue (--items)"
            )
    return splits


def _holdout(known: GraphArrays, whole: GraphArrays, begin_ms: int, end_ms: int) -> Holdout:
    in_period = (whole.fact_ms >= begin_ms) & (whole.fact_ms < end_ms)
    query_keys, item_keys = (
        whole.query_keys[whole.fact_query[in_period]],
        whole.item_keys[whole.fact_item[in_period]],
    )
    is_known = np.isin(item_keys, known.item_keys[~known.item_deleted])
    query_keys, item_keys = query_keys[is_known], item_keys[is_known]
    # Queries are numbered as in `known`, new ones behind them, both ascending by key.
    new_keys = np.setdiff1d(query_keys, known.query_keys)
    text_of = dict(zip(whole.query_keys.tolist(), whole.query_texts, strict=True))
    query = np.searchsorted(known.query_keys, query_keys).astype(np.int64)
    is_new = np.isin(query_keys, new_keys)
    query[is_new] = known.num_queries + np.searchsorted(new_keys, query_keys[is_new])
    item = np.searchsorted(known.item_keys, item_keys).astype(np.int64)
    clicks = session_clicks(whole, begin_ms, end_ms=end_ms).renumbered(
        query=_numbers(np.concatenate([known.query_keys, new_keys]), whole.query_keys),
        item=_numbers(known.item_keys, whole.item_keys, ~known.item_deleted),
        context_query=_numbers(known.query_keys, whole.query_keys),
    )
    num_items = max(1, known.num_items)
    pairs = np.setdiff1d(query * num_items + item, known.edge_query * num_items + known.edge_item)
    return Holdout(
        arrays=known,
        texts=[*known.query_texts, *(text_of[key] for key in new_keys.tolist())],
        query=pairs // num_items,
        item=pairs % num_items,
        clicks=clicks,
    )


def _numbers(keys: Keys, wanted: Keys, is_there: Bools | None = None) -> Int64s:
    """Return the place of each wanted key among some, ``int64``; -1 where it is not
    among those that are there.
    """
    order = np.argsort(keys, kind="stable")
    place = np.minimum(np.searchsorted(keys[order], wanted), max(0, len(keys) - 1))
    found = order[place] if len(keys) else np.full(len(wanted), -1, dtype=np.int64)
    is_found = keys[found] == wanted if len(keys) else np.zeros(len(wanted), dtype=np.bool_)
    if is_there is not None:
        is_found &= is_there[found]
    return np.where(is_found, found, -1).astype(np.int64)
