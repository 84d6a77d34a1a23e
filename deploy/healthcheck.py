"""Exits 0 if the process in this container can do its work, else says why not.

Python healthcheck.py PROCESS HOST:PORT. A server is asked over gRPC whether it is
serving (with TLS: the variables of the Python client, ``FRESHET_CLIENT_TLS_CA`` and the
like, docs/security.md), the others by their metrics (with TLS: the same, and
``FRESHET_CLIENT_METRICS_TLS=1``). A stream whose broker is silent
runs on, and cannot do its work.
"""

import os
import ssl
import sys
import urllib.request
from pathlib import Path
from typing import Any

# Seconds, below the 5 that compose gives a check (deploy/compose.yaml). Twice as many
# would be cut short there.
_TIMEOUT_SECONDS = 4.0
# Seconds without a word of the broker after which a stream is unhealthy, as in
# FreshetBrokerSilent: a broker that restarts is away for ten or so.
_MOST_SILENT_SECONDS = 30.0


def problem_of(process: str, address: str) -> str:
    """Return what is wrong with the process at `address`; empty: nothing."""
    return _problem_of_server(address) if process == "server" else _problem(process, address)


def _problem(process: str, address: str) -> str:
    # A proxy named in the environment has no business inside a container.
    try:
        request, context = _metrics_request(address)
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
        )
        with opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            lines = answer.read().decode("utf-8", "replace").splitlines()
    except OSError as error:
        return f"no metrics at {address}: {error}"
    if not any(
        line.startswith("freshet_build_info{") and f'process="{process}"' in line for line in lines
    ):
        return f"what answers at {address} is no {process}"
    silent = max(
        (
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("freshet_stream_broker_silent_seconds ")
        ),
        default=0.0,
    )
    if silent > _MOST_SILENT_SECONDS:
        return f"the broker has not answered for {silent:.0f} s"
    return ""


def _metrics_request(address: str) -> tuple[urllib.request.Request, ssl.SSLContext | None]:
    """Return how metrics are asked for: as the variables say, or without TLS."""
    if os.environ.get("FRESHET_CLIENT_METRICS_TLS", "") in {"", "0"}:
        return urllib.request.Request(f"http://{address}/metrics"), None
    context = ssl.create_default_context(cafile=os.environ.get("FRESHET_CLIENT_TLS_CA") or None)
    # It is asked from inside its container, where its name means nothing.
    context.check_hostname = False
    cert = os.environ.get("FRESHET_CLIENT_TLS_CERT")
    if cert:
        context.load_cert_chain(cert, os.environ.get("FRESHET_CLIENT_TLS_KEY"))
    token = os.environ.get("FRESHET_CLIENT_TOKEN_FILE")
    text = Path(token).read_text("utf-8").strip() if token else ""
    headers = {"Authorization": f"Bearer {text}"} if text else {}
    return urllib.request.Request(f"https://{address}/metrics", headers=headers), context


def _problem_of_server(address: str) -> str:
    # Of all images the server's alone is sure to have gRPC.
    import grpc  # noqa: PLC0415
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    with _channel(address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)  # its published types lack the methods
        try:
            answer = stub.Check(health_pb2.HealthCheckRequest(), timeout=_TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            return (
                f"no answer at {address}: {error.details() if hasattr(error, 'details') else error}"
            )
    if answer.status != health_pb2.HealthCheckResponse.SERVING:
        return f"the server at {address} does not serve yet, or no more"
    return ""


def _channel(target: str) -> Any:
    import grpc  # noqa: PLC0415

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
    problem = problem_of(*sys.argv[1:])
    if problem:
        print(f"unhealthy: {problem}", file=sys.stderr)
    sys.exit(1 if problem else 0)
