"""What waits for a round."""

import numpy as np

from model.refresher.backlog import Backlog, Batch, is_urgent, size_of
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
        changes=changes, marks=marks, reflected_ms=reflected_ms, watermark_ms=0, is_end=True
    )


def test_a_batch_is_done_with_its_last_write() -> None:
    """A round that takes a part of it claims nothing of it."""
    backlog = Backlog()
    backlog.add(batch(write(1), write(2, edges=8), reflected_ms=10))
    backlog.add(batch(write(3), reflected_ms=20))

    first, nothing = backlog.take(3)
    second, done = backlog.take(3)
    third, last = backlog.take(3)

    assert [[each.sequence for each in part] for part in (first, second, third)] == [[1], [2], [3]]
    assert nothing is None
    assert done is not None
    assert last is not None
    assert (done.reflected_ms, last.reflected_ms) == (10, 20)
    assert (backlog.size, bool(backlog)) == (0, False)


def test_several_batches_fit_one_round() -> None:
    """The newest of them counts."""
    backlog = Backlog()
    for number in range(1, 4):
        backlog.add(batch(write(number), reflected_ms=number))

    taken, done = backlog.take(10)

    assert len(taken) == 3
    assert done is not None
    assert done.reflected_ms == 3


def test_a_look_that_brought_nothing_says_how_far_the_last_one_goes_by_now() -> None:
    """What waits is not claimed for it."""
    backlog = Backlog()
    backlog.add(batch(write(1), write(2), reflected_ms=10))
    backlog.add(batch(reflected_ms=20))

    assert backlog.take(1)[1] is None
    taken, done = backlog.take(1)

    assert [each.sequence for each in taken] == [2]
    assert done is not None
    assert done.reflected_ms == 20


def test_nothing_waiting_is_taken_as_nothing() -> None:
    """And what only says how far it goes is done at once."""
    backlog = Backlog()
    assert backlog.take(5) == ([], None)

    backlog.add(batch(reflected_ms=20))
    taken, done = backlog.take(5)

    assert taken == []
    assert done is not None
    assert done.reflected_ms == 20


def test_a_write_has_a_size_of_at_least_one() -> None:
    """Names alone are work, too."""
    assert size_of(write(1, edges=7)) == 7
    assert size_of(ShardChanges(shard=0, sequence=1, query_names=texts_by_key("q"))) == 1


def test_what_lists_or_removes_an_item_is_urgent() -> None:
    """A click is not, nor a new price."""

    def state(**changes: bool) -> ShardChanges:
        item = CatalogItem(item_id="i", **changes)  # type: ignore[arg-type]
        return ShardChanges(shard=0, sequence=1, catalog={7: item})

    assert not is_urgent([write(1), state()])
    assert is_urgent([state(deleted=True)])
    assert is_urgent([state(available=False)])
    new, names = {text_key("i"): CatalogItem(item_id="i")}, texts_by_key("i")
    assert is_urgent([ShardChanges(shard=0, sequence=1, catalog=new, item_names=names)])
    assert is_urgent([ShardChanges(shard=0, sequence=1, gone_items=np.ones(1, dtype=np.uint64))])
