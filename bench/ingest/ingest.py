"""What a durable event costs, beside merely polling it, in one run: ``python -m bench
ingest``.

Each measured process is one of its own and reports its own CPU time (user and system,
all threads), from before its first poll until everything is on disk and closed.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import islice, pairwise, product
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec

from bench.figures import Figure, print_figure, print_header, write_json
from bench.ingest.parts import shop_events
from bench.ingest.quix_environment import QuixMissing, quix_python
from deploy.kafka.broker import LocalBroker
from protos import events_v1_pb2
from stream.events.types import Interaction
from stream.kafka.producer import EventProducer, RecordProducer
from stream.reading.reader import open_graph
from stream.reading.snapshot import take_snapshot
from stream.settings import KAFKA_CLIENTS, StreamSettings
from stream.shard import codec
from stream.shard.records import Records
from stream.shard.shard import Shard
from stream.store.store import Store

_EVENT_TYPE = b"application/x-protobuf; messageType=freshet.events.v1.Event"
_EDGES_PER_EVENT = 0.25
_BATCHED = 64
_SAMPLE_RECORDS = 100_000
_SCALES = (100_000, 1_000_000)
_LARGE_SCALES = (*_SCALES, 10_000_000)
_CPU = itemgetter("cpu_seconds")
_QUIX_APP = str(Path(__file__).parent / "quix_app.py")
_BAD_EVERY = 100
_TURNS = 3
_SECONDS_AFTER = 3.0
_BAD_VALUES = (
    (b"\xff\xff not protobuf", _EVENT_TYPE),
    (b"", _EVENT_TYPE),
    (b"{}", b"application/json"),
    (b'{"type":"click"', b"application/json"),
    (b"x", b"text/plain"),
)
_KINDS = {
    "run of a query": codec.BY_QUERY,
    "run of an item": codec.BY_ITEM,
    "session": codec.SESSION,
    "run of users": codec.USER,
    "query name": codec.QUERY_NAME,
    "item name": codec.ITEM_NAME,
}


class Bench:
    """What the measurements share.

    Where the broker is, how many events, room for stores, the outcome.
    """

    def __init__(self, bootstrap: str, folder: Path, options: argparse.Namespace) -> None:
        self.bootstrap = bootstrap
        self.folder = folder
        self.num_events: int = options.events
        self.num_edges = round(options.events * _EDGES_PER_EVENT)
        self.scales = _LARGE_SCALES if options.large else _SCALES
        self.num_probes = round(options.events * 1.5)
        self.quarantine_topic = self.topic("quarantine")
        self.figures: list[Figure] = []

    def topic(self, name: str) -> str:
        """Create a topic of one partition for this run and return its name."""
        from kafka.admin import KafkaAdminClient, NewTopic

        topic = f"bench-{name}-{time.time_ns()}"
        with closing(KafkaAdminClient(bootstrap_servers=self.bootstrap)) as admin:
            admin.create_topics([NewTopic(topic, 1, 1, topic_configs={"retention.ms": "-1"})])
        return topic

    def store(self, name: str) -> Path:
        """Return where a store of this run is."""
        return self.folder / name

    def events(self, seed: int = 1) -> Iterator[Interaction]:
        """Yield the events of the run."""
        return shop_events(self.num_events, self.num_edges, seed=seed)

    def settings(self, topic: str) -> StreamSettings:
        """Return settings that publish to one topic."""
        return StreamSettings(
            clicks_topic=topic, sessions_topic=topic, quarantine_topic=self.quarantine_topic
        )

    def add(self, name: str, value: float, unit: str, *, target: str = "", note: str = "") -> None:
        """Add a figure and show it."""
        figure = Figure(name=name, value=float(f"{value:.4g}"), unit=unit, target=target, note=note)
        self.figures.append(figure)
        print_figure(figure)

    def run(self, part: str, **arguments: object) -> dict[str, Any]:
        """Run a part in a process of its own and return what it reports."""
        with self.process(part, **arguments) as process:
            return _result(process, part)

    @contextmanager
    def process(self, part: str, **arguments: object) -> "Iterator[subprocess.Popen[str]]":
        """Run a part beside this process; it is ended with the block."""
        command = [sys.executable, "-m", "bench.ingest.parts", part, json.dumps(arguments)]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def run(argv: Sequence[str]) -> None:
    """Measure everything, print a table, then one JSON line a figure."""
    options = _parse(argv)
    with (
        _broker(options.kafka) as bootstrap,
        tempfile.TemporaryDirectory(prefix="freshet-bench-") as folder,
    ):
        bench = Bench(bootstrap, Path(folder), options)
        print_header()
        for name in options.only or _MEASUREMENTS:
            _MEASUREMENTS[name](bench)
    write_json("ingest", bench.figures, options.json, {"events": options.events})


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench ingest", description=__doc__)
    parser.add_argument(
        "--events", type=int, default=200_000, help="events published for each measurement"
    )
    parser.add_argument("--large", action="store_true", help="grow the store to ten million edges")
    parser.add_argument(
        "--kafka", metavar="HOST:PORT", help="use this broker instead of starting one"
    )
    parser.add_argument(
        "--only", nargs="+", choices=[*_MEASUREMENTS], help="only these measurements"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)


@contextmanager
def _broker(given: str | None) -> Iterator[str]:
    if given:
        yield given
        return
    with LocalBroker() as broker:
        yield broker.bootstrap


def measure_throughput(bench: Bench) -> None:
    """Poll and apply single events, with and without malformed ones among them, then
    batches, then a file.
    """
    single = _publish(bench, batch_size=1)
    poll = _rate(
        bench, "poll only, single events", _poll(bench, single, bench.num_events), bench.num_events
    )
    clean, mixed = _clean_and_mixed(bench, single, _publish_with_bad(bench))
    applied = _rate(bench, "applied, single events", clean, bench.num_events)
    bench.add("applied / poll only, single events", applied / poll, "x", target=">= 0.5")
    rate = _rate(bench, "applied, 1% malformed mixed in", mixed, bench.num_events)
    bench.add(
        "1% malformed / clean", rate / applied, "x", target=">= 0.95", note="the better of two each"
    )
    _measure_batches(bench)
    _measure_file(bench)


def _clean_and_mixed(bench: Bench, single: str, bad: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Apply both topics in turn, twice, and return what was cheaper.

    One run differs by more than 5%.
    """
    num_mixed = _end_offset(bench, bad)
    clean, mixed = [], []
    for turn in (1, 2):
        clean.append(
            bench.run("stream", **_stream(bench, single, bench.num_events, f"clean {turn}"))
        )
        mixed.append(bench.run("stream", **_stream(bench, bad, num_mixed, f"mixed {turn}")))
        _check_same_graph(bench, f"mixed {turn}")
    planted, put_away = num_mixed - bench.num_events, mixed[0]["quarantined"]
    note = f"{planted:,} planted, {put_away:,} quarantined"
    bench.add("malformed and not quarantined", planted - put_away, "events", target="0", note=note)
    bench.add("good and lost", bench.num_events - mixed[0]["events"], "events", target="0")
    return min(clean, key=_CPU), min(mixed, key=_CPU)


def _measure_batches(bench: Bench) -> None:
    topic = _publish(bench, batch_size=_BATCHED)
    num_records = _end_offset(bench, topic)
    poll = _rate(
        bench, "poll only, batches of 64", _poll(bench, topic, num_records), bench.num_events
    )
    applied = bench.run("stream", **_stream(bench, topic, num_records, "batches"))
    rate = _rate(bench, "applied, batches of 64", applied, bench.num_events, target=">= 150,000")
    bench.add("applied / poll only, batches of 64", rate / poll, "x")
    _check_same_graph(bench, "batches")


def _measure_file(bench: Bench) -> None:
    path = bench.folder / "events.jsonl"
    with path.open("wb") as out:
        out.writelines(_json_line(event) for event in bench.events())
    applied = bench.run(
        "files", path=str(path), num_records=bench.num_events, store=str(bench.store("file"))
    )
    _rate(bench, "applied, a file of JSON lines", applied, bench.num_events)
    _check_same_graph(bench, "file")


def measure_scale(bench: Bench) -> None:
    """Grow a store, keep a copy of each size, and measure in turn what an event costs
    there apart from Kafka.

    The stores are compacted before, so that no event pays for what was filled in, and
    their names are known, as they are some time after a start.
    """
    store, filled = bench.store("grown"), 0
    for num_edges in bench.scales:
        bench.run("fill", store=str(store), first_edge=filled, num_edges=num_edges - filled)
        shutil.copytree(store, bench.store(f"at {num_edges}"))
        filled = num_edges
    results: dict[int, list[dict[str, Any]]] = {num_edges: [] for num_edges in bench.scales}
    for turn, num_edges in product(range(_TURNS), bench.scales):
        arguments = {"num_events": bench.num_probes, "num_edges": num_edges, "seed": 10 + turn}
        results[num_edges].append(
            bench.run("memory", store=str(bench.store(f"at {num_edges}")), **arguments)
        )
    costs = {
        num_edges: min(map(_CPU, found)) / bench.num_probes * 1e6
        for num_edges, found in results.items()
    }
    for num_edges, found in results.items():
        warm, peak = (
            min(map(itemgetter("warm_seconds"), found)),
            max(map(itemgetter("peak_mib"), found)),
        )
        note = f"best of {_TURNS}; names learnt in {warm:.1f} s of CPU; peak {peak:.0f} MiB"
        bench.add(f"CPU an event at {num_edges:,} edges", costs[num_edges], "us", note=note)
    growth = costs[bench.scales[-1]] / costs[bench.scales[0]]
    bench.add(
        f"growth from {bench.scales[0]:,} to {bench.scales[-1]:,} edges",
        growth,
        "x",
        target="< 1.5",
    )


def measure_snapshot(bench: Bench) -> None:
    """Take a snapshot of the grown store while a process writes it as
    fast as it can.
    """
    store, num_edges = _grown(bench), bench.scales[-1]
    with bench.process("endless", store=str(store), num_edges=num_edges, seed=20) as process:
        _await_first(process)
        began = time.monotonic()
        take_snapshot(
            store, bench.folder / "snapshot", StreamSettings(snapshot_timeout_seconds=60), 0
        )
        ended = time.monotonic()
        time.sleep(_SECONDS_AFTER)
        batch_ends = _result(process, "endless")["batch_ends"]
    note = (
        f"{num_edges:,} edges; hashing and counting them by hand takes "
        f"{_seconds_to_hash(bench):.1f} s"
    )
    bench.add("snapshot while ingesting", ended - began, "s", target="< 1", note=note)
    pauses = [(earlier, later) for (earlier, _), (later, _) in pairwise(batch_ends)]
    meanwhile = [
        later - earlier for earlier, later in pauses if earlier <= ended and later >= began
    ]
    usual = sorted(later - earlier for earlier, later in pauses)[len(pauses) // 2]
    note = f"from one batch applied to the next; the median over the run is {usual:.3f} s"
    bench.add("longest batch meanwhile", max(meanwhile), "s", note=note)


def measure_restart(bench: Bench) -> None:
    """Kill a process that writes the grown store, and time the next from its start to
    its first event.
    """
    store, topic = _grown(bench), _publish(bench, batch_size=1)
    with bench.process("stream", **_stream(bench, topic, bench.num_events, store.name)) as process:
        _await_first(process)
        process.kill()
        process.wait()
    began = time.monotonic()
    with bench.process("stream", **_stream(bench, topic, bench.num_events, store.name)) as process:
        seconds = _await_first(process) - began
    note = f"{bench.scales[-1]:,} edges, Kafka, imports included"
    bench.add("restart after kill -9 to the first event", seconds, "s", target="< 10", note=note)


def measure_size(bench: Bench) -> None:
    """Compact the grown store and say what each kind of record costs on disk."""
    store = _grown(bench)
    with Store.create_or_open(store, StreamSettings()) as opened:
        opened.shard(0).compact()
    with open_graph(store, StreamSettings()) as graph:
        stats = graph.stats()
    totals = {
        name: _kind_bytes(bench, store, name) * _count(store, kind) for name, kind in _KINDS.items()
    }
    for name, size in totals.items():
        bench.add(f"stored: {name}", size / stats.facts, "B a fact")
    edge = (totals["run of a query"] + totals["run of an item"]) / stats.edges
    note = f"{stats.edges:,} edges, both ways, with the facts that make them"
    bench.add("bytes an edge", edge, "B", target="<= 80", note=note)
    session = (totals["session"] + totals["run of users"]) / stats.facts
    note = (
        f"{stats.facts:,} facts, {stats.incidences:,} incidences: sessions hold both, and their "
        "users"
    )
    bench.add("bytes an incidence and its fact", session, "B", target="<= 24 + 32", note=note)
    bench.add("bytes an edge, everything counted", stats.bytes_on_disk / stats.edges, "B")


def measure_quix(bench: Bench) -> None:
    """Count the edges of a topic with Quix Streams, apply it whole with either client,
    each in turn.
    """
    try:
        python = quix_python()
    except QuixMissing as missing:
        print(f"no comparison with Quix Streams: {missing}", file=sys.stderr)
        return
    topic, theirs = _publish(bench, batch_size=1), []
    ours: dict[str, list[dict[str, Any]]] = {client: [] for client in KAFKA_CLIENTS}
    for turn in range(_TURNS):
        for client, results in ours.items():
            arguments = _stream(bench, topic, bench.num_events, f"{client} beside quix {turn}")
            results.append(bench.run("stream", client=client, **arguments))
        theirs.append(_count_with_quix(bench, python, topic, turn))
    counted = _rate(
        bench, "Quix Streams, edge counts only", min(theirs, key=_CPU), bench.num_events
    )
    for client, results in ours.items():
        applied = _rate(bench, f"applied, {client}", min(results, key=_CPU), bench.num_events)
        note = f"the best of {_TURNS} each"
        bench.add(
            f"applied, {client} / Quix Streams", applied / counted, "x", target=">= 3", note=note
        )


def _count_with_quix(bench: Bench, python: Path, topic: str, turn: int) -> dict[str, Any]:
    """Run the counting process.

    End the run where its counts on disk are not those of the events.
    """
    arguments = {
        "bootstrap": bench.bootstrap,
        "topic": topic,
        "num_records": bench.num_events,
        "state": str(bench.folder / "quix"),
        "group": f"{topic}-quix-{turn}",
        "stubs": events_v1_pb2.__file__,
    }
    command = [str(python), _QUIX_APP, json.dumps(arguments)]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        raise SystemExit(f"Quix Streams failed:\n{process.stderr[-2000:]}")
    result = _reported(process.stdout, "Quix Streams")
    expected = sum(bool(event.query) for event in bench.events())
    if result["counted"] != expected:
        raise SystemExit(f"Quix Streams has {result['counted']} of {expected} events in its counts")
    return result


_MEASUREMENTS = {
    "throughput": measure_throughput,
    "scale": measure_scale,
    "snapshot": measure_snapshot,
    "restart": measure_restart,
    "size": measure_size,
    "quix": measure_quix,
}


def _publish(bench: Bench, *, batch_size: int) -> str:
    topic = bench.topic(f"by-{batch_size}")
    with closing(
        EventProducer(bench.bootstrap, bench.settings(topic), batch_size=batch_size)
    ) as producer:
        for event in bench.events():
            producer.publish(event)
        producer.flush()
    return topic


def _publish_with_bad(bench: Bench) -> str:
    """Publish the same events with one more after every hundredth, which cannot be
    decoded.
    """
    topic = bench.topic("bad")
    settings = bench.settings(topic)
    with (
        closing(EventProducer(bench.bootstrap, settings)) as producer,
        closing(RecordProducer(bench.bootstrap, settings)) as spoiler,
    ):
        for number, event in enumerate(bench.events()):
            producer.publish(event)
            if number % _BAD_EVERY == 0:
                value, content_type = _BAD_VALUES[number // _BAD_EVERY % len(_BAD_VALUES)]
                spoiler.send(topic, 0, b"bad", value, [("content-type", content_type)])
        producer.flush()
        spoiler.flush()
    return topic


def _end_offset(bench: Bench, topic: str) -> int:
    from kafka import KafkaConsumer, TopicPartition

    with closing(KafkaConsumer(bootstrap_servers=bench.bootstrap)) as consumer:
        (end,) = consumer.end_offsets([TopicPartition(topic, 0)]).values()
    return int(end)


def _poll(bench: Bench, topic: str, num_records: int) -> dict[str, Any]:
    return bench.run("poll", bootstrap=bench.bootstrap, topic=topic, num_records=num_records)


def _stream(bench: Bench, topic: str, num_records: int, store: str) -> dict[str, object]:
    return {
        "bootstrap": bench.bootstrap,
        "topic": topic,
        "num_records": num_records,
        "store": str(bench.store(store)),
        "quarantine_topic": bench.quarantine_topic,
    }


def _rate(
    bench: Bench, name: str, result: Mapping[str, float], num_events: int, *, target: str = ""
) -> float:
    rate = num_events / result["cpu_seconds"]
    micros = result["cpu_seconds"] / num_events * 1e6
    note = (
        f"{micros:.1f} us CPU an event; {num_events / result['wall_seconds']:,.0f}/s by the clock"
    )
    bench.add(name, rate, "events/CPU-s", target=target, note=note)
    return rate


def _check_same_graph(bench: Bench, store: str) -> None:
    """End the run where the same events did not make the same graph."""
    hashes = {}
    for name in ("clean 1", store):
        with open_graph(bench.store(name), StreamSettings()) as graph:
            hashes[name] = graph.graph_hash()
    if len(set(hashes.values())) > 1:
        raise SystemExit(f"the same events made different graphs: {hashes}")


def _grown(bench: Bench) -> Path:
    store = bench.store("grown")
    if not store.exists():
        bench.run("fill", store=str(store), first_edge=0, num_edges=bench.scales[-1])
    return store


def _await_first(process: "subprocess.Popen[str]") -> float:
    """Return when the process applied its first event, by the monotonic clock."""
    for line in process.stdout or ():
        if line.startswith("first "):
            return float(line.split()[1])
    raise SystemExit("a measured process ended before it applied anything; see its error above")


def _result(process: "subprocess.Popen[str]", part: str) -> dict[str, Any]:
    output, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the part {part} failed; see its error above")
    return _reported(output, part)


def _reported(output: str, part: str) -> dict[str, Any]:
    done = [line for line in output.splitlines() if line.startswith("done ")]
    if not done:
        raise SystemExit(f"the part {part} ended without a result")
    result: dict[str, Any] = json.loads(done[0].removeprefix("done "))
    return result


def _seconds_to_hash(bench: Bench) -> float:
    began = time.monotonic()
    with open_graph(bench.folder / "snapshot", StreamSettings()) as graph:
        graph.summary()
    return time.monotonic() - began


def _kind_bytes(bench: Bench, store: Path, name: str) -> float:
    """Return the bytes of one record of a kind, from a run of them in a store of their
    own, compacted.
    """
    root = bench.folder / f"only {name}"
    sample = list(islice(_scan(store, _KINDS[name]), _SAMPLE_RECORDS))
    settings = StreamSettings()
    with Store.create_or_open(root, settings, 1) as only:
        shard = only.shard(0)
        empty = _compacted_bytes(shard)
        for start in range(0, len(sample), 10_000):
            shard.write(Records.of(dict(sample[start : start + 10_000])))
        size = _compacted_bytes(shard) - empty
    return size / max(len(sample), 1)


def _compacted_bytes(shard: Shard) -> int:
    shard.compact()
    return sum(file.stat().st_size for file in shard.path.glob("*.sst"))


def _scan(store: Path, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
    with open_graph(store, StreamSettings()) as graph:
        (shard,) = graph._shards  # noqa: SLF001  # the bench measures what lies below
        yield from shard._database.scan(prefix)  # noqa: SLF001


def _count(store: Path, prefix: bytes) -> int:
    return sum(1 for _ in _scan(store, prefix))


def _json_line(event: Interaction) -> bytes:
    fields = {"type": event.action.label, "query": event.query or None}
    fields |= {"session_id": event.session_id, "user_id": event.user_id, "item_id": event.item_id}
    return msgspec.json.encode({"ts_ms": event.ts_ms, **fields}) + b"\n"
