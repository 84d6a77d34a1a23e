"""Workers and broker killed and paused under load, then the graph compared: ``python -m
bench soak``.

Everything random comes from ``--seed``: what happens in the shop, how it is delivered,
and when which process is hit. The exit code is 1 when the graph, the catalogue or the
quarantine is not what it should be.
"""

import argparse
import heapq
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Event, Lock, Thread

from bench.figures import Figure, print_figure, print_header, write_json
from deploy.kafka.broker import LocalBroker
from deploy.kafka.topics import create_topics
from stream.errors import StreamError
from stream.events.types import Position
from stream.reading.reader import open_graph
from stream.settings import StreamSettings
from testing.soak.compare import Losses, census_of_facts, census_of_graph, compare
from testing.soak.feed import Feed
from testing.soak.history import History, facts_of, make_history
from testing.soak.schedule import Blow, Pace, Plan, Step, make_schedule
from testing.soak.workers import Fleet, run_freshet

_NUM_PARTITIONS = 3
_TICK_SECONDS = 0.02
_LOOK_SECONDS = 0.5
_CONFIG = """\
[stream]
num_shards = {partitions}
session_timeout_seconds = {session_timeout}
batch_records = 50
poll_seconds = 0.1
"""

Ends = Mapping[Position, int]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the soak came to.

    Attributes:
        figures: as they were printed.
        problems: what is not as it should be, in a sentence each.
    """

    figures: Sequence[Figure]
    problems: Sequence[str]


class Trial:
    """What the parts of a run share.

    History, schedule, broker, workers, folders, figures.
    """

    def __init__(self, broker: LocalBroker, folder: Path, options: argparse.Namespace) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.figures: list[Figure] = []
        self.history: History = make_history(options.seed, options.events)
        self.steps = make_schedule(
            Plan(
                seed=options.seed,
                kills=options.kills,
                workers=options.workers,
                every_seconds=options.every,
                session_timeout_seconds=options.session_timeout,
            )
        )
        self.config = folder / "freshet.toml"
        self.config.write_text(
            _CONFIG.format(partitions=_NUM_PARTITIONS, session_timeout=options.session_timeout)
        )
        self.settings = StreamSettings()
        self.source = f"kafka:{broker.bootstrap}"
        self.broker = BrokerBlows(broker)
        self.feed = Feed(broker.bootstrap, self.settings, self.history.deliveries)
        command = [
            "stream",
            "--source",
            self.source,
            "--store",
            self.store,
            "--config",
            self.config,
        ]
        self.fleet = Fleet(command, folder, options.workers, most_failures=options.kills + 20)
        self.bootstrap = broker.bootstrap
        self.num_workers: int = options.workers
        self.catch_up_seconds: float = options.catch_up

    def add(
        self, name: str, value: float, unit: str = "", *, target: str = "", note: str = ""
    ) -> None:
        """Add a figure and show it."""
        figure = Figure(name=name, value=float(f"{value:.4g}"), unit=unit, target=target, note=note)
        self.figures.append(figure)
        print_figure(figure)


class BrokerBlows:
    """Restarts the broker beside everything else, one blow after the other."""

    def __init__(self, broker: LocalBroker) -> None:
        self.num_stops = self.num_kills = 0
        self._broker = broker
        self._lock = Lock()
        self._threads: list[Thread] = []
        self._failures: list[Exception] = []

    def stop(self) -> None:
        """Shut the broker down in good order and start it again."""
        self.num_stops += 1
        self._beside(self._broker.restart)

    def kill(self) -> None:
        """Kill the broker and start it again."""
        self.num_kills += 1
        self._beside(self._kill)

    def settle(self) -> None:
        """Return when the broker is up.

        Raises:
            BrokerError: it did not come back.
        """
        for thread in self._threads:
            thread.join()
        if self._failures:
            raise self._failures[0]

    def _kill(self) -> None:
        self._broker.kill()
        self._broker.start()

    def _beside(self, blow: Callable[[], None]) -> None:
        thread = Thread(target=self._locked, args=(blow,), daemon=True)
        self._threads.append(thread)
        thread.start()

    def _locked(self, blow: Callable[[], None]) -> None:
        with self._lock:
            try:
                blow()
            except Exception as error:  # noqa: BLE001  # raised where it is seen: in the thread that settles
                self._failures.append(error)


def run(argv: Sequence[str]) -> int:
    """Soak, print a table, then one JSON line a figure; return the exit code."""
    options = _parse(argv)
    outcome = soak(options)
    conditions = {
        name: getattr(options, name) for name in ("seed", "kills", "workers", "events", "every")
    }
    write_json("soak", outcome.figures, options.json, conditions)
    for problem in outcome.problems:
        print(f"DIFFERENT: {problem}")
    return 1 if outcome.problems else 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench soak", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="SIGKILLs of workers")
    parser.add_argument("--workers", type=int, default=3, help="processes on the one store")
    parser.add_argument(
        "--events", type=int, default=1_000_000, help="distinct events published meanwhile"
    )
    parser.add_argument(
        "--every", type=float, default=5.0, help="mean seconds from one blow to the next"
    )
    parser.add_argument(
        "--session-timeout", type=float, default=3.0, help="seconds, of the consumer group"
    )
    parser.add_argument(
        "--catch-up", type=float, default=300.0, help="most seconds to catch up in at the end"
    )
    parser.add_argument("--seed", type=int, default=1, help="of everything random")
    parser.add_argument(
        "--folder", type=Path, help="keep store, logs and events in this new folder"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)


def soak(options: argparse.Namespace) -> Outcome:
    """Live through the schedule, let the workers catch up, and compare."""
    with _folder(options.folder) as folder, LocalBroker() as broker:
        create_topics(broker.bootstrap, partitions=_NUM_PARTITIONS)
        trial = Trial(broker, folder, options)
        print_header()
        try:
            _live_through(trial)
            _catch_up(trial)
            trial.fleet.stop_all()
        finally:
            trial.fleet.end()
        _report_blows(trial)
        problems = [*_compare_graph(trial), *_compare_quarantine(trial)]
        return Outcome(figures=trial.figures, problems=problems)


@contextmanager
def _folder(given: Path | None) -> Iterator[Path]:
    if given is not None:
        given.mkdir(parents=True)
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="freshet-soak-") as folder:
        yield Path(folder)


def _live_through(trial: Trial) -> None:
    """Publish, and let every step happen at its time.

    Nothing here waits for a worker to be well.
    """
    agenda = _agenda(trial)
    pace = Pace(trial.steps, len(trial.history.deliveries))
    wait, began = Event(), time.monotonic()
    for slot in range(trial.num_workers):
        trial.fleet.start(slot)
    trial.feed.start()
    while agenda:
        now = time.monotonic() - began
        trial.feed.allow(pace.due(now))
        trial.fleet.check()
        if agenda[0][0] <= now:
            _, _, act = heapq.heappop(agenda)
            act()
        else:
            wait.wait(_TICK_SECONDS)
    trial.broker.settle()
    trial.feed.finish()
    trial.add("seconds of blows", time.monotonic() - began, "s")


def _agenda(trial: Trial) -> list[tuple[float, int, Callable[[], None]]]:
    """Return what happens, as a heap of (seconds, order, act)."""
    agenda: list[tuple[float, int, Callable[[], None]]] = []
    for step in trial.steps:
        act, undo = _acts(trial, step)
        agenda.append((step.at_seconds, len(agenda), act))
        if undo:
            agenda.append((step.back_at_seconds, len(agenda), undo))
    heapq.heapify(agenda)
    return agenda


def _acts(trial: Trial, step: Step) -> tuple[Callable[[], None], Callable[[], None] | None]:
    fleet, start = trial.fleet, partial(trial.fleet.start, step.slot)
    match step.blow:
        case Blow.KILL:
            return partial(fleet.kill, step.slot), start
        case Blow.PAUSE:
            return partial(fleet.pause, step.slot), partial(fleet.wake, step.slot)
        case Blow.STOP:
            return partial(fleet.stop, step.slot), start
        case Blow.BROKER_STOP:
            return trial.broker.stop, None
        case Blow.BROKER_KILL:
            return trial.broker.kill, None


def _catch_up(trial: Trial) -> None:
    """Wait until the store has applied everything.

    Raises:
        SystemExit: it does not get there.
    """
    ends = _end_offsets(trial)
    wait, began = Event(), time.monotonic()
    while waiting := _not_reached(trial, ends):
        trial.fleet.check()
        if time.monotonic() - began > trial.catch_up_seconds:
            raise SystemExit(
                f"not caught up after {trial.catch_up_seconds:.0f} s: "
                f"{waiting}\n{trial.fleet.log_tails()}"
            )
        wait.wait(_LOOK_SECONDS)
    trial.add("seconds to catch up", time.monotonic() - began, "s")


def _end_offsets(trial: Trial) -> Ends:
    from kafka import KafkaConsumer, TopicPartition

    settings = trial.settings
    topics = (settings.clicks_topic, settings.sessions_topic, settings.catalog_topic)
    partitions = [
        TopicPartition(topic, number) for topic in topics for number in range(_NUM_PARTITIONS)
    ]
    with closing(KafkaConsumer(bootstrap_servers=trial.bootstrap)) as consumer:
        ends = consumer.end_offsets(partitions)
    return {Position(each.topic, each.partition): int(end) for each, end in ends.items()}


def _not_reached(trial: Trial, ends: Ends) -> dict[str, str]:
    """Return the places where the store is not at the end yet, and how far it is."""
    reached: dict[Position, int] = {}
    try:
        with open_graph(trial.store, trial.settings) as graph:
            for positions in graph.positions().values():
                for position, offset in positions.items():
                    reached[position] = max(offset, reached.get(position, 0))
    except StreamError as error:
        return {"the store": str(error)}
    return {
        f"{position.source}[{position.partition}]": f"{reached.get(position, 0)} of {end}"
        for position, end in ends.items()
        if reached.get(position, 0) < end
    }


def _report_blows(trial: Trial) -> None:
    fleet = trial.fleet
    lived = f"a killed worker had lived {statistics.median(fleet.lives or [0.0]):.1f} s (median)"
    trial.add("kills", fleet.num_kills, "SIGKILLs", note=lived)
    trial.add("pauses longer than the session timeout", fleet.num_pauses, "SIGSTOPs")
    trial.add(
        "workers stopped and added", fleet.num_stops, "SIGTERMs", note=_codes(fleet.bad_stops)
    )
    trial.add(
        "broker restarts",
        trial.broker.num_stops + trial.broker.num_kills,
        note=f"{trial.broker.num_kills} by SIGKILL",
    )
    trial.add(
        "workers that ended by themselves",
        len(fleet.failures),
        target="0",
        note=_codes(fleet.failures),
    )
    trial.add("partitions handed out", fleet.num_assignments(), note="as the workers' logs say")
    trial.add("chunks published again", trial.feed.num_retries)


def _codes(codes: Sequence[int]) -> str:
    return f"exit codes {sorted(set(codes))}" if codes else ""


def _compare_graph(trial: Trial) -> Iterator[str]:
    """Compare with a plain build, with a rebuilt store through ``verify``, and with the
    facts themselves.
    """
    began = time.monotonic()
    events, items, plain = (
        trial.folder / "events.jsonl",
        trial.folder / "items.jsonl",
        trial.folder / "plain",
    )
    trial.history.write(events, items)
    source = ("--source", f"file:{events}", "--catalog", f"file:{items}")
    run_freshet("stream", *source, "--store", plain)
    hashes = [
        run_freshet("graph", "hash", "--store", store).strip() for store in (trial.store, plain)
    ]
    trial.add("graph hash equal", float(hashes[0] == hashes[1]), target="1", note=hashes[0][:16])
    if hashes[0] != hashes[1]:
        yield f"the graph hash is {hashes[0]}, that of a plain build {hashes[1]}"
    yield from _verify(trial, events, items)
    yield from _count_out(trial)
    trial.add("seconds to compare", time.monotonic() - began, "s")


def _verify(trial: Trial, events: Path, items: Path) -> Iterator[str]:
    against = ("--against", f"file:{events}", "--catalog", f"file:{items}")
    output = run_freshet(
        "verify",
        "--store",
        trial.store,
        *against,
        "--config",
        trial.config,
        "--json",
        allowed=(0, 1),
    )
    found = json.loads(output)
    trial.add(
        "verify equal", float(found["equal"]), target="1", note="sessions, edges and catalogue"
    )
    if not found["equal"]:
        yield (
            f"verify differs: {json.dumps(found['counts'])}, first "
            f"{json.dumps(found['first'])[:500]}"
        )


def _count_out(trial: Trial) -> Iterator[str]:
    facts = facts_of(trial.history.events)
    with open_graph(trial.store, trial.settings) as graph:
        losses = compare(census_of_graph(graph), census_of_facts(facts))
    trial.add(
        "events",
        len(trial.history.events),
        note=f"{len(trial.history.deliveries):,} deliveries, planned",
    )
    trial.add("distinct facts", len(facts))
    trial.add("lost", losses.num_lost, target="0", note=_by_kind(losses.lost))
    trial.add("doubled", losses.num_doubled, target="0", note=_by_kind(losses.doubled))
    yield from _losses(losses)


def _losses(losses: Losses) -> Iterator[str]:
    if losses.num_lost:
        yield f"lost: {_by_kind(losses.lost)}"
    if losses.num_doubled:
        yield f"doubled: {_by_kind(losses.doubled)}"


def _by_kind(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


def _compare_quarantine(trial: Trial) -> Iterator[str]:
    found, planted = _quarantined(trial), trial.history.malformed
    note = f"{len(found & planted):,} of {len(planted):,} planted"
    trial.add("malformed and not quarantined", len(planted - found), target="0", note=note)
    trial.add("quarantined and not malformed", len(found - planted), target="0")
    if found != planted:
        yield (
            f"quarantine: {len(planted - found)} missing, {len(found - planted)} should not be "
            "there"
        )


def _quarantined(trial: Trial) -> set[bytes]:
    """Return the distinct values in the quarantine topic.

    A kill may put a record there twice.
    """
    from kafka import KafkaConsumer, TopicPartition

    topic = trial.settings.quarantine_topic
    partitions = [TopicPartition(topic, number) for number in range(_NUM_PARTITIONS)]
    values: set[bytes] = set()
    with closing(
        KafkaConsumer(bootstrap_servers=trial.bootstrap, enable_auto_commit=False)
    ) as consumer:
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(each) < end for each, end in ends.items()):
            for found in consumer.poll(timeout_ms=500).values():
                values.update(message.value for message in found)
    return values
