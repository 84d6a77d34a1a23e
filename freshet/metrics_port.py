"""The port where Prometheus finds the metrics of a process: over HTTP or HTTPS, for
everybody or for who has a certificate or a token.
"""

import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socketserver import ThreadingMixIn
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from prometheus_client import CollectorRegistry, make_wsgi_app

from freshet.metrics_settings import MetricsSettings
from server.security.tls import TlsContexts
from server.security.tokens import TokenFile

logger = logging.getLogger(__name__)

# Seconds without a byte after which a connection is closed, its TLS handshake included:
# what Prometheus waits for a page by default. Twice as many keep the thread of one that
# sends nothing for twice as long.
_SILENT_SECONDS = 10.0

_App = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


@contextmanager
def listening(
    address: tuple[str, int], registry: CollectorRegistry, settings: MetricsSettings
) -> Iterator[int]:
    """Answer at ``/metrics`` while inside; yield the port that was taken.

    Args:
        address: host and port; 0: any port.
        registry: what is answered with.
        settings: what protects the port.

    Raises:
        OSError: the address cannot be bound.
        SettingsInvalid: a certificate or a token file cannot be used.
    """
    tls = TlsContexts(settings, table="metrics") if settings.tls_cert else None
    tokens = TokenFile(Path(settings.tokens), setting="metrics.tokens") if settings.tokens else None
    app: _App = make_wsgi_app(registry)
    server = _Server(address, tls)
    server.set_app(app if tokens is None else _guarded(app, tokens))
    thread = Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _guarded(app: _App, tokens: TokenFile) -> _App:
    """Return what answers those only that have a token."""

    def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        kind, _, token = environ.get("HTTP_AUTHORIZATION", "").partition(" ")
        verdict = tokens.verdict(token.strip() if kind.lower() == "bearer" else "")
        if verdict.name:
            return app(environ, start_response)
        headers = [("WWW-Authenticate", "Bearer"), ("Content-Type", "text/plain; charset=utf-8")]
        start_response("401 Unauthorized", headers)
        if verdict.has_expired:
            return [b"the token has expired; get a new one\n"]
        return [b"send the header Authorization: Bearer TOKEN, with a token that is known here\n"]

    return answer


class _Handler(WSGIRequestHandler):
    timeout = _SILENT_SECONDS

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the signature
        logger.debug("metrics asked said=%s", format % args)


class _Server(ThreadingMixIn, WSGIServer):
    """Answers each connection in a thread of its own, which makes the TLS handshake,
    too: a client that does not come along with it holds up nobody else.
    """

    daemon_threads = True

    def __init__(self, address: tuple[str, int], tls: TlsContexts | None) -> None:
        self._tls = tls
        found = socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        self.address_family = found[0][0]
        super().__init__(address, _Handler)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, peer = super().get_request()
        if self._tls is not None:
            connection = self._tls.current().wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, peer

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002  # the signature
        logger.debug("metrics_not_read client=%s why=%s", client_address, sys.exc_info()[1])
