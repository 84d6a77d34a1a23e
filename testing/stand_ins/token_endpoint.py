"""A token endpoint of an OpenID provider, on loopback, whose tokens nobody signs."""

import json
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote_plus

CLIENT_ID = "stream of a shop"
CLIENT_SECRET = "100% a secret: +/="  # of an endpoint that lives as long as a test


class TokenEndpoint(ThreadingHTTPServer):
    """Answers the grant of client credentials.

    Attributes:
        forms: what it was asked, in order.
        life_seconds: of the tokens that it gives.
        answer: what it answers instead; None: a token. With its status.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.forms: list[dict[str, str]] = []
        self.life_seconds = 300.0
        self.answer: tuple[int, bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is asked."""
        return f"http://127.0.0.1:{self.server_port}/token"


def unsigned_token(*, life_seconds: float, scope: str = "kafka", now: float | None = None) -> str:
    """Return a JWT of the algorithm "none", as a broker takes it in a test."""
    issued = time.time() if now is None else now
    claims = {"sub": "shop", "iat": issued, "exp": issued + life_seconds, "scope": scope}
    return f"{_packed({'alg': 'none'})}.{_packed(claims)}."


@contextmanager
def token_endpoint() -> Iterator[TokenEndpoint]:
    """Run one."""
    with TokenEndpoint() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: TokenEndpoint

    def do_POST(self) -> None:
        """Answer a form."""
        content = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {name: values[0] for name, values in parse_qs(content).items()}
        self.server.forms.append(form)
        status, answer = self.server.answer or self._judge(form)
        self.send_response(status)
        self.send_header("Location", self.server.url)  # followed by nobody
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _judge(self, form: dict[str, str]) -> tuple[int, bytes]:
        _, _, packed = self.headers["Authorization"].partition(" ")
        names = [unquote_plus(name) for name in b64decode(packed).decode().split(":")]
        if names != [CLIENT_ID, CLIENT_SECRET] or form["grant_type"] != "client_credentials":
            return 401, b'{"error":\n"invalid_client"}'
        life = self.server.life_seconds
        token = unsigned_token(life_seconds=life, scope=form.get("scope", ""))
        return 200, json.dumps({"access_token": token, "expires_in": life}).encode()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


def _packed(fields: dict[str, Any]) -> str:
    return urlsafe_b64encode(json.dumps(fields).encode()).decode().rstrip("=")
