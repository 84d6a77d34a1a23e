"""What the ingestion measurements share, and how each runs a process of its own."""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from bench.figures import Figure, print_figure
from bench.ingest.workload import shop_events
from stream.events.types import Interaction
from stream.settings import StreamSettings

# Known edges per event, chosen by hand: four events an edge on average. Twice as many
# edges: fewer repeats, so more entries written an event.
_EDGES_PER_EVENT = 0.25
# Edges in the grown store: powers of ten, so that growth is read off a straight line.
_SCALES = (100_000, 1_000_000)
_LARGE_SCALES = (*_SCALES, 10_000_000)
# Events measured at each scale, per event of --events; chosen by hand.
_PROBE_SHARE = 1.5


class Workbench:
    """What the measurements share: broker, number of events, stores, figures.

    Args:
        bootstrap: "host:port" of the broker.
        folder: where stores and files are made.
        options: of the command line.
    """

    def __init__(self, bootstrap: str, folder: Path, options: argparse.Namespace) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.num_events: int = options.events
        self.num_edges = round(options.events * _EDGES_PER_EVENT)
        self.scales = _LARGE_SCALES if options.large else _SCALES
        self.num_probes = round(options.events * _PROBE_SHARE)
        self.quarantine_topic = self.topic("quarantine")
        self.figures: list[Figure] = []

    @contextmanager
    def on(self, bootstrap: str) -> Iterator[None]:
        """Measure on another broker within the block."""
        before = self.bootstrap, self.quarantine_topic
        self.bootstrap = bootstrap
        self.quarantine_topic = self.topic("quarantine")
        try:
            yield
        finally:
            self.bootstrap, self.quarantine_topic = before

    def topic(self, name: str) -> str:
        """Create a topic of one partition for this run and return its name."""
        from kafka.admin import KafkaAdminClient, NewTopic

        topic = f"bench-{name}-{time.time_ns()}"
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.ms": "-1"})])
        return topic

    def store(self, name: str) -> Path:
        """Return where a store of this run is."""
        return self.folder / name

    def events(self, seed: int = 1) -> Iterator[Interaction]:
        """Yield the events of the run."""
        return shop_events(self.num_events, self.num_edges, seed=seed)

    def settings(self, topic: str) -> StreamSettings:
        """Return settings that publish to one topic."""
        return StreamSettings(
            clicks_topic=topic, sessions_topic=topic, quarantine_topic=self.quarantine_topic
        )

    def add(self, name: str, value: float, unit: str, *, target: str = "", note: str = "") -> None:
        """Add a figure and show it."""
        figure = Figure(name=name, value=float(f"{value:.4g}"), unit=unit, target=target, note=note)
        self.figures.append(figure)
        print_figure(figure)

    def run(self, part: str, **arguments: object) -> dict[str, Any]:
        """Run a part in a process of its own and return what it reports."""
        with self.process(part, **arguments) as process:
            return result_of(process, part)

    @contextmanager
    def process(self, part: str, **arguments: object) -> "Iterator[subprocess.Popen[str]]":
        """Run a part beside this process; it is ended with the block."""
        command = [sys.executable, "-m", "bench.ingest.parts", part, json.dumps(arguments)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def add_rate(
        self, name: str, result: Mapping[str, float], num_events: int, *, target: str = ""
    ) -> float:
        """Add how many events a CPU-second a process did, and return it."""
        rate = num_events / result["cpu_seconds"]
        micros = result["cpu_seconds"] / num_events * 1e6
        by_clock = num_events / result["wall_seconds"]
        note = f"{micros:.1f} us CPU an event; {by_clock:,.0f}/s by the clock"
        self.add(name, rate, "events/CPU-s", target=target, note=note)
        return rate

    def stream_arguments(self, topic: str, num_records: int, store: str) -> dict[str, object]:
        """Return the arguments of the part ``stream`` to apply a topic to a store."""
        return {
            "bootstrap": self.bootstrap,
            "topic": topic,
            "num_records": num_records,
            "store": str(self.store(store)),
            "quarantine_topic": self.quarantine_topic,
        }

    def grown(self) -> Path:
        """Return the store of the largest scale, filled on the first call."""
        store = self.store("grown")
        if not store.exists():
            self.run("fill", store=str(store), first_edge=0, num_edges=self.scales[-1])
        return store


def await_first(process: "subprocess.Popen[str]") -> float:
    """Return when the process applied its first event, by the monotonic clock.

    Raises:
        SystemExit: it ended before.
    """
    for line in process.stdout or ():
        if line.startswith("first "):
            return float(line.split()[1])
    raise SystemExit("a measured process ended before it applied anything; see its error above")


def result_of(process: "subprocess.Popen[str]", part: str) -> dict[str, Any]:
    """Wait for a part to end, and return what it reports.

    Raises:
        SystemExit: it failed.
    """
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the part {part} failed; see its error above")
    return reported(output, part)


def reported(output: str, part: str) -> dict[str, Any]:
    """Return the result in a part's output.

    Raises:
        SystemExit: there is none.
    """
    done = [line for line in output.splitlines() if line.startswith("done ")]
    if not done:
        raise SystemExit(f"the part {part} ended without a result")
    result: dict[str, Any] = json.loads(done[0].removeprefix("done "))
    return result
