"""What the probes of freshness publish, and what must then be seen from outside.

Every probe has ids and words of its own, so that none is answered by another's traces.
What must exist before (a known query, a product that will be deleted) is part of the
history that the system starts from.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from random import Random

from stream.actions import Action
from stream.events.types import CatalogItem, Interaction

NEW_QUERY = "click on a new query, to changed answer"
KNOWN_QUERY = "click on a known query, to changed answer"
NEW_ITEM_BY_TITLE = "new item, to found by its title"
NEW_ITEM_BY_QUERY = "new item, first event to found by its query"
NEW_ITEM_BY_OTHER_WORDS = "new item, first event to found by other words"
GONE_ITEM = "deletion, to gone from answers"
DURABLE = "event, to durable in the graph"

KINDS = ("new_query", "known_query", "new_item", "gone_item", "other_words")
"""The kinds of probe: a click on a query that is new, or known; a product that is new,
whose query is its name; one that goes; and a new product whose query shares no word
with its title, so that one click alone leads there.
"""

_SYLLABLES = tuple(f"{head}{tail}" for head in "bdfgklmnprstvz" for tail in ("a", "e", "i", "o"))
# Spreads numbers that follow each other over the words: coprime to their count.
_STEP = 92_821
# What words are used for: two of each title, one of each kind of query.
_USES = 9
_DOOMED, _NAMES, _OTHER_NAMES = (0, 1), (2, 3), (4, 5)
_QUERY_USES = {"new": 6, "known": 7, "other": 8}
_OWN = "probe-"  # what ids of the probes' items begin with


class Change(Enum):
    """What makes an answer show a probe."""

    FOUND = "the item is among the first"
    GONE = "the item is not among the first any more"
    OWN_VECTOR = "the query is no longer answered by its text alone"
    FRESH_VECTOR = "the query is answered by a vector that is newer than the generation"
    RISEN = "the item's score is higher than before"


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked until the answer shows a probe.

    Attributes:
        figure: what the time until then measures.
        query: as typed.
        item_id: the item that is looked for; empty: the one that is clicked.
        change: what must be seen.
        is_of_catalog: whether a state of the catalogue alone brings it about, so that
            what the answer claims of the catalogue is what counts.
    """

    figure: str
    query: str
    item_id: str
    change: Change
    is_of_catalog: bool = False


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Events to publish, and the questions whose answers they must change.

    Attributes:
        events: published together, in this order; a click that names no item falls on
            one of the answer before (`clicked_of`).
        questions: asked before, and then until all answers show the probe.
        new_item_id: an item that no event named before, to look for in the graph;
            empty: none.
    """

    events: Sequence[Interaction | CatalogItem]
    questions: Sequence[Question]
    new_item_id: str = ""

    def clicking(self, item_id: str) -> "Probe":
        """Return the probe with its click on an item."""
        return replace(
            self,
            events=[
                event if event.item_id else replace(event, item_id=item_id) for event in self.events
            ],
            questions=[
                question if question.item_id else replace(question, item_id=item_id)
                for question in self.questions
            ],
        )


class ProbeMaker:
    """Makes probes, and what of them belongs to the history.

    A known query is known by a click on an item of its own: one that shoppers click
    would move it, and it would be fresh without the probe's click. It is called as one
    of the shop's, so that other probes, whose words are made up, do not find it.

    Args:
        titles: of the shop.
        num_prepared: how many probes of each kind the history is prepared for.
        has_lane: whether there is a fresh lane; without it, a known query is seen by
            its item's score, once another generation has learned the click.
    """

    def __init__(self, titles: Sequence[str], num_prepared: int, *, has_lane: bool) -> None:
        self._titles = titles
        self._num_prepared = num_prepared
        self._known_change = Change.FRESH_VECTOR if has_lane else Change.RISEN

    def history(self, now_ms: int) -> tuple[list[dict[str, str]], list[dict[str, object]]]:
        """Return the lines of the catalogue and of the events that probes need to find
        when they begin.
        """
        numbers = range(self._num_prepared)
        items = [{"item_id": _doomed_id(number), "title": _title(number)} for number in numbers]
        items += [
            {"item_id": _kept_id(number), "title": self._titles[number % len(self._titles)]}
            for number in numbers
        ]
        events: list[dict[str, object]] = [
            {
                "ts_ms": now_ms,
                "type": Action.CLICK.label,
                "session_id": f"before-{number}",
                "user_id": f"before-{number}",
                "query": _query("known", number),
                "item_id": _kept_id(number),
            }
            for number in numbers
        ]
        return items, events

    def probe(self, kind: str, number: int, now_ms: int) -> Probe:
        """Return the probe of a kind of `KINDS` with a number that the history is
        prepared for.
        """
        if kind == "new_query":
            return _click(NEW_QUERY, _query("new", number), Change.OWN_VECTOR, now_ms)
        if kind == "known_query":
            return _click(KNOWN_QUERY, _query("known", number), self._known_change, now_ms)
        if kind == "gone_item":
            return _gone_item(number, now_ms)
        return _new_item(number, now_ms, by_name=kind == "new_item")


def _click(figure: str, query: str, change: Change, now_ms: int) -> Probe:
    event = Interaction(
        ts_ms=now_ms,
        session_id=f"probe-{query}",
        user_id=f"probe-{query}",
        query=query,
        item_id="",
        action=Action.CLICK,
    )
    question = Question(figure=figure, query=query, item_id="", change=change)
    return Probe(events=[event], questions=[question])


def _new_item(number: int, now_ms: int, *, by_name: bool) -> Probe:
    """Return a product that nobody knows yet: its record, then a click from a query
    that is its name, or that shares no word with its title.
    """
    uses, kind = (_NAMES, "wanted") if by_name else (_OTHER_NAMES, "other")
    name, series = (_word(use, number) for use in uses)
    item_id = f"{_OWN}{kind}-{number}"
    query = f"{name} {series} {number}" if by_name else _query(kind, number)
    item = CatalogItem(item_id=item_id, title=f"{name} {series} novelty", ts_ms=now_ms)
    click = Interaction(
        ts_ms=now_ms,
        session_id=f"probe-{kind}-{number}",
        user_id=f"probe-{kind}-{number}",
        query=query,
        item_id=item_id,
        action=Action.CLICK,
    )
    by_query = Question(
        figure=NEW_ITEM_BY_QUERY if by_name else NEW_ITEM_BY_OTHER_WORDS,
        query=query,
        item_id=item_id,
        change=Change.FOUND,
        is_of_catalog=by_name,
    )
    by_title = Question(
        figure=NEW_ITEM_BY_TITLE,
        query=item.title,
        item_id=item_id,
        change=Change.FOUND,
        is_of_catalog=True,
    )
    questions = [by_title, by_query] if by_name else [by_query]
    return Probe(events=[item, click], questions=questions, new_item_id=item_id)


def _gone_item(number: int, now_ms: int) -> Probe:
    """Return the end of a product of the history: deleted, or every other time no
    longer available.
    """
    is_deleted = number % 2 == 0
    item = CatalogItem(
        item_id=_doomed_id(number),
        title=_title(number),
        available=is_deleted,
        deleted=is_deleted,
        ts_ms=now_ms,
    )
    question = Question(
        figure=GONE_ITEM,
        query=_title(number),
        item_id=item.item_id,
        change=Change.GONE,
        is_of_catalog=True,
    )
    return Probe(events=[item], questions=[question])


def clicked_of(item_ids: Sequence[str], first: int) -> str:
    """Return what a click falls on in an answer: of the first so many items the last
    that shoppers have, else the next one, since a click on another probe's item would
    change that one's answer; where there is none, the last of the first.
    """
    places = [*range(min(first, len(item_ids)) - 1, -1, -1), *range(first, len(item_ids))]
    found: list[str] = [item_ids[place] for place in places]
    return next((each for each in found if not each.startswith(_OWN)), found[0])


def interleaved(
    kinds: Sequence[str], first: int, count: int, every_seconds: float
) -> Iterator[tuple[float, str, int]]:
    """Yield (seconds from the start, kind, number) of probes, each kind at random
    within its part of each interval: what happens every second must not meet a probe at
    the same moment each time.

    Args:
        kinds: in turn.
        first: number of the first probe of each kind.
        count: probes of each kind.
        every_seconds: from one of a kind to its next.
    """
    random = Random(first)
    for number in range(count):
        for place, kind in enumerate(kinds):
            place_in_interval = (place + random.random()) / len(kinds)
            yield (number + place_in_interval) * every_seconds, kind, first + number


def _doomed_id(number: int) -> str:
    return f"{_OWN}doomed-{number}"


def _kept_id(number: int) -> str:
    return f"{_OWN}kept-{number}"


def _title(number: int) -> str:
    return " ".join([*(_word(use, number) for use in _DOOMED), "clearance"])


def _query(kind: str, number: int) -> str:
    return f"{_word(_QUERY_USES[kind], number)} {kind} {number}"


def _word(use: int, number: int) -> str:
    """Return a made-up word; another use or number is another word, up to some 19,000
    numbers.
    """
    size = len(_SYLLABLES)
    place = (use + _USES * number) * _STEP % size**3
    return "".join(_SYLLABLES[place // size**power % size] for power in (2, 1, 0))
