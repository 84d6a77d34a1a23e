"""A log split by time: the graph before a moment, and the query-item pairs that are new
after it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from model.data.session_clicks import SessionClicks, session_clicks
from model.errors import EvaluationRefused
from model.evaluation.own_titles import TitleQueries, title_queries
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
    "session_items",
    "session_pairs",
)
# Shares of a log's clicks: models are evaluated on the newest fifth, and tuned on the
# tenth before it. All of docs/benchmarks.md is measured so; other shares give other
# figures.
VALIDATION_SHARE, TEST_SHARE = 0.1, 0.2
# Clicks below which a query or an item is rare. Chosen by hand; the tables of
# docs/benchmarks.md go by it. Twice as many move queries from frequent to rare.
_RARE_CLICKS = 5


def _no_pairs() -> tuple[Int64s, Int64s]:
    return np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)


@dataclass(frozen=True, kw_only=True)
class Holdout:
    """What a model may learn from, and the pairs it is evaluated on.

    Attributes:
        arrays: the graph of the events before the moment, with the whole catalogue; of
            what models may learn of them.
        texts: normalised queries: those of `arrays` by their number, then new ones.
        query: ``int64 [num_edges]``, the query of each unseen pair, an index of
            `texts`.
        item: ``int64 [num_edges]``, its item, an index of the items of `arrays`.
        clicks: all clicks after the moment that have something before them in their
            session, pairs that the graph has among them, in the same numbering.
        hidden: query and item of each pair that was clicked before the moment and that
            models may not learn, ``int64 [num_hidden]`` each: nobody is asked for it,
            and it stands in nobody's way.
        titles: items that are asked for by their titles.
    """

    arrays: GraphArrays
    texts: list[str]
    query: Int64s
    item: Int64s
    clicks: SessionClicks
    hidden: tuple[Int64s, Int64s] = field(default_factory=_no_pairs)
    titles: TitleQueries = field(default_factory=TitleQueries.none)

    @property
    def seen(self) -> tuple[Int64s, Int64s]:
        """Query and item of each pair from before the moment, hidden ones included."""
        query, item = self.hidden
        return (
            np.concatenate([self.arrays.edge_query, query]),
            np.concatenate([self.arrays.edge_item, item]),
        )

    def segment(self, name: str) -> Bools:
        """Return ``bool [num_edges]``: which pairs are in a segment of `SEGMENTS`.

        All go by what models may learn of the time before the moment. Queries and items
        are *frequent* from five clicks out of a search, *rare* below, *new* with none.
        A pair is *isolated* where its query or its item has no edge at all (Han et al.,
        section 5.4: nodes that the bipartite graph alone has no information on). It is
        one of the *session items* where only sessions know its item: it has no click
        out of a search, but is in a hyperedge. It is one of the *session pairs* where,
        besides, a session joins its item to one that was clicked for its query: what
        query, item, session, item lead to, and no way of clicks alone.
        """
        if name == "all":
            return np.ones(len(self.query), dtype=np.bool_)
        arrays = self.arrays
        by_query = np.bincount(arrays.fact_query, minlength=len(self.texts))[self.query]
        by_item = np.bincount(arrays.fact_item, minlength=arrays.num_items)[self.item]
        if name == "isolated":
            isolated: Bools = (by_query == 0) | (by_item == 0)
            return isolated
        if name in ("session_items", "session_pairs"):
            in_session = np.bincount(arrays.incidence_item, minlength=arrays.num_items) > 0
            by_session: Bools = (by_item == 0) & in_session[self.item]
            return by_session if name == "session_items" else self._joined(by_session)
        kind, _, side = name.partition("_")
        clicks = by_query if side == "queries" else by_item
        chosen: Bools = {
            "frequent": clicks >= _RARE_CLICKS,
            "rare": (clicks > 0) & (clicks < _RARE_CLICKS),
            "new": clicks == 0,
        }[kind]
        return chosen

    def _joined(self, pairs: Bools) -> Bools:
        """Return ``bool [num_edges]``: which of some pairs have an item that is in a
        session with one that was clicked for their query.
        """
        arrays = self.arrays
        # Sessions by item: those of item i are at `starts[i]` to `starts[i + 1]`.
        sessions = arrays.incidence_session[np.argsort(arrays.incidence_item, kind="stable")]
        sizes = np.bincount(arrays.incidence_item, minlength=arrays.num_items)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        first_edge = np.searchsorted(arrays.edge_query, np.arange(len(self.texts) + 1))
        is_joined = np.zeros(len(pairs), dtype=np.bool_)
        for query in np.unique(self.query[pairs]).tolist():
            clicked = arrays.edge_item[first_edge[query] : first_edge[query + 1]]
            reached = [sessions[starts[item] : starts[item + 1]] for item in clicked.tolist()]
            if not reached:
                continue
            near = np.unique(np.concatenate(reached))
            for place in np.flatnonzero(pairs & (self.query == query)).tolist():
                item = self.item[place]
                own = sessions[starts[item] : starts[item + 1]]
                is_joined[place] = np.isin(own, near, assume_unique=True).any()
        return is_joined


def split_by_time(
    read: Callable[[int | None], GraphArrays],
    read_past: Callable[[int], GraphArrays] | None = None,
) -> tuple[Holdout, Holdout]:
    """Return the split to choose settings on, after 70% of the clicks, and the one to
    report, after 80%.

    What is asked does not depend on `read_past`: the clicks of a part whose pair was
    not clicked before, so that figures of models that may learn less can be compared.

    Args:
        read: returns the graph as the events before a time made it; None: all of it.
        read_past: returns what models may learn of the events before a time, all items
            included; None: everything.

    Returns: The validation split, evaluated on the clicks from 70% to 80%, and the test
    split, about the rest. The second has titles to ask for, too.

    Raises:
        EvaluationRefused: no pair is left to evaluate on, or none to learn from.
    """
    whole = read(None)
    if not len(whole.fact_ms):
        raise EvaluationRefused(
            "there is no click from a search to evaluate on; give a log that has queries"
        )
    shares = [1 - TEST_SHARE - VALIDATION_SHARE, 1 - TEST_SHARE]
    moments = (int(ms) for ms in np.quantile(whole.fact_ms, shares, method="higher"))
    begins_ms = [*moments, int(whole.fact_ms.max()) + 1]
    splits = []
    for begin_ms, end_ms, title in zip(
        begins_ms, begins_ms[1:], ("10% after the first 70%", "newest 20%"), strict=False
    ):
        past = read(begin_ms)
        learnt = past if read_past is None else read_past(begin_ms)
        split = _holdout(learnt, past, whole, begin_ms, end_ms)
        if not len(split.query) or not len(past.edge_query):
            raise EvaluationRefused(
                f"the {title} of the clicks hold no query-item pair that is new and whose item "
                "was known "
                "before; give a longer log, or its catalogue (--items)"
            )
        if not len(learnt.edge_query):
            raise EvaluationRefused(
                f"no click before the {title} has kept its query; hide fewer (--views-share), or "
                "give a longer log"
            )
        splits.append(split)
    validation, test = splits
    return validation, _with_titles(test)


def _holdout(
    known: GraphArrays, past: GraphArrays, whole: GraphArrays, begin_ms: int, end_ms: int
) -> Holdout:
    """Return the split of a period.

    Args:
        known: what models may learn of the time before it.
        past: all of the time before it, with the same items.
        whole: the whole log.
        begin_ms: of the period.
        end_ms: of the period.
    """
    in_period = (whole.fact_ms >= begin_ms) & (whole.fact_ms < end_ms)
    query_keys, item_keys = (
        whole.query_keys[whole.fact_query[in_period]],
        whole.item_keys[whole.fact_item[in_period]],
    )
    is_known = np.isin(item_keys, known.item_keys[~known.item_deleted])
    query_keys, item_keys = query_keys[is_known], item_keys[is_known]
    # Queries are numbered as in `known`, new ones behind them, both ascending by key.
    new_keys = np.setdiff1d(query_keys, known.query_keys)
    keys = np.concatenate([known.query_keys, new_keys])
    text_of = dict(zip(whole.query_keys.tolist(), whole.query_texts, strict=True))
    clicks = session_clicks(whole, begin_ms, end_ms=end_ms).renumbered(
        query=_numbers(keys, whole.query_keys),
        item=_numbers(known.item_keys, whole.item_keys, ~known.item_deleted),
        context_query=_numbers(known.query_keys, whole.query_keys),
    )
    num_items = max(1, known.num_items)
    asked = _numbers(keys, query_keys) * num_items + _numbers(known.item_keys, item_keys)
    past_query = _numbers(keys, past.query_keys)[past.edge_query]
    past_item = _numbers(known.item_keys, past.item_keys)[past.edge_item]
    clicked = (past_query * num_items + past_item)[(past_query >= 0) & (past_item >= 0)]
    learnt = known.edge_query * num_items + known.edge_item
    pairs, hidden = np.setdiff1d(asked, clicked), np.setdiff1d(clicked, learnt)
    return Holdout(
        arrays=known,
        texts=[*known.query_texts, *(text_of[key] for key in new_keys.tolist())],
        query=pairs // num_items,
        item=pairs % num_items,
        clicks=clicks,
        hidden=(hidden // num_items, hidden % num_items),
    )


def _with_titles(split: Holdout) -> Holdout:
    """Return a split with titles to ask for; those that are no query yet are added to
    its texts.
    """
    titles, new_texts = title_queries(split.arrays, split.texts)
    return replace(split, texts=[*split.texts, *new_texts], titles=titles)


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
