"""Answers HTTP: GET alone, for whom the guard lets in, with headers that let a page do
no more than it must.
"""

import logging
import socket
import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from freshet.console.guard import Guard
from freshet.console.pages import Page, Pages, problem
from freshet.process import CommandError
from server.listening.addresses import split_address

logger = logging.getLogger(__name__)

# Connections at a time: a browser opens six. Twice as many: twice the threads that a
# flood can make.
_MOST_CONNECTIONS: Final = 64
# Seconds that a connection may be silent. Twice as long: one that says nothing keeps
# its thread for twice as long.
_IDLE_SECONDS: Final = 15.0
# Fields of a query string; no path takes more than two.
_MOST_FIELDS: Final = 10

_HEADERS: Final = {
    # Nothing but this origin's own files: no inline script or style, no frame, no form
    # that is sent, and no text that becomes markup.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
        "require-trusted-types-for 'script'; trusted-types 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

_OWN_SITE: Final = {"", "none", "same-origin"}
"""Values of Sec-Fetch-Site of requests that no other site's page made."""


class Listener:
    """Serves pages at an address, in threads.

    Args:
        address: HOST:PORT; port 0 takes any free one.
        pages: what is answered.
        guard: who is.

    Raises:
        CommandError: it cannot listen there.
    """

    def __init__(self, address: str, pages: Pages, guard: Guard) -> None:
        host, port = split_address(address)
        try:
            self._server = _Server((host, port), pages, guard)
        except OSError as error:
            raise CommandError(
                f"the console cannot listen on {address}: {error.strerror or error}; "
                "give another address with --listen"
            ) from error
        self._host = host
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="console", daemon=True
        )

    @property
    def url(self) -> str:
        """Where a browser finds it."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._server.server_port}/"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answer no more."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], pages: Pages, guard: Guard) -> None:
        self.pages = pages
        self.guard = guard
        self._free = threading.BoundedSemaphore(_MOST_CONNECTIONS)
        host, port = address
        self.address_family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread of its own, if one is left."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, and leave its place to another."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say why a connection ended, to whoever debugs: most often the browser went
        away.
        """
        del request
        logger.debug("connection_failed peer=%s error=%r", client_address, sys.exception())


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    server_version, sys_version = "freshet", ""

    def do_GET(self) -> None:
        """Answer a request."""
        self._answer()

    def do_HEAD(self) -> None:
        """Answer without the body."""
        self._answer()

    def __getattr__(self, name: str) -> Any:
        """Refuse every other method, whatever it is called."""
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the interface
        """Log for whoever debugs alone: a query is nobody else's."""
        logger.debug("request %s", format % args)

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        page = self._refusal(parts.path) or self._page(parts.path, parts.query)
        self._send(page)

    def _page(self, path: str, query: str) -> Page:
        try:
            fields = dict(parse_qsl(query, max_num_fields=_MOST_FIELDS))
        except ValueError:
            return problem(HTTPStatus.BAD_REQUEST, f"more than {_MOST_FIELDS} parameters")
        try:
            return self.server.pages.answer(path, fields)
        except Exception:
            logger.exception("page_failed path=%s", path[:200])
            return problem(
                HTTPStatus.INTERNAL_SERVER_ERROR, "the console failed; see its log for the cause"
            )

    def _refusal(self, path: str) -> Page | None:
        """Return why a request is not answered; None: it is."""
        if not self.server.guard.is_host(self.headers.get("Host", "")):
            return problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                "the console is not known by this name; start it with --name, or use its address",
            )
        if not self.server.pages.is_data(path):
            return None
        if self.headers.get("Sec-Fetch-Site", "") not in _OWN_SITE:
            return problem(HTTPStatus.FORBIDDEN, "another site's page may not ask")
        if not self.server.guard.is_let_in(self.headers.get("Authorization", "")):
            return problem(HTTPStatus.UNAUTHORIZED, "a token is needed, or this one is not good")
        return None

    def _refuse_method(self) -> None:
        self.close_connection = True  # a body may follow, which nobody reads
        self._send(
            problem(HTTPStatus.METHOD_NOT_ALLOWED, "the console can be read, and nothing else"),
            Allow="GET, HEAD",
        )

    def _send(self, page: Page, **headers: str) -> None:
        self.send_response(page.status)
        for name, value in {**_HEADERS, **headers}.items():
            self.send_header(name, value)
        if page.status is HTTPStatus.UNAUTHORIZED:
            self.send_header("WWW-Authenticate", "Bearer")
        if self.close_connection:
            self.send_header("Connection", "close")
        self.send_header("Content-Type", page.content_type)
        self.send_header("Content-Length", str(len(page.body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page.body)
