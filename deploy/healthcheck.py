"""Exits 0 if the gRPC server at HOST:PORT is serving.

Python healthcheck.py HOST:PORT. A server with TLS: the variables of the Python client,
``FRESHET_CLIENT_TLS_CA`` and the like (docs/security.md).
"""

import os
import sys
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Seconds, below the 5 that compose gives a check (deploy/compose.yaml). Twice as many
# would be cut short there.
_TIMEOUT_SECONDS = 4.0


def serving(target: str) -> bool:
    """Whether the server at `target` ("host:port") answers that it is serving."""
    with _channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its published types lack the methods
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def _channel(target: str) -> grpc.Channel:
    ca, key, cert = (os.environ.get(f"FRESHET_CLIENT_TLS_{name}") for name in ("CA", "KEY", "CERT"))
    if not ca:
        return grpc.insecure_channel(target)
    credentials = grpc.ssl_channel_credentials(
        *(Path(path).read_bytes() if path else None for path in (ca, key, cert))
    )
    name = os.environ.get("FRESHET_CLIENT_SERVER_NAME", "")
    options = (("grpc.ssl_target_name_override", name),) if name else ()
    return grpc.secure_channel(target, credentials, options=options)


if __name__ == "__main__":
    sys.exit(0 if serving(sys.argv[1]) else 1)
