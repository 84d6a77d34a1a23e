"""The refresher from look to look, over a feed in memory."""

import errno
import os
from dataclasses import replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest

from model.artifact.generation import Generation
from model.artifact.overlay.lock import OverlayLock
from model.artifact.overlay.segment import Claim, OverlayRows
from model.artifact.overlay.wanted import EarlyReason, asked
from model.errors import OverlayLocked, SegmentRefused
from model.refresh_settings import RefreshSettings
from model.refresher.loop import Refresher, run_refresher
from protos.text import text_key
from stream.errors import FeedUnreadable
from stream.events.types import CatalogItem
from stream.feed.changes import EdgeChanges
from testing.refresher.feeds import NamedVectors
from testing.small_generations import DIM, NOW_MS, make_catalogue
from tests.model.refresher.conftest import Bench

LAMP = CatalogItem(item_id="lamp-1", title="Lamp", ts_ms=NOW_MS - 5)


def publish(bench: Bench, seed: int = 0, *, created_ms: int = NOW_MS) -> str:
    """Publish a generation of twenty items, and return its id."""
    catalogue = make_catalogue(20, ["red lamp"], seed=seed)
    catalogue.created_ms = created_ms
    return bench.artifacts.publish(catalogue)


def test_a_live_generation_gets_an_overlay_that_says_how_fresh_it_is(bench: Bench) -> None:
    """Before anything has changed."""
    live = publish(bench)

    bench.refresher()

    newest = bench.newest(live)
    assert newest.claim.reflected_ms == NOW_MS
    assert newest.claim.reason == ""
    assert bench.rows(live).is_empty
    assert bench.metric("age_seconds") == 0
    assert bench.metric("generation_info", {"generation": live}) == 1
    assert bench.behind() is None


def test_what_is_written_to_the_graph_is_published_with_what_it_claims(bench: Bench) -> None:
    """The claim is that of the feed, and no younger."""
    live = publish(bench)
    refresher = bench.refresher()

    bench.feed.name_query("new query", written_ms=NOW_MS + 300, event_ms=NOW_MS + 100)
    bench.go(refresher)

    newest = bench.newest(live)
    assert bench.rows(live).query_texts == ("new query",)
    assert newest.claim.reflected_ms == bench.feed.reflected_ms
    assert newest.claim.watermark_ms == NOW_MS + 100
    assert newest.claim.marks[0].sequence == 1
    assert bench.metric("overlay_queries") == 1
    assert bench.metric("rounds_total") == 1
    assert bench.metric("embedded_seconds_sum") == pytest.approx(0.7)
    assert bench.metric("published_seconds_count") == 1


def test_a_round_waits_for_its_time_and_a_deletion_does_not(bench: Bench) -> None:
    """A click after a while is taken in at once, the next one waits for up to a period,
    and a product that is gone only for a look.
    """
    live = publish(bench)
    refresher = bench.refresher()

    bench.feed.name_query("at once")
    bench.go(refresher, 0.1)
    assert bench.rows(live).query_texts == ("at once",)
    bench.feed.name_query("soon")
    bench.go(refresher, 0.1)
    assert bench.rows(live).query_texts == ("at once",)
    bench.feed.list_item(CatalogItem(item_id="x-1", deleted=True, ts_ms=NOW_MS))
    bench.go(refresher, 0.1)
    assert bench.rows(live).gone_items == ("x-1",)
    assert bench.rows(live).query_texts == ("at once", "soon")
    bench.feed.name_query("later")
    bench.go(refresher, 0.5)
    assert bench.rows(live).query_texts == ("at once", "soon")
    bench.go(refresher, 0.5)
    assert bench.rows(live).query_texts == ("at once", "soon", "later")


def test_an_erasure_brings_the_next_round_at_once(bench: Bench) -> None:
    """With the clicks that were before it."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.feed.name_query("at once")
    bench.go(refresher, 0.1)
    bench.feed.name_query("soon")
    bench.go(refresher, 0.1)
    assert bench.rows(live).query_texts == ("at once",)

    bench.feed.write(gone_queries=np.array([text_key("gone")], dtype=np.uint64))
    bench.go(refresher, 0.1)

    assert bench.rows(live).query_texts == ("at once", "soon")


def test_nothing_new_says_only_how_fresh_it_is_by_now(bench: Bench) -> None:
    """No segment is written, and nothing is computed."""
    live = publish(bench)
    refresher = bench.refresher()
    before = bench.newest(live)

    bench.go(refresher)
    bench.go(refresher)

    after = bench.newest(live)
    assert after.sequence == before.sequence
    assert after.claim.reflected_ms == before.claim.reflected_ms + 2000
    assert bench.vectors[live].rounds == []


def test_what_is_carried_over_is_recomputed_though_nothing_new_comes(bench: Bench) -> None:
    """Until nothing is."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.vectors[live].carried = [7, 3, 0]

    bench.feed.name_query("q")
    for _ in range(5):
        bench.go(refresher)

    assert [len(changes) for changes in bench.vectors[live].rounds] == [1, 0, 0]
    assert bench.metric("carried") == 0


def test_a_burst_is_taken_in_round_by_round_and_claimed_at_its_end(bench: Bench) -> None:
    """No round takes in more than its bound, the work follows at once, and nothing is
    claimed before it is done.
    """
    live = publish(bench)
    bench.settings = RefreshSettings(max_round_changes=100)
    refresher = bench.refresher()
    before = bench.newest(live).claim.reflected_ms
    for number in range(1000):
        bench.feed.name_query(f"query {number}")
    bench.go(refresher, 1.0)

    claims = [bench.newest(live).claim.reflected_ms]
    while refresher.step():
        claims.append(bench.newest(live).claim.reflected_ms)

    assert len(bench.vectors[live].rounds) == 10
    assert max(map(len, bench.vectors[live].rounds)) == 100
    assert claims == [before] * 9
    assert bench.newest(live).claim.reflected_ms == bench.feed.reflected_ms
    assert len(bench.rows(live).query_texts) == 1000
    assert bench.metric("waiting_changes") == 0


def test_of_a_burst_is_claimed_what_is_in(bench: Bench) -> None:
    """Each write says what it makes true: a round that takes in a part of them claims
    that, and no more.
    """
    live = publish(bench)
    bench.settings = RefreshSettings(max_round_changes=100)
    refresher = bench.refresher()
    before = bench.newest(live).claim.reflected_ms
    for number in range(1, 301):
        bench.feed.name_query(f"query {number}", reflected_ms=before + number)
    bench.go(refresher, 1.0)

    claims = [bench.newest(live).claim.reflected_ms]
    while refresher.step():
        claims.append(bench.newest(live).claim.reflected_ms)

    assert claims == [before + 100, before + 200]
    assert bench.newest(live).claim.reflected_ms == bench.feed.reflected_ms
    has = set[str]()
    for number in (2, 3, 4):
        segment = bench.folder.segment(live, number, dim=DIM)
        has.update(segment.rows.query_texts)
        claimed = min(segment.claim.reflected_ms - before, 300)
        assert has == {f"query {each}" for each in range(1, claimed + 1)}


def test_a_catalogue_that_is_loaded_and_clicks_do_not_hold_each_other_up(bench: Bench) -> None:
    """Half of a round is for either, and nothing is claimed before both are done."""
    live = publish(bench)
    bench.settings = RefreshSettings(max_round_changes=100)
    refresher = bench.refresher()
    before = bench.newest(live).claim.reflected_ms
    states = [CatalogItem(item_id=f"i-{number}", title="T", ts_ms=1) for number in range(1000)]
    bench.feed.write(catalog={text_key(each.item_id): each for each in states})
    for number in range(200):
        bench.feed.name_query(f"query {number}")
    bench.go(refresher, 1.0)

    found = [(len(bench.rows(live).item_ids), len(bench.rows(live).query_texts))]
    claims = [bench.newest(live).claim.reflected_ms]
    while refresher.step():
        found.append((len(bench.rows(live).item_ids), len(bench.rows(live).query_texts)))
        claims.append(bench.newest(live).claim.reflected_ms)

    assert found[0] == (50, 49)
    assert all(
        items == 1000 or queries < 200 or claim == before
        for (items, queries), claim in zip(found, claims, strict=True)
    )
    assert (len(bench.rows(live).item_ids), len(bench.rows(live).query_texts)) == (1000, 200)
    assert claims == [before] * len(claims)
    assert bench.newest(live).claim.reflected_ms == bench.feed.reflected_ms


def test_a_deletion_overtakes_a_burst(bench: Bench) -> None:
    """Of 100,000 changes, of which one round takes a fiftieth and each takes a second:
    it is published alone, and claimed not before all before it is.
    """
    live = publish(bench)
    bench.settings = RefreshSettings(max_round_changes=2000)
    refresher = bench.refresher()
    vectors, before = bench.vectors[live], bench.newest(live).claim.reflected_ms
    vectors.on_round = lambda: bench.turn(1000)
    keys = np.arange(100, dtype=np.uint64)
    edges = EdgeChanges(keys, keys, np.ones(100, dtype=np.int64))
    for _ in range(1000):
        bench.feed.write(edges=edges)
    bench.go(refresher, 1.0)
    assert bench.metric("waiting_changes") == 98_000
    listed = CatalogItem(item_id="launch-1", title="Novel Gadget", ts_ms=NOW_MS)

    bench.feed.list_item(listed)
    bench.feed.list_item(CatalogItem(item_id="x-1", deleted=True, ts_ms=NOW_MS))
    vectors.on_round = lambda: None
    began = len(vectors.rounds)
    refresher.step()

    ahead, after = vectors.rounds[began : began + 2]
    assert [len(each.edges) for each in ahead] == [0]
    assert sum(len(each.edges) for each in after) == 2000
    assert bench.rows(live).gone_items == ("x-1",)
    assert bench.rows(live).item_ids == ("launch-1",)
    segment = bench.folder.segment(live, 2, dim=DIM)
    assert segment.rows.gone_items == ("x-1",)
    assert segment.claim.reflected_ms == bench.newest(live).claim.reflected_ms == before
    assert segment.claim.catalog_reflected_ms == bench.feed.reflected_ms
    while refresher.step():
        pass
    assert bench.newest(live).claim.reflected_ms == bench.feed.reflected_ms
    assert bench.metric("waiting_changes") == 0


@pytest.mark.parametrize("pauses", [(True,), (False,)])
def test_a_deletion_does_not_wait_for_the_round_under_way(
    bench: Bench, pauses: tuple[bool, ...]
) -> None:
    """It is published in its midst, and with it is claimed no more than is there: not
    the clicks of the round.
    """
    live = publish(bench)
    refresher = bench.refresher()
    vectors, before = bench.vectors[live], bench.newest(live)
    vectors.pauses = pauses
    seen: list[OverlayRows] = []
    claims: list[Claim] = []

    def delete() -> None:
        vectors.on_round = see
        bench.feed.list_item(CatalogItem(item_id="x-1", deleted=True, ts_ms=NOW_MS))
        bench.feed.name_query("during")
        bench.turn(500)
        bench.feed.reflected_ms = bench.clock.ms

    def see() -> None:
        vectors.on_round = lambda: None

    publisher = refresher.lanes[0].publish

    def published(reason: str) -> bool:
        is_published = publisher(reason)
        seen.append(bench.rows(live))
        claims.append(bench.newest(live).claim)
        return is_published

    refresher.lanes[0].publish = published  # type: ignore[method-assign]
    vectors.on_round = delete
    bench.feed.name_query("before")
    bench.go(refresher)
    of_round = NOW_MS + 1000

    assert [rows.gone_items for rows in seen] == [("x-1",), ("x-1",)]
    assert [rows.query_texts for rows in seen] == [(), ("before",)]
    assert [claim.reflected_ms for claim in claims] == [before.claim.reflected_ms, of_round]
    assert [claim.catalog_reflected_ms for claim in claims] == [of_round + 500] * 2
    bench.go(refresher)
    assert set(bench.rows(live).query_texts) == {"before", "during"}
    assert bench.newest(live).claim.reflected_ms == bench.feed.reflected_ms


def test_a_feed_that_fails_in_the_midst_of_a_round_does_not_end_it(bench: Bench) -> None:
    """What was read is published, and the next look says what is wrong."""
    live = publish(bench)
    refresher = bench.refresher()

    def fail() -> None:
        bench.feed.error = FeedUnreadable("a record is damaged")

    bench.vectors[live].on_round = fail
    bench.feed.name_query("before")
    bench.go(refresher)

    assert bench.rows(live).query_texts == ("before",)
    bench.feed.error = None
    bench.vectors[live].on_round = lambda: None
    bench.feed.name_query("after")
    bench.go(refresher)
    assert set(bench.rows(live).query_texts) == {"before", "after"}
    assert [lane.generation_id for lane in refresher.lanes] == [live]


def test_a_new_generation_replaces_the_old_one_when_it_has_all_of_it(bench: Bench) -> None:
    """What changed since its snapshot is taken in beside the old one, which goes on."""
    first = publish(bench)
    refresher = bench.refresher()
    for number in range(20):
        bench.feed.name_query(f"q{number}")
        bench.go(refresher)
    bench.feed.most = 2

    second = publish(bench, 1, created_ms=NOW_MS + 5000)
    bench.open(refresher)
    seen: list[int] = []
    while len(refresher.lanes) == 2:
        bench.feed.name_query(f"during {len(seen)}")
        bench.go(refresher)
        seen.append(bench.newest(first).claim.reflected_ms)
        assert len(seen) < 50

    assert seen == sorted(seen)
    assert seen[-1] > seen[0]
    assert [lane.generation_id for lane in refresher.lanes] == [second]
    assert bench.newest(second).claim.reflected_ms >= seen[-1]
    assert set(bench.rows(second).query_texts) >= {f"q{number}" for number in range(20)}


def test_a_generation_that_is_left_again_is_not_followed_further(bench: Bench) -> None:
    """`CURRENT` went to it and back."""
    first = publish(bench)
    refresher = bench.refresher()
    for number in range(20):
        bench.feed.name_query(f"q{number}")
    bench.go(refresher)
    bench.feed.most = 1
    publish(bench, 1, created_ms=NOW_MS + 5000)
    bench.open(refresher)

    bench.artifacts.use(first)
    bench.go(refresher)

    assert [lane.generation_id for lane in refresher.lanes] == [first]


def test_after_a_rollback_the_older_generation_is_refreshed(bench: Bench) -> None:
    """From where its own overlay ended, and what was deleted since stays gone."""
    first = publish(bench)
    refresher = bench.refresher()
    second = publish(bench, 1, created_ms=NOW_MS + 5000)
    bench.open(refresher)
    bench.go(refresher)
    bench.feed.list_item(CatalogItem(item_id="x-1", deleted=True, ts_ms=NOW_MS))
    bench.go(refresher)
    assert [lane.generation_id for lane in refresher.lanes] == [second]

    bench.artifacts.use(first)
    bench.open(refresher)
    bench.go(refresher)

    assert [lane.generation_id for lane in refresher.lanes] == [first]
    assert bench.rows(first).gone_items == ("x-1",)
    assert bench.newest(first).claim.reflected_ms == bench.feed.reflected_ms


def test_a_refresher_that_was_killed_goes_on_and_nothing_goes_back(bench: Bench) -> None:
    """The new one publishes nothing before it has all that the old one claimed; the
    numbers of segments go on.
    """
    live = publish(bench)
    refresher = bench.refresher()
    for number in range(5):
        bench.feed.name_query(f"q{number}")
        bench.go(refresher)
    before = bench.newest(live)

    bench.feed.most = 1
    again = bench.refresher()
    steps = 0
    while (newest := bench.newest(live)).writer == before.writer:
        assert newest == before
        assert bench.metric("age_seconds") == 0
        again.step()
        steps += 1
        assert steps < 50

    assert steps > 1
    assert newest.sequence > before.sequence
    assert newest.claim.reflected_ms >= before.claim.reflected_ms
    assert len(bench.rows(live).query_texts) == 5


def test_killed_between_segment_and_pointer_the_number_is_not_used_twice(bench: Bench) -> None:
    """A file that no pointer names is no segment, whatever is in it."""
    live = publish(bench)
    bench.refresher()
    before = bench.newest(live)
    bench.folder.segment_path(live, before.sequence + 1).write_bytes(b"half a segm")

    bench.refresher()

    assert bench.newest(live).sequence == before.sequence + 2
    assert bench.rows(live).is_empty


def test_two_refreshers_never_write_at_once(bench: Bench) -> None:
    """The second one says who has the lock, and ends."""
    publish(bench)
    lock = OverlayLock(bench.folder.lock_path)
    try:
        with pytest.raises(OverlayLocked, match=rf"pid {os.getpid()} on "):
            run_refresher(bench.parts(), Event())
    finally:
        lock.release()
    assert bench.folder.generation_ids() == []


def test_one_that_was_replaced_ends_instead_of_writing(bench: Bench) -> None:
    """Where a lock means nothing, such as over some network file systems."""
    publish(bench)
    first, second = bench.refresher(), bench.refresher()
    bench.go(second)

    with pytest.raises(SegmentRefused, match="taken over"):
        bench.go(first)


def test_a_gap_is_told_asked_about_once_and_claimed_not(bench: Bench) -> None:
    """A feed that does not reach back to the generation: a training mends it."""
    live = publish(bench)
    for number in range(5):
        bench.feed.name_query(f"q{number}")
    bench.feed.starts[0] = 3
    refresher = bench.refresher()
    bench.go(refresher)

    newest = bench.newest(live)
    assert newest.claim.reflected_ms == 0
    assert "shard 0: the log begins later" in newest.claim.reason
    assert bench.behind() == ("gap", newest.claim.reason)
    assert bench.metric("gaps") == 1
    wish = asked(bench.artifacts.root)
    assert wish is not None
    assert wish.reason is EarlyReason.FEED_GAP
    assert bench.metric("wanted_total", {"reason": "feed_gap"}) == 1
    bench.go(refresher, 3600.0)
    assert bench.metric("wanted_total", {"reason": "feed_gap"}) == 1


def test_a_store_that_nobody_follows_is_told_as_that(bench: Bench) -> None:
    """As after a load of files: no training mends it, and none is asked for."""
    live = publish(bench)
    bench.feed.name_query("q0")
    bench.feed.unkept.add(0)
    refresher = bench.refresher()
    bench.go(refresher)

    reason = bench.newest(live).claim.reason
    assert "as after a load of files" in reason
    assert "compare their --store" in reason
    assert bench.behind() == ("unfollowed", reason)
    assert asked(bench.artifacts.root) is None


def test_a_gap_is_over_once_the_feed_leads_on_from_the_snapshot(bench: Bench) -> None:
    """Such as that of a store that only files were loaded into, once a stream goes on:
    nothing was missed.
    """
    live = publish(bench)
    bench.feed.name_query("q0")
    bench.feed.starts[0] = 3
    refresher = bench.refresher()
    bench.go(refresher)
    told = bench.newest(live).claim
    bench.feed.starts[0] = 0
    bench.feed.list_item(CatalogItem(item_id="i0", ts_ms=NOW_MS))
    bench.go(refresher)

    assert "shard 0: the log begins later" in told.reason
    assert told.reflected_ms == 0
    assert bench.newest(live).claim.reason == ""
    assert bench.newest(live).claim.reflected_ms > 0
    assert bench.metric("gaps") == 0


def test_after_a_gap_the_overlay_from_before_stays(bench: Bench) -> None:
    """A restart long after the snapshot loses nothing that answers had already."""
    live = publish(bench)
    refresher = bench.refresher()
    for number in range(5):
        bench.feed.list_item(CatalogItem(item_id=f"i{number}", ts_ms=NOW_MS))
        bench.go(refresher)
    bench.feed.starts[0] = 4

    again = bench.refresher()
    bench.feed.list_item(CatalogItem(item_id="i5", ts_ms=NOW_MS))
    bench.go(again)

    assert sorted(bench.rows(live).item_ids) == [f"i{number}" for number in range(6)]
    assert bench.newest(live).claim.reflected_ms == 0
    assert bench.metric("overlay_items") == 6


def test_two_generations_with_gaps_end_the_wait_for_one_without(bench: Bench) -> None:
    """Else answers would be made of an old one for ever."""
    publish(bench)
    refresher = bench.refresher()
    for number in range(5):
        bench.feed.name_query(f"q{number}")
        bench.go(refresher)
    bench.feed.starts[0] = 3
    second = publish(bench, 1, created_ms=NOW_MS + 5000)
    bench.open(refresher)
    bench.go(refresher)
    assert len(refresher.lanes) == 2

    third = publish(bench, 2, created_ms=NOW_MS + 9000)
    bench.open(refresher)
    bench.go(refresher)

    assert [lane.generation_id for lane in refresher.lanes] == [third]
    assert second != third


def test_a_shard_that_went_back_is_taken_in_anew(bench: Bench) -> None:
    """What was applied and then lost must not count twice; until all of it is there
    again, the overlay stays as it was.
    """
    live = publish(bench)
    refresher = bench.refresher()
    for number in range(5):
        bench.feed.name_query(f"q{number}")
        bench.go(refresher)
    before = bench.newest(live)

    bench.feed.written = bench.feed.written[:3]
    bench.feed.writers[0] = "cd34"
    bench.feed.reflected_ms = before.claim.reflected_ms - 3000
    refresher.step()
    bench.open(refresher)
    refresher.step()
    assert bench.newest(live) == before
    bench.feed.name_query("q4 again")
    bench.go(refresher)

    assert bench.newest(live).claim.reflected_ms > before.claim.reflected_ms
    assert bench.newest(live).claim.marks[0].writer == "cd34"
    assert bench.rows(live).query_texts == ("q0", "q1", "q2", "q4 again")
    assert len(bench.vectors[live].rounds[0]) == 3


def test_a_feed_that_cannot_be_read_is_told_and_the_age_grows(bench: Bench) -> None:
    """And what comes afterwards is taken in as if nothing had been."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.feed.error = FeedUnreadable("the feed at /x cannot be read")
    before = bench.newest(live).claim.reflected_ms
    for _ in range(30):
        bench.go(refresher)

    assert bench.newest(live).claim.reflected_ms == before
    assert bench.newest(live).claim.reason == "the feed at /x cannot be read"
    assert bench.behind() == ("feed", "the feed at /x cannot be read")
    assert bench.metric("age_seconds") == 30
    assert bench.metric("failures_total", {"reason": "FeedUnreadable"}) == 30
    bench.feed.error = None
    bench.go(refresher)
    assert bench.behind() is None
    assert bench.metric("age_seconds") == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "the file system is read-only")],
)
def test_a_folder_that_takes_nothing_is_told_and_nothing_is_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, number: int, said: str
) -> None:
    """What was recomputed meanwhile is published once it can be."""
    live = publish(bench)
    refresher = bench.refresher()
    before = bench.newest(live)

    def refuse(path: Path, _: bytes) -> None:
        raise OSError(number, os.strerror(number), str(path))

    with monkeypatch.context() as patch:
        patch.setattr("model.artifact.overlay.publisher.replace_unsynced", refuse)
        bench.feed.name_query("one")
        bench.go(refresher)
        bench.feed.name_query("two")
        bench.go(refresher, 30.0)
        behind = bench.behind()
        assert behind is not None
        assert behind[0] == "publish"
        assert said in behind[1]
        assert bench.metric("age_seconds") == 31
        assert bench.newest(live) == before
    bench.go(refresher)

    assert bench.rows(live).query_texts == ("one", "two")
    assert bench.behind() is None


def test_what_cannot_be_published_for_long_stays_small(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hours of a full disk: the newest rows of each name wait, and the oldest time."""
    live = publish(bench)
    refresher = bench.refresher()

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("model.artifact.overlay.publisher.replace_unsynced", refuse)
        for number in range(300):
            bench.feed.list_item(
                CatalogItem(item_id=f"i-{number % 5}", title=f"T {number}", ts_ms=NOW_MS),
                written_ms=NOW_MS + number,
            )
            bench.go(refresher)
        pending = refresher.lanes[0]._pending
        assert len(pending.parts) <= 64
        assert len(pending.changes) <= 65
        assert len(pending.embedded) <= 64
    bench.go(refresher)

    assert sorted(bench.rows(live).item_titles) == [f"T {number}" for number in range(295, 300)]
    segment = bench.folder.segment(live, bench.newest(live).sequence, dim=DIM)
    assert segment.oldest.durable_ms == NOW_MS
    assert segment.newest.durable_ms == NOW_MS + 299


def test_a_folder_that_takes_no_lock_is_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as one that is mounted read-only; the process says why it waits."""

    def refuse(_: Path) -> OverlayLock:
        raise OSError(errno.EROFS, "Read-only file system", "/artifacts/fresh")

    class Stop(Event):
        def wait(self, timeout: float | None = None) -> bool:
            del timeout
            self.set()
            return True

    monkeypatch.setattr("model.refresher.loop.OverlayLock", refuse)
    run_refresher(bench.parts(), Stop())

    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "publish"
    assert "/artifacts/fresh: Read-only file system" in behind[1]


def test_a_poison_vector_is_left_out_counted_and_named(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are published."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.vectors[live].poison = frozenset({"bad"})

    bench.feed.name_query("good")
    bench.feed.name_query("bad")
    bench.go(refresher)

    assert bench.rows(live).query_texts == ("good",)
    assert bench.metric("poisoned_total") == 1
    assert "names=('bad',)" in caplog.text


def test_an_unexpected_failure_makes_the_lane_anew(bench: Bench) -> None:
    """From the generation and the feed; the overlay stays meanwhile, and tells why."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.feed.name_query("one")
    bench.go(refresher)
    before = bench.newest(live)
    bench.vectors[live].error = ZeroDivisionError("oh")

    bench.feed.name_query("two")
    bench.go(refresher)
    assert bench.behind() == ("failed", "unexpected ZeroDivisionError: oh")
    assert bench.newest(live) == before
    assert refresher.lanes == ()
    bench.go(refresher, 0.5)
    assert refresher.lanes == ()
    bench.clock.ms += 1000
    bench.open(refresher)
    bench.go(refresher)

    assert bench.rows(live).query_texts == ("one", "two")
    assert bench.behind() is None


def test_rows_that_no_reader_would_take_make_the_lane_anew(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else they would be refused at each try, with all that comes after them."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.vectors[live].poison = frozenset({"bad"})
    bench.feed.name_query("good")
    bench.feed.name_query("bad")
    with monkeypatch.context() as patch:
        patch.setattr("model.refresher.rows._is_fit", lambda rows: np.ones(len(rows), np.bool_))
        bench.go(refresher)

    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "failed"
    bench.clock.ms += 2000
    bench.open(refresher)
    bench.go(refresher)
    assert bench.rows(live).query_texts == ("good", "bad")
    assert bench.behind() is None


def test_an_unexpected_failure_of_the_feed_is_told(bench: Bench) -> None:
    """What was read before goes on being published."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.feed.error = KeyError("what")
    before = bench.newest(live)
    bench.go(refresher)

    assert bench.behind() == ("feed", "unexpected KeyError: 'what'")
    assert bench.newest(live).written_ms > before.written_ms


def test_what_fails_again_and_again_asks_for_a_generation(bench: Bench) -> None:
    """One that has the change in its snapshot does not have to take it in."""
    live = publish(bench)
    refresher = bench.refresher()
    for _ in range(2):
        bench.feed.name_query("two")
        bench.vectors[live].error = ZeroDivisionError("oh")
        bench.go(refresher)
        assert refresher.lanes == ()
        bench.clock.ms += 60_000
        bench.open(refresher)

    wish = asked(bench.artifacts.root)
    assert wish is not None
    assert wish.reason is EarlyReason.FAILED
    assert bench.metric("wanted_total", {"reason": "failed"}) == 1


def test_a_generation_of_an_earlier_version_is_claimed_no_further(bench: Bench) -> None:
    """Its clicks wait for the next one, which is asked for; new items do not wait."""
    live = publish(bench)

    def partial(generation: Generation) -> NamedVectors:
        return replace(bench.begin_vectors(generation), is_partial=True)

    refresher = bench.refresher(vectors_of=partial)
    bench.feed.list_item(LAMP)
    bench.go(refresher)

    newest = bench.newest(live)
    assert bench.rows(live).item_ids == ("lamp-1",)
    assert newest.claim.reflected_ms == 0
    assert newest.claim.marks == {}
    assert "has nothing to continue from" in newest.claim.reason
    assert bench.metric("gaps") == 1
    wish = asked(bench.artifacts.root)
    assert wish is not None
    assert wish.reason is EarlyReason.OLD_GENERATION


def test_a_damaged_generation_changes_nothing_but_what_is_told(bench: Bench) -> None:
    """The old one is refreshed further, and a mended one is taken up."""
    first = publish(bench)
    refresher = bench.refresher()
    second = publish(bench, 1, created_ms=NOW_MS + 5000)
    bench.artifacts.damage(second)

    for _ in range(200):
        bench.go(refresher, 0.1)
        if bench.behind() is not None:
            break
        Event().wait(0.005)

    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "generation"
    assert second in behind[1]
    assert [lane.generation_id for lane in refresher.lanes] == [first]
    assert bench.newest(first).claim.reflected_ms >= NOW_MS


def test_a_clock_that_is_slow_claims_no_more_than_it_knows(bench: Bench) -> None:
    """An hour behind the stream's: nobody is told of an age below nothing."""
    live = publish(bench)
    refresher = bench.refresher()

    bench.feed.reflected_ms = bench.clock.ms + 3_600_000
    bench.clock.ms += 1000
    refresher.step()

    assert bench.newest(live).claim.reflected_ms == bench.clock.ms
    assert bench.metric("clock_ahead_seconds") == 3599
    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "clock"


def test_a_clock_that_is_fast_is_named(bench: Bench) -> None:
    """What was written just now looks an hour old: it is the clock, not the graph."""
    publish(bench)
    refresher = bench.refresher()
    bench.clock.ms += 3_600_000
    bench.feed.name_query("one", written_ms=bench.clock.ms - 3_600_000)
    refresher.step()
    refresher.step()

    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "clock"
    assert "ahead of the stream's" in behind[1]


def test_a_stream_that_stands_is_told(bench: Bench) -> None:
    """The refresher is up to date with it, and the age grows."""
    publish(bench)
    refresher = bench.refresher()
    bench.clock.ms += 60_000
    refresher.step()

    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "graph"
    assert bench.metric("age_seconds") == 60


def test_drift_asks_for_a_generation_again_only_after_a_while(bench: Bench) -> None:
    """A tuner that failed is asked again, one that works is not pestered."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.vectors[live].cosine = 0.9

    for _ in range(100):
        bench.go(refresher, 10.0)

    wish = asked(bench.artifacts.root)
    assert wish is not None
    assert wish.reason is EarlyReason.DRIFT
    assert bench.metric("wanted_total", {"reason": "drift"}) == 4
    assert bench.metric("audit_cosine") == 0.9


def test_an_overlay_over_its_bound_asks_for_a_generation(bench: Bench) -> None:
    """And goes on refreshing."""
    live = publish(bench)
    bench.settings = RefreshSettings(max_overlay_items=3)
    refresher = bench.refresher()
    for number in range(4):
        bench.feed.list_item(CatalogItem(item_id=f"i{number}", ts_ms=NOW_MS))
        bench.go(refresher)

    wish = asked(bench.artifacts.root)
    assert wish is not None
    assert wish.reason is EarlyReason.OVERLAY_FULL
    assert len(bench.rows(live).item_ids) == 4


def test_movement_that_is_withheld_asks_for_a_generation(bench: Bench) -> None:
    """Beyond the limit only."""
    live = publish(bench)
    refresher = bench.refresher()
    bench.vectors[live].withheld = 0.2
    bench.feed.name_query("one")
    bench.go(refresher)
    assert asked(bench.artifacts.root) is None

    bench.vectors[live].withheld = 0.4
    bench.feed.name_query("two")
    bench.go(refresher)

    wish = asked(bench.artifacts.root)
    assert wish is not None
    assert wish.reason is EarlyReason.WITHHELD
    assert bench.metric("withheld_radians") == 0.4


def test_overlays_of_removed_generations_go(bench: Bench) -> None:
    """With the first handover after the tuner removed them."""
    first = publish(bench)
    refresher = bench.refresher()
    second = publish(bench, 1, created_ms=NOW_MS + 5000)
    bench.artifacts.store.remove(first)
    bench.open(refresher)
    bench.go(refresher)

    assert bench.folder.generation_ids() == [second]


def test_before_there_is_a_generation_it_waits(bench: Bench) -> None:
    """And says for what; a pointer that is damaged is told, too."""
    refresher = Refresher(bench.parts())
    refresher.step()
    assert bench.behind() == ("no_generation", "no generation is live yet: see the tuner")

    (bench.artifacts.root / "CURRENT").write_text("what?")
    refresher.step()

    behind = bench.behind()
    assert behind is not None
    assert behind[0] == "generation"
    assert bench.metric("age_seconds") != bench.metric("age_seconds")  # not a number
