"""Calls that are wrong, or mean harm, over real sockets: a precise status and a counter
each, no traceback, and nobody else is kept waiting.
"""

import logging
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from freshet_client import NoGeneration
from protos import retrieval_v1_pb2 as retrieval_pb
from server.live import LiveGeneration
from server.security.tokens import new_token
from server.service import SERVICE_NAME
from server.settings import ServerSettings
from testing.retrieval_server import (
    DEADLINE_SECONDS,
    Call,
    RunningServer,
    Serve,
    check_health,
    wait_until,
    watch_health,
)
from testing.small_generations import Artifacts, make_catalogue

RETRIEVE = f"/{SERVICE_NAME}/Retrieve"


@pytest.fixture(autouse=True)
def _shop(artifacts: Artifacts) -> None:
    """One generation to answer from."""
    artifacts.publish(make_catalogue(30, ["lamp"]))


def send(
    server: RunningServer,
    message: bytes,
    method: str = RETRIEVE,
    metadata: tuple[tuple[str, str], ...] = (),
) -> grpc.StatusCode:
    """Send raw bytes and return the status."""
    with grpc.insecure_channel(server.address) as channel:
        call: Call = channel.unary_unary(method)
        try:
            call(message, timeout=DEADLINE_SECONDS, metadata=metadata)
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def lamp() -> bytes:
    """Return a request that is answered."""
    return retrieval_pb.RetrieveRequest(query="lamp", k=1).SerializeToString()


@pytest.mark.parametrize(
    "message", [b"\xff" * 40, b"\n\x02\xff\xfe", b"\x0a\x7fx"], ids=["garbage", "no UTF-8", "cut"]
)
def test_a_message_that_is_none_is_the_clients_mistake(
    serve: Serve, message: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """INVALID_ARGUMENT, a counter, and no traceback in the log."""
    server = serve()

    assert send(server, message) is grpc.StatusCode.INVALID_ARGUMENT

    server.wait_for_metric(
        1, "freshet_server_requests_total", method="Retrieve", code="INVALID_ARGUMENT"
    )
    assert server.metric("freshet_server_calls_refused_total", reason="malformed") == 1
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_huge_message_is_not_read(serve: Serve) -> None:
    """Nor does it hold memory; the next call is answered."""
    server = serve()

    assert send(server, b"\n" + b"x" * 10_000_000) is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert send(server, lamp()) is grpc.StatusCode.OK


def test_a_method_that_there_is_not_is_counted(serve: Serve) -> None:
    """By one name, whatever clients invent."""
    server = serve()

    assert send(server, b"", "/a.b/C") is grpc.StatusCode.UNIMPLEMENTED
    server.wait_for_metric(
        1, "freshet_server_requests_total", method="unknown", code="UNIMPLEMENTED"
    )


def test_a_call_without_a_message_is_said_so(serve: Serve) -> None:
    """It ends at once."""
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        call: Call = channel.stream_unary(RETRIEVE)
        with pytest.raises(grpc.RpcError) as caught:
            call(iter(()), timeout=DEADLINE_SECONDS)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "no message" in (caught.value.details() or "")


def test_calls_whose_message_never_comes_keep_nobody_waiting(serve: Serve) -> None:
    """They hold no thread, other callers and health are answered, and they end with a
    status though they brought no deadline.
    """
    server = serve(num_threads=1, receive_seconds=DEADLINE_SECONDS)
    release = threading.Event()

    def silent() -> Iterator[bytes]:
        release.wait(DEADLINE_SECONDS)
        yield from ()

    apart = (("grpc.use_local_subchannel_pool", 1),)  # a connection of its own
    with grpc.insecure_channel(server.address, options=apart) as channel:
        held: Any = channel.stream_unary(RETRIEVE)
        calls = [held.future(silent()) for _ in range(100)]
        server.wait_for_metric(100, "freshet_server_open_calls")

        assert send(server, lamp()) is grpc.StatusCode.OK
        assert check_health(server.address) == health_pb2.HealthCheckResponse.SERVING
        with server.client() as client:
            assert client.freshness().ready
        release.set()
        for call in calls:
            call.cancel()


def test_a_call_whose_message_never_comes_ends(serve: Serve) -> None:
    """With a status that says why."""
    server = serve(receive_seconds=0.05)
    release = threading.Event()

    def silent() -> Iterator[bytes]:
        release.wait(DEADLINE_SECONDS)
        yield from ()

    with grpc.insecure_channel(server.address) as channel:
        held: Any = channel.stream_unary(RETRIEVE)
        call = held.future(silent())
        assert call.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        release.set()
    assert server.metric("freshet_server_calls_refused_total", reason="too_long") == 1


def test_held_reflection_streams_end(serve: Serve) -> None:
    """More than there are threads for: each is ended, or turned away, with a status."""
    server = serve(call_seconds=0.05)
    release = threading.Event()

    def silent() -> Iterator[bytes]:
        release.wait(DEADLINE_SECONDS)
        yield from ()

    with grpc.insecure_channel(server.address) as channel:
        stream: Call = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        codes = {call.code() for call in [stream(silent()) for _ in range(4)]}
        release.set()
    assert codes <= {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.RESOURCE_EXHAUSTED}
    wait_until(lambda: not len(server.server._doors.open_calls), "nothing is kept of them")


def test_a_call_that_is_answered_for_too_long_leaves_nothing_behind(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends while its thread is at work on it, whose answer comes too late."""
    # For the last call, too, which is answered. Twice as long: the first ends so much
    # later.
    server = serve(call_seconds=1.5)
    begun, release, done = threading.Event(), threading.Event(), threading.Event()
    service = server.server._service
    retrieve = service._retrieve

    def slow(*arguments: Any, **named: Any) -> Any:
        begun.set()
        assert release.wait(DEADLINE_SECONDS)
        done.set()
        return retrieve(*arguments, **named)

    monkeypatch.setattr(service, "_retrieve", slow)
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary(RETRIEVE)
        code = call.future(lamp(), timeout=DEADLINE_SECONDS).code()
        assert begun.is_set()
        release.set()
        assert done.wait(DEADLINE_SECONDS)
        wait_until(lambda: not len(server.server._doors.open_calls), "nothing is kept of it")
        monkeypatch.undo()
        call(lamp(), timeout=DEADLINE_SECONDS)

    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    for status in ("DEADLINE_EXCEEDED", "OK"):
        server.wait_for_metric(1, "freshet_server_requests_total", method="Retrieve", code=status)


def test_reflection_can_be_switched_off(serve: Serve) -> None:
    """Then nobody learns what methods there are."""
    server = serve(reflection=False)

    reflect = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
    assert send(server, b"", reflect) is grpc.StatusCode.UNIMPLEMENTED


def test_only_who_has_a_token_is_answered(serve: Serve, tmp_path: Path) -> None:
    """Each way of having none has a counter; health is for whoever asks."""
    token, line = new_token("team")
    old, old_line = new_token("old")
    (tmp_path / "tokens").write_text(f"{line}\n{old_line} 2020-01-01T00:00:00Z\n")
    server = serve(tokens=str(tmp_path / "tokens"))

    def with_token(given: str) -> grpc.StatusCode:
        return send(server, lamp(), metadata=(("authorization", given),))

    assert with_token(f"Bearer {token}") is grpc.StatusCode.OK
    assert send(server, lamp()) is grpc.StatusCode.UNAUTHENTICATED
    assert with_token("Basic abc") is grpc.StatusCode.UNAUTHENTICATED
    assert with_token("Bearer wrong") is grpc.StatusCode.UNAUTHENTICATED
    assert with_token(f"bearer {old}") is grpc.StatusCode.UNAUTHENTICATED
    assert check_health(server.address) == health_pb2.HealthCheckResponse.SERVING
    counts = {
        reason: server.metric("freshet_server_calls_refused_total", reason=f"token_{reason}")
        for reason in ("missing", "unknown", "expired")
    }
    assert counts == {"missing": 2, "unknown": 1, "expired": 1}


def test_a_caller_has_limits_of_its_own(serve: Serve, tmp_path: Path) -> None:
    """One that calls too often is told so, and others go on."""
    (greedy, first), (modest, second) = new_token("greedy"), new_token("modest")
    (tmp_path / "tokens").write_text(f"{first}\n{second}\n")
    server = serve(tokens=str(tmp_path / "tokens"), caller_calls_per_second=0.001)

    codes = [
        send(server, lamp(), metadata=(("authorization", f"Bearer {token}"),))
        for token in (greedy, greedy, modest)
    ]

    assert codes == [
        grpc.StatusCode.OK,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.OK,
    ]
    assert server.metric("freshet_server_calls_refused_total", reason="caller_rate") == 1


def test_a_caller_may_have_only_so_many_calls_open(serve: Serve) -> None:
    """Half-open ones count, and count no more once they have ended."""
    server = serve(caller_concurrency=2, receive_seconds=DEADLINE_SECONDS)
    release = threading.Event()

    def silent() -> Iterator[bytes]:
        release.wait(DEADLINE_SECONDS)
        yield from ()

    with grpc.insecure_channel(server.address) as channel:
        held: Any = channel.stream_unary(RETRIEVE)
        calls = [held.future(silent()) for _ in range(2)]
        server.wait_for_metric(2, "freshet_server_open_calls")
        assert send(server, lamp()) is grpc.StatusCode.RESOURCE_EXHAUSTED
        release.set()
        for call in calls:
            call.cancel()
        server.wait_for_metric(0, "freshet_server_open_calls")
    assert send(server, lamp()) is grpc.StatusCode.OK


@pytest.mark.parametrize(
    "first_bytes", [b"", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02", b"\x00" * 4096]
)
def test_connections_that_speak_something_else_harm_nobody(
    serve: Serve, first_bytes: bytes
) -> None:
    """A hundred of each: the next caller is answered."""
    server = serve()
    host, _, port = server.address.rpartition(":")
    sockets = [socket.create_connection((host, int(port))) for _ in range(100)]
    for each in sockets:
        each.sendall(first_bytes)

    assert send(server, lamp()) is grpc.StatusCode.OK

    for each in sockets:
        each.close()


def test_a_stop_answers_on_for_its_lame_duck_time(serve: Serve) -> None:
    """Health says NOT_SERVING first; a watch that is held does not hold up the end."""
    server = serve(lame_duck_seconds=3.0, grace_seconds=DEADLINE_SECONDS)
    with grpc.insecure_channel(server.address) as channel:
        watch = watch_health(channel)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING
        stopper = threading.Thread(target=server.server.stop)
        stopper.start()
        assert next(watch).status == health_pb2.HealthCheckResponse.NOT_SERVING

        assert send(server, lamp()) is grpc.StatusCode.OK

        assert watch.code() is grpc.StatusCode.UNAVAILABLE
        stopper.join()


def test_health_lists_every_service(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """Without a token, and without a traceback in the log."""
    server = serve()
    # The published types are of a version without it.
    list_response: Any = getattr(health_pb2, "HealthListResponse")  # noqa: B009
    with grpc.insecure_channel(server.address) as channel:
        call: Call = channel.unary_unary(
            "/grpc.health.v1.Health/List",
            response_deserializer=list_response.FromString,
        )
        statuses = call(b"", timeout=DEADLINE_SECONDS).statuses

    assert {name: each.status for name, each in statuses.items()} == dict.fromkeys(
        ["", SERVICE_NAME, "freshet.newest"], health_pb2.HealthCheckResponse.SERVING
    )
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_while_the_first_generation_loads_that_is_said(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not that there is none."""
    (artifacts.root / "CURRENT").unlink()
    server = serve()
    release, load = threading.Event(), LiveGeneration.load

    def slowly(path: Path, settings: ServerSettings, **more: Any) -> LiveGeneration:
        release.wait(DEADLINE_SECONDS)
        return load(path, settings, **more)

    monkeypatch.setattr(LiveGeneration, "load", slowly)
    generation_id = artifacts.publish(make_catalogue(30, ["lamp"]))
    with server.client() as client:

        def told() -> str:
            with pytest.raises(NoGeneration) as caught:
                client.retrieve("lamp")
            return str(caught.value)

        wait_until(lambda: f"{generation_id} is being loaded" in told(), "the load is said")
        release.set()
        client.wait_until_ready(DEADLINE_SECONDS)
