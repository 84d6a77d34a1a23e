"""What a load and a backlog are made of."""

import json
from pathlib import Path

from bench.freshness.throughput import timed_events


def test_events_of_a_load_are_of_now(tmp_path: Path) -> None:
    """A stream would quarantine those of years ago as too late, and the fresh lane have
    nothing to do.
    """
    events = tmp_path / "events.jsonl"
    old = [{"ts_ms": 1000 + 7 * number, "item_id": f"ü{number}"} for number in range(5)]
    events.write_text("".join(json.dumps(each) + "\n" for each in old), encoding="utf-8")

    timed = timed_events(events, 1_700_000_000_000, 50.0)

    found = [json.loads(line) for line in timed.read_text(encoding="utf-8").splitlines()]
    assert [each["item_id"] for each in found] == [each["item_id"] for each in old]
    assert [each["ts_ms"] - 1_700_000_000_000 for each in found] == [0, 20, 40, 60, 80]
