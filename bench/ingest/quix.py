"""Edges of a topic counted with Quix Streams, beside applying it whole."""

import json
import subprocess
import sys
from importlib.metadata import version
from operator import itemgetter
from pathlib import Path
from typing import Any

from bench.environment import EnvironmentMissing, python_with
from bench.ingest.topics import publish
from bench.ingest.workbench import Workbench, reported
from protos import events_v1_pb2
from stream.settings import KAFKA_CLIENTS

_QUIX_VERSION = "3.28.1"
# Our stubs refuse a protobuf that is older than what generated them.
_QUIX_PACKAGES = [f"quixstreams=={_QUIX_VERSION}", f"protobuf=={version('protobuf')}"]
_CPU = itemgetter("cpu_seconds")
_QUIX_APP = str(Path(__file__).parent / "quix_app.py")
_TURNS = 3  # runs of each, in turn; the best counts, since others use the machine


def measure_quix(bench: Workbench) -> None:
    """Count the edges of a topic with Quix Streams, apply it whole with either client,
    each in turn.
    """
    try:
        python = python_with(f"quix-{_QUIX_VERSION}", _QUIX_PACKAGES)
    except EnvironmentMissing as missing:
        print(f"no comparison with Quix Streams: {missing}", file=sys.stderr)
        return
    topic, theirs = publish(bench, batch_size=1), []
    ours: dict[str, list[dict[str, Any]]] = {client: [] for client in KAFKA_CLIENTS}
    for turn in range(_TURNS):
        for client, results in ours.items():
            arguments = bench.stream_arguments(
                topic, bench.num_events, f"{client} beside quix {turn}"
            )
            results.append(bench.run("stream", more={"kafka_client": client}, **arguments))
        theirs.append(_count_with_quix(bench, python, topic, turn))
    counted = bench.add_rate(
        "Quix Streams, edge counts only", min(theirs, key=_CPU), bench.num_events
    )
    for client, results in ours.items():
        applied = bench.add_rate(f"applied, {client}", min(results, key=_CPU), bench.num_events)
        note = f"the best of {_TURNS} each"
        bench.add(
            f"applied, {client} / Quix Streams", applied / counted, "x", target=">= 3", note=note
        )


def _count_with_quix(bench: Workbench, python: Path, topic: str, turn: int) -> dict[str, Any]:
    """Run the counting process.

    End the run where its counts on disk are not those of the events.
    """
    arguments = {
        "bootstrap": bench.bootstrap,
        "topic": topic,
        "num_records": bench.num_events,
        "state": str(bench.folder / "quix"),
        "group": f"{topic}-quix-{turn}",
        "stubs": events_v1_pb2.__file__,
    }
    command = [str(python), _QUIX_APP, json.dumps(arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"Quix Streams failed:\n{process.stderr[-2000:]}")
    result = reported(process.stdout, "Quix Streams")
    expected = sum(bool(event.query) for event in bench.events())
    if result["counted"] != expected:
        raise SystemExit(f"Quix Streams has {result['counted']} of {expected} events in its counts")
    return result
