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


def test_how_long_events_and_records_took_from_stage_to_stage() -> None:
    """Events to their records' times, records to the worker and to the graph; what has
    no time, or was held back, is left out.
    """
    happened = [event(item_id=f"i-{number}", ts_ms=NOON_MS - 100 * number) for number in range(4)]
    batch = batch_of(happened, Texts())
    timed = replace(batch.batches[0].rows(0, 3), times_ms=[NOON_MS + 40, -1, NOON_MS - 300])
    plain, held = batch.batches[0].rows(0, 1), batch.batches[0].rows(0, 2)
    batch.batches = [timed, plain, held]
    batch.place = np.array([0, 0, 0, 1], dtype=np.int32)
    batch.events = replace(batch.events, row=np.array([0, 1, 2, 0], dtype=np.int32))
    batch.read_ms = [NOON_MS + 100, NOON_MS + 150]

    stages = batch.stage_seconds(NOON_MS + 200, ahead_ms=10)

    assert stages["broker"][0].tolist() == [0.04, -0.1]
    assert stages["consumed"][0].tolist() == [0.07, 0.41]
    seconds, weights = stages["durable"]
    assert (seconds.tolist(), weights.tolist()) == ([0.1, 0.05], [3, 1])  # type: ignore[union-attr]


def test_a_line_of_a_file_has_no_stage_before_it_is_read() -> None:
    """It has no time of its own."""
    batch = batch_of([event()], Texts())
    batch.read_ms = [NOON_MS]

    assert batch.stage_seconds(NOON_MS + 5, ahead_ms=0).keys() == {"durable"}
