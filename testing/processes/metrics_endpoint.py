"""A metrics endpoint that a test starts, ends, and gives another clock, in no time."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

from prometheus_client import CollectorRegistry, generate_latest

# Seconds until an end is noticed. Twice as long: each test ends so much later.
_POLL_SECONDS = 0.005


@contextmanager
def serving_metrics(
    address: str, registry: CollectorRegistry, *, clock_ahead_seconds: float = 0.0
) -> Iterator[None]:
    """Serve a registry while inside.

    Args:
        address: HOST:PORT.
        registry: what is served.
        clock_ahead_seconds: how far the clock of the answers is ahead.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # the interface
            """Answer with the metrics of now."""
            text = generate_latest(registry)
            self.send_response(200)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def date_time_string(self, timestamp: float | None = None) -> str:
            """Return the Date of an answer."""
            now = time.time() + clock_ahead_seconds
            return super().date_time_string(now if timestamp is None else timestamp)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
