"""Retries: what is tried again and what is not, as gRPC does it with our service
config.
"""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import pytest

from freshet_client import (
    CallFailed,
    ClientError,
    DeadlineExceeded,
    NoGeneration,
    QueryRefused,
    RetrievalClient,
    RetryPolicy,
    ServerBusy,
    ServerUnreachable,
    SettingsInvalid,
)
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from testing.retrieval_server import DEADLINE_SECONDS, Serve, wait_until
from testing.small_generations import Artifacts, make_catalogue

_QUICK = RetryPolicy(initial_backoff_seconds=0.01, max_backoff_seconds=0.02)


@dataclass
class Scripted(retrieval_grpc.RetrievalServiceServicer):
    """A service that fails with the given statuses, one a call, then answers."""

    failures: list[grpc.StatusCode]
    num_calls: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def Retrieve(  # noqa: N802  # the contract's name
        self, request: retrieval_pb.RetrieveRequest, context: grpc.ServicerContext
    ) -> retrieval_pb.RetrieveResponse:
        """Fail as the script says, or answer."""
        with self.lock:
            self.num_calls += 1
            failure = self.failures.pop(0) if self.failures else None
        if failure is not None:
            context.abort(failure, "as scripted")
        return retrieval_pb.RetrieveResponse(normalized_query=request.query)

    def GetFreshness(  # noqa: N802  # the contract's name
        self, request: retrieval_pb.GetFreshnessRequest, context: grpc.ServicerContext
    ) -> retrieval_pb.GetFreshnessResponse:
        """Say that it is ready."""
        return retrieval_pb.GetFreshnessResponse(ready=True)


@contextmanager
def scripted(*failures: grpc.StatusCode) -> Iterator[tuple[Scripted, str]]:
    """Yield a service that fails first, and the address it is served at."""
    service = Scripted(list(failures))  # type: ignore[abstract]  # it is asked nothing else
    server = grpc.server(ThreadPoolExecutor(1))
    retrieval_grpc.add_RetrievalServiceServicer_to_server(service, server)
    target = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield service, target
    server.stop(0).wait()


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_a_server_that_is_down_or_stops_is_asked_again(status: grpc.StatusCode) -> None:
    """Two failures of a server that is down, or stops, are not seen by the caller."""
    with (
        scripted(status, status) as (service, target),
        RetrievalClient(target, retry=_QUICK, timeout_seconds=DEADLINE_SECONDS) as client,
    ):
        answer = client.retrieve("lamp")

    assert (answer.normalized_query, service.num_calls) == ("lamp", 3)


def test_tries_are_bounded() -> None:
    """A server that goes on failing is asked `max_attempts` times a call, then the
    error arrives.
    """
    with (
        scripted(*[grpc.StatusCode.UNAVAILABLE] * 9) as (service, target),
        RetrievalClient(target, retry=_QUICK, timeout_seconds=DEADLINE_SECONDS) as client,
    ):
        with pytest.raises(ServerUnreachable) as caught:
            client.retrieve("lamp")

        assert service.num_calls == _QUICK.max_attempts == 5
        assert (caught.value.code, caught.value.retriable) == ("UNAVAILABLE", True)


@pytest.mark.parametrize(
    ("status", "kind", "retriable"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, QueryRefused, False),
        (grpc.StatusCode.INTERNAL, CallFailed, False),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, ServerBusy, True),
        (grpc.StatusCode.DEADLINE_EXCEEDED, DeadlineExceeded, True),
        (grpc.StatusCode.UNIMPLEMENTED, CallFailed, False),
    ],
)
def test_other_statuses_are_not_tried_again(
    status: grpc.StatusCode, kind: type[ClientError], *, retriable: bool
) -> None:
    """What would fail the same way, or become worse by more calls, is asked once."""
    with (
        scripted(status) as (service, target),
        RetrievalClient(target, retry=_QUICK, timeout_seconds=DEADLINE_SECONDS) as client,
    ):
        with pytest.raises(kind) as caught:
            client.retrieve("lamp")

        assert service.num_calls == 1
        assert (caught.value.code, caught.value.retriable) == (status.name, retriable)


@pytest.mark.parametrize("status", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
def test_retries_can_be_switched_off(status: grpc.StatusCode) -> None:
    """Without a policy a call is made once."""
    with (
        scripted(status) as (service, target),
        RetrievalClient(target, retry=None) as client,
    ):
        with pytest.raises(ServerUnreachable):
            client.retrieve("lamp")

        assert service.num_calls == 1


def test_the_deadline_ends_the_tries() -> None:
    """A wait between tries that is longer than the deadline is cut off by it."""
    slow = RetryPolicy(initial_backoff_seconds=3600.0, max_backoff_seconds=3600.0)
    with (
        scripted(grpc.StatusCode.UNAVAILABLE) as (service, target),
        RetrievalClient(target, retry=slow, timeout_seconds=2.0) as client,
    ):
        with pytest.raises(ServerUnreachable):
            client.retrieve("lamp")

        assert service.num_calls == 1


def test_a_call_survives_a_restart_of_the_server(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call under way when its server is stopped is answered by the next one at the
    same address.
    """
    catalogue = make_catalogue(30, ["lamp"])
    artifacts.publish(catalogue)
    first = serve()
    entered, release = threading.Event(), threading.Event()

    def block(*_: object) -> retrieval_pb.RetrieveResponse:
        entered.set()
        release.wait(DEADLINE_SECONDS)
        return retrieval_pb.RetrieveResponse()

    patient = RetryPolicy(initial_backoff_seconds=0.5, backoff_multiplier=1.0)
    with (
        ThreadPoolExecutor(1) as pool,
        RetrievalClient(first.address, timeout_seconds=DEADLINE_SECONDS, retry=patient) as client,
    ):
        with monkeypatch.context() as patch:
            patch.setattr("server.service.response_bytes", block)
            under_way = pool.submit(client.retrieve, "lamp", 3)
            assert entered.wait(DEADLINE_SECONDS)
            first.server.stop(grace_seconds=0)
            release.set()
        second = serve(listen=first.address)
        answer = under_way.result(DEADLINE_SECONDS)

    assert len(answer.hits) == 3
    second.wait_for_metric(1, "freshet_server_requests_total", method="Retrieve", code="OK")


def test_waiting_ends_when_the_server_is_ready(artifacts: Artifacts, serve: Serve) -> None:
    """A client that waits from before there is a generation returns once it is live."""
    running = serve()

    def num_asked() -> float:
        name = "freshet_server_requests_total"
        return running.metric(name, method="GetFreshness", code="OK") or 0.0

    with running.client() as client, ThreadPoolExecutor(1) as pool:
        before = client.is_ready()
        waiting = pool.submit(client.wait_until_ready, DEADLINE_SECONDS)
        wait_until(lambda: num_asked() >= 2, "the waiting client asks")
        generation_id = artifacts.publish(make_catalogue(30, ["lamp"]))
        freshness = waiting.result(DEADLINE_SECONDS)
        after = client.is_ready()

    assert (before, after) == (False, True)
    assert freshness.receipt is not None
    assert freshness.receipt.generation == generation_id


def test_waiting_begins_before_the_server(
    artifacts: Artifacts, serve: Serve, free_port: Any
) -> None:
    """A client that waits at an address where nothing listens yet finds the server
    there later.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    target = f"127.0.0.1:{free_port()}"
    with RetrievalClient(target, retry=None) as client, ThreadPoolExecutor(1) as pool:
        assert not client.is_ready()
        refused = threading.Event()
        client._connection._channel.subscribe(
            lambda state: (
                refused.set() if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE else None
            )
        )
        waiting = pool.submit(client.wait_until_ready, DEADLINE_SECONDS)
        assert refused.wait(DEADLINE_SECONDS)
        serve(listen=target)

        assert waiting.result(DEADLINE_SECONDS).ready


def test_waiting_has_an_end(serve: Serve, free_port: Any) -> None:
    """A server that does not become ready, or is not there at all, is named."""
    with serve().client() as client, pytest.raises(NoGeneration, match="not ready: no generation"):
        client.wait_until_ready(2.0)
    with (
        RetrievalClient(f"127.0.0.1:{free_port()}", retry=None) as client,
        pytest.raises(ServerUnreachable),
    ):
        client.wait_until_ready(0.3)


def test_a_deadline_shorter_than_the_tries_names_a_server_that_is_not_ready(serve: Serve) -> None:
    """The time is over before the last try: the error says what else it may be."""
    with RetrievalClient(serve().address) as client:
        with pytest.raises(DeadlineExceeded, match=r"has no generation yet \(`client.is_ready"):
            client.retrieve("lamp", timeout_seconds=0.3)
        assert not client.is_ready()


def test_something_else_is_not_waited_for() -> None:
    """A gRPC server without our service ends the waiting at once."""
    other = grpc.server(ThreadPoolExecutor(1))
    target = f"127.0.0.1:{other.add_insecure_port('127.0.0.1:0')}"
    other.start()
    with RetrievalClient(target, timeout_seconds=DEADLINE_SECONDS) as client:
        with pytest.raises(CallFailed, match="not a Freshet server"):
            client.wait_until_ready(3600.0)
        with pytest.raises(CallFailed, match="not a Freshet server"):
            client.is_ready()
    other.stop(0).wait()


def test_the_policy_is_a_service_config() -> None:
    """The policy is written as gRPC's service config reads it."""
    config = json.loads(RetryPolicy(max_attempts=3).service_config("some.Service"))

    (method,) = config["methodConfig"]
    assert method == {
        "name": [{"service": "some.Service"}],
        "retryPolicy": {
            "maxAttempts": 3,
            "initialBackoff": "0.200s",
            "maxBackoff": "2.000s",
            "backoffMultiplier": 2.0,
            "retryableStatusCodes": ["UNAVAILABLE", "CANCELLED"],
        },
    }
    assert set(config["retryThrottling"]) == {"maxTokens", "tokenRatio"}


@pytest.mark.parametrize(
    "values",
    [
        {"max_attempts": 1},
        {"max_attempts": 6},
        {"initial_backoff_seconds": 0.0},
        {"initial_backoff_seconds": 3.0},
        {"backoff_multiplier": 0.0},
        {"codes": ()},
        {"codes": ("OK",)},
        {"codes": ("unavailable",)},
    ],
)
def test_a_policy_that_grpc_would_not_take_is_refused(values: dict[str, Any]) -> None:
    """A value out of gRPC's range is refused when the policy is made, by name."""
    with pytest.raises(SettingsInvalid, match="of the retry policy must be"):
        RetryPolicy(**values)
