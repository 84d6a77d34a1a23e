"""Calls made one after the other, which do not read what comes back."""

import time
from dataclasses import dataclass
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
