"""What is counted of a gap, and which shards move over it, without a broker."""

from collections.abc import Mapping
from typing import Any, cast
from unittest.mock import Mock

import pytest
from prometheus_client import CollectorRegistry

from stream.events.types import SourcePartition
from stream.kafka.client import PassedOver
from stream.metrics import StreamMetrics
from stream.sources.topics.assignment import Assignment
from stream.sources.topics.gaps import Gap, Gaps
from stream.sources.topics.watch import TopicLayout

CLICKS, ERASURES = SourcePartition("clicks", 1), SourcePartition("erasures", 0)
LAYOUT = TopicLayout({"clicks": 3}, {"erasures": 1}, {})


class Owner:
    """Opens shards that have read so much."""

    def __init__(self, stored: Mapping[int, int]) -> None:
        self.stored = stored

    def acquire(self, index: int, topic_ids: Mapping[str, str]) -> Mapping[SourcePartition, int]:
        """Return the position of the shard in the erasures."""
        return {ERASURES: self.stored[index]}

    def release(self, index: int) -> None:
        """Nothing to do."""

    def lose(self, index: int) -> None:
        """Nothing to do."""


def assignment(stored: Mapping[int, int]) -> Assignment:
    """Return one that has these shards."""
    found = Assignment(cast("Any", Mock()), Owner(stored), LAYOUT)
    found.assigned(list(stored))
    found.settle()
    return found


def counted(registry: CollectorRegistry, name: str = "records_lost", topic: str = "clicks") -> Any:
    """Return what is counted of a topic."""
    return registry.get_sample_value(f"freshet_stream_{name}_total", {"topic": topic})


def test_a_gap_counts_once_the_store_is_behind_it() -> None:
    """Not when it is met, and not again."""
    registry = CollectorRegistry()
    gaps = Gaps(StreamMetrics(registry))

    gaps.note(Gap(position=CLICKS, stored=2, goes_on_at=6))
    assert counted(registry) is None
    gaps.applied({SourcePartition("clicks", 0): 9})
    assert counted(registry) is None
    gaps.applied({CLICKS: 6})
    gaps.applied({CLICKS: 6})

    assert counted(registry) == 4


def test_what_was_not_applied_is_met_again() -> None:
    """A rebalance came between: whoever has the partition then counts it."""
    registry = CollectorRegistry()
    gaps = Gaps(StreamMetrics(registry))

    gaps.note(Gap(position=CLICKS, stored=2, goes_on_at=6))
    gaps.forget()
    gaps.applied({CLICKS: 6})

    assert counted(registry) is None


def passed_over(first_offset: int) -> PassedOver:
    """Return a batch of three damaged records."""
    return PassedOver(
        position=CLICKS,
        first_offset=first_offset,
        next_offset=first_offset + 3,
        num_records=3,
        reason="damaged",
        detail="its checksum is wrong",
    )


def skipped(registry: CollectorRegistry) -> Any:
    """Return how many records count as passed over."""
    labels = {"topic": "clicks", "reason": "damaged"}
    return registry.get_sample_value("freshet_stream_records_skipped_total", labels)


def test_a_batch_that_was_passed_over_counts_once_the_store_is_behind_it() -> None:
    """What comes before it is applied before, and what was not applied is met again."""
    registry = CollectorRegistry()
    gaps = Gaps(StreamMetrics(registry))

    gaps.note_passed_over(passed_over(10))
    gaps.note_passed_over(passed_over(20))
    gaps.applied({CLICKS: 10})
    assert skipped(registry) is None
    gaps.applied({CLICKS: 13})
    assert skipped(registry) == 3
    gaps.applied({CLICKS: 30})
    assert skipped(registry) == 6
    gaps.note_passed_over(passed_over(40))
    gaps.forget()
    gaps.note_passed_over(passed_over(40), counts=False)
    gaps.applied({CLICKS: 50})
    assert skipped(registry) == 6


@pytest.mark.parametrize("goes_on_at", [0, 2])
def test_a_topic_that_ends_before_what_was_read_lost_no_records(goes_on_at: int) -> None:
    """It is another one, whoever counts."""
    registry = CollectorRegistry()
    gaps = Gaps(StreamMetrics(registry))

    gaps.note(Gap(position=ERASURES, stored=2, goes_on_at=goes_on_at, counts=False))
    gaps.applied({ERASURES: goes_on_at})

    assert counted(registry, "records_lost", "erasures") is None
    assert counted(registry, "topics_recreated", "erasures") == 1


def test_one_member_counts_what_is_lost_of_the_erasures() -> None:
    """All read them; of the others each partition has one reader."""
    first, second = assignment({0: 2, 2: 2}), assignment({1: 2})

    assert [one.counts(ERASURES) for one in (first, second)] == [True, False]
    assert second.counts(CLICKS)


def test_shards_that_have_read_more_of_the_erasures_stay_where_they_are() -> None:
    """Only what ends before the gap moves over it, unless the topic is another one."""
    behind = assignment({0: 2, 1: 9, 2: 3}).pass_over(ERASURES, 2, 6)
    other = assignment({0: 2, 1: 9, 2: 3}).pass_over(ERASURES, 2, 0)

    assert [(each.shard, each.next_offset, len(each)) for each in behind] == [(0, 6, 0), (2, 6, 0)]
    assert [(each.shard, each.next_offset) for each in other] == [(0, 0), (1, 0), (2, 0)]


def test_a_partition_that_is_gone_meanwhile_moves_nowhere() -> None:
    """Its new owner meets the gap."""
    assert assignment({0: 2}).pass_over(CLICKS, 2, 6) == []
