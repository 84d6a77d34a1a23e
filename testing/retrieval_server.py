"""Real retrieval servers over small generations, with a fixed clock."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import grpc
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry

from freshet_client import RetrievalClient
from server.app import RetrievalServer
from server.settings import ServerSettings
from testing.small_generations import NOW_MS

Call = Callable[..., Any]

# The health stub's methods are missing from its published types.
_HEALTH_CODEC: dict[str, Any] = {
    "request_serializer": health_pb2.HealthCheckRequest.SerializeToString,
    "response_deserializer": health_pb2.HealthCheckResponse.FromString,
}

DEADLINE_SECONDS = 60.0  # for what takes milliseconds on a machine that is not busy


@dataclass(kw_only=True)
class RunningServer:
    """A started server with its metrics."""

    server: RetrievalServer
    registry: CollectorRegistry

    @property
    def address(self) -> str:
        """HOST:PORT of the server."""
        return self.server.address

    def metric(self, name: str, **labels: str) -> float | None:
        """Return the value of a metric as a scrape would see it now."""
        return self.registry.get_sample_value(name, labels)

    def wait_for_metric(self, value: float, name: str, **labels: str) -> None:
        """Wait until a metric has a value: a call is counted when it has ended, a
        moment after its client knows.
        """
        wait_until(lambda: self.metric(name, **labels) == value, f"{name} {labels} is {value}")

    def client(self) -> RetrievalClient:
        """Return a client of the server, to be closed by the caller.

        It never tries again: a test sees each status that the server sends.
        """
        return RetrievalClient(self.address, timeout_seconds=DEADLINE_SECONDS, retry=None)


class Serve(Protocol):
    """Starts a server that ends with the test."""

    def __call__(self, **settings: object) -> RunningServer:
        """Start a server with these settings."""


@contextmanager
def serving(artifacts_path: Path) -> Iterator[Serve]:
    """Yield a function that starts a server over an artifacts folder, by default on a
    free port; all end with the block.
    """
    running: list[RetrievalServer] = []

    def start(**settings: object) -> RunningServer:
        registry = CollectorRegistry()
        defaults = {
            "listen": "127.0.0.1:0",
            "watch_every_seconds": 0.02,
            "overlay_every_seconds": 0.01,
            "grace_seconds": 5.0,
            # A test's machine may be slow; those about overload set it.
            "wait_seconds": DEADLINE_SECONDS,
        }
        made = ServerSettings(**{**defaults, **settings})  # type: ignore[arg-type]
        server = RetrievalServer(made, artifacts_path, registry, clock_ms=lambda: NOW_MS)
        running.append(server)
        server.start()
        return RunningServer(server=server, registry=registry)

    try:
        yield start
    finally:
        for server in running:
            server.stop(grace_seconds=0)


def check_health(address: str, service: str = "") -> int:
    """Return the status that a health check of a server reports."""
    with grpc.insecure_channel(address) as channel:
        call: Call = channel.unary_unary("/grpc.health.v1.Health/Check", **_HEALTH_CODEC)
        request = health_pb2.HealthCheckRequest(service=service)
        return int(call(request, timeout=DEADLINE_SECONDS).status)


def watch_health(channel: grpc.Channel) -> Any:
    """Return the stream of a server's statuses: an iterator that can be cancelled."""
    call: Call = channel.unary_stream("/grpc.health.v1.Health/Watch", **_HEALTH_CODEC)
    return call(health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS)


def wait_until(holds: Callable[[], object], what: str) -> None:
    """Wait until `holds()` is true.

    Fail naming `what` when it is not within the deadline.
    """
    pause = threading.Event()
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {DEADLINE_SECONDS:g} s: {what}"
        pause.wait(0.005)
