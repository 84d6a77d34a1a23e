"""What a record of the feed says beside its columns."""

from dataclasses import replace
from struct import pack_into

import pytest

from stream.feed.changes import ShardChanges
from stream.feed.codec import pack_changes, unpack_changes
from testing.histories import NOON_MS

WRITE = ShardChanges(shard=3, sequence=7, written_ms=NOON_MS, event_ms=NOON_MS - 5)


@pytest.mark.parametrize("earlier", [1, 250, -250, (1 << 31) - 1])
def test_a_record_tells_up_to_when_it_has_all(earlier: int) -> None:
    """By broker time, which may be ahead of the writer's clock."""
    write = replace(WRITE, reflected_ms=NOON_MS - earlier)

    assert unpack_changes(pack_changes(write)).reflected_ms == write.reflected_ms


def test_the_millisecond_of_the_write_is_told_as_the_one_before() -> None:
    """Which is true as well: 0 stands for what is not known."""
    found = unpack_changes(pack_changes(replace(WRITE, reflected_ms=NOON_MS)))

    assert found.reflected_ms == NOON_MS - 1


@pytest.mark.parametrize("reflected_ms", [0, NOON_MS - (1 << 31), NOON_MS + (1 << 31), 1])
def test_what_has_no_room_is_not_known(reflected_ms: int) -> None:
    """Nothing is claimed rather than too much."""
    found = unpack_changes(pack_changes(replace(WRITE, reflected_ms=reflected_ms)))

    assert found.reflected_ms == 0


def test_a_record_of_before_says_nothing_of_it() -> None:
    """It has four bytes of 0 where the others tell it."""
    record = bytearray(pack_changes(replace(WRITE, reflected_ms=NOON_MS - 250)))
    pack_into("<i", record, 100, 0)

    found = unpack_changes(bytes(record))
    assert (found.sequence, found.written_ms, found.reflected_ms) == (7, NOON_MS, 0)
