"""Wires watcher, service, health and reflection into a running gRPC server."""

import errno
import functools
import logging
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.addresses import split_address
from server.asked import AskedQueries
from server.errors import ArtifactsMissing, ListenFailed, PortBusy
from server.index_recall import RecallSampler
from server.metrics import IndexMetrics, OverlayMetrics, ServerMetrics
from server.service import SERVICE_NAME, RetrievalService
from server.settings import ServerSettings
from server.swaps.refusals import RefusalReason
from server.views import LiveViews
from server.watcher import GenerationWatcher
from stream.clock import now_ms

logger = logging.getLogger(__name__)

# Two servers that share a port would each get half of the requests, without an error.
_OPTIONS = (("grpc.so_reuseport", 0),)
_REFLECTION_THREADS = 2
"""Concurrent reflection streams: two people with grpcurl; a third waits for one of
them.

Each costs a sleeping thread, so twice as many would cost next to nothing.
"""
_HEALTH_NAMES = (health.OVERALL_HEALTH, SERVICE_NAME)
NEWEST_HEALTH = "freshet.newest"
"""Health of the newest generation: NOT_SERVING while an older one answers in its place,
because it is refused.
"""


class RetrievalServer:
    """A retrieval server: `start` it, `wait` for it, `stop` it.

    Serving its metrics is the caller's.

    Args:
        settings: the server's settings.
        artifacts_path: the artifacts folder; neither it nor a generation in it need
            exist yet.
        registry: where the metrics are registered.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        settings: ServerSettings,
        artifacts_path: Path,
        registry: CollectorRegistry,
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._artifacts_path = artifacts_path
        self._metrics = ServerMetrics(registry, RefusalReason)
        overlay_metrics = OverlayMetrics(registry)
        self._views = LiveViews(
            OverlayFolder.of(artifacts_path),
            settings,
            self._metrics,
            overlay_metrics,
            on_live=self._serving,
            clock_ms=clock_ms,
        )
        store = ArtifactStore(artifacts_path)
        self._watcher = GenerationWatcher(
            store,
            self._views,
            settings,
            self._metrics,
            on_refusal=self._newest_refused,
            clock_ms=clock_ms,
        )
        self._sampler = RecallSampler(settings, IndexMetrics(registry))
        self._service = RetrievalService(
            self._views,
            self._watcher,
            settings,
            self._metrics,
            AskedQueries(settings.asked_queries),
            self._sampler,
            clock_ms=clock_ms,
        )
        self._health = health.HealthServicer()
        self._metrics.watch(self._service.receipt_now)
        overlay_metrics.watch(lambda: self._views.live, clock_ms)
        self._pool = ThreadPoolExecutor(settings.num_threads, "grpc")
        self._health_pool = ThreadPoolExecutor(1, "grpc-health")
        self._reflection_pool = ThreadPoolExecutor(_REFLECTION_THREADS, "grpc-reflection")
        self._server: grpc.Server | None = None
        self._stopped = threading.Event()
        self.address = settings.listen
        """Where it listens, HOST:PORT.

        The port that was really taken once `start` has returned.
        """

    def start(self) -> bool:
        """Listen, load the current generation and begin to watch; return whether the
        server is ready.

        Raises:
            ArtifactsMissing: the artifacts folder is something else.
            PortBusy: something else listens on the address.
            ListenFailed: the address cannot be listened on for another reason.
            ModelError: the current generation is missing or corrupt.
            ServerError: it failed its canary queries.
            OSError: it cannot be read.
        """
        if not self._artifacts_path.exists():
            logger.warning(
                "artifacts folder %s is not there yet; waiting for a tuner to make it",
                self._artifacts_path,
            )
        elif not self._artifacts_path.is_dir():
            raise ArtifactsMissing(
                f"the artifacts folder {self._artifacts_path} is not a folder; "
                "name the one that the tuner writes to"
            )
        self._server = self._listen()
        try:
            self._server.start()
            ready = self._watcher.load_first()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        self._watcher.start()
        self._views.start()
        self._sampler.start()
        logger.info(
            "serving address=%s ready=%s artifacts=%s", self.address, ready, self._artifacts_path
        )
        return ready

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the server has stopped; return False if the timeout came first."""
        return self._stopped.wait(timeout_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Report NOT_SERVING, reject new requests, wait for running ones for the grace
        period, and stop.
        """
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        self._health.enter_graceful_shutdown()
        if self._server is not None:
            self._server.stop(grace).wait()
        self._watcher.stop()
        self._views.stop()
        self._sampler.stop()
        for pool in (self._pool, self._health_pool, self._reflection_pool):
            pool.shutdown(wait=False)
        self._stopped.set()
        logger.info("stopped address=%s", self.address)

    def _listen(self) -> grpc.Server:
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._newest_refused(is_refused=False)
        server = grpc.server(
            self._pool,
            options=_OPTIONS,
            maximum_concurrent_rpcs=self._settings.max_waiting_requests,
        )
        retrieval_grpc.add_RetrievalServiceServicer_to_server(self._service, server)
        self._add_side_services(server)
        host, port = split_address(self._settings.listen, "server.listen")
        check_can_listen(host, port)
        try:
            bound = server.add_insecure_port(self._settings.listen)
        except RuntimeError as error:
            raise ListenFailed(f"cannot listen on {self._settings.listen}: {error}") from error
        self.address = f"{self._settings.listen.rpartition(':')[0]}:{bound}"
        return server

    def _add_side_services(self, server: grpc.Server) -> None:
        """Add health and reflection, each with threads of its own.

        A reflection stream holds its thread for as long as the client likes, so it may
        hold neither one that answers queries nor one that answers health checks, and
        health checks must not wait behind queries.
        """
        _run_in_pool(self._health, "Check", self._health_pool)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflector = reflection.ReflectionServicer(names)
        _run_in_pool(reflector, "ServerReflectionInfo", self._reflection_pool)
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflector, server)  # type: ignore[no-untyped-call]

    def _serving(self) -> None:
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _newest_refused(self, is_refused: bool) -> None:  # noqa: FBT001  # a callback's one argument
        status = health_pb2.HealthCheckResponse
        self._health.set(NEWEST_HEALTH, status.NOT_SERVING if is_refused else status.SERVING)


def check_can_listen(host: str, port: int) -> None:
    """Try each address that `host` stands for.

    gRPC succeeds if it can bind one of several addresses, and hides the failures of the
    others.

    Raises:
        PortBusy: something listens on one of them.
        ListenFailed: none of them can be listened on; the message says why.
    """
    where = f"{host}:{port}"
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ListenFailed(
            f"cannot listen on {where}: {error.strerror}; is {host} a name of this machine?"
        ) from error
    failures = [
        failure for family, _, _, _, address in found if (failure := _bind_failure(family, address))
    ]
    if any(failure.errno == errno.EADDRINUSE for failure in failures):
        raise PortBusy(
            f"cannot listen on {where}: something else does; stop it, or choose another port"
        )
    if len(failures) == len(found):
        raise ListenFailed(
            f"cannot listen on {where}: {failures[0].strerror}; choose another address"
        )


def _bind_failure(family: int, address: tuple[object, ...]) -> OSError | None:
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def _run_in_pool(servicer: object, method: str, pool: ThreadPoolExecutor) -> None:
    """Have gRPC run one method of a servicer in `pool`.

    It looks for this attribute on what it calls.
    """
    behavior = functools.partial(getattr(servicer, method))
    behavior.experimental_thread_pool = pool  # type: ignore[attr-defined]
    setattr(servicer, method, behavior)
