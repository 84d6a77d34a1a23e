"""The whole system with a broker, traffic, Prometheus and Alertmanager."""

import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from random import Random
from threading import Event, Thread

from bench.freshness.system import System
from deploy.kafka.broker import LocalBroker, free_port
from deploy.kafka.topics import create_topics
from freshet.probe import total
from freshet.shop import feed
from freshet.shop.shop import Shop
from freshet_client import ClientError, RetrievalClient
from testing.monitoring.monitoring import Monitoring
from testing.processes.postgres import LocalPostgres
from testing.soak.workers import ROOT, clean_environment, freshet

PARTITIONS = 2  # of each topic: one may stand still while another goes on
EVERY = "20s"  # from one training to the next, so that two failures are seen soon
_FRESH_EVERY = "1s"
_HISTORY = 10_000  # events before the start: a training takes seconds
_DISK_BYTES = 400 << 20  # of the store's disk: several times what this shop needs
_ASKED_EVERY_SECONDS = 0.2
_FRESH_SECONDS = 10.0  # answers so young: the fresh lane works
_STATUS_SECONDS = 60.0  # for `freshet status`, on a busy machine
_MOUNT = "/bin/mount"
_JOBS = ("stream", "tuner", "refresher", "server", "probe", "sink")


class Stack:
    """One broker, store, artifacts folder and all processes, with traffic.

    Args:
        folder: for everything.
        items: products of the shop.
        rate: events a second.
        seed: of the shop.

    Attributes:
        broker: to break.
        system: to break.
        monitoring: that is to notice.
        bootstrap: "host:port" of the broker.
    """

    def __init__(self, folder: Path, *, items: int, rate: float, seed: int) -> None:
        self.folder = folder
        self.broker = LocalBroker()
        self.monitoring = Monitoring(folder / "monitoring")
        self._seed, self._items = seed, items
        self._queries = [
            str(event["query"])
            for event, _ in zip(Shop(seed, items).events(), range(500), strict=False)
            if event.get("query")
        ]
        self._rate = rate
        self._probe = another_address()
        self._sink = another_address()
        self._database = ""
        self._more: Mapping[str, str] = {}
        self._ends = ExitStack()
        self._asking = Event()

    @contextmanager
    def running(self) -> Iterator["Stack"]:
        """Start all, wait until answers are fresh, and leave nothing running."""
        with self._ends:
            self._ends.enter_context(self.broker)
            self.bootstrap = self.broker.bootstrap
            create_topics(self.bootstrap, partitions=PARTITIONS)
            self._database = self._ends.enter_context(LocalPostgres()).create("shop")
            self.system = System(self.folder, self.bootstrap, PARTITIONS)
            disk = self.folder / "disk"
            if mount_disk(disk, _DISK_BYTES):
                self._ends.callback(unmount, disk)
            self._ends.callback(self.system.stop_all)
            self.system.store = disk / "store"
            # So that a backfill of last year is not too late.
            with self.system.config.open("a", encoding="utf-8") as config:
                config.write('session_retention_seconds = "730d"\n')
            self._begin()
            self._ends.enter_context(self.monitoring)
            self.watch()
            yield self

    def watch(self, **more: str) -> None:
        """Scrape all processes, and more streams by name; `status` asks them, too."""
        self._more = more
        metrics = {**self.system.metrics, "probe": self._probe, "sink": self._sink}
        targets = {job: [metrics[job]] for job in _JOBS}
        targets["stream"] += more.values()
        self.monitoring.watch(targets)

    def shop(self) -> Shop:
        """Return the shop, from its beginning."""
        return Shop(self._seed, self._items)

    def start_load(self) -> None:
        """Let the shop's events come."""
        to = ("--to", self.system.source, "--rate", self._rate)
        shop = ("--seed", self._seed, "--items", self._items)
        self.system.start("load", "simulate", *shop, *to)

    def ask(self) -> None:
        """Ask queries from now on, a few a second."""
        self._asking.set()
        thread = Thread(target=self._ask, name="shoppers", daemon=True)
        thread.start()
        self._ends.callback(thread.join)
        self._ends.callback(self._asking.clear)

    def restart(self, name: str, environment: Mapping[str, str] | None = None) -> None:
        """Start a process, after stopping it where it runs."""
        if self.system.is_running(name):
            self.system.signal(name, signal.SIGCONT)
            self.system.stop(name)
        if name == "stream":
            self.system.start_stream(environment)
        elif name == "tuner":
            self.system.start_tuner(EVERY, "", environment)
        elif name == "refresher":
            self.system.start_refresher(_FRESH_EVERY)
        elif name == "server":
            self.system.start_server()
        elif name == "probe":
            self._start_probe()
        elif name == "sink":
            self._start_sink()
        else:
            self.start_load()

    def mend(self) -> None:
        """Start again what has ended."""
        for name in (*_JOBS, "load"):
            if not self.system.is_running(name) or self.system.has_ended(name):
                self.restart(name)

    def status(self) -> tuple[int, str]:
        """Return the exit code of `freshet status`, and what it says."""
        metrics = {**self.system.metrics, "probe": self._probe, "sink": self._sink}
        metrics["stream"] = ",".join([metrics["stream"], *self._more.values()])
        addresses = [word for name, address in metrics.items() for word in (f"--{name}", address)]
        done = subprocess.run(
            freshet("status", *addresses, "--target", self.system.target),
            cwd=ROOT,
            env=clean_environment(),
            capture_output=True,
            text=True,
            timeout=_STATUS_SECONDS,
            check=False,
        )
        return done.returncode, re.sub(r"\x1b\[\d*m", "", done.stdout + done.stderr)

    def value(self, name: str, metric: str) -> float:
        """Return a metric of a process; 0 where it has none."""
        return total(self.system.samples(name), metric) or 0.0

    def is_fresh(self) -> bool:
        """Whether answers reflect what came seconds ago."""
        try:
            with RetrievalClient(self.system.target, retry=None, timeout_seconds=2.0) as client:
                receipt = client.freshness().receipt
        except ClientError:
            return False
        age = receipt.age_seconds if receipt else None
        return age is not None and age < _FRESH_SECONDS

    def _begin(self) -> None:
        system, folder = self.system, self.folder / "history"
        folder.mkdir()
        feed.write_history(self.shop(), _HISTORY, folder)
        files = ("--events", folder / "events.jsonl", "--items", folder / "items.jsonl")
        system.run("replay", *files, "--to", system.source, "--speed", "max", "--batch", 64)
        system.start_stream()
        system.until(system.is_caught_up, "the stream applies the history")
        system.start_server()
        system.start_tuner(EVERY, "")
        system.start_refresher(_FRESH_EVERY)
        with RetrievalClient(system.target, retry=None) as client:
            system.until(partial(client.is_ready, timeout_seconds=1.0), "a first generation")
        self.start_load()
        system.until(self.is_fresh, "answers are fresh", look_seconds=1.0)
        self.ask()
        self._start_probe()
        self._start_sink()

    def _start_probe(self) -> None:
        paths = ("--to", self.system.source, "--target", self.system.target)
        self.system.start("probe", "probe", *paths, "--metrics", self._probe, "--name", "bench")

    def _start_sink(self) -> None:
        paths = ("--artifacts", self.system.artifacts, "--database", self._database)
        self.system.start("sink", "sink", *paths, "--metrics", self._sink)

    def _ask(self) -> None:
        random, pause = Random(1), Event()
        while self._asking.is_set():
            try:
                with RetrievalClient(self.system.target, retry=None, timeout_seconds=2.0) as client:
                    while self._asking.is_set():
                        client.retrieve(random.choice(self._queries), 10)
                        pause.wait(_ASKED_EVERY_SECONDS)
            except ClientError:
                pause.wait(1.0)


def mount_disk(folder: Path, num_bytes: int) -> bool:
    """Mount a disk of its own size at a folder; False: this user may not."""
    folder.mkdir(parents=True)
    done = subprocess.run(
        [_MOUNT, "-t", "tmpfs", "-o", f"size={num_bytes}", "tmpfs", folder],
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def make_read_only(folder: Path) -> None:
    """Let nobody write to a folder, whoever it is, until it is unmounted."""
    subprocess.run([_MOUNT, "--bind", folder, folder], check=True)
    subprocess.run([_MOUNT, "-o", "remount,ro,bind", folder], check=True)


def unmount(folder: Path) -> None:
    """Undo a mount, also while processes have files open there."""
    subprocess.run(["/bin/umount", "--lazy", folder], check=False)


def may_mount() -> bool:
    """Whether this user may mount."""
    return os.geteuid() == 0


def stranger(address: str) -> "subprocess.Popen[bytes]":
    """Start another program's exporter at an address."""
    host, _, port = address.rpartition(":")
    code = (
        "from prometheus_client import start_http_server; import threading; "
        f"start_http_server({port}, addr={host!r}); threading.Event().wait()"
    )
    return subprocess.Popen([ROOT / ".venv" / "bin" / "python", "-c", code])


def as_json(**fields: object) -> bytes:
    """Return a record's value."""
    return json.dumps(fields).encode()


def another_address() -> str:
    """Return an address for the metrics of one more process."""
    return f"127.0.0.1:{free_port()}"
