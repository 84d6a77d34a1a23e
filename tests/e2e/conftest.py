"""The whole system as a team would run it, processes over a real Kafka, and what was
measured on the way.
"""

import gzip
import json
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from random import Random
from shutil import copytree
from threading import Event, Thread

import pytest

from deploy.kafka.broker import free_port
from deploy.kafka.topics import create_topics
from freshet.probe import read_metrics, total
from freshet.shop.searches import misspell
from freshet.shop.shop import Shop
from freshet_client import ClientError, RetrievalClient
from protos.text import normalize_query
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.refresher.shop_lane import ShopLane
from testing.small_shop import shop_events, shop_items

ROOT = Path(__file__).resolve().parent.parent.parent
DEADLINE_SECONDS = 240.0
NUM_PARTITIONS = 2
TRAIN_SHARE = 0.8
NUM_SPELLINGS = 40
K = 10

Click = tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class Log:
    """An event log cut in two by time, its catalogue, and each part's clicks, as
    (normalised query, item).
    """

    name: str
    early: Path
    late: Path
    items: Path
    early_clicks: Sequence[Click]
    late_clicks: Sequence[Click]


@dataclass(frozen=True, kw_only=True)
class Swap:
    """What clients saw while a second generation went live.

    Generations as they appeared, and errors.
    """

    generations: Sequence[str]
    num_answers: int
    errors: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the run showed.

    Attributes:
        log: the name of the log.
        num_kills: how often the stream was killed with -9 while it applied.
        hash_early: graph hash of the first part, after the kills.
        batch_hash_early: the same of a plain batch build.
        hash_all: graph hash of everything.
        batch_hash_all: the same of a plain batch build.
        model_recall: share of held-out clicks on known queries whose item is among the
            first ten answers.
        popularity_recall: the same for the ten most clicked items.
        spelling_hits: share of unseen spellings that get the item clicked most for the
            right spelling.
        spelling_overlap: mean share of their answers that the right spelling gets, too.
        first, second: ids of the generations.
        swap: what clients saw meanwhile.
        stopped_with: exit codes of stream and server after SIGTERM.
    """

    log: str
    num_kills: int
    hash_early: str
    batch_hash_early: str
    hash_all: str
    batch_hash_all: str
    model_recall: float
    popularity_recall: float
    spelling_hits: float
    spelling_overlap: float
    first: str
    second: str
    swap: Swap
    stopped_with: Mapping[str, int]


class System:
    """Runs commands with one set of settings.

    The long-running ones are processes that are always ended.
    """

    def __init__(self, root: Path, bootstrap: str) -> None:
        names = create_topics(
            bootstrap, partitions=NUM_PARTITIONS, prefix=f"e2e-{uuid.uuid4().hex[:8]}."
        )
        topics = {name.rpartition(".")[2]: name for name in names}
        self.root = root
        self.bootstrap = bootstrap
        self.store = root / "store"
        self.artifacts = root / "artifacts"
        self.target = f"127.0.0.1:{free_port()}"
        self._environment = {
            **os.environ,
            "FRESHET_STREAM_CLICKS_TOPIC": topics["clicks"],
            "FRESHET_STREAM_SESSIONS_TOPIC": topics["sessions"],
            "FRESHET_STREAM_CATALOG_TOPIC": topics["catalog"],
            "FRESHET_STREAM_QUARANTINE_TOPIC": topics["quarantine"],
            "FRESHET_STREAM_GROUP_ID": topics["clicks"],
            "FRESHET_STREAM_ERASURES_TOPIC": topics["erasures"],
            "FRESHET_STREAM_BATCH_RECORDS": "25",
            "FRESHET_STREAM_BATCH_EVENTS": "25",
            # A test's machine may be slow, and no request may fail.
            "FRESHET_SERVER_WAIT_SECONDS": "60",
        }
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *arguments: object) -> str:
        """Run a command to its end and return its stdout."""
        outcome = subprocess.run(
            self._command(arguments),
            cwd=ROOT,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
        assert outcome.returncode == 0, outcome.stderr
        return outcome.stdout

    def start(self, name: str, *arguments: object) -> None:
        """Start a long-running command."""
        with (self.root / f"{name}.log").open("ab") as log:
            self._running[name] = subprocess.Popen(
                self._command(arguments), cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )

    def start_stream(self) -> str:
        """Start the stream and return where its metrics are."""
        metrics = f"127.0.0.1:{free_port()}"
        source = f"kafka:{self.bootstrap}"
        self.start(
            "stream", "stream", "--source", source, "--store", self.store, "--metrics", metrics
        )
        return metrics

    def kill(self, name: str) -> None:
        """Kill a process with -9."""
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def stop(self, name: str) -> int:
        """Ask a process to stop and return its exit code."""
        process = self._running.pop(name)
        process.send_signal(signal.SIGTERM)
        return process.wait(DEADLINE_SECONDS)

    def stop_all(self) -> None:
        """Kill whatever still runs."""
        for name in list(self._running):
            self.kill(name)

    def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait until a condition holds.

        Fail when a process has ended, or it takes too long.
        """
        pause, deadline = Event(), time.monotonic() + DEADLINE_SECONDS
        while not condition():
            for name, process in self._running.items():
                log = self.root / f"{name}.log"
                assert process.poll() is None, f"the {name} ended:\n{log.read_text()[-2000:]}"
            assert time.monotonic() < deadline, f"{what}: not within {DEADLINE_SECONDS} s"
            pause.wait(0.02)

    def publish(self, events: Path, items: Path | None = None) -> None:
        """Publish a log as fast as possible, in batches, as a busy producer would."""
        catalog = ["--items", items] if items else []
        to = ["--to", f"kafka:{self.bootstrap}", "--speed", "max", "--batch", 4]
        self.run("replay", "--events", events, *catalog, *to)

    def graph_hash(self) -> str:
        """Return the hash of the live store."""
        return self.run("graph", "hash", "--store", self.store).strip()

    def _command(self, arguments: Sequence[object]) -> list[str]:
        return [sys.executable, "-m", "freshet", *map(str, arguments)]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store and one generation, to be copied."""
    lane = ShopLane(root=tmp_path_factory.mktemp("trained"))
    lane.write(shop_events(300), shop_items())
    lane.train()
    return lane.root


@pytest.fixture
def lane(trained: Path, tmp_path: Path) -> ShopLane:
    """The shop with one generation, of this test's own."""
    copytree(trained, tmp_path / "shop")
    return ShopLane(root=tmp_path / "shop")


@pytest.fixture(scope="module")
def outcome(
    kafka_bootstrap: str, data_folder: Path | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Outcome]:
    """The whole story, told once."""
    root = tmp_path_factory.mktemp("e2e")
    log = _log(data_folder, root)
    system = System(root, kafka_bootstrap)
    try:
        yield _live_through(system, log)
    finally:
        system.stop_all()


def _live_through(system: System, log: Log) -> Outcome:
    batch_hashes = _batch_hashes(system, log)
    num_kills = _stream_with_kills(system, log)
    hash_early = _applied(system, batch_hashes[0])
    first = _train(system)
    system.start("server", "serve", "--artifacts", system.artifacts, "--listen", system.target)
    with RetrievalClient(system.target, timeout_seconds=60.0, retry=None) as client:
        system.until(lambda: _is_ready(client), "the server is ready")
        model_recall, popularity_recall = _recalls(client, log)
        spelling_hits, spelling_overlap = _spellings(client, log)
    system.publish(log.late)
    hash_all = _applied(system, batch_hashes[1])
    second, swap = _swap(system)
    return Outcome(
        log=log.name,
        num_kills=num_kills,
        hash_early=hash_early,
        batch_hash_early=batch_hashes[0],
        hash_all=hash_all,
        batch_hash_all=batch_hashes[1],
        model_recall=model_recall,
        popularity_recall=popularity_recall,
        spelling_hits=spelling_hits,
        spelling_overlap=spelling_overlap,
        first=first,
        second=second,
        swap=swap,
        stopped_with={name: system.stop(name) for name in ("server", "stream")},
    )


def _log(data_folder: Path | None, root: Path) -> Log:
    """Return the real log of a shop where there is one, else a simulated one."""
    if data_folder is not None and (data_folder / "bestbuy_xbox").is_dir():
        folder = data_folder / "bestbuy_xbox"
        lines = gzip.decompress((folder / "events.jsonl.gz").read_bytes()).splitlines(keepends=True)
        return _cut("bestbuy_xbox", lines, folder / "items.jsonl.gz", root)
    shop = Shop(7, 400)
    lines = [json.dumps(event).encode() + b"\n" for event in islice(shop.events(), 20_000)]
    items = root / "items.jsonl"
    items.write_text(
        "".join(json.dumps(item) + "\n" for item in [*shop.catalog(), *shop.take_launched()])
    )
    return _cut("simulated", lines, items, root)


def _cut(name: str, lines: Sequence[bytes], items: Path, root: Path) -> Log:
    early, late = root / "early.jsonl", root / "late.jsonl"
    place = int(TRAIN_SHARE * len(lines))
    early.write_bytes(b"".join(lines[:place]))
    late.write_bytes(b"".join(lines[place:]))
    return Log(
        name=name,
        early=early,
        late=late,
        items=items,
        early_clicks=_clicks(lines[:place]),
        late_clicks=_clicks(lines[place:]),
    )


def _clicks(lines: Sequence[bytes]) -> list[Click]:
    events = (json.loads(line) for line in lines)
    clicks = ((normalize_query(event["query"] or ""), event["item_id"]) for event in events)
    return [(query, item) for query, item in clicks if query]


def _batch_hashes(system: System, log: Log) -> tuple[str, str]:
    """Return the hashes of the first part and of everything, built from files in one
    go, in one shard.
    """
    store = system.root / "batch"
    hashes = []
    for part in (log.early, log.late):
        system.run("stream", "--source", f"file:{part}", "--store", store)
        hashes.append(system.run("graph", "hash", "--store", store).strip())
    return hashes[0], hashes[1]


def _stream_with_kills(system: System, log: Log) -> int:
    """Publish the first part and have it applied, killing the stream with -9 on the
    way.
    """
    system.publish(log.early, log.items)
    kills = 0
    for num_batches in (3, 20, 50):
        metrics = system.start_stream()
        system.until(lambda: _num_batches(metrics) >= num_batches, "the stream applies")  # noqa: B023  # called at once
        system.kill("stream")
        kills += 1
    system.start_stream()
    return kills


def _num_batches(metrics: str) -> float:
    try:
        return total(read_metrics(metrics), "freshet_stream_batches_total") or 0.0
    except OSError:
        return 0.0


def _applied(system: System, expected: str) -> str:
    """Return the graph's hash once it is what it should be, or does not change any
    more.
    """
    system.until(lambda: _live_hash(system) == expected, f"the graph becomes {expected}")
    return system.graph_hash()


def _live_hash(system: System) -> str:
    """Return what the command returns, without a process for each look."""
    with open_graph(system.store, StreamSettings()) as graph:
        return graph.graph_hash()


def _train(system: System) -> str:
    arguments = ["--store", system.store, "--artifacts", system.artifacts, "--budget", "60s"]
    return system.run("train", *arguments).splitlines()[-1]


def _is_ready(client: RetrievalClient) -> bool:
    try:
        return client.freshness().ready
    except ClientError:
        return False


def _recalls(client: RetrievalClient, log: Log) -> tuple[float, float]:
    """Return Recall@10 of held-out clicks on known queries.

    Of the server, and of the most clicked items.
    """
    known = {query for query, _ in log.early_clicks}
    held_out = [(query, item) for query, item in log.late_clicks if query in known]
    answers = {query: _items(client, query) for query in {query for query, _ in held_out}}
    popular = {item for item, _ in Counter(item for _, item in log.early_clicks).most_common(K)}
    hits = sum(item in answers[query] for query, item in held_out)
    popular_hits = sum(item in popular for _, item in held_out)
    return hits / len(held_out), popular_hits / len(held_out)


def _spellings(client: RetrievalClient, log: Log) -> tuple[float, float]:
    """Misspell frequent queries; return how often the best item is found, and how alike
    the answers are.
    """
    random = Random(1)
    known = {query for query, _ in (*log.early_clicks, *log.late_clicks)}
    clicked: dict[str, Counter[str]] = {}
    for query, item in log.early_clicks:
        clicked.setdefault(query, Counter())[item] += 1
    frequent = sorted(
        (query for query in clicked if len(query) > 5),
        key=lambda query: (-clicked[query].total(), query),
    )
    hits, overlaps = [], []
    for query in frequent[:NUM_SPELLINGS]:
        spelling = next(
            slip for slip in (misspell(query, random) for _ in range(1000)) if slip not in known
        )
        answer = client.retrieve(spelling, K)
        assert answer.path == "encoded"
        items = {hit.item_id for hit in answer.hits}
        hits.append(clicked[query].most_common(1)[0][0] in items)
        overlaps.append(len(items & _items(client, query)) / K)
    return sum(hits) / len(hits), sum(overlaps) / len(overlaps)


def _items(client: RetrievalClient, query: str) -> set[str]:
    return {hit.item_id for hit in client.retrieve(query, K).hits}


def _swap(system: System) -> tuple[str, Swap]:
    """Train a second generation under continuous requests.

    Return its id and what the clients saw.
    """
    stop, errors, seen = Event(), [], []
    generations: list[str] = []

    def ask(queries: Sequence[str]) -> None:
        with RetrievalClient(system.target, timeout_seconds=60.0, retry=None) as client:
            while not stop.is_set():
                for query in queries:
                    try:
                        answer = client.retrieve(query, K)
                    except ClientError as error:
                        errors.append(str(error))
                        continue
                    seen.append(len(answer.hits))
                    if answer.receipt.generation not in generations:
                        generations.append(answer.receipt.generation)

    threads = [
        Thread(target=ask, args=(queries,))
        for queries in (["xbox", "shoes"], ["never typed before", "gift"])
    ]
    for thread in threads:
        thread.start()
    try:
        second = _train(system)
        system.until(lambda: second in generations, "clients see the second generation")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    return second, Swap(generations=generations, num_answers=len(seen), errors=errors)
