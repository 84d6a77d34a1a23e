"""Tests of what a probe publishes, and of what it takes for an answer."""

from freshet.prober.walk import STEPS, Seen, Step, Walker
from protos.marks import is_marked
from stream.events.types import CatalogItem, Interaction

HOUR_MS = 3_600_000
NOW_MS = 500_000 * HOUR_MS
WALKER = Walker("here", 240)
NOTHING = Seen(titles={}, scores={})


def seen(title: str, score: float) -> Seen:
    """An answer with the probe's item."""
    return Seen(titles={WALKER.item_id: title}, scores={WALKER.item_id: score})


def test_all_that_is_published_is_marked() -> None:
    """Its item and its sessions, each of them."""
    for trial in WALKER.trials(7, NOW_MS):
        assert is_marked(trial.event.item_id)
        if isinstance(trial.event, Interaction):
            assert is_marked(trial.event.session_id)
    assert all(is_marked(each.id) for each in WALKER.leftovers(NOW_MS))


def test_each_step_is_shown_by_its_own_change() -> None:
    """A title that is new, a score that rises, an item that is not there."""
    item, click, deletion = WALKER.trials(7, NOW_MS)
    assert isinstance(item.event, CatalogItem)
    title = item.event.title

    assert [each.step for each in (item, click, deletion)] == list(STEPS)
    assert item.shows(NOTHING, seen(title, 0.1))
    assert not item.shows(NOTHING, seen("that of the walk before", 0.1))
    assert click.shows(seen(title, 0.1), seen(title, 0.2))
    assert not click.shows(seen(title, 0.1), seen(title, 0.1 + 1e-7))
    assert deletion.shows(seen(title, 0.1), NOTHING)
    assert not deletion.shows(NOTHING, seen(title, 0.1))


def test_a_day_of_walks_leaves_no_more_than_an_hours() -> None:
    """One item, a session an hour, and queries that take turns."""
    walks = [
        WALKER.trials(number, NOW_MS + 15_000 * number)
        for number in range(24 * WALKER.walks_an_hour)
    ]
    clicks = [trial.event for walk in walks for trial in walk if trial.step is Step.CLICK]
    sessions = {click.session_id for click in clicks if isinstance(click, Interaction)}
    facts = {(click.session_id, click.query) for click in clicks if isinstance(click, Interaction)}

    assert {trial.event.item_id for walk in walks for trial in walk} == {WALKER.item_id}
    assert len(sessions) == 24
    # None is known already, or its click would change nothing.
    assert len(facts) == len(clicks)
    assert len({trial.query for walk in walks for trial in walk if trial.step is Step.CLICK}) == 240


def test_what_an_hour_clicked_is_erased_when_it_is_over() -> None:
    """Once, and also where a probe was killed."""
    session = WALKER.this_hour(NOW_MS).id
    later = NOW_MS + HOUR_MS

    assert WALKER.over(NOW_MS, NOW_MS + 1000) == []
    assert [each.id for each in WALKER.over(NOW_MS, later)] == [session]
    assert session in {each.id for each in WALKER.leftovers(later)}
    assert session not in {each.id for each in WALKER.leftovers(NOW_MS)}
