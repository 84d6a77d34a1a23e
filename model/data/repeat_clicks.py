"""Clicks of queries that others had clicked something for shortly before."""

from dataclasses import dataclass

import numpy as np

from model.data.session_clicks import first_facts
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays
from stream.graph.keysets import run_starts


@dataclass(frozen=True, kw_only=True)
class RepeatClicks:
    """Clicks, and what was clicked for their queries before them, since a time.

    Attributes:
        session: ``int64 [num_clicks]``, the session of each.
        query: ``int64 [num_clicks]``, the query that was asked.
        item: ``int64 [num_clicks]``, the item that was clicked.
        is_unseen: ``bool [num_clicks]``: nobody had clicked that item for that query.
        place: ``int64 [n]``, ascending: which click each row below was before.
        before: ``int64 [n]``, an item that was clicked for its query.
        sessions: ``int64 [n]``, in how many sessions.
    """

    session: Int64s
    query: Int64s
    item: Int64s
    is_unseen: Bools
    place: Int64s
    before: Int64s
    sessions: Int64s

    def __len__(self) -> int:
        return len(self.query)


def repeat_clicks(
    arrays: GraphArrays, begin_ms: int, items: Bools, *, most: int, only_unseen: bool = False
) -> RepeatClicks:
    """Return clicks since a time whose query had a click between that time and them.

    Of a session's clicks for a query the first is taken: the graph has each item once,
    so that what a session clicked before cannot be what it clicked later, and whatever
    is drawn there would look worse than it is.

    Args:
        arrays: the graph that has them.
        begin_ms: when the first of them may be, UTC epoch milliseconds.
        items: ``bool [num_items]``, which items count.
        most: of more, as many are taken at even distances.
        only_unseen: only those of pairs that nobody had clicked before.
    """
    facts = first_facts(arrays, begin_ms)
    facts = facts[items[arrays.fact_item[facts]]]
    facts = facts[np.lexsort((arrays.fact_ms[facts], arrays.fact_query[facts]))]
    query, ms = arrays.fact_query[facts], arrays.fact_ms[facts]
    # In order of query, then time: what is before a click are the rows from the first
    # of its query to the first of its millisecond.
    begins = np.flatnonzero(run_starts(query))
    first = begins[np.cumsum(run_starts(query)) - 1]
    moments = np.flatnonzero(run_starts(query, ms))
    end = moments[np.cumsum(run_starts(query, ms)) - 1]
    is_unseen = arrays.edge_first_ms[arrays.edge_of_fact[facts]] >= ms
    _, opening = np.unique(
        query * max(1, arrays.num_sessions) + arrays.fact_session[facts], return_index=True
    )
    is_wanted = np.zeros(len(facts), dtype=np.bool_)
    is_wanted[opening] = True
    chosen = np.flatnonzero((end > first) & is_wanted & (is_unseen | (not only_unseen)))
    if len(chosen) > most:
        chosen = chosen[np.linspace(0, len(chosen) - 1, most).astype(np.int64)]
    rows = [
        np.unique(arrays.fact_item[facts[low:high]], return_counts=True)
        for low, high in zip(first[chosen].tolist(), end[chosen].tolist(), strict=True)
    ]
    fact, nothing = facts[chosen], np.zeros(0, dtype=np.int64)
    return RepeatClicks(
        session=arrays.fact_session[fact],
        query=arrays.fact_query[fact],
        item=arrays.fact_item[fact],
        is_unseen=is_unseen[chosen],
        place=np.repeat(np.arange(len(rows)), [len(before) for before, _ in rows]),
        before=np.concatenate([nothing, *(before for before, _ in rows)]),
        sessions=np.concatenate([nothing, *(count for _, count in rows)]),
    )
