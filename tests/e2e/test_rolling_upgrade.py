"""A rolling upgrade across one format version, of the store and of generations, while
callers ask.
"""

import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import NamedTuple

import pytest

from freshet_client import ClientError, RetrievalClient
from stream.errors import StoreBusy, StoreMismatch
from stream.events.types import SourcePartition
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from stream.shard import codec
from stream.store.store import Store, read_manifest
from testing.histories import NOON_MS, apply_events, event, graph_hash
from testing.retrieval_server import Serve, wait_until
from testing.small_generations import GOLDEN, Artifacts, make_catalogue

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
OLD_STORE = ROOT / "tests" / "stream" / "shard" / "golden" / "store-v1.tar.gz"
QUERY = "new violet notebook"  # the golden generation knows it
# Both take over from whoever has a shard after that long, which here nobody should.
SETTINGS = StreamSettings(takeover_wait_seconds=0.05)

Start = Callable[..., "subprocess.Popen[str]"]


class Answer(NamedTuple):
    """Which generation a server answered from, and which it refuses."""

    address: str
    generation: str
    refused: str


class Callers:
    """Callers that ask without a pause, as those behind a load balancer do: where one
    server does not answer, another is asked.

    Attributes:
        addresses: of the servers; replaced while they ask.
        unanswered: errors of requests that no server answered.
        answers: the newest answer of each server.
        num_answers: how many there were.
    """

    def __init__(self, addresses: list[str]) -> None:
        self.addresses = addresses
        self.unanswered: list[str] = []
        self.answers: dict[str, Answer] = {}
        self.num_answers = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(n,)) for n in range(2)]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ask no more."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _ask(self, number: int) -> None:
        for turn in count(number):
            if self._stop.is_set():
                return
            addresses, errors = list(self.addresses), []
            for place in range(len(addresses)):
                address = addresses[(turn + place) % len(addresses)]
                try:
                    self._note(address)
                    break
                except ClientError as error:
                    errors.append(f"{address}: {error}")
            else:
                self.unanswered.append("; ".join(errors))

    def _note(self, address: str) -> None:
        with RetrievalClient(address, timeout_seconds=60.0, retry=None) as client:
            answer = client.retrieve(QUERY)
        assert answer.hits
        receipt = answer.receipt
        self.answers[address] = Answer(address, receipt.generation, receipt.refused_generation)
        self.num_answers += 1


@pytest.fixture
def start() -> Iterator[Start]:
    """Return a function that starts a process of the version before; all are killed at
    the end.
    """
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> "subprocess.Popen[str]":
        command = [sys.executable, "-m", "testing.processes.earlier", *map(str, arguments)]
        pipe = subprocess.PIPE
        running.append(subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True))
        return running[-1]

    yield begin
    for process in running:
        process.kill()
        process.communicate()


@pytest.fixture
def old_store(tmp_path: Path) -> Path:
    """Return a store of format version 1, of two shards."""
    with tarfile.open(OLD_STORE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "store"


@pytest.fixture
def old_generation(artifacts: Artifacts) -> str:
    """Return the id of a live generation of format version 1."""
    shutil.copytree(GOLDEN, artifacts.store.generation_path(GOLDEN.name))
    artifacts.use(GOLDEN.name)
    return GOLDEN.name


def is_answering(address: str) -> bool:
    """Return whether a server answers."""
    with (
        suppress(ClientError),
        RetrievalClient(address, timeout_seconds=60.0, retry=None) as client,
    ):
        return bool(client.retrieve(QUERY).hits)
    return False


def test_a_rolling_upgrade_leaves_no_request_unanswered(
    artifacts: Artifacts,
    old_generation: str,
    old_store: Path,
    serve: Serve,
    start: Start,
    free_port: Callable[[], int],
) -> None:
    """Servers first, one by one, then the stream, then what trains: at each step the
    old version and the new one work beside each other, and at the end one can go back.
    """
    old = [f"127.0.0.1:{free_port()}" for _ in range(2)]
    first, second = (start("serve", artifacts.root, address) for address in old)
    wait_until(lambda: all(map(is_answering, old)), f"{old} answer")
    callers = Callers(old)

    def all_answer_from(**generations: tuple[str, str]) -> None:
        expected = set(generations.values())

        def holds() -> bool:
            found = {callers.answers.get(address) for address in callers.addresses}
            return {each and (each.generation, each.refused) for each in found} == expected

        wait_until(holds, f"answers come from {expected}: {callers.answers}")

    try:
        all_answer_from(both=(old_generation, ""))

        new = serve()
        callers.addresses = [new.address, old[1]]
        first.terminate()
        assert first.wait() == 0
        all_answer_from(both=(old_generation, ""))

        upgrade_the_store(old_store, start)

        later = artifacts.publish(make_catalogue(30, [QUERY]))
        all_answer_from(new=(later, ""), old=(old_generation, later))

        other = serve()
        callers.addresses = [new.address, other.address]
        second.terminate()
        assert second.wait() == 0
        all_answer_from(both=(later, ""))

        artifacts.use(old_generation)
        all_answer_from(both=(old_generation, ""))
    finally:
        callers.stop()

    assert callers.unanswered == []
    assert callers.num_answers > 20


def upgrade_the_store(root: Path, start: Start) -> None:
    """Have a stream of today's version take the shards of one from before, one by one,
    while that one writes.
    """
    process = start("stream", root, 1)
    assert process.stdout is not None
    assert process.stdout.readline() == "1\n"
    erasures = SourcePartition("freshet.erasures", 1)
    with Store.create_or_open(root, SETTINGS) as store:
        apply_events(store.shard(0), [event("brand new", "tv", "i-3", NOON_MS)], [], {})
        with pytest.raises(StoreBusy, match="shard-0001"):
            store.shard(1)
        before = int(process.stdout.readline())
        with pytest.raises(StoreMismatch, match="freshet upgrade"):
            open_graph(root, SETTINGS)
        assert read_manifest(root).format_version == codec.FORMAT_VERSION - 1
        # Read from here on: what `communicate` returns lacks what was read ahead.
        assert process.stdin is not None
        process.stdin.close()
        process.stdin = None
        written = process.stdout.read()
        last = int(written.splitlines()[-1]) if written else before
        assert last >= before
        assert store.shard(1).positions()[erasures] == last
    assert read_manifest(root).format_version == codec.FORMAT_VERSION
    with open_graph(root, SETTINGS) as graph:
        assert graph.graph_hash() == graph.recorded_hash() == graph_hash(root, SETTINGS)
        assert graph.stats().facts > 100
