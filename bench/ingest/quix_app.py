"""Counts query-item edges with Quix Streams, in an environment of its own.

Imports nothing of Freshet.

State of Quix Streams belongs to a message key. Here every message gets the same one, so
that a partition's counts are those of its edges without sending each event through a
repartition topic first.
"""

import importlib.util
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from quixstreams import Application
from quixstreams.models import Deserializer
from rocksdict import AccessType, Options, Rdict

_ONE_KEY = b"edge"


class OneKey(Deserializer):  # type: ignore[misc]  # the library is not in the environment that checks types
    """Gives every message of a partition the same key, whatever it came with."""

    def __call__(self, **_message: object) -> bytes:
        """Return the one key."""
        return _ONE_KEY


def count_edges(
    bootstrap: str, topic: str, num_records: int, state: str, group: str, stubs: str
) -> dict[str, Any]:
    """Count a topic's edges durably, exactly once, and say what that cost.

    Args:
        bootstrap: "host:port".
        topic: of single protobuf events.
        num_records: how many it has.
        state: folder for the state.
        group: consumer group, and what the transactions are named after.
        stubs: path of events_v1_pb2.py.
    """
    app = _application(bootstrap, state, group)
    parse = _load(stubs).Event.FromString
    source = app.topic(topic, value_deserializer="bytes", key_deserializer=OneKey())
    edges = app.dataframe(source)

    def count(value: bytes, state: Any) -> None:
        event = parse(value)
        if event.query:
            edge = f"{event.query}\x1f{event.item_id}"
            state.set(edge, state.get(edge, 0) + 1)

    edges.update(count, stateful=True)
    cpu, wall = time.process_time(), time.perf_counter()
    app.run(count=num_records, collect=False)
    measured = {
        "cpu_seconds": time.process_time() - cpu,
        "wall_seconds": time.perf_counter() - wall,
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }
    return {**measured, "counted": _counted(Path(state) / group / "default" / topic / "0")}


def _counted(partition: Path) -> int:
    """Return the sum of the counts on disk, read after everything was closed."""
    raw = Options(raw_mode=True)
    families = {"__metadata__": Options(raw_mode=True)}
    stored = Rdict(
        str(partition), raw, column_families=families, access_type=AccessType.read_only()
    )
    counts: Any = stored.items()
    return sum(int(count) for key, count in counts if key.startswith(_ONE_KEY))


def _application(bootstrap: str, state: str, group: str) -> Any:
    return Application(
        bootstrap,
        consumer_group=group,
        state_dir=state,
        auto_offset_reset="earliest",
        processing_guarantee="exactly-once",
        loglevel="WARNING",
    )


def _load(stubs: str) -> Any:
    spec = importlib.util.spec_from_file_location("events_v1_pb2", stubs)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{stubs} is not a Python module")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    print("done " + json.dumps(count_edges(**json.loads(sys.argv[1]))), flush=True)
