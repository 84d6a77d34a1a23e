"""One of several processes that answer at one address: a server whose generations are
given to it.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread
from typing import Any

from prometheus_client import CollectorRegistry

from server.app import RetrievalServer, Sharing
from server.calls.ledger import SharedLedger
from server.errors import ServerError
from server.quality.traces import traces_of
from server.settings import ServerSettings
from server.views import LiveViews
from server.workers.channel import Asking, ChannelClosed, QuestionFailed, answer_until_closed
from server.workers.given import GivenGenerations, take
from server.workers.joined import samples_of
from stream.traces.tracer import Tracer

logger = logging.getLogger(__name__)

# Seconds that the other workers may take to say what they were asked. Twice as many: a
# refresher waits for twice as long.
_ASKED_SECONDS = 1.0


def run_worker(questions: int, upwards: int, *, tracer: Tracer | None = None) -> None:
    """Be a worker until the process that looks after it says so, or is gone.

    Args:
        questions: descriptor of the channel on which it is asked.
        upwards: descriptor of the one on which it asks.
        tracer: records the spans of its answers; None: nobody does.
    """
    # Ctrl-C, and a terminal that closes, reach all its processes; the one that looks
    # after us stops us.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    worker = _Worker(Asking(socket.socket(fileno=upwards)), tracer)
    signal.signal(signal.SIGTERM, lambda *_: Thread(target=worker.stop.set).start())
    connection = socket.socket(fileno=questions)
    Thread(target=worker.listen, args=(connection,), name="worker-questions", daemon=True).start()
    worker.stop.wait()
    if worker.server is not None:
        worker.server.stop(worker.grace_seconds)


class _Worker:
    """Answers what it is asked."""

    def __init__(self, upwards: Asking, tracer: Tracer | None) -> None:
        self.stop = Event()
        self.server: RetrievalServer | None = None
        self.grace_seconds: float | None = None
        self._upwards = upwards
        self._tracer = tracer
        self._given: GivenGenerations | None = None
        self._registry = CollectorRegistry()

    def listen(self, connection: socket.socket) -> None:
        """Answer until the channel is closed; then stop."""
        answer_until_closed(connection, self._answer)
        self.stop.set()

    def _answer(
        self, operation: str, question: dict[str, Any], descriptors: list[int]
    ) -> Mapping[str, Any]:
        if operation == "begin":
            return self._begin(question, descriptors)
        server, given = self.server, self._given
        if server is None or given is None:
            raise ServerError("the worker has not begun")
        if operation == "asked":
            return {"asked": server.asked.most(question["limit"])}
        if operation == "samples":
            return {**self._state(), "families": samples_of(self._registry)}
        if operation == "prepare":
            take(given, question, descriptors)
        else:
            steps: dict[str, Callable[[], None]] = {
                "offer": given.offer,
                "listen": lambda: self._listen(server),
                "drop": given.drop,
                "withdraw": server.views.withdraw,
                "tell": lambda: given.told(**question),
                "stop": lambda: self._stop_with(question["grace_seconds"]),
            }
            steps[operation]()
        return self._state()

    def _listen(self, server: RetrievalServer) -> None:
        server.start()

    def _stop_with(self, grace_seconds: float | None) -> None:
        self.grace_seconds = grace_seconds
        self.stop.set()

    def _state(self) -> dict[str, str]:
        views = self.server.views if self.server is not None else None
        live = views.live if views is not None else None
        return {
            "live": "" if live is None else live.generation_id,
            "pending": "" if views is None else views.pending_id,
        }

    def _begin(self, question: dict[str, Any], descriptors: list[int]) -> Mapping[str, Any]:
        settings = ServerSettings(**question["settings"])

        def made(views: LiveViews, on_refusal: Any) -> GivenGenerations:
            self._given = GivenGenerations(views, settings, on_refusal=on_refusal)
            return self._given

        ledger = SharedLedger(descriptors[0], question["number"], question["workers"])
        os.close(descriptors[0])
        artifacts = Path(question["artifacts"])
        self.server = RetrievalServer(
            settings,
            artifacts,
            self._registry,
            sharing=Sharing(make_watcher=made, ledger=ledger, asked=self._asked_of_all),
            traces=traces_of(artifacts, self._tracer),
        )
        return {}

    def _asked_of_all(self, limit: int | None) -> list[tuple[str, int]]:
        """Return what all workers were asked most; what this one was, if they do not
        say.
        """
        try:
            found = self._upwards.ask("asked", {"limit": limit}, seconds=_ASKED_SECONDS)
        except (ChannelClosed, QuestionFailed) as error:
            logger.warning("asked_of_one_worker why=%s", error)
            return self.server.asked.most(limit) if self.server is not None else []
        return [(query, count) for query, count in found["asked"]]
