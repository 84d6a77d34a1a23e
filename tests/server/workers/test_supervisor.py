"""Several processes that answer at one address."""

import json
import os
import shutil
import signal
import socket
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from prometheus_client import CollectorRegistry

from freshet.logs.settings import LogSettings
from freshet.serve_worker import worker_command
from freshet.telemetry.settings import TelemetrySettings
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.errors import PortBusy, WorkerFailed
from server.settings import ServerSettings
from server.workers import supervisor as module
from server.workers.supervisor import Supervisor
from testing.retrieval_server import DEADLINE_SECONDS, check_health, wait_until
from testing.small_generations import Artifacts, make_catalogue

QUERIES = ["lamp", "chair"]
CONNECTIONS = 24
"""So many that one worker alone has all of them once in eight million times."""


@dataclass(kw_only=True)
class Pair:
    """Two workers over an artifacts folder."""

    supervisor: Supervisor
    registry: CollectorRegistry
    artifacts: Artifacts

    @property
    def address(self) -> str:
        """Where both answer."""
        return self.supervisor.address

    def metric(self, name: str, **labels: str) -> float:
        """Return a metric of both, as a scrape would see it now."""
        for metric in self.registry.collect():
            for sample in metric.samples:
                if sample.name == name and labels.items() <= sample.labels.items():
                    return sample.value
        return 0.0

    def call(self, query: str = "lamp") -> retrieval_pb.RetrieveResponse:
        """Retrieve over a connection of its own."""
        apart = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        with grpc.insecure_channel(self.address, options=apart) as channel:
            stub = retrieval_grpc.RetrievalServiceStub(channel)
            request = retrieval_pb.RetrieveRequest(query=query, k=3)
            return stub.Retrieve(request, timeout=DEADLINE_SECONDS)

    def pids(self) -> list[int]:
        """Return the processes of the workers."""
        return self.supervisor.pids()

    def live(self) -> set[str]:
        """Return the generations that calls are answered from."""
        return {self.call().receipt.generation for _ in range(CONNECTIONS)}


@contextmanager
def two_workers(artifacts: Artifacts, **settings: Any) -> Iterator[Pair]:
    """Yield two workers that end with the block."""
    registry = CollectorRegistry()
    made = ServerSettings(
        **{
            "listen": "127.0.0.1:0",
            "workers": 2,
            "watch_every_seconds": 0.02,
            "overlay_every_seconds": 0.02,
            "wait_seconds": DEADLINE_SECONDS,
            "lame_duck_seconds": 0.0,
            **settings,
        }
    )
    supervisor = Supervisor(
        made, artifacts.root, registry, worker_command(LogSettings(), TelemetrySettings())
    )
    try:
        supervisor.start()
        yield Pair(supervisor=supervisor, registry=registry, artifacts=artifacts)
    finally:
        supervisor.stop(grace_seconds=0)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two workers; a test leaves both of them running."""
    artifacts = Artifacts(tmp_path_factory.mktemp("workers") / "artifacts")
    artifacts.publish(make_catalogue(60, QUERIES))
    with two_workers(artifacts) as running:
        yield running


def test_both_answer_at_one_address(pair: Pair) -> None:
    """Their metrics are those of one server, and so is what they were asked most."""
    before = pair.metric("freshet_server_queries_total", path="known")
    for _ in range(CONNECTIONS):
        assert len(pair.call().hits) == 3
    for _ in range(3):
        pair.call("chair")

    known = pair.metric("freshet_server_queries_total", path="known")
    assert known == before + CONNECTIONS + 3
    for slot in pair.supervisor._slots:
        assert sum(slot.counted.now["freshet_server_queries"].samples.values()) > 0
    with grpc.insecure_channel(pair.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)

        def asked() -> dict[str, int]:
            request = retrieval_pb.GetAskedRequest(limit=2)
            answer = stub.GetAsked(request, timeout=DEADLINE_SECONDS)
            return {each.query: each.count for each in answer.queries}

        # A worker that does not say what it was asked within half a second is left out.
        wait_until(lambda: asked() == {"lamp": CONNECTIONS, "chair": 3}, "both say")
    assert pair.metric("freshet_server_ready") == 1
    assert check_health(pair.address) == 1


def test_both_share_the_memory_of_a_generation(pair: Pair) -> None:
    """A file of it is one object in memory, mapped by each worker."""
    mapped = [
        {line.split()[4] for line in _maps(pid) if "memfd:item_vectors.npy" in line}
        for pid in pair.pids()
    ]

    assert len(mapped) == 2
    assert mapped[0] == mapped[1] != set()


def _maps(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/maps").read_text(encoding="utf-8").splitlines()


def test_a_swap_reaches_both(pair: Pair) -> None:
    """Once the metrics say so, no call is answered from another; the folder of the old
    one may go, and of the new one, too.
    """
    swaps = pair.metric("freshet_server_swaps_total")
    new = pair.artifacts.publish(make_catalogue(70, QUERIES))
    wait_until(
        lambda: pair.metric("freshet_server_swaps_total") == swaps + 1 and pair.live() == {new},
        "both have the new generation",
    )

    assert pair.metric("freshet_server_generation_info", generation=new) == 1


def test_a_wrong_generation_reaches_none(pair: Pair) -> None:
    """Both say that it is refused, and answer on from the one before."""
    live = pair.live()
    wrong = pair.artifacts.write(make_catalogue(70, QUERIES))
    pair.artifacts.damage(wrong)
    pair.artifacts.use(wrong)
    wait_until(
        lambda: pair.metric("freshet_server_newest_refused") == 1, "the generation is refused"
    )

    wait_until(
        lambda: {pair.call().receipt.refused_generation for _ in range(CONNECTIONS)} == {wrong},
        "both say so",
    )
    assert pair.live() == live
    assert pair.metric("freshet_server_swap_refused_total", reason="corrupt") >= 1

    good = pair.artifacts.publish(make_catalogue(70, QUERIES))
    wait_until(lambda: pair.live() == {good}, "both have the good one")


def test_workers_that_have_bad_generations_alone_wait_for_the_next(artifacts: Artifacts) -> None:
    """As one server does; both take it without a restart."""
    artifacts.damage(artifacts.publish(make_catalogue(60, QUERIES)))
    with two_workers(artifacts) as waiting:
        pids = waiting.pids()
        assert waiting.metric("freshet_server_ready") == 0
        assert waiting.metric("freshet_server_newest_refused") == 1

        good = artifacts.publish(make_catalogue(70, QUERIES))
        wait_until(lambda: waiting.metric("freshet_server_ready") == 1, "both are ready")

        assert waiting.live() == {good}
        assert waiting.pids() == pids


def test_a_worker_that_is_killed_comes_back(pair: Pair) -> None:
    """Calls fail as its connections break, and none after that: the other answers, and
    the new one has what is live from its first call on, though its folder is gone.
    """
    (live,) = pair.live()
    shutil.rmtree(pair.artifacts.store.generation_path(live))
    known = pair.metric("freshet_server_queries_total", path="known")
    victim, other = pair.pids()
    restarts = pair.metric("freshet_server_worker_restarts_total", worker="0")
    os.kill(victim, signal.SIGKILL)
    _until_gone(victim)

    failed = 0
    while pair.metric("freshet_server_worker_up", worker="0") != 1 or victim in pair.pids():
        try:
            assert pair.call().receipt.generation == live
        except grpc.RpcError:
            failed += 1
    assert failed <= 1
    assert pair.metric("freshet_server_worker_restarts_total", worker="0") == restarts + 1
    assert pair.metric("freshet_server_queries_total", path="known") >= known
    assert pair.pids()[1] == other
    assert pair.live() == {live}


def _until_gone(pid: int) -> None:
    def is_gone() -> bool:
        try:
            state = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2]
            threads = [*Path(f"/proc/{pid}/task").iterdir()]
        except (FileNotFoundError, ProcessLookupError):
            return True
        # Its sockets are closed with the last of its threads.
        return state.split()[0] == "Z" and len(threads) == 1

    wait_until(is_gone, f"{pid} is gone")


def test_a_limit_of_callers_holds_for_both(artifacts: Artifacts) -> None:
    """Whichever worker a caller's connections come to."""
    artifacts.publish(make_catalogue(30, QUERIES))
    # So few a second that none is added while the test runs.
    with two_workers(artifacts, caller_calls_per_second=0.0001) as pair:
        outcomes = []
        for _ in range(CONNECTIONS):
            try:
                pair.call()
                outcomes.append("OK")
            except grpc.RpcError as error:
                outcomes.append(_code(error))

    assert outcomes == ["OK", *["RESOURCE_EXHAUSTED"] * (CONNECTIONS - 1)]


def _code(error: Any) -> str:
    return str(error.code().name)


def test_a_stop_lets_calls_finish_and_frees_the_port(artifacts: Artifacts) -> None:
    """Workers end by themselves; nothing listens any more."""
    artifacts.publish(make_catalogue(30, QUERIES))
    with two_workers(artifacts, lame_duck_seconds=3.0) as pair:
        pids = pair.pids()
        stopping = _in_thread(pair.supervisor.stop)
        assert len(pair.call().hits) == 3
        stopping()

        for pid in pids:
            assert not Path(f"/proc/{pid}").exists()
        host, _, port = pair.address.rpartition(":")
        with socket.socket() as probe:
            probe.bind((host, int(port)))


def _in_thread(target: Callable[[], None]) -> Callable[[], None]:
    import threading

    thread = threading.Thread(target=target)
    thread.start()
    return thread.join


def test_a_busy_port_is_refused(pair: Pair) -> None:
    """Also one that another pair of workers shares."""
    settings = ServerSettings(listen=pair.address, workers=2)

    with pytest.raises(PortBusy):
        Supervisor(
            settings,
            pair.artifacts.root,
            CollectorRegistry(),
            worker_command(LogSettings(), TelemetrySettings()),
        ).start()


def test_a_worker_that_cannot_begin_stops_the_start(artifacts: Artifacts) -> None:
    """The message says what is wrong."""
    tls = {"tls_cert": "/no/such.pem", "tls_key": "/no/such.key"}

    with (
        pytest.raises(WorkerFailed, match=r"tls_cert: /no/such\.pem"),
        two_workers(artifacts, **tls),
    ):
        pass


def test_the_server_fails_where_no_worker_can_be_started(
    artifacts: Artifacts, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever runs it is told, so that it can be started elsewhere."""
    monkeypatch.setattr(module, "_MOST_FAILED_STARTS", 1)
    failed: list[bool] = []
    with two_workers(artifacts) as pair:
        pair.supervisor.on_failure(lambda: failed.append(True))
        monkeypatch.setattr(pair.supervisor, "_command", ["false"])
        for pid in pair.pids():
            os.kill(pid, signal.SIGKILL)

        wait_until(lambda: pair.supervisor.has_failed, "the server has failed")

    assert failed


def test_workers_share_the_address_of_the_json_door(tmp_path: Path) -> None:
    """Each answers there, whichever the kernel hands a connection to."""
    artifacts = Artifacts(tmp_path / "artifacts")
    artifacts.publish(make_catalogue(60, QUERIES))
    with two_workers(artifacts, http_address="127.0.0.1:0") as running:
        url = (
            f"http://{running.supervisor.http_address}"
            "/freshet.retrieval.v1.RetrievalService/Retrieve"
        )
        for _ in range(CONNECTIONS):
            asked = urllib.request.Request(  # http
                url, b'{"query": "lamp"}', {"content-type": "application/json"}
            )
            with urllib.request.urlopen(asked, timeout=DEADLINE_SECONDS) as answer:
                assert len(json.load(answer)["hits"]) > 0


def test_as_many_workers_as_cores_keep_to_one_each(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all their threads, also one that was started again."""
    cores = sorted(os.sched_getaffinity(0))[:2]
    if len(cores) < 2:
        pytest.skip("this machine has one core")
    really = os.sched_getaffinity
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: really(pid) & {*cores})
    artifacts = Artifacts(tmp_path / "artifacts")
    artifacts.publish(make_catalogue(60, QUERIES))

    with two_workers(artifacts) as running:
        pids = running.pids()
        assert [_cores_of(pid) for pid in pids] == [{cores[0]}, {cores[1]}]

        os.kill(pids[1], signal.SIGKILL)
        wait_until(lambda: len({*running.pids(), *pids}) == 3, "another worker")
        again = running.pids()
        assert again[0] == pids[0]
        wait_until(lambda: running.metric("freshet_server_worker_up", worker="1") == 1, "it is up")
        assert _cores_of(again[1]) == {cores[1]}


def _cores_of(pid: int) -> set[int]:
    """Return the cores that the threads of a process may use; there are some."""
    tasks = [int(task.name) for task in Path(f"/proc/{pid}/task").iterdir()]
    assert len(tasks) > 1
    return set().union(*(os.sched_getaffinity(task) for task in tasks))
