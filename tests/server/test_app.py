"""Start, stop and the ways in which a start can fail."""

import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from prometheus_client import CollectorRegistry

from freshet_client import NoGeneration, RetrievalClient, ServerUnreachable
from protos import retrieval_v1_pb2 as retrieval_pb
from server.app import RetrievalServer
from server.errors import ArtifactsMissing, ListenFailed, PortBusy
from server.listening.readiness import NEWEST_HEALTH
from server.settings import ServerSettings
from testing.retrieval_server import (
    DEADLINE_SECONDS,
    Serve,
    check_health,
    wait_until,
    watch_health,
)
from testing.small_generations import Artifacts, make_catalogue

ROOT = Path(__file__).resolve().parents[2]


def make_server(artifacts_path: Path, listen: str = "127.0.0.1:0") -> RetrievalServer:
    """Return a server that has not been started."""
    return RetrievalServer(ServerSettings(listen=listen), artifacts_path, CollectorRegistry())


def accepts(address: str) -> bool:
    """Whether something accepts connections at an address."""
    host, _, port = address.rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_a_busy_port_is_refused(artifacts: Artifacts, serve: Serve) -> None:
    """A second server on the port of a first one is refused in one line, and the first
    one goes on.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    first = serve()

    with pytest.raises(PortBusy) as caught:
        make_server(artifacts.root, first.address).start()

    assert first.address in str(caught.value)
    assert "\n" not in str(caught.value)
    with first.client() as client:
        assert client.freshness().ready


def test_a_port_busy_with_something_else_is_refused(artifacts: Artifacts) -> None:
    """A listener that shares its port for reuse does not fool the server."""
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()

        with pytest.raises(PortBusy):
            make_server(artifacts.root, f"127.0.0.1:{other.getsockname()[1]}").start()


def test_one_busy_address_of_a_name_is_enough(artifacts: Artifacts) -> None:
    """`localhost` may be two addresses.

    A server on only one of them would lose half of its clients.
    """
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()

        with pytest.raises(PortBusy):
            make_server(artifacts.root, f"localhost:{other.getsockname()[1]}").start()


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_of_another_machine_is_refused(artifacts: Artifacts, host: str) -> None:
    """An address that is not this machine's is told apart from a busy port."""
    with pytest.raises(ListenFailed, match=host) as caught:
        make_server(artifacts.root, f"{host}:50051").start()

    assert not isinstance(caught.value, PortBusy)


def test_artifacts_must_be_a_folder(tmp_path: Path) -> None:
    """A file in the place of the folder is refused by name."""
    (tmp_path / "file").write_text("x")

    with pytest.raises(ArtifactsMissing, match="file"):
        make_server(tmp_path / "file").start()


def test_a_server_waits_for_a_folder_that_the_tuner_has_yet_to_make(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The processes can be started in any order; the log says what is
    waited for.
    """
    server = make_server(tmp_path / "artifacts")
    try:
        assert not server.start()
        assert str(tmp_path / "artifacts") in caplog.text
        Artifacts(tmp_path / "artifacts").publish(make_catalogue(30, ["lamp"]))
        with RetrievalClient(server.address, timeout_seconds=DEADLINE_SECONDS) as client:
            client.wait_until_ready(DEADLINE_SECONDS)
    finally:
        server.stop(grace_seconds=0)


def test_a_server_that_has_bad_generations_alone_waits_for_the_next(
    artifacts: Artifacts, serve: Serve
) -> None:
    """It answers health and calls that it has none, and takes the next one that is fit
    without a restart.
    """
    artifacts.damage(artifacts.publish(make_catalogue(30, ["lamp"])))
    running = serve()

    assert running.metric("freshet_server_ready") == 0
    assert running.metric("freshet_server_newest_refused") == 1
    for service in ("", NEWEST_HEALTH):
        assert check_health(running.address, service) == health_pb2.HealthCheckResponse.NOT_SERVING
    with running.client() as client:
        freshness = client.freshness()
        assert not freshness.ready
        assert "sha256" in freshness.last_refusal
        with pytest.raises(NoGeneration):
            client.retrieve("lamp")

        artifacts.publish(make_catalogue(31, ["lamp"]))
        client.wait_until_ready(DEADLINE_SECONDS)
        assert client.retrieve("lamp").hits
    running.wait_for_metric(0, "freshet_server_newest_refused")
    assert check_health(running.address, NEWEST_HEALTH) == health_pb2.HealthCheckResponse.SERVING


def test_a_start_that_fails_leaves_nothing_behind(artifacts: Artifacts) -> None:
    """A server that cannot listen for HTTP says so and frees its port of gRPC."""
    artifacts.publish(make_catalogue(30, ["lamp"]))
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        busy = f"127.0.0.1:{other.getsockname()[1]}"
        settings = ServerSettings(listen="127.0.0.1:0", http_address=busy)
        server = RetrievalServer(settings, artifacts.root, CollectorRegistry())

        with pytest.raises(PortBusy):
            server.start()

    assert server.wait(0)
    assert not accepts(server.address)


def test_a_stop_lets_a_request_under_way_finish(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Health says NOT_SERVING, new requests are refused, and the one under way gets its
    answer.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    running = serve(grace_seconds=DEADLINE_SECONDS)
    entered, release = threading.Event(), threading.Event()
    answer = retrieval_pb.RetrieveResponse(normalized_query="slow")

    def block(*_: object) -> retrieval_pb.RetrieveResponse:
        entered.set()
        release.wait(DEADLINE_SECONDS)
        return answer

    monkeypatch.setattr("server.service.response_bytes", block)
    statuses: list[int] = []
    with (
        ThreadPoolExecutor(3) as pool,
        grpc.insecure_channel(running.address) as channel,
        RetrievalClient(running.address, retry=None) as client,
    ):
        watch = watch_health(channel)
        statuses.append(next(watch).status)
        under_way = pool.submit(client.retrieve, "lamp")
        assert entered.wait(DEADLINE_SECONDS)
        stopping = pool.submit(running.server.stop)
        statuses.append(next(watch).status)
        watch.cancel()
        wait_until(lambda: not accepts(running.address), "the server takes no more connections")
        with (
            RetrievalClient(running.address, timeout_seconds=1.0, retry=None) as late,
            pytest.raises(ServerUnreachable),
        ):
            late.freshness()
        assert not running.server.wait(0)
        release.set()

        assert under_way.result(DEADLINE_SECONDS).normalized_query == "slow"
        stopping.result(DEADLINE_SECONDS)
    assert statuses == [
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    ]
    assert running.server.wait(0)


def test_a_stop_does_not_wait_beyond_the_grace(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that outlives the grace is cut off with a clear error, and the server
    is stopped.
    """
    artifacts.publish(make_catalogue(30, ["lamp"]))
    running = serve()
    entered, release = threading.Event(), threading.Event()

    def block(*_: object) -> retrieval_pb.RetrieveResponse:
        entered.set()
        release.wait(DEADLINE_SECONDS)
        return retrieval_pb.RetrieveResponse()

    monkeypatch.setattr("server.service.response_bytes", block)
    with ThreadPoolExecutor(1) as pool, running.client() as client:
        under_way = pool.submit(client.retrieve, "lamp")
        assert entered.wait(DEADLINE_SECONDS)
        running.server.stop(grace_seconds=0.05)

        assert isinstance(under_way.exception(DEADLINE_SECONDS), ServerUnreachable)
        release.set()
    assert running.server.wait(0)


def test_stopping_twice_is_harmless(artifacts: Artifacts, serve: Serve) -> None:
    """A second stop, or a stop before a start, does nothing."""
    running = serve()
    running.server.stop()
    running.server.stop()
    unstarted = make_server(artifacts.root)
    unstarted.stop()

    assert running.server.wait(0)
    assert unstarted.wait(0)


def test_a_server_needs_neither_torch_nor_rocksdb_nor_kafka() -> None:
    """Importing the whole server loads none of the packages that a serving image
    does not have.
    """
    code = (
        "import sys, server.app\n"
        "print(sorted({'torch', 'torch_geometric', 'rocksdict', 'kafka'} & set(sys.modules)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "[]"
