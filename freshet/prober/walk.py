"""Pure: what a probe publishes, and what an answer must then show.

A walk has three steps: a marked item enters the catalogue, a marked session clicks it
for a query, the item is deleted. One item, and as many queries as an hour has walks,
serve a probe for ever; what a session clicked is erased when its hour is over.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from protos.marks import PROBE_MARK
from stream.actions import Action
from stream.events.types import CatalogItem, Erasure, Interaction

_HOUR_MS = 3_600_000  # an hour

_KEPT_HOURS = 24
"""How many hours back a probe that starts erases: what one that was killed had left.
Twice as many are twice as many records of the erasures topic, at each start.
"""

_RISE = 1e-4
"""What the score of a clicked item must rise by: far above the rounding of cosines
(1e-7), far below what a click does (1e-2 and more). Twice as much changes nothing.
"""

Event = CatalogItem | Interaction


class Step(StrEnum):
    """What is tried; values of the label `step`."""

    ITEM = "item"
    CLICK = "click"
    DELETION = "deletion"


STEPS = tuple(Step)


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What an answer shows.

    Attributes:
        titles: of the marked items in it, by id.
        scores: of the same.
    """

    titles: Mapping[str, str]
    scores: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One step of one walk.

    Attributes:
        step: which.
        event: is published.
        query: is asked before and after.
        shows: whether an answer shows it, given the answer before.
    """

    step: Step
    event: Event
    query: str
    shows: Callable[[Seen, Seen], bool]


@dataclass(frozen=True)
class Walker:
    """Makes the walks of one probe.

    Args:
        name: of the probe; two on one system have different ones.
        walks_an_hour: how many queries take turns.
    """

    name: str
    walks_an_hour: int

    @property
    def item_id(self) -> str:
        """The marked item."""
        return f"{PROBE_MARK}{self.name}"

    def trials(self, number: int, now_ms: int) -> tuple[Trial, Trial, Trial]:
        """Return the steps of a walk.

        Args:
            number: of the walk.
            now_ms: UTC epoch milliseconds.
        """
        item, turn = self.item_id, number % self.walks_an_hour
        title = f"freshet probe {self.name} walk {number}"
        query = f"freshet probe {self.name} {turn}"
        click = Interaction(
            ts_ms=now_ms,
            session_id=self._session(now_ms // _HOUR_MS),
            user_id="",
            query=query,
            item_id=item,
            action=Action.CLICK,
        )
        return (
            Trial(
                step=Step.ITEM,
                event=CatalogItem(item_id=item, title=title, ts_ms=now_ms),
                query=title,
                shows=lambda _, now: now.titles.get(item) == title,
            ),
            Trial(
                step=Step.CLICK,
                event=click,
                query=query,
                shows=lambda before, now: _score(now, item) > _score(before, item) + _RISE,
            ),
            Trial(
                step=Step.DELETION,
                event=CatalogItem(item_id=item, deleted=True, ts_ms=now_ms + 1),
                query=title,
                shows=lambda _, now: item not in now.titles,
            ),
        )

    def deletion(self, now_ms: int) -> CatalogItem:
        """Return what removes the item."""
        return CatalogItem(item_id=self.item_id, deleted=True, ts_ms=now_ms)

    def leftovers(self, now_ms: int) -> list[Erasure]:
        """Return what erases the sessions of the last day but those of this hour."""
        hour = now_ms // _HOUR_MS
        return [self._erasure(hour - back, now_ms) for back in range(1, _KEPT_HOURS + 1)]

    def this_hour(self, now_ms: int) -> Erasure:
        """Return what erases the session of this hour."""
        return self._erasure(now_ms // _HOUR_MS, now_ms)

    def over(self, before_ms: int, now_ms: int) -> list[Erasure]:
        """Return what erases the sessions whose hour ended between two moments."""
        hours = range(before_ms // _HOUR_MS, now_ms // _HOUR_MS)
        return [self._erasure(hour, now_ms) for hour in hours]

    def _session(self, hour: int) -> str:
        return f"{PROBE_MARK}{self.name}:{hour}"

    def _erasure(self, hour: int, now_ms: int) -> Erasure:
        return Erasure(kind="session", id=self._session(hour), ts_ms=now_ms)


def _score(seen: Seen, item: str) -> float:
    return seen.scores.get(item, -1.0)
