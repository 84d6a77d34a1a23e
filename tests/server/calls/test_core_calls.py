"""Calls that gRPC sheds before the server sees them are counted."""

import threading
from typing import Any

import grpc
import pytest

from protos import retrieval_v1_pb2 as retrieval_pb
from server.calls.core_calls import server_ids, unseen_calls
from server.calls.door import Door
from server.service import SERVICE_NAME
from testing.retrieval_server import DEADLINE_SECONDS, Serve, wait_until
from testing.small_generations import Artifacts, make_catalogue

_BURST = 60
_LAMP = retrieval_pb.RetrieveRequest(query="lamp", k=1).SerializeToString()
_UNSEEN = "freshet_server_calls_unseen"


@pytest.fixture(autouse=True)
def _shop(artifacts: Artifacts) -> None:
    """One generation to answer from."""
    artifacts.publish(make_catalogue(30, ["lamp"]))


def test_calls_that_are_handed_on_are_seen(serve: Serve) -> None:
    """Answered ones, and those of methods that there are not."""
    server = serve()

    with grpc.insecure_channel(server.address) as channel:
        methods: list[Any] = [
            channel.unary_unary(f"/{SERVICE_NAME}/{name}") for name in ("Retrieve", "None")
        ]
        calls = [method.future(_LAMP, timeout=DEADLINE_SECONDS) for method in methods]
        codes = [each.code() for each in calls]

    assert codes == [grpc.StatusCode.OK, grpc.StatusCode.UNIMPLEMENTED]
    assert server.metric(_UNSEEN) == 0


def test_calls_that_grpc_sheds_are_counted(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its thread is busy, and its own queue is full: whoever was not handed on has a
    status from gRPC, and is counted here.
    """
    monkeypatch.setattr("server.listening.grpc_listener._MOST_UNSEEN_CALLS", 5)
    go_on, take = threading.Event(), Door.take

    def held(door: Door, *arguments: Any) -> None:
        go_on.wait(DEADLINE_SECONDS)
        take(door, *arguments)

    monkeypatch.setattr(Door, "take", held)
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        call: Any = channel.unary_unary(f"/{SERVICE_NAME}/Retrieve")
        calls = [call.future(_LAMP, timeout=DEADLINE_SECONDS) for _ in range(_BURST)]
        wait_until(lambda: sum(each.done() for each in calls) >= _BURST // 2, "gRPC sheds")
        go_on.set()
        answered = sum(each.code() is grpc.StatusCode.OK for each in calls)

    assert 0 < answered <= _BURST // 2
    wait_until(lambda: server.metric(_UNSEEN) == _BURST - answered, "all others are counted")


def test_a_server_that_is_gone_has_no_count() -> None:
    """Not a zero, which would look like health."""
    gone = max(server_ids(), default=0) + 1000

    assert unseen_calls({gone}, ()) != unseen_calls({gone}, ())
