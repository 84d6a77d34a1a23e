"""A schema registry over HTTP, as far as serializers and readers ask one.

The parts of Confluent's API that its clients use: schemas are registered under a
subject, and given by id and by version.
"""

import json
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any
from urllib.parse import unquote, urlsplit

Answer = tuple[int, Any]

_NO_SUBJECT: Answer = (404, {"error_code": 40401, "message": "Subject not found."})
_NO_VERSION: Answer = (404, {"error_code": 40402, "message": "Version not found."})
_NO_SCHEMA: Answer = (404, {"error_code": 40403, "message": "Schema not found"})


@dataclass
class SchemaRegistry:
    """What the registry holds, and how it answers.

    Attributes:
        url: its address.
        user: who may ask, as ``NAME:PASSWORD``; empty: everybody.
        status: what every request is answered with; 0: as a registry does. With 200 it
            is a list, as something else than a registry answers.
        num_asked: how many schemas it was asked for by their ids.
        descriptors: of Protobuf schemas that were registered as a text, by their ids;
            of those that are missing it answers as a registry that cannot make one.
    """

    url: str = ""
    user: str = ""
    status: int = 0
    num_asked: int = 0
    descriptors: dict[int, str] = field(default_factory=dict)
    _schemas: list[dict[str, Any]] = field(default_factory=list)
    _subjects: dict[str, list[int]] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def register(self, subject: str, kind: str, text: str, references: Any = ()) -> int:
        """Return the id of a schema, which it gets where it is new."""
        schema = {"schemaType": kind, "schema": text, "references": [*references]}
        with self._lock:
            if schema not in self._schemas:
                self._schemas.append(schema)
            schema_id = self._schemas.index(schema) + 1
            versions = self._subjects.setdefault(subject, [])
            if schema_id not in versions:
                versions.append(schema_id)
        return schema_id

    def answer(self, method: str, path: list[str], body: Any, credentials: str) -> Answer:
        """Return the status and the JSON of an answer.

        Args:
            method: of the request.
            path: its parts; ``serialized`` behind them where a descriptor is wanted.
            body: its JSON.
            credentials: as ``NAME:PASSWORD``.
        """
        if self.status == 200:
            return 200, []
        if self.status:
            return self.status, {"error_code": 50001, "message": "Error in the backend"}
        if self.user and credentials != self.user:
            return 401, {"error_code": 401, "message": "Unauthorized"}
        found: Answer = (404, {"error_code": 404, "message": "HTTP 404 Not Found"})
        match method, path:
            case "GET", ["schemas", "ids", number]:
                self.num_asked += 1
                found = self._by_id(int(number))
            case "GET", ["schemas", "ids", number, "serialized"]:
                self.num_asked += 1
                found = self._described(int(number))
            case "GET", ["subjects", subject, "versions", version]:
                found = self._by_version(subject, version)
            case "POST", ["subjects", subject, "versions"]:
                found = (200, {"id": self._registered(subject, body)})
            case "POST", ["subjects", subject]:
                found = self._by_version(subject, "latest")
        return found

    def _registered(self, subject: str, body: dict[str, Any]) -> int:
        kind = body.get("schemaType", "AVRO")
        return self.register(subject, kind, body["schema"], body.get("references") or ())

    def _by_id(self, schema_id: int) -> Answer:
        if not 0 < schema_id <= len(self._schemas):
            return _NO_SCHEMA
        return 200, self._schemas[schema_id - 1]

    def _described(self, schema_id: int) -> Answer:
        if schema_id not in self.descriptors:
            return 500, {"error_code": 50001, "message": "No descriptor"}
        status, found = self._by_id(schema_id)
        return status, {**found, "schema": self.descriptors[schema_id]}

    def _by_version(self, subject: str, version: str) -> Answer:
        versions = self._subjects.get(subject)
        if versions is None:
            return _NO_SUBJECT
        number = len(versions) if version == "latest" else int(version)
        if not 0 < number <= len(versions):
            return _NO_VERSION
        schema_id = versions[number - 1]
        found = {"subject": subject, "version": number, "id": schema_id}
        return 200, found | self._schemas[schema_id - 1]


@contextmanager
def schema_registry(port: int = 0) -> Iterator[SchemaRegistry]:
    """Yield a registry that answers on loopback, and end it.

    Args:
        port: where; 0: any that is free.
    """
    registry = SchemaRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer("GET")

        def do_POST(self) -> None:
            self._answer("POST")

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def _answer(self, method: str) -> None:
            length = int(self.headers.get("content-length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            asked = urlsplit(self.path)
            path = [unquote(each) for each in asked.path.strip("/").split("/")]
            path += ["serialized"] if "format=serialized" in asked.query else []
            _, _, packed = (self.headers.get("authorization") or "").partition("Basic ")
            status, found = registry.answer(method, path, body, b64decode(packed).decode())
            content = json.dumps(found).encode()
            self.send_response(status)
            self.send_header("content-type", "application/vnd.schemaregistry.v1+json")
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
