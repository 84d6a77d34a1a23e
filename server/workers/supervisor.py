"""Looks after the workers of a server: starts them, starts again what ends, gives them
generations, tells their metrics as those of one server, and stops them.
"""

import dataclasses
import functools
import logging
import math
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event, Thread
from typing import Any

from prometheus_client import CollectorRegistry

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from server.app import check_artifacts
from server.calls.ledger import shared_memory
from server.errors import ServerError, WorkerFailed
from server.listening.addresses import check_can_listen, reserve_shared, split_address
from server.metrics.answering import ServerMetrics
from server.metrics.workers import WorkerMetrics
from server.settings import ServerSettings
from server.swaps.loader import Loader
from server.swaps.refusals import RefusalReason
from server.swaps.start import fresher_than
from server.swaps.watcher import GenerationWatcher
from server.workers.channel import ChannelClosed, QuestionFailed
from server.workers.cores import core_of
from server.workers.joined import Counted, Families, families_of, joined, samples_of
from server.workers.process import WorkerProcess
from server.workers.shared_views import SharedViews
from stream.clock import now_ms

logger = logging.getLogger(__name__)

# Seconds between two rounds of questions to all workers. What a worker counted since
# the last is lost when it is killed. Twice as many lose twice as much.
_ROUND_SECONDS = 1.0
# Seconds that a worker may take to answer, and to begin: a second on an idle machine.
# Twice as many let one that hangs do so for twice as long.
_ANSWER_SECONDS, _BEGIN_SECONDS = 10.0, 60.0
# Rounds without an answer after which a worker is killed, to be started again. Twice as
# many: its clients wait for twice as long.
_MOST_SILENT_ROUNDS = 3
# Pauses before a worker is started again double from the first to the last. Twice as
# long: its connections go to the others for so much longer.
_FIRST_PAUSE_SECONDS, _LAST_PAUSE_SECONDS = 0.1, 30.0
# A worker that lived for so long ended for a reason of its own: the pauses begin anew.
# Twice as long would punish one that is killed each minute.
_STEADY_SECONDS = 30.0
# Starts in a row that failed, of each worker, after which a server without one that
# lives ends: what is wrong is not the worker's. Twice as many try for eight times as
# long.
_MOST_FAILED_STARTS = 4
# Seconds beside lame duck and grace that a worker may take to stop.
_STOP_SECONDS = 5.0
# Of the thread that loads and checks: workers come first. Twice as much: hardly any
# less, and a load waits for twice as long on a busy machine.
_NICENESS = 10
_ASKED_SECONDS = 0.5  # of each worker, half of what the one that asks waits


class Supervisor:
    """Several processes that answer at one address: `start` them, `wait`, `stop` them.

    Args:
        settings: the server's settings; `workers` of them run.
        artifacts_path: the artifacts folder; neither it nor a generation in it need
            exist yet.
        registry: where the metrics of all are registered.
        command: starts a worker; two descriptors are added, for
            `server.workers.worker.run_worker`.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        settings: ServerSettings,
        artifacts_path: Path,
        registry: CollectorRegistry,
        command: Sequence[str],
        *,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._artifacts_path = artifacts_path
        self._command = command
        folder = OverlayFolder.of(artifacts_path)

        def fresher(wanted: str, ids: Sequence[str]) -> str:
            wait_seconds = settings.overlay_wait_seconds
            return fresher_than(folder, wanted, ids, wait_seconds=wait_seconds, now_ms=clock_ms())

        self._views = SharedViews(fresher)
        self._own = CollectorRegistry()
        self._watcher = GenerationWatcher(
            ArtifactStore(artifacts_path),
            self._views,
            settings,
            ServerMetrics(self._own, RefusalReason),
            Loader(settings, clock_ms=clock_ms, keeps_files=True, niceness=_NICENESS),
            on_refusal=lambda _is_refused: self._tell_if_changed(),
        )
        self._metrics = WorkerMetrics(registry, settings.workers)
        registry.register(_Joined(self))
        self._slots = [_Slot(number) for number in range(settings.workers)]
        self._ledger = shared_memory(settings.workers)
        self._reserved: list[socket.socket] = []
        self._threads: list[Thread] = []
        self._last_told: dict[str, str] = {}
        self._stop, self._ended, self._failed = Event(), Event(), Event()
        self._on_failure: Callable[[], None] = lambda: None
        self.address = settings.listen
        """Where the workers listen, HOST:PORT, once `start` has returned."""
        self.http_address = settings.http_address
        """Where they answer JSON over HTTP, likewise; empty: nowhere."""

    def start(self) -> bool:
        """Start the workers, load the current generation and begin to watch; return
        whether the server is ready.

        Raises:
            ServerError: as `RetrievalServer.start`, or a worker cannot begin.
            OSError: the address cannot be kept.
        """
        check_artifacts(self._artifacts_path)
        try:
            self.address = self._reserve(self._settings.listen, "server.listen")
            if self._settings.http_address:
                self.http_address = self._reserve(
                    self._settings.http_address, "server.http_address"
                )
            self._start_all()
            ready = self._watcher.load_first()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        for slot in self._slots:
            self._run(f"worker-{slot.number}", functools.partial(self._keep, slot))
        self._run("worker-rounds", self._keep_asking)
        self._watcher.start()
        logger.info("serving address=%s workers=%d ready=%s", self.address, len(self._slots), ready)
        return ready

    def _reserve(self, address: str, setting: str) -> str:
        """Keep an address for the workers, and return it with the port that it has."""
        host, port = split_address(address, setting)
        check_can_listen(host, port)
        reserved = reserve_shared(host, port)
        self._reserved += reserved
        return f"{address.rpartition(':')[0]}:{reserved[0].getsockname()[1]}"

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the server has stopped; return False if the timeout came first."""
        return self._ended.wait(timeout_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Stop all workers at once, each as a server of its own.

        Args:
            grace_seconds: as of `RetrievalServer.stop`.
        """
        self._stop.set()
        settings = self._settings
        seconds = settings.lame_duck_seconds + settings.grace_seconds + _STOP_SECONDS
        if grace_seconds is not None:
            seconds = grace_seconds + _STOP_SECONDS
        message = {"grace_seconds": grace_seconds}
        ending = [
            Thread(target=slot.end, args=(message, seconds)) for slot in self._slots if slot.worker
        ]
        for thread in ending:
            thread.start()
        self._watcher.stop()
        for thread in [*ending, *self._threads]:
            thread.join()
        self._views.close()
        for reserved in self._reserved:
            reserved.close()
        self._ended.set()
        logger.info("stopped address=%s", self.address)

    @property
    def has_failed(self) -> bool:
        """Whether no worker lives, and none can be started."""
        return self._failed.is_set()

    def on_failure(self, callback: Callable[[], None]) -> None:
        """Call back once no worker lives, and none can be started."""
        self._on_failure = callback
        if self.has_failed:
            callback()

    def pids(self) -> list[int]:
        """Return the processes of the workers that live."""
        return [slot.worker.pid for slot in self._slots if slot.worker is not None]

    def families(self) -> list[Any]:
        """Return the metrics of all workers as of now."""
        self._round()
        own = families_of(samples_of(self._own))
        return joined([slot.counted for slot in self._slots], own)

    def _run(self, name: str, target: Callable[[], None]) -> None:
        thread = Thread(target=target, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _begin(self, slot: "_Slot") -> None:
        """Start a worker, and give it what the others have.

        Raises:
            ChannelClosed: it has ended.
            QuestionFailed: it cannot begin.
        """
        settings = {
            **dataclasses.asdict(self._settings),
            "listen": self.address,
            "http_address": self.http_address,
        }
        core = core_of(slot.number, len(self._slots))
        worker = WorkerProcess(self._command, self._answer, core)
        try:
            question = {
                "settings": settings,
                "artifacts": str(self._artifacts_path),
                "number": slot.number,
                "workers": len(self._slots),
            }
            worker.ask("begin", question, seconds=_BEGIN_SECONDS, descriptors=[self._ledger])
            worker.ask("tell", self._told(), seconds=_ANSWER_SECONDS)
            # First, so that it answers with what the others do from its first call on.
            self._views.joined_by(slot.number, worker)
            worker.ask("listen", seconds=_BEGIN_SECONDS)
        except BaseException:
            worker.kill()
            raise
        slot.begun(worker)
        self._metrics.up(slot.number, is_up=True)
        where = "any" if core is None else core
        logger.info("worker_up worker=%d pid=%d core=%s", slot.number, worker.pid, where)

    def _start_all(self) -> None:
        """Start all workers at once.

        Raises:
            WorkerFailed: one of them cannot begin; the message says why.
        """
        faults: list[str] = []

        def begin(slot: _Slot) -> None:
            try:
                self._begin(slot)
            except (ChannelClosed, QuestionFailed, OSError) as error:
                faults.append(f"worker {slot.number} could not begin: {error}")

        starting = [Thread(target=begin, args=(slot,)) for slot in self._slots]
        for thread in starting:
            thread.start()
        for thread in starting:
            thread.join()
        if faults:
            raise WorkerFailed(faults[0])

    def _keep(self, slot: "_Slot") -> None:
        """Wait until a worker ends, and start it again, until all is to stop."""
        while True:
            worker = slot.worker
            code = worker.wait() if worker is not None else None
            self._views.left_by(slot.number)
            self._metrics.up(slot.number, is_up=False)
            if self._stop.is_set():
                return
            lived = slot.ended()
            if worker is not None:
                logger.error("worker_ended worker=%d code=%s", slot.number, code)
            if self._stop.wait(slot.pause_after(lived)):
                return
            self._metrics.restarted(slot.number)
            try:
                self._begin(slot)
            except (ChannelClosed, QuestionFailed, OSError) as error:
                slot.failures += 1
                logger.error("worker_not_begun worker=%d why=%s", slot.number, error)  # noqa: TRY400  # it says all
                self._give_up_if_none()
            if self._stop.is_set():
                slot.end({"grace_seconds": 0}, _STOP_SECONDS)

    def _give_up_if_none(self) -> None:
        if all(
            slot.worker is None and slot.failures >= _MOST_FAILED_STARTS for slot in self._slots
        ):
            logger.error("no_worker_lives")
            self._failed.set()
            self._on_failure()

    def _keep_asking(self) -> None:
        while not self._stop.wait(_ROUND_SECONDS):
            try:
                self._round()
            except Exception:
                # Whatever is wrong with one round, the next must come.
                logger.exception("round_failed")

    def _round(self) -> None:
        """Tell each worker what is known of the newest generation, and ask what it has
        and has counted.
        """
        states, told = [], self._told()
        self._last_told = told
        for slot in self._slots:
            worker = slot.worker
            if worker is None:
                continue
            try:
                worker.ask("tell", told, seconds=_ANSWER_SECONDS)
                found = worker.ask("samples", seconds=_ANSWER_SECONDS)
            except (ChannelClosed, QuestionFailed) as error:
                slot.silent_rounds += 1
                if slot.silent_rounds >= _MOST_SILENT_ROUNDS and not self._stop.is_set():
                    logger.error("worker_hangs worker=%d why=%s", slot.number, error)  # noqa: TRY400  # it says all
                    worker.kill()
                continue
            slot.heard(worker, families_of(found["families"]))
            states.append(found)
        self._views.heard(states)

    def _tell_if_changed(self) -> None:
        if self._told() != self._last_told:
            self._round()

    def _told(self) -> dict[str, str]:
        return {
            "refused_id": self._watcher.refused_id,
            "last_refusal": self._watcher.last_refusal,
            "loading_id": self._watcher.loading_id,
        }

    def _answer(
        self, operation: str, question: dict[str, Any], descriptors: list[int]
    ) -> Mapping[str, Any]:
        """Answer what a worker asks: what all of them were asked most."""
        if operation != "asked" or descriptors:
            raise ServerError(f"a worker asks for {operation}, which nobody knows")
        counts: dict[str, int] = {}
        for slot in self._slots:
            if slot.worker is None:
                continue
            try:
                found = slot.worker.ask("asked", {"limit": None}, seconds=_ASKED_SECONDS)
            except (ChannelClosed, QuestionFailed) as error:
                logger.warning("asked_without_worker worker=%d why=%s", slot.number, error)
                continue
            for query, count in found["asked"]:
                counts[query] = counts.get(query, 0) + count
        most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
        return {"asked": most[: question["limit"]]}


class _Slot:
    """The place of one worker, whichever process has it.

    Args:
        number: of the place.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.worker: WorkerProcess | None = None
        self.counted = Counted()
        self.failures = 0
        self.silent_rounds = 0
        self._pause_seconds = 0.0
        self._since = -math.inf

    def begun(self, worker: WorkerProcess) -> None:
        """Take a worker that has begun."""
        self.worker, self._since = worker, time.monotonic()
        self.failures = self.silent_rounds = 0

    def pause_after(self, lived_seconds: float) -> float:
        """Return the seconds until a worker is started again that lived for so long."""
        again = 2 * self._pause_seconds or _FIRST_PAUSE_SECONDS
        is_steady = lived_seconds >= _STEADY_SECONDS
        self._pause_seconds = _FIRST_PAUSE_SECONDS if is_steady else min(again, _LAST_PAUSE_SECONDS)
        return self._pause_seconds

    def ended(self) -> float:
        """Forget the worker that has ended; return the seconds that it lived."""
        self.worker = None
        self.counted.is_gone()
        return time.monotonic() - self._since

    def heard(self, worker: WorkerProcess, families: Families) -> None:
        """Take what a worker has counted, unless it has ended meanwhile: then it is
        counted.
        """
        if worker is self.worker:
            self.counted.now, self.silent_rounds = families, 0

    def end(self, message: Mapping[str, Any], seconds: float) -> None:
        """Have the worker stop, within some seconds."""
        worker = self.worker
        if worker is not None:
            worker.end(message, seconds)


class _Joined:
    """What Prometheus collects of all workers."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor

    def describe(self) -> list[Any]:
        """Return nothing: names are known once workers run."""
        return []

    def collect(self) -> list[Any]:
        """Return the metrics of all workers."""
        return self._supervisor.families()
