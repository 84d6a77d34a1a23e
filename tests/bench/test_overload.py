"""The load that the bench of overload makes, and what it counts."""

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from bench.overload.load import Callers, Outcome
from server.service import SERVICE_NAME
from testing.retrieval_server import DEADLINE_SECONDS, Serve
from testing.small_generations import Artifacts, make_catalogue

# Go compiles what the load generator needs once: some 25 s of CPU.
pytestmark = pytest.mark.timeout(1200)


def test_every_call_of_an_open_loop_is_counted_once(artifacts: Artifacts, serve: Serve) -> None:
    """By its status, here and in the server."""
    artifacts.publish(make_catalogue(30, ["query 0", "query 1"]))
    server = serve()

    outcome = Callers(server.address, DEADLINE_SECONDS, 2).open_loop(200.0, 0.5)

    assert set(outcome.codes) == {"OK"}
    assert outcome.codes["OK"] > 0
    server.wait_for_metric(
        outcome.codes["OK"], "freshet_server_requests_total", method="Retrieve", code="OK"
    )
    assert outcome.success == 1.0
    assert 0 < outcome.p50_ms <= outcome.p99_ms
    assert outcome.cpu_seconds > 0


def test_callers_of_a_closed_loop_wait_for_answers(artifacts: Artifacts, serve: Serve) -> None:
    """They ask for queries that the generation knows."""
    artifacts.publish(make_catalogue(30, ["query 0", "query 1"]))
    server = serve()

    outcome = Callers(server.address, DEADLINE_SECONDS, 2).closed_loop(2, 0.5)

    assert outcome.codes["OK"] > 0
    server.wait_for_metric(outcome.codes["OK"], "freshet_server_queries_total", path="known")


def test_a_caller_of_a_closed_loop_keeps_to_its_connection() -> None:
    """One whose answers do not come holds up no other."""
    peers: dict[str, int] = {}
    go_on = threading.Event()

    def answer(_request: bytes, context: grpc.ServicerContext) -> bytes:
        peers[context.peer()] = peers.get(context.peer(), 0) + 1
        if context.peer() == next(iter(peers)):
            go_on.wait(DEADLINE_SECONDS)
        return b""

    server = grpc.server(ThreadPoolExecutor(4))
    handlers: Any = {"Retrieve": grpc.unary_unary_rpc_method_handler(answer)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE_NAME, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        outcome = Callers(f"127.0.0.1:{port}", 1.0, 2, connections=2).closed_loop(2, 0.5)
    finally:
        go_on.set()
        server.stop(0).wait()

    waiting, others = peers.values()
    assert waiting == 1
    assert others == outcome.codes["OK"] > 1


def test_statuses_have_the_names_of_grpc(artifacts: Artifacts, serve: Serve) -> None:
    """A server without a generation answers none, and says so."""
    artifacts.root.mkdir(parents=True, exist_ok=True)

    outcome = Callers(serve().address, DEADLINE_SECONDS, 1).closed_loop(1, 0.2)

    assert set(outcome.codes) == {"UNAVAILABLE"}
    assert outcome.goodput == outcome.success == 0.0
    assert outcome.offered > 0


def test_callers_say_that_no_server_answers() -> None:
    """What is measured is a server."""
    with pytest.raises(SystemExit, match=r"no server answers at 127\.0\.0\.1:1"):
        Callers("127.0.0.1:1", 1.0, 1).closed_loop(1, 0.1)


def test_success_is_of_all_calls() -> None:
    """Goodput is of those that were answered."""
    outcome = Outcome(
        seconds=2.0,
        codes={"OK": 3, "RESOURCE_EXHAUSTED": 1},
        p50_ms=1.0,
        p99_ms=1.0,
        late_ms=0.0,
        cpu_seconds=0.1,
    )

    assert outcome.success == 0.75
    assert outcome.goodput == 1.5
    assert outcome.offered == 2.0
