"""Calls made by processes of their own, which do not read what comes back."""

import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from protos import retrieval_v1_pb2 as retrieval_pb
from server.service import SERVICE_NAME

_RETRIEVE = f"/{SERVICE_NAME}/Retrieve"
# Ports of a connection's client differ, and with them the worker that it comes to: so
# many of each caller that both of two have some. Twice as many change nothing.
_CONNECTIONS = 4


@dataclass(frozen=True, kw_only=True)
class Called:
    """What became of calls.

    Attributes:
        seconds: how long they were made for.
        latencies: seconds of those that were answered.
        errors: how many were not.
    """

    seconds: float
    latencies: tuple[float, ...]
    errors: int

    @property
    def rate(self) -> float:
        """Answers a second."""
        return len(self.latencies) / self.seconds

    def quantile_ms(self, share: float) -> float:
        """Return how long an answer took, by its rank."""
        return round(float(np.quantile(self.latencies, share)) * 1000, 2)


def requests_of(k: int, num_queries: int) -> list[bytes]:
    """Return requests for known queries."""
    return [
        retrieval_pb.RetrieveRequest(query=f"query {row}", k=k).SerializeToString()
        for row in range(num_queries)
    ]


class Caller:
    """Calls a server over a few connections, one call after the other."""

    def __init__(self, address: str) -> None:
        apart = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self._channels = [
            grpc.insecure_channel(address, options=apart) for _ in range(_CONNECTIONS)
        ]
        self._calls: list[Any] = [channel.unary_unary(_RETRIEVE) for channel in self._channels]

    def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            channel.close()

    def call(self, number: int, request: bytes) -> float | None:
        """Return the seconds that a call took; None: it failed."""
        started = time.perf_counter()
        try:
            self._calls[number % _CONNECTIONS](request, timeout=10.0)
        except grpc.RpcError:
            return None
        return time.perf_counter() - started

    def calls(self, requests: list[bytes]) -> Called:
        """Make some calls, one after the other."""
        started = time.perf_counter()
        found = [self.call(number, request) for number, request in enumerate(requests)]
        seconds = time.perf_counter() - started
        answered = tuple(each for each in found if each is not None)
        return Called(seconds=seconds, latencies=answered, errors=len(found) - len(answered))


def rate_of(address: str, k: int, num_queries: int, callers: int, seconds: float) -> float:
    """Return the answers a second that callers without a pause get.

    h2load calls where it is installed (Debian's nghttp2-client): it takes a tenth of
    the processor that calls from Python take, which the server's workers then have. It
    asks one query again and again.
    """
    h2load = shutil.which("h2load")
    if h2load:
        return _h2load_rate(h2load, address, k, callers, seconds)
    command = [sys.executable, "-m", "bench.serving.callers", address]
    arguments = [str(k), str(num_queries), str(seconds)]
    running = [
        subprocess.Popen([*command, *arguments], stdout=subprocess.PIPE, text=True)
        for _ in range(callers)
    ]
    return sum(float(process.communicate()[0]) for process in running)


def _h2load_rate(h2load: str, address: str, k: int, callers: int, seconds: float) -> float:
    """Return the answers a second that h2load gets.

    Raises:
        SystemExit: calls failed.
    """
    message = retrieval_pb.RetrieveRequest(query="query 7", k=k).SerializeToString()
    with tempfile.NamedTemporaryFile(suffix=".grpc") as body:
        # A message of gRPC: not compressed, four bytes of length, content.
        Path(body.name).write_bytes(b"\0" + len(message).to_bytes(4, "big") + message)
        connections = str(callers * _CONNECTIONS)
        command = [h2load, f"--duration={round(1000 * seconds)}ms", "-c", connections, "-m", "1"]
        headers = ["-H", "content-type: application/grpc", "-H", "te: trailers"]
        url = f"http://{address}{_RETRIEVE}"
        run = subprocess.run(
            [*command, *headers, "-d", body.name, url], capture_output=True, text=True, check=True
        )
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", run.stdout)
    if counts is None or int(counts[2]) or int(counts[3]):
        raise SystemExit(f"calls by h2load failed:\n{run.stdout}")
    return int(counts[1]) / seconds


def _main(address: str, k: int, num_queries: int, seconds: float) -> None:
    caller, requests = Caller(address), requests_of(k, num_queries)
    number, answered, end = 0, 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        answered += caller.call(number, requests[number % num_queries]) is not None
        number += 1
    print(answered / seconds)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
