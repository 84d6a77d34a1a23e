"""A webhook that remembers which alerts arrived, and when."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Condition, Thread
from typing import Any

from deploy.guarded import LocalService


@dataclass(frozen=True, kw_only=True)
class Arrived:
    """An alert as it was delivered.

    Attributes:
        at: Unix time.
        channel: the path that it was delivered to, such as ``page``.
        labels: of the alert.
        annotations: of the alert.
    """

    at: float
    channel: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @property
    def name(self) -> str:
        """The name of the alert."""
        return self.labels["alertname"]


class Webhook(LocalService):
    """Takes what Alertmanager delivers, on a free port, while the block lasts.

    Attributes:
        arrived: every alert that began to fire, in order.
    """

    def __init__(self) -> None:
        self.arrived: list[Arrived] = []
        self._firing: dict[frozenset[tuple[str, str]], Arrived] = {}
        self._changed = Condition()
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                hook._take(self.path.strip("/"), body["alerts"])  # its own
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = Thread(target=self._server.serve_forever, name="webhook", daemon=True)

    def start(self) -> None:
        """Take deliveries from now on."""
        self._thread.start()

    def stop(self) -> None:
        """Take none any more, and give the port back."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()

    def url(self, channel: str) -> str:
        """Return the address of a channel."""
        return f"http://127.0.0.1:{self._server.server_port}/{channel}"

    @property
    def firing(self) -> list[Arrived]:
        """What was delivered as firing and not yet as resolved."""
        with self._changed:
            return list(self._firing.values())

    def since(self, at: float) -> list[Arrived]:
        """Return what arrived since then."""
        with self._changed:
            return [each for each in self.arrived if each.at >= at]

    def wait(
        self, condition: Callable[[], bool], timeout_seconds: float, check: Callable[[], object]
    ) -> bool:
        """Wait until a condition holds; look as something arrives, and each second.

        Returns:
            Whether it held in time.
        """
        deadline = time.monotonic() + timeout_seconds
        while not condition():
            check()
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                self._changed.wait(min(left, 1.0))
        return True

    def _take(self, channel: str, alerts: list[dict[str, Any]]) -> None:
        with self._changed:
            for alert in alerts:
                key = frozenset(alert["labels"].items())
                if alert["status"] != "firing":
                    self._firing.pop(key, None)
                elif key not in self._firing:
                    arrived = Arrived(
                        at=time.time(),
                        channel=channel,
                        labels=alert["labels"],
                        annotations=alert["annotations"],
                    )
                    self._firing[key] = arrived
                    self.arrived.append(arrived)
            self._changed.notify_all()
