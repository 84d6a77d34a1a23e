"""Has gRPC listen: with what bounds its connections, and each method at its door."""

import functools
import threading

import grpc
from grpc_health.v1 import health_pb2_grpc

from server.calls import reflection
from server.calls.core_calls import server_ids, unseen_calls
from server.calls.grpc_call import DirectMethods
from server.errors import ListenFailed
from server.http.methods import path_of, request_type
from server.listening.addresses import check_can_listen, split_address
from server.listening.doors import Doors
from server.listening.readiness import Readiness
from server.methods.plain import PlainRequests
from server.methods.unary import UnaryMethod
from server.metrics.calls import CallMetrics, Refused
from server.security.credentials import server_credentials
from server.service import SERVICE_NAME, RetrievalService
from server.settings import ServerSettings

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


class GrpcListener:
    """Answers calls over gRPC, between `start` and `stop`.

    Its address is taken when it is made; what comes before the start waits.

    Attributes:
        address: where it listens, HOST:PORT, with the port that was really taken.
    """

    def __init__(
        self,
        settings: ServerSettings,
        service: RetrievalService,
        readiness: Readiness,
        doors: Doors,
        metrics: CallMetrics,
        *,
        shares_port: bool,
    ) -> None:
        """Take the settings' address.

        Args:
            settings: the server's settings.
            service: answers our methods.
            readiness: answers health checks.
            doors: where calls are let in.
            metrics: of calls.
            shares_port: whether others listen there, too.

        Raises:
            PortBusy: something else listens there.
            ListenFailed: it cannot be listened on for another reason.
            SettingsInvalid: a certificate cannot be used.
        """
        others = server_ids()
        self._open_calls = doors.open_calls
        self._server = grpc.server(
            doors.searching, options=_options(settings, shares_port=shares_port)
        )
        self._methods = _direct_methods(self._server, settings, service, doors)
        reflector = reflection.make_reflector(SERVICE_NAME) if settings.reflection else None
        doors.let_in(readiness.service, reflector)
        health_pb2_grpc.add_HealthServicer_to_server(readiness.service, self._server)
        if reflector is not None:
            reflection.add_reflection(reflector, self._server)
        unknown = _UnknownMethods(metrics)
        self._server.add_generic_rpc_handlers((unknown,))
        takers = (*doors.all, unknown)
        metrics.watch_unseen(functools.partial(unseen_calls, server_ids() - others, takers))
        host, port = split_address(settings.listen, "server.listen")
        if not shares_port:
            check_can_listen(host, port)
        try:
            bound = _add_port(self._server, settings)
        except RuntimeError as error:
            raise ListenFailed(f"cannot listen on {settings.listen}: {error}") from error
        self.address = f"{settings.listen.rpartition(':')[0]}:{bound}"

    def start(self) -> None:
        """Answer calls."""
        self._server.start()
        self._methods.start()
        self._open_calls.on_sweep = self._methods.relieve

    def stop(self, grace_seconds: float) -> threading.Event:
        """Take no more calls, and cancel those that have not ended after the grace
        period; return what is set once all have.
        """
        return self._server.stop(grace_seconds)


def _direct_methods(
    server: grpc.Server, settings: ServerSettings, service: RetrievalService, doors: Doors
) -> DirectMethods:
    """Return the methods of the service, added to a server."""
    plain = {"Retrieve": PlainRequests(settings)}
    found = DirectMethods(server, lambda: doors.searching.is_stuck)
    for route in doors.routes:
        method = UnaryMethod(
            route.door,
            getattr(service, route.name),
            request_type(route.name).FromString,
            plain=plain.get(route.name),
            size_of=route.size_of,
        )
        found.add(path_of(route.name), route.name, method.let_in)
    return found


def _add_port(server: grpc.Server, settings: ServerSettings) -> int:
    credentials = server_credentials(settings)
    if credentials is None:
        return server.add_insecure_port(settings.listen)
    return server.add_secure_port(settings.listen, credentials)


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
