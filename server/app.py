"""Wires watcher, views, service, readiness and doors into a running server."""

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from prometheus_client import CollectorRegistry

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.store import ArtifactStore
from server.asked import AskedEverywhere, AskedQueries
from server.calls.ledger import Ledger
from server.errors import ArtifactsMissing
from server.http.listener import HttpListener
from server.http.methods import Method, methods_by_path
from server.index_recall import RecallSampler
from server.listening.addresses import check_can_listen, split_address
from server.listening.doors import Doors
from server.listening.grpc_listener import GrpcListener
from server.listening.readiness import Readiness
from server.methods.generations import GenerationList
from server.metrics.answering import ServerMetrics
from server.metrics.calls import CallMetrics
from server.metrics.index import IndexMetrics
from server.metrics.later import Later
from server.metrics.overlay import OverlayMetrics
from server.quality.traces import AnswerTraces
from server.service import RetrievalService
from server.settings import ServerSettings
from server.swaps.loader import Loader
from server.swaps.refusals import RefusalReason
from server.swaps.watcher import GenerationWatcher
from server.swaps.watching import Watching
from server.views import LiveViews
from stream.clock import now_ms

logger = logging.getLogger(__name__)

_LATE_SECONDS = 10.0
"""How long after its grace a stop waits for gRPC to have ended all calls.

It cancels them then, and a stop that waits for ever is killed without a word. Ten times
what it takes on a machine that is twenty times overloaded; twice as long keeps a deploy
waiting for as much longer.
"""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """What a server shares with others at the same address.

    Attributes:
        make_watcher: makes what gives it its generations, from its views and what is
            called with whether the newest one is refused.
        ledger: the accounts of callers.
        asked: returns what all of them were asked most, at most so many; None: all.
    """

    make_watcher: Callable[[LiveViews, Callable[[bool], None]], Watching]
    ledger: Ledger
    asked: Callable[[int | None], list[tuple[str, int]]]


class RetrievalServer:
    """A retrieval server: `start` it, `wait` for it, `stop` it.

    Serving its metrics is the caller's.

    Args:
        settings: the server's settings.
        artifacts_path: the artifacts folder; neither it nor a generation in it need
            exist yet.
        registry: where the metrics are registered.
        sharing: with other servers at the same address; None: there are none.
        traces: follows records to the first answer that knows them; None: nobody does.
        clock_ms: the time now, UTC epoch milliseconds.
    """

    def __init__(
        self,
        settings: ServerSettings,
        artifacts_path: Path,
        registry: CollectorRegistry,
        *,
        sharing: Sharing | None = None,
        traces: AnswerTraces | None = None,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._settings = settings
        self._artifacts_path = artifacts_path
        self._sharing = sharing
        later = Later(registry)
        self._metrics = ServerMetrics(
            registry, RefusalReason, objective_seconds=settings.objective_seconds, later=later
        )
        self._call_metrics = CallMetrics(registry, later)
        overlay_metrics = OverlayMetrics(registry)
        self._readiness = Readiness()
        self.views = LiveViews(
            OverlayFolder.of(artifacts_path),
            settings,
            self._metrics,
            overlay_metrics,
            on_live=self._readiness.serve,
            clock_ms=clock_ms,
        )
        if traces is not None:
            self._metrics.answers.on_answer = traces.answered
            self.views.on_view = traces.swapped
        self._watcher: Watching = (
            GenerationWatcher(
                ArtifactStore(artifacts_path),
                self.views,
                settings,
                self._metrics,
                Loader(settings, clock_ms=clock_ms),
                on_refusal=self._readiness.newest_refused,
            )
            if sharing is None
            else sharing.make_watcher(self.views, self._readiness.newest_refused)
        )
        self.asked = AskedQueries(settings.asked_queries)
        self._sampler = RecallSampler(settings, IndexMetrics(registry))
        self._service = RetrievalService(
            self.views,
            self._watcher,
            settings,
            self._metrics,
            self.asked if sharing is None else AskedEverywhere(self.asked, sharing.asked),
            self._sampler,
            GenerationList(ArtifactStore(artifacts_path), self._watcher, self.views),
            clock_ms=clock_ms,
        )
        self._metrics.watch(self._service.receipt_now)
        overlay_metrics.watch(lambda: self.views.live, clock_ms)
        self._doors = Doors(
            settings, self._call_metrics, None if sharing is None else sharing.ledger
        )
        self._grpc: GrpcListener | None = None
        self._http: HttpListener | None = None
        self._stopped = threading.Event()
        self.http_address = settings.http_address
        """Where it listens for HTTP, likewise; empty: nowhere."""
        self.address = settings.listen
        """Where it listens, HOST:PORT.

        The port that was really taken once `start` has returned.
        """

    def start(self) -> bool:
        """Listen, load the current generation and begin to watch; return whether the
        server is ready. One without a generation that is fit waits for one.

        Raises:
            ArtifactsMissing: the artifacts folder is something else.
            PortBusy: something else listens on the address.
            ListenFailed: the address cannot be listened on for another reason.
            SettingsInvalid: a certificate cannot be used.
        """
        check_artifacts(self._artifacts_path)
        self._readiness.wait()
        self._grpc = GrpcListener(
            self._settings,
            self._service,
            self._readiness,
            self._doors,
            self._call_metrics,
            shares_port=self._sharing is not None,
        )
        self.address = self._grpc.address
        try:
            self._grpc.start()
            self._http = self._listen_http(methods_by_path(self._doors.routes, self._service))
            ready = self._watcher.load_first()
        except BaseException:
            self.stop(grace_seconds=0)
            raise
        self._doors.open_calls.start()
        self._watcher.start()
        self.views.start()
        self._sampler.start()
        logger.info(
            "serving address=%s ready=%s artifacts=%s", self.address, ready, self._artifacts_path
        )
        return ready

    def wait(self, timeout_seconds: float | None = None) -> bool:
        """Wait until the server has stopped; return False if the timeout came first."""
        return self._stopped.wait(timeout_seconds)

    def stop(self, grace_seconds: float | None = None) -> None:
        """Report NOT_SERVING, go on for the lame-duck time, reject new requests, wait
        for running ones for the grace period, and stop.

        Args:
            grace_seconds: the grace period, without a lame-duck time before it; None:
                as the settings have both.
        """
        grace = self._settings.grace_seconds if grace_seconds is None else grace_seconds
        self._readiness.leave()
        if self._grpc is not None:
            if grace_seconds is None:
                threading.Event().wait(self._settings.lame_duck_seconds)
            ended = self._grpc.stop(grace)
            self._doors.open_calls.end_held()
            if self._http is not None:
                self._http.stop(grace)
            if not ended.wait(grace + _LATE_SECONDS):
                logger.error("calls_not_ended open=%d", len(self._doors.open_calls))
        self._doors.open_calls.stop()
        self._watcher.stop()
        self.views.stop()
        self._sampler.stop()
        self._doors.shut()
        self._stopped.set()
        logger.info("stopped address=%s", self.address)

    def _listen_http(self, methods: Mapping[str, Method]) -> HttpListener | None:
        """Answer JSON over HTTP, where the settings say so."""
        address = self._settings.http_address
        if not address:
            return None
        host, port = split_address(address, "server.http_address")
        shares_port = self._sharing is not None
        if not shares_port:
            check_can_listen(host, port)
        listener = HttpListener(
            (host, port), methods, self._call_metrics, self._settings, shares_port=shares_port
        )
        listener.start()
        self.http_address = f"{address.rpartition(':')[0]}:{listener.port}"
        logger.info("serving_http address=%s", self.http_address)
        return listener


def check_artifacts(path: Path) -> None:
    """Check that an artifacts folder is one, or is not there yet.

    Raises:
        ArtifactsMissing: it is something else.
    """
    if not path.exists():
        logger.warning("artifacts folder %s is not there yet; waiting for a tuner to make it", path)
    elif not path.is_dir():
        raise ArtifactsMissing(
            f"the artifacts folder {path} is not a folder; name the one that the tuner writes to"
        )
