"""Batches of columns: up to when each event shows that events were seen."""

from dataclasses import replace

import numpy as np

from stream.events.columns import Texts, batch_of
from testing.histories import NOON_MS, event


def test_an_event_is_seen_no_later_than_its_record_and_the_clock() -> None:
    """Records of several places, with and without times, and events that were held."""
    ahead = [event(item_id=f"i-{number}", ts_ms=NOON_MS + 1000) for number in range(6)]
    batch = batch_of(ahead, Texts())
    assert batch.seen_ms().tolist() == [NOON_MS + 1000] * 6  # nothing is known
    timed = batch.batches[0].rows(0, 2)
    timed = replace(timed, times_ms=[NOON_MS - 7, -1])
    plain, held = batch.batches[0].rows(0, 2), batch.batches[0].rows(0, 2)
    batch.batches = [timed, plain, held]
    batch.place = np.array([0, 0, 1, 1, 2, 2], dtype=np.int32)
    batch.events = replace(batch.events, row=np.array([0, 1, 0, 1, 0, 1], dtype=np.int32))
    batch.read_ms = [NOON_MS, NOON_MS - 3]

    seen = [NOON_MS - 7, NOON_MS, NOON_MS - 3, NOON_MS - 3, NOON_MS, NOON_MS]
    assert batch.seen_ms().tolist() == seen
    assert batch.num_ahead(1000) == 3
    assert batch.num_ahead(1007) == 0
