"""Wires watcher, service, health, reflection and their doors into a running gRPC
server.
"""

import functools
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from prometheus_client import CollectorRegistry

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.addresses import check_can_listen, split_address
from server.answers.prepared import PreparedAnswers
from server.asked import AskedEverywhere, AskedQueries
from server.calls import reflection
from server.calls.callers import Callers
from server.calls.core_calls import server_ids, unseen_calls
from server.calls.door import METHOD_ATTRIBUTE, OURS_ATTRIBUTE, SIZE_ATTRIBUTE, Door
from server.calls.health import Health
from server.calls.ledger import Ledger
from server.calls.open_calls import OpenCalls
from server.errors import ArtifactsMissing, ListenFailed
from server.http.listener import HttpListener
from server.http.methods import Method, Route, methods_by_path
from server.index_recall import RecallSampler
from server.methods.batch import batch_size
from server.methods.generations import GenerationList
from server.methods.plain import RequestReader
from server.metrics.answering import ServerMetrics
from server.metrics.calls import CallMetrics, Refused
from server.metrics.index import IndexMetrics
from server.metrics.later import Later
from server.metrics.overlay import OverlayMetrics
from server.quality.traces import AnswerTraces
from server.security.credentials import server_credentials
from server.security.tokens import TokenFile
from server.service import SERVICE_NAME, RetrievalService
from server.settings import ServerSettings
from server.swaps.loader import Loader
from server.swaps.refusals import RefusalReason
from server.swaps.watcher import GenerationWatcher
from server.swaps.watching import Watching
from server.views import LiveViews
from stream.clock import now_ms

logger = logging.getLogger(__name__)

# Bytes of a message: 64 times what the longest query with its session has. Twice as
# many let each call hold twice the memory before it is refused.
_MOST_MESSAGE_BYTES = 1 << 20
# Of a connection's first bytes, TLS included. Twice as many keep a connection that
# sends nothing for twice as long.
_HANDSHAKE_MS = 10_000
# A connection whose client is gone without a word is found within 40 s. Twice as many:
# within 80.
_KEEPALIVE_MS, _KEEPALIVE_TIMEOUT_MS = 30_000, 10_000
# Calls of a method that have come and that gRPC's one thread has not looked at: with
# more, gRPC itself turns some away, with twice as many all. It looks at some 2,000 a
# second: a thirtieth of one. Twice as many wait for twice as long, unseen.
_MOST_UNSEEN_CALLS = 64
# Of calls under way on a connection that has come of age: as of a call. Twice as many
# keep an old connection for twice as long.
_AGE_GRACE_MS = 30_000
_LATE_SECONDS = 10.0
"""How long after its grace a stop waits for gRPC to have ended all calls.

It cancels them then, and a stop that waits for ever is killed without a word. Ten times
what it takes on a machine that is twenty times overloaded; twice as long keeps a deploy
waiting for as much longer.
"""
_REFLECTION_THREADS = 2
"""Concurrent reflection streams: two people with grpcurl; a third waits for one of
them.

Each costs a sleeping thread, so twice as many would cost next to nothing.
"""
_SEARCHING_METHODS = ("Retrieve", "SimilarItems", "Explain")
_SIDE_METHODS = ("GetFreshness", "GetAsked", "ListGenerations")
_HEALTH_NAMES = (health.OVERALL_HEALTH, SERVICE_NAME)
NEWEST_HEALTH = "freshet.newest"
"""Health of the newest generation: NOT_SERVING while an older one answers in its place,
because it is refused.
"""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """What a server shares with others at the same address.

    Attributes:
        make_watcher: makes what gives it its generations, from its views and what is
            called with whether the newest one is refused.
        ledger: the accounts of callers.
        asked: returns what all of them were asked most, at most so many; None: all.
    """

    make_watcher: Callable[[LiveViews, Callable[[bool], None]], Watching]
    ledger: Ledger
    asked: Callable[[int | None], list[tuple[str, int]]]


class RetrievalServer:
    """A retrieval server: `start` it, `wait` for it, `stop` it.

    Serving its metrics is the caller's.

    Args:
        settings: the server's settings.
        artifacts_path: the artifacts folder; neither it nor a generation in it need
            exist yet.
        registry: where the metrics are registered.
        sharing: with other servers at the same address; None: there are none.
        traces: follows records to the first answer that knows them; None: nobody does.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        settings: ServerSettings,
        artifacts_path: Path,
        registry: CollectorRegistry,
        *,
        sharing: Sharing | None = None,
        traces: AnswerTraces | None = None,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._artifacts_path = artifacts_path
        self._sharing = sharing
        later = Later(registry)
        self._metrics = ServerMetrics(
            registry, RefusalReason, objective_seconds=settings.objective_seconds, later=later
        )
        self._call_metrics = CallMetrics(registry, later)
        overlay_metrics = OverlayMetrics(registry)
        self.views = LiveViews(
            OverlayFolder.of(artifacts_path),
            settings,
            self._metrics,
            overlay_metrics,
            on_live=self._serving,
            clock_ms=clock_ms,
        )
        if traces is not None:
            self._metrics.answers.on_answer = traces.answered
            self.views.on_view = traces.swapped
        self._watcher: Watching = (
            GenerationWatcher(
                ArtifactStore(artifacts_path),
                self.views,
                settings,
                self._metrics,
                Loader(settings, clock_ms=clock_ms),
                on_refusal=self._newest_refused,
            )
            if sharing is None
            else sharing.make_watcher(self.views, self._newest_refused)
        )
        self.asked = AskedQueries(settings.asked_queries)
        self._sampler = RecallSampler(settings, IndexMetrics(registry))
        self._service = RetrievalService(
            self.views,
            self._watcher,
            settings,
            self._metrics,
            self.asked if sharing is None else AskedEverywhere(self.asked, sharing.asked),
            self._sampler,
            GenerationList(ArtifactStore(artifacts_path), self._watcher, self.views),
            clock_ms=clock_ms,
        )
        self._health = Health()
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._newest_refused(is_refused=False)
        self._metrics.watch(self._service.receipt_now)
        overlay_metrics.watch(lambda: self.views.live, clock_ms)
        tokens = TokenFile(Path(settings.tokens)) if settings.tokens else None
        self._callers = Callers(
            tokens,
            calls_per_second=settings.caller_calls_per_second,
            concurrency=settings.caller_concurrency,
            ledger=None if sharing is None else sharing.ledger,
        )
        self._open_calls = OpenCalls(
            self._call_metrics,
            receive_seconds=settings.receive_seconds,
            call_seconds=settings.call_seconds,
        )
        self._door = self._make_door(
            "grpc", settings.num_threads, callers=self._callers, wait_seconds=settings.wait_seconds
        )
        self._side_door = self._make_door("grpc-side", 1, callers=self._callers)
        self._health_door = self._make_door("grpc-health", 1)
        self._reflection_door = self._make_door(
            "grpc-reflection", _REFLECTION_THREADS, callers=self._callers, is_streaming=True
        )
        self._call_metrics.watch(lambda: len(self._open_calls), lambda: self._door.num_waiting)
        self._routes = (
            *(Route(name=each, door=self._side_door) for each in _SIDE_METHODS),
            *(Route(name=each, door=self._door) for each in _SEARCHING_METHODS),
            Route(name="RetrieveBatch", door=self._door, size_of=batch_size),
        )
        self._server: grpc.Server | None = None
        self._http: HttpListener | None = None
        self._stopped = threading.Event()
        self.http_address = settings.http_address
        """Where it listens for HTTP, likewise; empty: nowhere."""
        self.address = settings.listen
        """Where it listens, HOST:PORT.

        The port that was really taken once `start` has returned.
        """

    def start(self) -> bool:
        """Listen, load the current generation and begin to watch; return whether the
        server is ready. One without a generation that is fit waits for one.

        Raises:
            ArtifactsMissing: the artifacts folder is something else.
            PortBusy: something else listens on the address.
            ListenFailed: the address cannot be listened on for another reason.
            SettingsInvalid: a certificate cannot be used.
        """
        check_artifacts(self._artifacts_path)
        # Before gRPC's names of its methods lie over the service's own.
        methods = methods_by_path(self._routes, self._service)
        self._server = self._listen()
        try:
            self._server.start()
            self._http = self._listen_http(methods)
            ready = self._watcher.load_first()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        self._open_calls.start()
        self._watcher.start()
        self.views.start()
        self._sampler.start()
        logger.info(
            "serving address=%s ready=%s artifacts=%s", self.address, ready, self._artifacts_path
        )
        return ready

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the server has stopped; return False if the timeout came first."""
        return self._stopped.wait(timeout_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Report NOT_SERVING, go on for the lame-duck time, reject new requests, wait
        for running ones for the grace period, and stop.

        Args:
            grace_seconds: the grace period, without a lame-duck time before it; None:
                as the settings have both.
        """
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        self._health.enter_graceful_shutdown()
        if self._server is not None:
            if grace_seconds is None:
                threading.Event().wait(self._settings.lame_duck_seconds)
            ended = self._server.stop(grace)
            self._open_calls.end_held()
            if self._http is not None:
                self._http.stop(grace)
            if not ended.wait(grace + _LATE_SECONDS):
                logger.error("calls_not_ended open=%d", len(self._open_calls))
        self._open_calls.stop()
        self._watcher.stop()
        self.views.stop()
        self._sampler.stop()
        for door in (self._door, self._side_door, self._health_door, self._reflection_door):
            door.shutdown(wait=False)
        self._stopped.set()
        logger.info("stopped address=%s", self.address)

    def _listen(self) -> grpc.Server:
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)
        self._newest_refused(is_refused=False)
        others = server_ids()
        server = grpc.server(
            self._door, options=_options(self._settings, shares_port=self._sharing is not None)
        )
        for route in self._routes:
            _answer_at(route.door, self._service, route.name, size_of=route.size_of, is_ours=True)
        retrieval_grpc.add_RetrievalServiceServicer_to_server(
            self._service,  # type: ignore[arg-type]  # it has each method, with our own context
            PreparedAnswers(server, {"Retrieve": RequestReader(self._settings)}),  # type: ignore[arg-type]  # it is all that is asked of one
        )
        self._add_side_services(server)
        unknown = _UnknownMethods(self._call_metrics)
        server.add_generic_rpc_handlers((unknown,))
        takers = (self._door, self._side_door, self._health_door, self._reflection_door, unknown)
        self._call_metrics.watch_unseen(
            functools.partial(unseen_calls, server_ids() - others, takers)
        )
        host, port = split_address(self._settings.listen, "server.listen")
        if self._sharing is None:
            check_can_listen(host, port)
        try:
            bound = self._add_port(server)
        except RuntimeError as error:
            raise ListenFailed(f"cannot listen on {self._settings.listen}: {error}") from error
        self.address = f"{self._settings.listen.rpartition(':')[0]}:{bound}"
        return server

    def _listen_http(self, methods: Mapping[str, Method]) -> HttpListener | None:
        """Answer JSON over HTTP, where the settings say so."""
        address = self._settings.http_address
        if not address:
            return None
        host, port = split_address(address, "server.http_address")
        shares_port = self._sharing is not None
        if not shares_port:
            check_can_listen(host, port)
        listener = HttpListener(
            (host, port), methods, self._call_metrics, self._settings, shares_port=shares_port
        )
        listener.start()
        self.http_address = f"{address.rpartition(':')[0]}:{listener.port}"
        logger.info("serving_http address=%s", self.http_address)
        return listener

    def _add_port(self, server: grpc.Server) -> int:
        credentials = server_credentials(self._settings)
        if credentials is None:
            return server.add_insecure_port(self._settings.listen)
        return server.add_secure_port(self._settings.listen, credentials)

    def _make_door(
        self,
        name: str,
        num_threads: int,
        *,
        callers: Callers | None = None,
        wait_seconds: float | None = None,
        is_streaming: bool = False,
    ) -> Door:
        return Door(
            name,
            num_threads,
            self._open_calls,
            self._call_metrics,
            callers=callers,
            wait_seconds=wait_seconds,
            is_streaming=is_streaming,
        )

    def _add_side_services(self, server: grpc.Server) -> None:
        """Add health and reflection, each with a door of its own.

        A reflection stream holds its thread for as long as it is open, so it may hold
        neither one that answers queries nor one that answers health checks; and health
        is for whoever asks, behind no query and within no limit.
        """
        for method in ("Check", "List", "Watch"):
            _answer_at(self._health_door, self._health, method)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        if not self._settings.reflection:
            return
        reflector = reflection.make_reflector(SERVICE_NAME)
        _answer_at(self._reflection_door, reflector, reflection.METHOD)
        reflection.add_reflection(reflector, server)

    def _serving(self) -> None:
        for name in _HEALTH_NAMES:
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def _newest_refused(self, is_refused: bool) -> None:  # noqa: FBT001  # a callback's one argument
        status = health_pb2.HealthCheckResponse
        self._health.set(NEWEST_HEALTH, status.NOT_SERVING if is_refused else status.SERVING)


def check_artifacts(path: Path) -> None:
    """Check that an artifacts folder is one, or is not there yet.

    Raises:
        ArtifactsMissing: it is something else.
    """
    if not path.exists():
        logger.warning("artifacts folder %s is not there yet; waiting for a tuner to make it", path)
    elif not path.is_dir():
        raise ArtifactsMissing(
            f"the artifacts folder {path} is not a folder; name the one that the tuner writes to"
        )


class _UnknownMethods(grpc.GenericRpcHandler):
    """Counts calls of methods that there are not; gRPC ends them with UNIMPLEMENTED."""

    def __init__(self, metrics: CallMetrics) -> None:
        self._metrics = metrics
        self.num_taken = 0

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> None:  # noqa: ARG002  # the interface
        """Return no handler."""
        self.num_taken += 1
        self._metrics.refused(Refused.UNKNOWN_METHOD)
        self._metrics.ended("unknown", grpc.StatusCode.UNIMPLEMENTED.name, 0.0)


def _options(settings: ServerSettings, *, shares_port: bool) -> tuple[tuple[str, int], ...]:
    """Return what bounds connections, beside the calls on them."""
    return (
        # Two servers that share a port by chance would each get half of the requests,
        # without an error.
        ("grpc.so_reuseport", int(shares_port)),
        ("grpc.max_concurrent_streams", settings.max_calls_per_connection),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_connection_idle_ms", int(1000 * settings.idle_connection_seconds)),
        ("grpc.max_connection_age_ms", int(1000 * settings.connection_age_seconds)),
        ("grpc.max_connection_age_grace_ms", _AGE_GRACE_MS),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
        ("grpc.max_receive_message_length", _MOST_MESSAGE_BYTES),
        ("grpc.server.max_pending_requests", _MOST_UNSEEN_CALLS),
        ("grpc.server.max_pending_requests_hard_limit", 2 * _MOST_UNSEEN_CALLS),
    )


def _answer_at(
    door: Door,
    servicer: object,
    method: str,
    *,
    size_of: Callable[[Any], int] | None = None,
    is_ours: bool = False,
) -> None:
    """Have gRPC let the calls of one method of a servicer in at a door.

    It looks for these attributes on what it calls.

    Args:
        door: where they are let in.
        servicer: what has the method.
        method: its name.
        size_of: how many calls a request counts as; None: as one.
        is_ours: whether the method takes a `server.calls.context.MethodContext`.
    """
    found = getattr(servicer, method)
    behavior = functools.partial(found)
    behavior.experimental_thread_pool = door  # type: ignore[attr-defined]
    if getattr(found, "experimental_non_blocking", False):
        behavior.experimental_non_blocking = True  # type: ignore[attr-defined]
    setattr(behavior, METHOD_ATTRIBUTE, method)
    setattr(behavior, SIZE_ATTRIBUTE, size_of)
    setattr(behavior, OURS_ATTRIBUTE, is_ours)
    setattr(servicer, method, behavior)
