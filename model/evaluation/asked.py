"""The clicks that a replay predicts, how they are grouped, and who learns when."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from model.errors import EvaluationRefused
from stream.dtypes import Bools, Int64s
from stream.graph.arrays import GraphArrays

CLICK_SEGMENTS = (
    *("all", "repeated", "unseen", "new_queries", "young_queries", "second_asks"),
    *("young_items", "newest_items"),
)
DAY_MS = 86_400_000  # a day, in milliseconds
_HOUR_MS = 3_600_000  # an hour, in milliseconds


@dataclass(frozen=True, kw_only=True)
class ReplayPlan:
    """Which clicks are predicted, and how often the streamed system is refreshed.

    Attributes:
        refresh_every: clicks from one refresh to the next.
        start_share: share of the clicks before the first predicted day. Half, chosen by
            hand: a larger one leaves fewer clicks to compare.
        days: predict only the clicks of the newest N days; None: all from `start_share`
            on.
    """

    refresh_every: int
    start_share: float = 0.5
    days: int | None = None


@dataclass(frozen=True, kw_only=True)
class AskedClicks:
    """The predicted clicks, in order of time, and the graph of the whole log that they
    are in.

    Attributes:
        whole: all of the log.
        fact: ``int64 [num_clicks]``, their facts.
    """

    whole: GraphArrays
    fact: Int64s

    @cached_property
    def ms(self) -> Int64s:
        """When each happened, ``int64 [num_clicks]``."""
        return self.whole.fact_ms[self.fact]

    @cached_property
    def query(self) -> Int64s:
        """The query of each, ``int64 [num_clicks]``."""
        return self.whole.fact_query[self.fact]

    @cached_property
    def item(self) -> Int64s:
        """The item of each, ``int64 [num_clicks]``."""
        return self.whole.fact_item[self.fact]

    def segment(self, name: str) -> Bools:
        """Return ``bool [num_clicks]``: which are in a segment of `CLICK_SEGMENTS`.

        A click is *repeated* where its pair was clicked before, *unseen* otherwise. A
        query is *new* at its first click, *young* for a day after it; its *second ask*
        is the second session that has it, where that comes within the day. An item is
        *young* at its first click and for a day after it, one of the *newest* for an
        hour.
        """
        if name == "all":
            return np.ones(len(self.fact), dtype=np.bool_)
        if name in ("repeated", "unseen"):
            age = self._age(
                self.whole.fact_query * max(1, self.whole.num_items) + self.whole.fact_item
            )
        else:
            age = self._age(
                self.whole.fact_item if name.endswith("_items") else self.whole.fact_query
            )
        chosen: Bools = {
            "repeated": age > 0,
            "unseen": age == 0,
            "new_queries": age == 0,
            "young_queries": (age > 0) & (age < DAY_MS),
            "second_asks": (age < DAY_MS) & (self._ask == 1),
            "young_items": age < DAY_MS,
            "newest_items": age < _HOUR_MS,
        }[name]
        return chosen

    @cached_property
    def _ask(self) -> Int64s:
        """Return for each predicted click how many sessions had its query before,
        ``int64 [num_clicks]``.
        """
        whole = self.whole
        pair, of_fact = np.unique(
            whole.fact_query * max(1, whole.num_sessions) + whole.fact_session,
            return_inverse=True,
        )
        first_ms = np.full(len(pair), np.iinfo(np.int64).max)
        np.minimum.at(first_ms, of_fact, whole.fact_ms)
        query = pair // max(1, whole.num_sessions)
        order = np.lexsort((first_ms, query))
        place = np.arange(len(pair)) - np.searchsorted(query, query)
        ask = np.empty(len(pair), dtype=np.int64)
        ask[order] = place
        asks: Int64s = ask[of_fact[self.fact]]
        return asks

    def _age(self, group: Int64s) -> Int64s:
        """Return for each predicted click how long ago its group of facts began,
        ``int64 [num_clicks]``.
        """
        _, number = np.unique(group, return_inverse=True)
        first = np.full(len(group), np.iinfo(np.int64).max)
        np.minimum.at(first, number, self.whole.fact_ms)
        age: Int64s = self.ms - first[number[self.fact]]
        return age


def clicks_of(whole: GraphArrays, plan: ReplayPlan) -> AskedClicks:
    """Return the predicted clicks of a plan, from the first midnight after its first
    part on.

    Raises:
        EvaluationRefused: there are none, or nothing comes before them.
    """
    if not len(whole.fact_ms):
        raise EvaluationRefused(
            "there is no click from a search to replay; give a log that has queries"
        )
    begin_ms = int(np.quantile(whole.fact_ms, plan.start_share, method="higher"))
    if plan.days is not None:
        begin_ms = max(begin_ms, int(whole.fact_ms.max()) - (plan.days - 1) * DAY_MS)
    begin_ms -= begin_ms % DAY_MS
    order = np.argsort(whole.fact_ms, kind="stable")
    fact = order[whole.fact_ms[order] >= begin_ms]
    if len(fact) == len(whole.fact_ms):
        raise EvaluationRefused(
            "all clicks are of one day: nothing comes before them; give a longer log"
        )
    return AskedClicks(whole=whole, fact=fact)


def midnights(ms: Int64s) -> list[int]:
    """Return the beginnings of the UTC days that have clicks, in order."""
    return [int(day) * DAY_MS for day in np.unique(ms // DAY_MS)]


def refreshes(ms: Int64s, every: int) -> list[int]:
    """Return the first midnight, then the time of every N-th click.

    AskedClicks of one time go together.
    """
    moments = np.unique(np.concatenate([ms[:1] // DAY_MS * DAY_MS, ms[every::every]]))
    return [int(moment) for moment in moments]
