"""Builds the load generators, and says how they are started."""

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from protos import events_v1_pb2 as pb
from stream.events.formats.protobuf import content_type_of
from stream.settings import StreamSettings

_ROOT = Path(__file__).resolve().parents[2]
_FOLDER = Path(__file__).parent
_PROGRAM = _ROOT / ".tools" / "generators" / "generators"
# For Go to fetch and compile some 15 packages, once: 25 s of CPU. Twice as long waits
# twice as long for a machine that has no network.
_LIMIT_SECONDS = 600.0


def program() -> Path:
    """Build the load generators, unless they are there as their source is, and return
    their program.

    Raises:
        SystemExit: there is no Go, or it cannot build them; it says what to do.
    """
    go = shutil.which("go")
    if go is None:
        raise SystemExit("the load is made by a program in Go: install Go 1.26 or later")
    try:
        done = subprocess.run(
            [go, "build", "-o", str(_PROGRAM), "."],
            cwd=_FOLDER,
            # It fetches no other version of itself.
            env={**os.environ, "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SystemExit(
            f"Go did not build the load generators in {_LIMIT_SECONDS:.0f} s; try again"
        ) from error
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise SystemExit(f"Go cannot build the load generators: {last[0]}")
    return _PROGRAM


def publish_command(
    bootstrap: str, settings: StreamSettings, events: Path, rate: float
) -> tuple[str, ...]:
    """Return what publishes events at a rate until there are no more, or SIGTERM comes.

    It prints ``{"ready": NUM_EVENTS}`` when it begins, and at its end
    ``{"published", "failed", "seconds", "rate", "late": {"p50_ms", "p99_ms",
    "most_ms"}}``.

    Args:
        bootstrap: "host:port" of the broker, or several with commas.
        settings: names of the topics.
        events: JSON lines as ``freshet simulate`` writes them; each event is published
            as of the moment at which it is sent.
        rate: events a second.

    Raises:
        SystemExit: there is no Go, or it cannot build the program.
    """
    topics = ("--clicks-topic", settings.clicks_topic, "--sessions-topic", settings.sessions_topic)
    where = ("--brokers", bootstrap, *topics, "--content-type", content_type_of(pb.Event))
    return (str(program()), "publish", *where, "--events", str(events), "--rate", str(rate))


def call_command(address: str, num_queries: int, *options: object) -> tuple[str, ...]:
    """Return what calls a server over gRPC.

    It prints ``{"seconds", "codes", "answered", "late", "cpu_seconds"}`` at its end:
    how often each status came, quantiles of the calls that were answered and of how
    late calls were made, and its own CPU.

    Args:
        address: "host:port" of the server.
        num_queries: known queries of the generation, ``query 0`` and on.
        options: ``--seconds``, ``--deadline`` of a call as Go writes it (``1s``), and
            ``--callers`` of a closed loop or ``--rate`` of an open one;
            ``--connections`` (8), of which each caller of a closed loop keeps to one.

    Raises:
        SystemExit: there is no Go, or it cannot build the program.
    """
    where = ("--address", address, "--queries", str(num_queries))
    return (str(program()), "call", *where, *map(str, options))


def lines_of(output: str) -> list[dict[str, Any]]:
    """Return the JSON lines that a generator printed, without what else there is."""
    return [json.loads(line) for line in output.splitlines() if line.startswith("{")]
