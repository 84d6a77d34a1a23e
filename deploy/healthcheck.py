"""Exits 0 if the gRPC server at HOST:PORT is serving.

Python healthcheck.py HOST:PORT.
"""

import sys
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

# Seconds, below the 5 that compose gives a check (deploy/compose.yaml). Twice as many
# would be cut short there.
_TIMEOUT_SECONDS = 4.0


def serving(target: str) -> bool:
    """Whether the server at `target` ("host:port") answers that it is serving."""
    with grpc.insecure_channel(target) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its published types lack the methods
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


if __name__ == "__main__":
    sys.exit(0 if serving(sys.argv[1]) else 1)
