"""The doors of a server, each with threads of its own, and the methods behind each.

A reflection stream holds its thread for as long as it is open, so it may hold neither
one that answers queries nor one that answers health checks; and health is for whoever
asks, behind no query and within no limit.
"""

import functools
from pathlib import Path
from typing import Final

from server.calls import reflection
from server.calls.callers import Callers
from server.calls.door import METHOD_ATTRIBUTE, Door
from server.calls.ledger import Ledger
from server.calls.open_calls import OpenCalls
from server.http.methods import Route
from server.methods.batch import batch_size
from server.metrics.calls import CallMetrics
from server.security.tokens import TokenFile
from server.settings import ServerSettings

_REFLECTION_THREADS: Final = 2
"""Concurrent reflection streams: two people with grpcurl; a third waits for one of
them.

Each costs a sleeping thread, so twice as many would cost next to nothing.
"""
_SEARCHING_METHODS: Final = ("Retrieve", "SimilarItems", "Explain")
_SIDE_METHODS: Final = ("GetFreshness", "GetAsked", "ListGenerations")
_HEALTH_METHODS: Final = ("Check", "List", "Watch")


class Doors:
    """The doors of a server.

    Attributes:
        open_calls: the calls that came in and have not ended.
        routes: of each method of the service, its door.
    """

    def __init__(
        self, settings: ServerSettings, metrics: CallMetrics, ledger: Ledger | None
    ) -> None:
        """Make the doors, and have the metrics tell who waits.

        Args:
            settings: the server's settings.
            metrics: of calls.
            ledger: the accounts of callers; None: of this process alone.

        Raises:
            SettingsInvalid: the file of tokens cannot be read.
        """
        callers = Callers(
            TokenFile(Path(settings.tokens)) if settings.tokens else None,
            calls_per_second=settings.caller_calls_per_second,
            concurrency=settings.caller_concurrency,
            ledger=ledger,
        )
        self.open_calls = OpenCalls(
            metrics,
            receive_seconds=settings.receive_seconds,
            call_seconds=settings.call_seconds,
        )
        make = functools.partial(Door, open_calls=self.open_calls, metrics=metrics)
        self.searching = make(
            "grpc", settings.num_threads, callers=callers, wait_seconds=settings.wait_seconds
        )
        self._side = make("grpc-side", 1, callers=callers)
        self._health = make("grpc-health", 1)
        self._reflection = make(
            "grpc-reflection", _REFLECTION_THREADS, callers=callers, is_streaming=True
        )
        self.all = (self.searching, self._side, self._health, self._reflection)
        self.routes = (
            *(Route(name=each, door=self._side) for each in _SIDE_METHODS),
            *(Route(name=each, door=self.searching) for each in _SEARCHING_METHODS),
            Route(name="RetrieveBatch", door=self.searching, size_of=batch_size),
        )
        metrics.watch(lambda: len(self.open_calls), lambda: self.searching.num_waiting)

    def let_in(self, health: object, reflector: object | None) -> None:
        """Have gRPC's server let calls of health and reflection in at their doors.

        Args:
            health: has gRPC's methods of health.
            reflector: has those of reflection; None: nobody may ask for it.
        """
        for method in _HEALTH_METHODS:
            _answer_at(self._health, health, method)
        if reflector is not None:
            _answer_at(self._reflection, reflector, reflection.METHOD)

    def shut(self) -> None:
        """Let no more calls in."""
        for door in self.all:
            door.shutdown(wait=False)


def _answer_at(door: Door, servicer: object, method: str) -> None:
    """Have gRPC let the calls of one method of a servicer in at a door.

    It looks for these attributes on what it calls.

    Args:
        door: where they are let in.
        servicer: what has the method.
        method: its name.
    """
    found = getattr(servicer, method)
    behavior = functools.partial(found)
    behavior.experimental_thread_pool = door  # type: ignore[attr-defined]
    if getattr(found, "experimental_non_blocking", False):
        behavior.experimental_non_blocking = True  # type: ignore[attr-defined]
    setattr(behavior, METHOD_ATTRIBUTE, method)
    setattr(servicer, method, behavior)
