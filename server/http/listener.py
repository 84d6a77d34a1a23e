"""Accepts HTTP connections in a thread with an event loop of its own."""

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Final

from server.errors import ListenFailed
from server.http.connection import HttpConnection, Limits
from server.http.methods import Method
from server.metrics.calls import CallMetrics
from server.security.tls import TlsContexts
from server.settings import ServerSettings

logger = logging.getLogger(__name__)

# Connections that the kernel holds until they are accepted. Twice as many: no harm.
_BACKLOG: Final = 512
# Of a TLS handshake, as over gRPC. Twice as many keep a silent connection for that.
_HANDSHAKE_SECONDS: Final = 10.0
# Without a file descriptor left, nothing is accepted for so long. Twice as long answers
# a recovery later.
_PAUSE_SECONDS: Final = 0.1


class HttpListener:
    """Listens at an address and serves the connections that come.

    Args:
        address: host and port; port 0 takes any free one.
        methods: by path.
        metrics: where what reaches no method is counted.
        settings: limits, and what protects the port.
        shares_port: other processes of this server listen there, too.
    """

    def __init__(
        self,
        address: tuple[str, int],
        methods: Mapping[str, Method],
        metrics: CallMetrics,
        settings: ServerSettings,
        *,
        shares_port: bool = False,
    ) -> None:
        self._methods = methods
        self._metrics = metrics
        self._most = settings.max_connections
        self._limits = Limits(
            receive_seconds=settings.receive_seconds,
            call_seconds=settings.call_seconds,
            idle_seconds=settings.idle_connection_seconds,
            age_seconds=settings.connection_age_seconds,
        )
        self._tls = TlsContexts(settings) if settings.tls_cert else None
        self._socket = _listening(address, shares_port=shares_port)
        self._loop = asyncio.new_event_loop()
        self._connections: dict[asyncio.Task[None], HttpConnection | None] = {}
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)
        self._accepting: asyncio.Task[None] | None = None

    @property
    def port(self) -> int:
        """The port that was taken."""
        return int(self._socket.getsockname()[1])

    @property
    def num_connections(self) -> int:
        """Connections that are open."""
        return len(self._connections)

    def start(self) -> None:
        """Begin to accept."""
        self._thread.start()

    def stop(self, grace_seconds: float) -> None:
        """Accept no more, wait for requests under way, and end.

        Args:
            grace_seconds: longest wait.
        """
        if not self._thread.is_alive():
            return
        stopping: Future[None] = asyncio.run_coroutine_threadsafe(
            self._stop(grace_seconds), self._loop
        )
        stopping.result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._accepting = self._loop.create_task(self._accept())
        self._loop.run_forever()

    async def _accept(self) -> None:
        while True:
            try:
                accepted, _ = await self._loop.sock_accept(self._socket)
            except OSError as error:
                logger.debug("http_not_accepted why=%s", error)
                await asyncio.sleep(_PAUSE_SECONDS)
                continue
            if len(self._connections) >= self._most:
                accepted.close()
                continue
            task = self._loop.create_task(self._serve(accepted))
            self._connections[task] = None
            task.add_done_callback(self._ended)

    async def _serve(self, accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = asyncio.StreamReader(loop=self._loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=self._loop)
        make: Callable[[], asyncio.StreamReaderProtocol] = lambda: protocol  # noqa: E731  # asyncio wants a factory
        tls = None if self._tls is None else self._tls.current()
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                make,
                accepted,
                ssl=tls,
                ssl_handshake_timeout=None if tls is None else _HANDSHAKE_SECONDS,
            )
        except OSError as error:  # a handshake that failed is one, too
            logger.debug("http_handshake_failed why=%s", error)
            accepted.close()
            return
        writer = asyncio.StreamWriter(transport, protocol, reader, self._loop)
        connection = HttpConnection(reader, writer, self._methods, self._metrics, self._limits)
        task = asyncio.current_task()
        if task is not None:
            self._connections[task] = connection
        try:
            await connection.serve()
            # What is written is sent, unless nobody reads it.
            writer.close()
            async with asyncio.timeout(self._limits.receive_seconds):
                await writer.wait_closed()
        except (OSError, TimeoutError) as error:
            logger.debug("http_connection_ended why=%s", error)
        finally:
            transport.abort()

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("http_connection_failed", exc_info=error)

    async def _stop(self, grace_seconds: float) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        self._socket.close()
        for task, connection in list(self._connections.items()):
            if connection is None or connection.is_idle:
                task.cancel()
        if self._connections:
            await asyncio.wait(list(self._connections), timeout=grace_seconds)
        for task in list(self._connections):
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*self._connections, return_exceptions=True)


def _listening(address: tuple[str, int], *, shares_port: bool) -> socket.socket:
    """Return a socket that listens.

    Raises:
        ListenFailed: it cannot.
    """
    host, port = address
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        made = socket.create_server(
            (host, port), family=family, backlog=_BACKLOG, reuse_port=shares_port
        )
    except OSError as error:
        raise ListenFailed(
            f"cannot listen on {host}:{port} (server.http_address): {error.strerror or error}; "
            "choose another address"
        ) from error
    made.setblocking(False)
    return made
