"""Up to when a part of what was read has everything: against an oracle outside, which
knows when each record came.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from random import Random

import numpy as np
import pytest

from model.refresher.waiting.backlog import Backlog, Batch, Taken
from model.refresher.waiting.reflected import Reflected, in_turn
from protos.text import text_key
from stream.events.types import CatalogItem
from stream.feed.changes import EdgeChanges, ShardChanges
from testing.histories import EFFORT

NUM_SHARDS = 3
ITEMS = [f"i-{number}" for number in range(4)]


@dataclass
class Shard:
    """A shard with the records that came for it, and the writes that it made of them.

    A record is (when it came, its item; None: a click, whether it is an erasure).
    """

    index: int
    waiting: list[tuple[int, str | None, bool]] = field(default_factory=list)
    written: list[tuple[int, str | None, bool, int]] = field(default_factory=list)
    writes: list[ShardChanges] = field(default_factory=list)
    told: int = 0

    def claim(self, now: int) -> int:
        """Return up to when all that came is written."""
        return self.waiting[0][0] - 1 if self.waiting else now

    def write(self, random: Random, now: int) -> None:
        """Write some of what waits; not all that is written says what it makes true."""
        size = random.randrange(1, len(self.waiting) + 1) if self.waiting else 0
        part, self.waiting = self.waiting[:size], self.waiting[size:]
        sequence = len(self.writes) + 1
        erased = [text_key(item) for _, item, is_erasure in part if item and is_erasure]
        states = {
            text_key(item): CatalogItem(
                item_id=item, ts_ms=at, deleted=random.random() < 0.3, title=str(at)
            )
            for at, item, is_erasure in part
            if item and not is_erasure
        }
        keys = np.arange(sum(item is None for _, item, _ in part), dtype=np.uint64)
        self.writes.append(
            ShardChanges(
                shard=self.index,
                sequence=sequence,
                # Clocks of shards need not agree.
                written_ms=now + 50 * self.index,
                reflected_ms=self.claim(now) if random.random() < 0.7 else 0,
                edges=EdgeChanges(keys, keys, np.ones(len(keys), dtype=np.int64)),
                catalog=states,
                gone_items=np.array(erased, dtype=np.uint64),
            )
        )
        self.written += [(*record, sequence) for record in part]


class Oracle:
    """What came, and what was taken in of it."""

    def __init__(self, shards: list[Shard]) -> None:
        self.shards = shards
        self.writes: dict[int, int] = defaultdict(int)
        self.states: dict[tuple[int, str], int] = defaultdict(int)

    def take(self, taken: Taken) -> None:
        """Learn what was taken in."""
        for each in taken.writes:
            assert each.sequence == self.writes[each.shard] + 1
            self.writes[each.shard] = each.sequence
        for each in taken.changes:
            for item in each.catalog.values():
                key = each.shard, item.item_id
                self.states[key] = max(self.states[key], item.ts_ms)

    def missing(self, until: int, *, states_alone: bool) -> list[tuple[int, str | None, bool]]:
        """Return what had come by then and is not taken in."""
        found = []
        for shard in self.shards:
            found += [record for record in shard.waiting if record[0] <= until]
            for at, item, is_erasure, sequence in shard.written:
                is_state = item is not None and not is_erasure
                is_in = sequence <= self.writes[shard.index]
                if is_state:
                    is_in = self.states[shard.index, str(item)] >= at
                if at <= until and not is_in and (is_state or not states_alone):
                    found.append((at, item, is_erasure))
        return found


def come(random: Random, shards: list[Shard], now: int) -> None:
    """Let a record come to each of some shards."""
    for shard in random.sample(shards, random.randrange(NUM_SHARDS + 1)):
        kind = random.random()
        item = random.choice(ITEMS) if kind < 0.4 else None
        shard.waiting.append((now, item, kind < 0.05))


def look(random: Random, shards: list[Shard], now: int) -> Batch:
    """Return what a look brings: of each shard what is new, or some of it."""
    changes, reflected = list[ShardChanges](), dict[int, int]()
    for shard in shards:
        end = len(shard.writes)
        until = end if random.random() < 0.8 else random.randrange(shard.told, end + 1)
        own = shard.writes[shard.told : until]
        said = max((each.reflected_ms for each in own), default=0)
        changes += own
        reflected[shard.index] = shard.claim(now) if until == end else said
        shard.told = until
    is_known = random.random() < 0.9
    return Batch(
        changes=changes,
        marks={},
        reflected=reflected if is_known else None,
        watermark_ms=0,
        is_end=True,
    )


@pytest.mark.parametrize("seed", range(60 * EFFORT))
def test_nothing_is_claimed_that_is_not_taken_in(seed: int) -> None:
    """Whatever comes, is written, read and taken in any order and in any parts; and all
    is claimed in the end.
    """
    random = Random(seed)
    shards = [Shard(index) for index in range(NUM_SHARDS)]
    backlog, oracle, claims = Backlog(), Oracle(shards), (0, 0)
    for now in range(1000, 1300):
        come(random, shards, now)
        for shard in shards:
            if random.random() < 0.4:
                shard.write(random, now)
        if random.random() < 0.5:
            backlog.add(look(random, shards, now))
        if random.random() < 0.4:
            is_urgent = random.random() < 0.5
            limit = random.randrange(1, 12)
            taken = backlog.take_urgent(limit) if is_urgent else backlog.take(limit)
            oracle.take(taken)
            found = (taken.reflected_ms, taken.catalog_reflected_ms)
            assert found[0] <= found[1]
            assert all(new >= old for new, old in zip(found, claims, strict=True))
            claims = found
        assert oracle.missing(claims[0], states_alone=False) == []
        assert oracle.missing(claims[1], states_alone=True) == []
    assert claims[0] > 0

    for shard in shards:
        while shard.waiting:
            shard.write(random, 2000)
    while any(shard.told < len(shard.writes) for shard in shards) or backlog:
        backlog.add(look(random, shards, 2000))
        oracle.take(backlog.take(50))
    everything = dict.fromkeys(range(NUM_SHARDS), 2000)
    backlog.add(Batch(changes=(), marks={}, reflected=everything, watermark_ms=0, is_end=True))
    last = backlog.take(50)

    assert (last.reflected_ms, last.catalog_reflected_ms) == (2000, 2000)
    assert oracle.missing(2000, states_alone=False) == []


def write(shard: int, sequence: int, written_ms: int, reflected_ms: int = 0) -> ShardChanges:
    """Return a write that makes something true."""
    return ShardChanges(
        shard=shard, sequence=sequence, written_ms=written_ms, reflected_ms=reflected_ms
    )


def test_writes_are_taken_in_about_as_they_were_written() -> None:
    """Of all shards alike; the order of a shard's own stays, though its clock goes
    back.
    """
    first = [write(0, 1, 10), write(0, 2, 30), write(0, 3, 20)]
    second = [write(1, 1, 15), write(1, 2, 40)]

    found = in_turn([*first, *second])

    assert [(each.shard, each.sequence) for each in found] == [
        (0, 1),
        (1, 1),
        (0, 2),
        (0, 3),
        (1, 2),
    ]


def test_what_is_true_is_what_is_true_of_all_shards() -> None:
    """One whose writes are all taken in has what a look says of it."""
    reflected = Reflected()
    writes = [write(0, 1, 1, 100), write(1, 1, 2, 90), write(0, 2, 3, 130)]
    reflected.add(writes, {0: 140, 1: 120, 2: 150}, 0)

    found = [reflected.reach(number) for number in range(4)]

    # Of shard 2 nothing waits; shard 1 is at its end with write 2.
    assert found == [0, 0, 100, 120]


def test_of_a_shard_that_says_nothing_nothing_is_true() -> None:
    """Nor of all of them, until it does."""
    reflected = Reflected()
    reflected.add([write(0, 1, 1, 100)], {0: 100, 1: 0}, 0)
    assert reflected.reach(1) == 0

    reflected.add([], {0: 110, 1: 105}, 1)

    assert reflected.reach(1) == 105
