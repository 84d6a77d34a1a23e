"""How fresh an overlay may say it is."""

import pytest

from model.artifact.overlay.segment import Claim, Mark, StageTimes
from model.refresher.claims import carried, covers, first_claim, stages_of, with_reason
from protos import manifest_v1_pb2 as manifest_pb
from server.overlay.coverage import carried as carried_by_servers
from server.overlay.coverage import covers as covers_for_servers
from stream.feed.changes import ShardChanges


@pytest.mark.parametrize(
    ("new", "old", "is_covered"),
    [
        (Claim(reflected_ms=20), Claim(reflected_ms=10), True),
        (Claim(reflected_ms=10), Claim(reflected_ms=20), False),
        (Claim(), Claim(), True),
        (Claim(), Claim(marks={0: Mark("a", 5)}), False),
        (Claim(marks={0: Mark("a", 6)}), Claim(reflected_ms=9, marks={0: Mark("a", 5)}), True),
        (Claim(marks={0: Mark("b", 9)}), Claim(marks={0: Mark("a", 5)}), False),
        (Claim(marks={1: Mark("a", 9)}), Claim(marks={0: Mark("a", 5)}), False),
        (Claim(reflected_ms=20), Claim(reflected_ms=10, catalog_reflected_ms=30), False),
        (Claim(reflected_ms=30), Claim(reflected_ms=10, catalog_reflected_ms=30), True),
        (
            Claim(reflected_ms=10, catalog_reflected_ms=30),
            Claim(reflected_ms=10, catalog_reflected_ms=20),
            True,
        ),
        (
            Claim(marks={0: Mark("a", 6)}),
            Claim(reflected_ms=9, catalog_reflected_ms=10, marks={0: Mark("a", 5)}),
            False,
        ),
    ],
)
def test_a_claim_covers_another_by_time_or_by_writes(
    new: Claim, old: Claim, is_covered: bool
) -> None:
    """Numbers of two writers cannot be compared; and what of the catalogue has gone
    ahead must be there.
    """
    assert covers(new, old) is is_covered


CLAIMS = [
    Claim(),
    Claim(reflected_ms=10),
    Claim(reflected_ms=20),
    Claim(reflected_ms=10, marks={0: Mark("a", 5)}),
    Claim(reflected_ms=20, marks={0: Mark("a", 4)}),
    Claim(marks={0: Mark("a", 6)}),
    Claim(marks={0: Mark("b", 9)}),
    Claim(reflected_ms=10, catalog_reflected_ms=15, marks={0: Mark("a", 5)}),
    Claim(reflected_ms=12, catalog_reflected_ms=20),
    Claim(reflected_ms=5, marks={0: Mark("a", 7), 1: Mark("c", 1)}),
]


@pytest.mark.parametrize("old", CLAIMS)
@pytest.mark.parametrize("new", CLAIMS)
def test_the_refresher_covers_what_servers_see_covered(new: Claim, old: Claim) -> None:
    """Else one would wait for what the other never does."""
    assert covers(new, old) == covers_for_servers(new, old)


def test_a_generation_claims_the_writes_of_its_snapshot() -> None:
    """And no time: its manifest says none."""
    shard = manifest_pb.Shard(shard=2, sequence=7, writer="ab")
    snapshot = manifest_pb.SnapshotRef(watermark_ms=5, shards=[shard])

    assert first_claim(snapshot) == Claim(watermark_ms=5, marks={2: Mark("ab", 7)})


def test_what_was_true_of_what_is_covered_stays_true() -> None:
    """Of two claims the later time counts."""
    new = Claim(reflected_ms=5, marks={0: Mark("a", 9)})
    old = Claim(reflected_ms=8, catalog_reflected_ms=9)

    for carry in (carried, carried_by_servers):
        assert carry(new, old) == Claim(
            reflected_ms=8, catalog_reflected_ms=9, marks={0: Mark("a", 9)}
        )


def test_nothing_that_is_yet_to_come_is_claimed() -> None:
    """By the clock of this machine."""
    assert with_reason(Claim(reflected_ms=50), "late", 40) == Claim(reflected_ms=40, reason="late")
    assert with_reason(Claim(reflected_ms=30), "", 40).reflected_ms == 30
    ahead = Claim(reflected_ms=30, catalog_reflected_ms=50)
    assert with_reason(ahead, "", 40) == Claim(reflected_ms=30, catalog_reflected_ms=40)


def test_the_catalogue_is_never_behind_all_of_it() -> None:
    """What is claimed of all is claimed of it, as by whoever knows nothing else."""
    assert Claim(reflected_ms=30).catalog_reflected_ms == 30
    assert Claim(reflected_ms=30, catalog_reflected_ms=20).catalog_reflected_ms == 30


def test_stages_are_those_of_the_oldest_and_the_newest_write() -> None:
    """Times that are not known do not count."""
    writes = [
        ShardChanges(shard=0, sequence=1, event_ms=3, oldest_record_ms=4, newest_record_ms=5),
        ShardChanges(shard=0, sequence=2, event_ms=2, newest_record_ms=9, written_ms=11),
    ]

    oldest, newest = stages_of(writes)

    assert oldest == StageTimes(event_ms=2, record_ms=4, durable_ms=11)
    assert newest == StageTimes(event_ms=3, record_ms=9, durable_ms=11)
    assert stages_of([]) == (StageTimes(), StageTimes())
