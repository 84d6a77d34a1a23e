"""What waits for a round."""

from dataclasses import replace
from typing import Any

import numpy as np

from model.refresher.waiting.backlog import Backlog, Batch, Taken, erases, size_of
from protos.text import text_key
from stream.events.types import CatalogItem
from stream.feed.changes import EdgeChanges, ShardChanges, WriterMark
from testing.refresher.feeds import texts_by_key


def write(sequence: int, edges: int = 1) -> ShardChanges:
    """Return a write of so many edges."""
    keys = np.arange(edges, dtype=np.uint64)
    return ShardChanges(
        shard=0,
        sequence=sequence,
        edges=EdgeChanges(keys, keys, np.ones(edges, dtype=np.int64)),
    )


def batch(*changes: ShardChanges, reflected_ms: int = 0) -> Batch:
    """Return what a look brought."""
    marks = {0: WriterMark("w", max((each.sequence for each in changes), default=0))}
    return Batch(
        changes=changes, marks=marks, reflected={0: reflected_ms}, watermark_ms=0, is_end=True
    )


def item(name: str, **changes: Any) -> CatalogItem:
    """Return a state of the catalogue."""
    return CatalogItem(item_id=name, **changes)


def listing(sequence: int, *items: CatalogItem, **columns: Any) -> ShardChanges:
    """Return a write of states of the catalogue."""
    catalog = {text_key(each.item_id): each for each in items}
    return ShardChanges(shard=0, sequence=sequence, catalog=catalog, **columns)


def states_of(taken: Taken) -> set[str]:
    """Return the items whose states were taken before clicks."""
    return {each.item_id for part in taken.catalog for each in part.catalog.values()}


def reached(taken: Taken) -> int | None:
    """Return up to when all was taken; None: no batch is done."""
    return None if taken.done is None else taken.reflected_ms


def test_a_batch_is_done_with_its_last_write() -> None:
    """A round that takes a part of it claims nothing of it."""
    backlog = Backlog()
    backlog.add(batch(write(1), write(2, edges=8), reflected_ms=10))
    backlog.add(batch(write(3), reflected_ms=20))

    first, second, third = (backlog.take(3) for _ in range(3))

    taken = [[each.sequence for each in part.changes] for part in (first, second, third)]
    assert taken == [[1], [2], [3]]
    assert [reached(each) for each in (first, second, third)] == [None, 10, 20]
    assert (backlog.size, bool(backlog)) == (0, False)


def test_several_batches_fit_one_round() -> None:
    """The newest of them counts."""
    backlog = Backlog()
    for number in range(1, 4):
        backlog.add(batch(write(number), reflected_ms=number))

    taken = backlog.take(10)

    assert len(taken.changes) == 3
    assert reached(taken) == 3


def test_a_look_that_brought_nothing_says_how_far_the_last_one_goes_by_now() -> None:
    """What waits is not claimed for it."""
    backlog = Backlog()
    backlog.add(batch(write(1), write(2), reflected_ms=10))
    backlog.add(batch(reflected_ms=20))

    assert reached(backlog.take(1)) is None
    taken = backlog.take(1)

    assert [each.sequence for each in taken.changes] == [2]
    assert reached(taken) == 20


def test_nothing_waiting_is_taken_as_nothing() -> None:
    """And what only says how far it goes is done at once."""
    backlog = Backlog()
    assert (backlog.take(5).changes, backlog.take(5).done) == ([], None)

    backlog.add(batch(reflected_ms=20))
    taken = backlog.take(5)

    assert taken.changes == []
    assert reached(taken) == 20


def test_states_of_the_catalogue_are_taken_before_clicks() -> None:
    """What is gone whatever comes before it, then what is new, then the others; and a
    batch is done with the last of its states.
    """
    backlog = Backlog()
    backlog.add(batch(write(1, edges=50), listing(2, item("a"), item("b")), reflected_ms=10))
    new = listing(3, item("new"), item_names=texts_by_key("new"))
    gone = listing(4, item("gone", deleted=True), item("off", available=False))
    backlog.add(batch(new, gone, reflected_ms=20))

    assert backlog.num_urgent == 3
    urgent = backlog.take_urgent(3)
    assert states_of(urgent) == {"gone", "off", "new"}
    assert (backlog.num_urgent, urgent.writes, urgent.done) == (0, (), None)
    first = backlog.take(2)
    assert states_of(first) == {"a"}
    assert [each.sequence for each in first.writes] == [1]
    second, third = backlog.take(2), backlog.take(2)
    assert (states_of(second), states_of(third)) == ({"b"}, set())
    assert [reached(each) for each in (first, second, third)] == [None, 10, 20]


def test_a_batch_of_which_a_state_waits_is_not_done() -> None:
    """Though all of its clicks were taken, and later ones."""
    backlog = Backlog()
    names = [f"i-{number}" for number in range(6)]
    backlog.add(batch(listing(1, *map(item, names)), reflected_ms=10))
    backlog.add(batch(write(2), reflected_ms=20))

    taken = [backlog.take(4) for _ in range(3)]

    assert [len(states_of(each)) for each in taken] == [2, 4, 0]
    assert [each.sequence for part in taken for each in part.writes] == [1, 2]
    assert [reached(each) for each in taken] == [None, 20, None]


def test_an_older_state_does_not_overtake_a_newer_one() -> None:
    """Of each item the last that its shard stored is there alone, whatever its time."""
    backlog = Backlog()
    backlog.add(batch(listing(1, item("i", title="old")), write(2, edges=90)))
    backlog.add(batch(listing(3, item("i", deleted=True))))

    assert states_of(backlog.take_urgent(1)) == {"i"}
    rest = [backlog.take(1000) for _ in range(2)]
    assert [states_of(each) for each in rest] == [set(), set()]


def test_what_is_listed_again_is_not_gone() -> None:
    """Nor urgent: it was there before."""
    backlog = Backlog()
    backlog.add(batch(listing(1, item("i", deleted=True)), listing(2, item("i"))))

    assert backlog.num_urgent == 0
    assert states_of(backlog.take(9)) == {"i"}


def test_of_the_catalogue_is_claimed_what_went_ahead() -> None:
    """Though clicks wait before it; with what is urgent other states go, while they are
    few, so that all of them are claimed.
    """
    backlog = Backlog()
    backlog.add(batch(write(1, edges=90), listing(2, item("renamed")), reflected_ms=10))
    backlog.add(batch(listing(3, item("x", deleted=True)), write(4, edges=90), reflected_ms=20))
    prices = [item(f"price-{number}") for number in range(600)]
    backlog.add(batch(listing(5, *prices, item("y", deleted=True)), reflected_ms=30))

    first, second = (backlog.take_urgent(1000) for _ in range(2))
    rounds = [backlog.take(100), backlog.take(1000)]

    assert {"x", "y", "renamed"} <= states_of(first)
    assert (len(states_of(first)), len(states_of(second))) == (500, 103)
    claims = [(each.reflected_ms, each.catalog_reflected_ms) for each in (first, second, *rounds)]
    assert claims == [(0, 20), (0, 30), (10, 30), (30, 30)]


def test_of_the_catalogue_is_not_claimed_what_waits_behind_an_erasure() -> None:
    """Until the erasure is taken, with what comes before it."""
    backlog, key = Backlog(), text_key("i")
    erasure = ShardChanges(shard=0, sequence=2, gone_items=np.array([key], dtype=np.uint64))
    backlog.add(batch(write(1, edges=9), erasure, reflected_ms=10))
    backlog.add(batch(listing(3, item("i"), item("x", deleted=True)), reflected_ms=20))

    ahead = backlog.take_urgent(9)
    rounds = [backlog.take(1) for _ in range(3)]

    assert states_of(ahead) == {"x"}
    assert [each.catalog_reflected_ms for each in (ahead, *rounds)] == [10, 10, 10, 20]


def test_writes_say_what_they_make_true() -> None:
    """Where a round takes in a part of what a look brought."""
    backlog = Backlog()
    writes = [replace(write(number), reflected_ms=10 * number) for number in range(1, 6)]
    backlog.add(batch(*writes, reflected_ms=99))

    assert [backlog.take(2).reflected_ms for _ in range(3)] == [20, 40, 99]


def test_of_what_a_look_knows_too_little_of_nothing_is_claimed() -> None:
    """Such as where the changes of a shard are not all known."""
    backlog = Backlog()
    found = batch(replace(write(1), reflected_ms=10), reflected_ms=20)
    backlog.add(replace(found, reflected=None))

    taken = backlog.take(2)

    assert (taken.reflected_ms, taken.catalog_reflected_ms) == (0, 0)


def test_a_state_does_not_overtake_the_erasure_of_its_item() -> None:
    """Nor one that waits behind it; of another shard it does."""
    backlog, key = Backlog(), text_key("i")
    erasure = ShardChanges(shard=0, sequence=2, gone_items=np.array([key], dtype=np.uint64))
    listed = [listing(number, item("i", ts_ms=number, deleted=number > 3)) for number in (3, 4)]
    backlog.add(batch(write(1, edges=9), erasure, *listed))
    elsewhere = replace(listing(1, item("i", ts_ms=9, deleted=True)), shard=1)
    backlog.add(batch(elsewhere))

    ahead = backlog.take_urgent(9)
    rounds = [backlog.take(1) for _ in range(5)]
    backlog.add(batch(listing(5, item("i", deleted=True))))

    assert [each.shard for each in ahead.catalog] == [1]
    order = [(each.sequence, len(each.catalog)) for part in rounds for each in part.writes]
    assert order == [(1, 0), (2, 0), (3, 1), (4, 1), (1, 0)]
    assert not any(part.catalog for part in rounds)
    assert states_of(backlog.take_urgent(9)) == {"i"}


def test_what_is_gone_is_taken_in_the_midst_of_a_round() -> None:
    """It alone; of the catalogue is claimed with it what is before the first other
    state that waits, nothing where the round takes one, and of clicks nothing is.
    """
    backlog = Backlog()
    backlog.add(batch(write(1), reflected_ms=10))
    backlog.take(9)
    backlog.add(batch(write(2), listing(3, item("a", deleted=True)), reflected_ms=20))

    clear = backlog.take_within(9, gone_alone=True)
    backlog.add(batch(listing(4, item("b")), listing(5, item("c", deleted=True)), reflected_ms=30))
    beside_another = backlog.take_within(9, gone_alone=True)
    backlog.take(9)
    backlog.add(batch(listing(6, item("d", available=False)), reflected_ms=40))
    after_one_that_is_under_way = backlog.take_within(9, gone_alone=True)

    taken = (clear, beside_another, after_one_that_is_under_way)
    assert [states_of(each) for each in taken] == [{"a"}, {"c"}, {"d"}]
    assert [each.catalog_reflected_ms for each in taken] == [20, 20, 0]
    assert [(each.reflected_ms, each.writes, each.done) for each in taken] == [(0, (), None)] * 3


def test_what_a_round_has_of_a_state_that_waits_for_an_erasure_is_not_claimed() -> None:
    """In the midst of that round."""
    backlog, key = Backlog(), text_key("i")
    erasure = ShardChanges(shard=0, sequence=1, gone_items=np.array([key], dtype=np.uint64))
    backlog.add(batch(erasure, listing(2, item("i")), reflected_ms=10))
    backlog.take(9)
    backlog.add(batch(listing(3, item("a", deleted=True)), reflected_ms=20))

    taken = backlog.take_within(9, gone_alone=True)

    assert (states_of(taken), taken.catalog_reflected_ms) == ({"a"}, 0)


def test_a_state_does_not_overtake_the_erasure_that_is_under_way() -> None:
    """Which would take the item away again that it lists; the next round has it, and
    from then on its states are taken before clicks.
    """
    backlog, key = Backlog(), text_key("i")
    erasure = ShardChanges(shard=0, sequence=1, gone_items=np.array([key], dtype=np.uint64))
    backlog.add(batch(erasure))
    backlog.take(9)
    backlog.add(batch(listing(2, item("i"), item_names=texts_by_key("i"))))

    within = backlog.take_within(9, gone_alone=False)
    after = backlog.take(9)
    backlog.take(9)
    backlog.add(batch(listing(3, item("i", deleted=True))))

    assert states_of(within) == set()
    assert [(each.sequence, len(each.catalog)) for each in after.writes] == [(2, 1)]
    assert states_of(backlog.take_within(9, gone_alone=True)) == {"i"}


def test_a_write_has_a_size_of_at_least_one() -> None:
    """Names alone are work, too."""
    assert size_of(write(1, edges=7)) == 7
    assert size_of(ShardChanges(shard=0, sequence=1, query_names=texts_by_key("q"))) == 1


def test_an_erasure_that_leaves_nothing_is_told() -> None:
    """Of a query or of an item; a state of the catalogue is none."""
    key = np.ones(1, dtype=np.uint64)

    assert not erases([write(1), listing(2, item("i", deleted=True))])
    assert erases([write(1), ShardChanges(shard=0, sequence=2, gone_items=key)])
    assert erases([ShardChanges(shard=0, sequence=1, gone_queries=key)])


def test_in_an_open_pause_what_is_new_is_taken_too() -> None:
    """And others while they are few, as ahead of a round."""
    backlog = Backlog()
    backlog.add(batch(write(1), reflected_ms=10))
    backlog.take(9)
    new = listing(2, item("new"), item_names=texts_by_key("new"))
    backlog.add(batch(new, listing(3, item("other"), item("gone", deleted=True)), reflected_ms=20))

    taken = backlog.take_within(9, gone_alone=False)

    assert states_of(taken) == {"new", "other", "gone"}
    assert (taken.reflected_ms, taken.catalog_reflected_ms) == (0, 20)
