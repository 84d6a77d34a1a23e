"""What every step of the demo works with: its parts, and how it waits for them."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from freshet.demo.narrator import Narrator
from freshet.demo.options import DemoPlan
from freshet.demo.processes import DemoProcesses
from freshet.demo.work_folder import WorkFolder
from freshet.probe import Addresses, Samples, read_metrics
from freshet.process import CommandError
from freshet_client import ClientError, Freshness, RetrievalClient, RetrieveResult

T = TypeVar("T")

POLL_SECONDS = 0.1
"""Seconds between two checks of the processes: the times that the demo prints are this
exact. Ten small requests a second cost a process nothing, so twice as much saves
nothing.
"""

_NUM_HITS = 5
"""Items of an answer: five answers of twice as many would fill two screens."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The parts of one demo.

    Attributes:
        plan: what to show.
        folder: where everything is kept.
        children: the processes.
        story: prints the demo.
        at: where the processes answer.
        client: queries the server.
    """

    plan: DemoPlan
    folder: WorkFolder
    children: DemoProcesses
    story: Narrator
    at: Addresses
    client: RetrievalClient

    def retrieve(self, query: str) -> RetrieveResult:
        """Return the server's answer to a query.

        Raises:
            ClientError: there is none.
        """
        return self.client.retrieve(query, _NUM_HITS)

    def freshness(self) -> Freshness | None:
        """Return the freshness of the live generation; None while the server does not
        answer.
        """
        try:
            return self.client.freshness()
        except ClientError:
            return None

    def wait_for(
        self,
        what: str,
        attempt: Callable[[], T | None],
        limit_seconds: float,
        detail: Callable[[], str] = lambda: "",
    ) -> T:
        """Return what `attempt` returns, once that is not None.

        Args:
            what: as the story calls the waiting.
            attempt: called again and again.
            limit_seconds: the longest wait.
            detail: its progress, in words.

        Raises:
            CommandError: a process ended meanwhile, or the wait was too long.
        """
        started = time.monotonic()
        with self.story.waiting(what) as say:
            while (result := attempt()) is None:
                self.children.check()
                waited = time.monotonic() - started
                if waited > limit_seconds:
                    raise CommandError(
                        f"{what}: nothing within {limit_seconds:.0f} s; see {self.folder.logs}"
                    )
                say(", ".join(part for part in (detail(), f"{waited:.0f} s") if part))
                time.sleep(POLL_SECONDS)
        return result


def samples_at(address: str) -> Samples:
    """Return the metrics of a process; none while it does not answer yet."""
    try:
        return read_metrics(address)
    except OSError:
        return {}
