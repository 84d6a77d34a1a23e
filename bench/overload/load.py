"""Calls by the clock: as fast as answers come, or as often as is wanted, whatever comes
back.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import cycle
from typing import Any

import grpc
import numpy as np

from protos import retrieval_v1_pb2 as retrieval_pb
from server.service import SERVICE_NAME

# Connections of the honest callers: those of a small search service. Twice as many
# change little.
_CONNECTIONS = 8
_RETRIEVE = f"/{SERVICE_NAME}/Retrieve"


@dataclass(kw_only=True)
class Outcome:
    """What became of calls.

    Attributes:
        seconds: how long they were made for.
        codes: how often each status came.
        latencies: seconds of the calls that were answered.
    """

    seconds: float = 0.0
    codes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    @property
    def goodput(self) -> float:
        """Calls answered within their deadline, a second."""
        return len(self.latencies) / self.seconds

    @property
    def offered(self) -> float:
        """Calls made a second."""
        return sum(self.codes.values()) / self.seconds

    @property
    def success(self) -> float:
        """Share of the calls that were answered within their deadline."""
        return len(self.latencies) / max(1, sum(self.codes.values()))

    def quantile_ms(self, share: float) -> float:
        """Return how long an answer took, by its rank."""
        return float(np.quantile(self.latencies, share) * 1000) if self.latencies else float("nan")


class Callers:
    """Honest callers of one server, on connections of their own.

    Args:
        address: HOST:PORT.
        deadline_seconds: of each call.
        num_queries: how many known queries there are.
    """

    def __init__(self, address: str, deadline_seconds: float, num_queries: int) -> None:
        apart = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        self._channels = [
            grpc.aio.insecure_channel(address, options=apart) for _ in range(_CONNECTIONS)
        ]
        self._calls: Iterator[Any] = cycle(
            [channel.unary_unary(_RETRIEVE) for channel in self._channels]
        )
        self._messages = cycle(
            retrieval_pb.RetrieveRequest(query=f"query {row}", k=10).SerializeToString()
            for row in range(num_queries)
        )
        self._deadline_seconds = deadline_seconds

    async def close(self) -> None:
        """Close the connections."""
        for channel in self._channels:
            await channel.close()

    async def closed_loop(self, num_callers: int, seconds: float) -> Outcome:
        """Make calls one after the other, by some callers at once."""
        outcome, end = Outcome(), time.perf_counter() + seconds
        started = time.perf_counter()

        async def caller() -> None:
            while time.perf_counter() < end:
                await self._one(outcome)

        await asyncio.gather(*(caller() for _ in range(num_callers)))
        outcome.seconds = time.perf_counter() - started
        return outcome

    async def open_loop(self, rate: float, seconds: float) -> Outcome:
        """Make so many calls a second, at random times, whatever becomes of them.

        Where that is more than this process can make, they take longer than `seconds`,
        and are fewer a second.
        """
        outcome, random, tasks = Outcome(), np.random.default_rng(0), []
        start = time.perf_counter()
        at = start
        while at - start < seconds:
            at += float(random.exponential(1 / rate))
            pause = at - time.perf_counter()
            # Behind its own clock it makes the calls that are due at once.
            await asyncio.sleep(max(0.0, pause))
            tasks.append(asyncio.create_task(self._one(outcome)))
        outcome.seconds = time.perf_counter() - start
        await asyncio.gather(*tasks)
        return outcome

    async def _one(self, outcome: Outcome) -> None:
        started = time.perf_counter()
        try:
            await next(self._calls)(next(self._messages), timeout=self._deadline_seconds)
        except grpc.aio.AioRpcError as error:
            outcome.codes[error.code().name] += 1
            return
        outcome.codes["OK"] += 1
        outcome.latencies.append(time.perf_counter() - started)
