"""What a refresher publishes is what a reader finds, whenever either begins."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import Gone, GoneList, read_gone
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import (
    Claim,
    Mark,
    OverlayRows,
    SegmentFault,
    StageTimes,
)
from model.errors import SegmentRefused
from testing.overlays import overlay_rows, random_units

DIM = 4
GENERATION = "20261123T151500Z-a1b2c3"
RANDOM = np.random.default_rng(7)


class Clock:
    """A clock that tests move."""

    def __init__(self) -> None:
        self.now_ms = 1_790_000_000_000

    def __call__(self) -> int:
        """Return the time now."""
        return self.now_ms


@pytest.fixture
def folder(tmp_path: Path) -> OverlayFolder:
    """Return overlays that are not there yet."""
    return OverlayFolder.of(tmp_path)


def publisher_of(folder: OverlayFolder, clock: Clock | None = None) -> OverlayPublisher:
    """Return a publisher that starts now."""
    gone = GoneList(folder.gone_path)
    return OverlayPublisher(folder, GENERATION, DIM, gone, clock_ms=clock or Clock())


def one_item(name: str) -> OverlayRows:
    """Return rows that change one item."""
    return overlay_rows(DIM, items={name: random_units(RANDOM, 1, DIM)[0]})


def vectors_read(folder: OverlayFolder) -> dict[str, NDArray[np.float32]]:
    """Return the item vectors that a server finds which starts now."""
    newest = folder.newest(GENERATION)
    assert newest is not None
    segments = [
        folder.segment(GENERATION, sequence, dim=DIM)
        for sequence in range(newest.first_sequence, newest.sequence + 1)
    ]
    sequence, writer = 0, ""
    for segment in segments:
        segment.check_follows(sequence, writer)
        assert segment.writer == newest.writer
        sequence, writer = segment.sequence, segment.writer
    rows = merge_rows([segment.rows for segment in segments])
    return dict(zip(rows.item_ids, rows.item_vectors, strict=True))


def test_a_publisher_begins_with_a_full_segment_and_goes_on_with_deltas(
    folder: OverlayFolder,
) -> None:
    """A reader finds all of it, however it is cut."""
    publisher = publisher_of(folder)
    published = [one_item(name) for name in ("a", "b", "a")]

    segments = [publisher.publish(rows, Claim()) for rows in published]

    assert [segment.sequence for segment in segments] == [1, 2, 3]
    assert [segment.is_full for segment in segments] == [True, False, False]
    found = vectors_read(folder)
    np.testing.assert_array_equal(found["a"], published[2].item_vectors[0])
    np.testing.assert_array_equal(found["b"], published[1].item_vectors[0])


def test_many_deltas_are_merged_to_one_full_segment(folder: OverlayFolder) -> None:
    """A server that starts does not read files without end; what was just published
    does not wait for it.
    """
    publisher = publisher_of(folder)
    names = [f"item {number}" for number in range(1_000)]
    vectors = random_units(RANDOM, len(names), DIM)
    publisher.publish(overlay_rows(DIM, items=dict(zip(names, vectors, strict=True))), Claim())

    published = [publisher.publish(one_item("item 1"), Claim()) for _ in range(70)]

    assert not any(segment.is_full for segment in published)
    jumps = np.diff([segment.sequence for segment in published])
    assert np.flatnonzero(jumps == 2).tolist() == [64]
    assert set(jumps.tolist()) == {1, 2}
    merged = published[64].sequence + 1
    newest = folder.newest(GENERATION)
    assert newest is not None
    assert (newest.first_sequence, newest.is_merged) == (merged, True)
    assert folder.segment(GENERATION, merged, dim=DIM).is_full
    assert set(vectors_read(folder)) == set(names)


def test_deltas_that_outweigh_the_full_segment_are_merged(folder: OverlayFolder) -> None:
    """Twice as much as it has."""
    publisher = publisher_of(folder)
    for name in "abcd":
        publisher.publish(one_item(name), Claim())

    newest = folder.newest(GENERATION)

    assert newest is not None
    assert (newest.first_sequence, newest.sequence, newest.is_merged) == (5, 5, True)
    assert set(vectors_read(folder)) == set("abcd")


def test_numbers_ascend_over_restarts(folder: OverlayFolder) -> None:
    """So that no two segments of a generation have one number; the old ones no longer
    count.
    """
    first = publisher_of(folder)
    first.publish(one_item("a"), Claim())
    first.publish(one_item("b"), Claim())
    folder.newest_path(GENERATION).unlink()

    segment = publisher_of(folder).publish(one_item("c"), Claim())

    assert (segment.sequence, segment.is_full) == (3, True)
    assert set(vectors_read(folder)) == {"c"}


def test_a_replaced_segment_stays_for_a_grace(folder: OverlayFolder) -> None:
    """A server may be reading it."""
    clock = Clock()
    first = publisher_of(folder, clock)
    first.publish(one_item("a"), Claim())
    second = publisher_of(folder, clock)
    second.publish(one_item("b"), Claim())

    clock.now_ms += 59_999
    second.renew(Claim())
    assert folder.sequences(GENERATION) == [1, 2]
    clock.now_ms += 1
    second.renew(Claim())
    assert folder.sequences(GENERATION) == [2]


def test_the_pointer_is_renewed_without_a_segment(folder: OverlayFolder) -> None:
    """Where nothing changes, the overlay still gets fresher."""
    publisher = publisher_of(folder)
    claim = Claim(
        reflected_ms=2,
        catalog_reflected_ms=3,
        watermark_ms=1,
        marks={0: Mark("aa", 4)},
        reason="why",
    )
    segment = publisher.publish(one_item("a"), Claim(reflected_ms=1))

    publisher.renew(claim)

    newest = folder.newest(GENERATION)
    assert newest is not None
    assert newest.claim == claim
    assert (newest.first_sequence, newest.sequence) == (1, 1)
    assert segment.claim.reflected_ms == 1


def test_stages_are_handed_on(folder: OverlayFolder) -> None:
    """For the histograms of a server."""
    oldest, newest = StageTimes(event_ms=1), StageTimes(durable_ms=2)
    publisher_of(folder).publish(one_item("a"), Claim(), oldest=oldest, newest=newest)

    segment = folder.segment(GENERATION, 1, dim=DIM)

    assert (segment.oldest, segment.newest) == (oldest, newest)


def test_a_publisher_that_was_replaced_writes_no_more(folder: OverlayFolder) -> None:
    """One that was stopped and woke up; the pointer stays the other's."""
    replaced = publisher_of(folder)
    replaced.publish(one_item("a"), Claim())
    publisher_of(folder).publish(one_item("b"), Claim())

    for write in (
        lambda: replaced.publish(one_item("c"), Claim()),
        lambda: replaced.renew(Claim()),
    ):
        with pytest.raises(SegmentRefused, match="another refresher") as refused:
            write()
        assert refused.value.fault is SegmentFault.WRITER
    assert set(vectors_read(folder)) == {"b"}


def test_nothing_is_written_of_vectors_that_a_server_would_refuse(folder: OverlayFolder) -> None:
    """A poison vector stops its round, not the overlay."""
    publisher = publisher_of(folder)
    bad = overlay_rows(DIM, items={"a": np.full(DIM, np.nan, dtype=np.float32)})

    with pytest.raises(SegmentRefused) as refused:
        publisher.publish(bad, Claim())

    assert refused.value.fault is SegmentFault.VECTORS
    assert folder.newest(GENERATION) is None
    publisher.publish(one_item("a"), Claim())
    assert set(vectors_read(folder)) == {"a"}


def test_what_cannot_be_written_is_published_with_the_next(folder: OverlayFolder) -> None:
    """The reader sees the old state until then."""
    publisher = publisher_of(folder)
    publisher.publish(one_item("a"), Claim())
    blocker = folder.segment_path(GENERATION, 2)
    blocker.mkdir()

    with pytest.raises(OSError, match="directory"):
        publisher.publish(one_item("b"), Claim())

    assert set(vectors_read(folder)) == {"a"}
    blocker.rmdir()
    publisher.publish(one_item("b"), Claim())
    assert set(vectors_read(folder)) == {"a", "b"}


def test_gone_items_are_listed_until_they_come_back(folder: OverlayFolder) -> None:
    """For all generations, in a file of their own, over restarts."""
    clock = Clock()
    first = publisher_of(folder, clock)
    first.publish(overlay_rows(DIM, gone_items=("a", "b")), Claim())
    clock.now_ms += 1
    second = publisher_of(folder, clock)
    second.publish(overlay_rows(DIM, gone_items=("c",)), Claim())
    second.publish(one_item("a"), Claim())
    second.publish(
        overlay_rows(DIM, items={"b": random_units(RANDOM, 1, DIM)[0]}, hidden=("b",)), Claim()
    )

    gone = read_gone(folder.gone_path)

    assert gone == {"b": Gone(0, clock.now_ms - 1), "c": Gone(0, clock.now_ms)}
    kept = GoneList(folder.gone_path)
    kept.forget(before_ms=clock.now_ms)
    assert set(read_gone(folder.gone_path)) == {"c"}


@pytest.mark.parametrize(
    ("state_ms", "is_gone"),
    [(0, True), (49, True), (50, False), (60, False)],
    ids=["moved by a click", "older state", "same time", "newer state"],
)
def test_only_a_state_as_new_as_its_deletion_lists_an_item_again(
    folder: OverlayFolder, state_ms: int, is_gone: bool
) -> None:
    """A generation from before still has a vector of it, which clicks may move."""
    deleted = overlay_rows(DIM, gone_items=("a",))
    publisher = publisher_of(folder)
    publisher.publish(replace(deleted, gone_item_ms=np.array([50])), Claim())

    publisher.publish(replace(one_item("a"), item_catalog_ms=np.array([state_ms])), Claim())

    assert ("a" in read_gone(folder.gone_path)) is is_gone


def test_a_damaged_list_of_gone_items_is_begun_anew(
    folder: OverlayFolder, caplog: pytest.LogCaptureFixture
) -> None:
    """And said so: an older generation may show what it named."""
    folder.root.mkdir()
    folder.gone_path.write_bytes(b"damaged")

    publisher_of(folder).publish(overlay_rows(DIM, gone_items=("a",)), Claim())

    assert set(read_gone(folder.gone_path)) == {"a"}
    assert "gone_list_lost" in caplog.text


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b'{"generation": "x"}', b"\xff", b'{"marks": []}'],
)
def test_a_damaged_pointer_is_refused(folder: OverlayFolder, content: bytes) -> None:
    """As a segment is, with where it lies."""
    path = folder.newest_path(GENERATION)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)

    with pytest.raises(SegmentRefused, match="NEWEST") as refused:
        folder.newest(GENERATION)

    assert refused.value.fault is SegmentFault.POINTER


def test_a_pointer_of_another_generation_is_refused(folder: OverlayFolder) -> None:
    """A folder that was renamed."""
    publisher_of(folder).publish(one_item("a"), Claim())
    folder.generation_path(GENERATION).rename(folder.generation_path("another"))

    with pytest.raises(SegmentRefused) as refused:
        folder.newest("another")

    assert refused.value.fault is SegmentFault.GENERATION


def test_what_a_killed_publisher_left_is_removed(folder: OverlayFolder) -> None:
    """A file that was never renamed counts for nothing."""
    publisher_of(folder).publish(one_item("a"), Claim())
    left = folder.generation_path(GENERATION) / ".0000000002.segment.1234.tmp"
    left.write_bytes(b"half")

    publisher_of(folder)

    assert not left.exists()
