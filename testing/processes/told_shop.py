"""A whole system whose processes tell what a test makes them tell."""

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread

from prometheus_client import CollectorRegistry

from freshet.diagnosis.processes import ProcessStatus, Targets
from freshet.diagnosis.status import look_at
from freshet.metrics import name_process
from freshet.probe import TIMEOUT_SECONDS
from freshet.prober.metrics import ProbeMetrics
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from model.metrics import TunerMetrics
from model.refresher.metrics import RefresherMetrics
from model.sink.metrics import SinkMetrics
from server.app import RetrievalServer
from server.settings import ServerSettings
from stream.clock import now_ms
from stream.metrics import StreamMetrics
from stream.signals.lag import Lag
from testing.overlays import overlay_rows
from testing.processes.metrics_endpoint import serving_metrics
from testing.small_generations import DIM, Artifacts, Catalogue, make_catalogue

# Seconds between two bytes of what drips, far below what is waited for one.
_DRIP_SECONDS = 0.1
# Seconds that processes have which all answer, in no time where others leave CPU. Twice
# as many: a test of one that should and does not ends so much later.
_PATIENT_SECONDS = 60.0


@dataclass
class ToldShop:
    """A whole system that is well: the metrics of each process at an address of its
    own, and a real server with an overlay.
    """

    root: Path
    free_port: Callable[[], int]
    stack: ExitStack
    catalogue: Catalogue | None = None
    objective_seconds: float = 60.0
    registries: dict[str, CollectorRegistry] = field(default_factory=dict)
    endpoints: dict[str, ExitStack] = field(default_factory=dict)
    has_silent: bool = False  # whether one accepts connections and never answers

    def __post_init__(self) -> None:
        self.at = {
            name: f"127.0.0.1:{self.free_port()}"
            for name in (
                *("stream", "stream-2", "stream-3", "tuner", "refresher", "server"),
                *("probe", "sink"),
            )
        }
        for name in self.at:
            registry = self.registries[name] = CollectorRegistry()
            name_process(registry, name.partition("-")[0])
        self.artifacts = Artifacts(self.root / "artifacts")
        catalogue = self.catalogue or make_catalogue(20, ["lamp"])
        catalogue.created_ms = now_ms()
        catalogue.taken_ms = catalogue.watermark_ms = now_ms() - 60_000
        self.generation = self.artifacts.publish(catalogue)
        self.streams = [
            StreamMetrics(self.registries[name]) for name in ("stream", "stream-2", "stream-3")
        ]
        for stream in self.streams:
            stream.watch_topics(["clicks"])
            stream.set_broker("kafka:9092", "")
            stream.set_group(num_members=3, num_without_owner=0)
            stream.count_batch({"click": 1000}, 0.01)
            self.lag(stream)
        self.tuner = TunerMetrics(self.registries["tuner"])
        self.tuner.started(600.0)
        self.tuner.succeeded(
            outcome="published",
            generation_id=self.generation,
            now_seconds=time.time() - 60,
            run_seconds=9.0,
        )
        self.refresher = RefresherMetrics(self.registries["refresher"])
        self.refresher.claimed(now_ms())
        self.refresher.overlay(generation=self.generation, sequence=1, items=1, queries=0)
        self.probe = ProbeMetrics(self.registries["probe"])
        self.sink_clock = time.time()
        self.sink = SinkMetrics(self.registries["sink"], clock=lambda: self.sink_clock)
        folder = OverlayFolder.of(self.artifacts.root)
        self.publisher = OverlayPublisher(folder, self.generation, DIM, GoneList(folder.gone_path))
        self.publish()
        settings = ServerSettings(
            listen="127.0.0.1:0",
            objective_seconds=self.objective_seconds,
            wait_seconds=_PATIENT_SECONDS,
        )
        self.server = RetrievalServer(settings, self.artifacts.root, self.registries["server"])
        self.server.start()
        self.stack.callback(self.server.stop, grace_seconds=0)
        for name in self.at:
            self.serve(name)

    def serve(self, name: str) -> None:
        """Let a process answer."""
        endpoint = self.endpoints[name] = ExitStack()
        endpoint.enter_context(serving_metrics(self.at[name], self.registries[name]))
        self.stack.callback(endpoint.close)

    def kill(self, name: str) -> None:
        """Let it answer no more."""
        self.endpoints[name].close()

    def freeze(self, name: str) -> None:
        """Let it accept connections and say nothing."""
        self.kill(name)
        self.has_silent = True
        host, _, port = self.at[name].partition(":")
        self.stack.enter_context(socket.create_server((host, int(port))))

    def drip(self, name: str) -> None:
        """Let it answer a byte at a time, for ever."""
        self.kill(name)
        self.has_silent = True
        host, _, port = self.at[name].partition(":")
        listening = self.stack.enter_context(socket.create_server((host, int(port))))
        end = Event()
        thread = Thread(target=_drip, args=(listening, end), daemon=True)
        thread.start()
        self.stack.callback(thread.join)
        self.stack.callback(end.set)

    def lag(self, stream: StreamMetrics, *, offset: float = 0.0, **lag: object) -> None:
        """Set what a stream says of its lag."""
        stream.set_freshness(
            watermark_ms=now_ms() - 1000,
            lag=Lag(**lag),  # type: ignore[arg-type]
            clock_offset_seconds=offset,
        )

    def publish(self, *, age_seconds: float = 0.0, reason: str = "") -> None:
        """Let the refresher say how fresh its overlay is."""
        claim = Claim(reflected_ms=now_ms() - round(1000 * age_seconds), reason=reason)
        self.publisher.publish(overlay_rows(DIM, gone_items=["a"]), claim)

    def targets(self, **others: str) -> Targets:
        """Return where they answer."""
        at = self.at | others
        return Targets(
            streams=[at["stream"], at["stream-2"], at["stream-3"]],
            tuner=at["tuner"],
            refresher=at["refresher"],
            servers=[at["server"]],
            targets=[self.server.address],
            probes=[at["probe"]],
            sinks=[at["sink"]],
        )

    def look(self) -> dict[str, ProcessStatus]:
        """Ask all of them; where none is silent, until each has answered."""
        seconds = TIMEOUT_SECONDS if self.has_silent else _PATIENT_SECONDS
        return {each.name: each for each in look_at(self.targets(), seconds).processes}


def _drip(listening: socket.socket, end: Event) -> None:
    """Send a byte on each connection, again and again."""
    listening.settimeout(_DRIP_SECONDS)
    connections = []
    while not end.is_set():
        try:
            connections.append(listening.accept()[0])
        except TimeoutError:
            end.wait(_DRIP_SECONDS)
        for each in list(connections):
            try:
                each.sendall(b"H")
            except OSError:
                connections.remove(each)
                each.close()
    for each in connections:
        each.close()
