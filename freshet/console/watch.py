"""Looks at the processes again and again, and remembers what it saw."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Event, Thread

from freshet.console.history import History, Values
from freshet.console.stage_seconds import StageSeconds, StageTimes
from freshet.diagnosis.stages import StageName, Verdict, judge
from freshet.diagnosis.status import Look

logger = logging.getLogger(__name__)

LOOK_SECONDS = 3.0
"""The longest wait of a look. Nobody waits for it, so it is twice that of a command: a
busy machine is then not taken for a dead process. Twice as long: a frozen process is
told that much later.
"""

# Of a stop, for a look that is under way: it changes nothing. Twice as long: an
# operator waits twice as long for nothing.
_STOP_SECONDS = 1.0

_RECENT_REJECTED = "recent_quarantined"

_AGES = {
    StageName.CONSUMED: "waiting",
    StageName.DURABLE: "durable",
    StageName.PUBLISHED: "published",
    StageName.SERVED: "served",
}
"""The stages that tell an age, and how the history calls it."""


@dataclass(frozen=True, kw_only=True)
class View:
    """What is known at one moment.

    Attributes:
        look: what the processes said.
        verdict: what holds answers up.
        stages: how long events took lately, by stage.
    """

    look: Look
    verdict: Verdict
    stages: Mapping[str, StageSeconds]


class Watch:
    """The newest view, and the history of those before.

    Args:
        look: asks every process; bounded in time.
        every_seconds: from one look to the next. A look that takes longer than half of
            it is followed by a pause as long as itself, so that a slow system is not
            loaded further.
    """

    def __init__(self, look: Callable[[], Look], every_seconds: float) -> None:
        self._look = look
        self._every = every_seconds
        self._stages = StageTimes()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="watch", daemon=True)
        self.history = History()
        self.view: View | None = None

    @property
    def every_seconds(self) -> float:
        """From one look to the next."""
        return self._every

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a look that is under way ends by itself."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)

    def look_once(self) -> View:
        """Look, and remember it."""
        look = self._look()
        self._stages.add(look.at_seconds, look.samples)
        verdict, stages = judge(look.processes), self._stages.now()
        self.history.add(look.at_seconds, _values(look, verdict, stages))
        self.view = View(look=look, verdict=verdict, stages=stages)
        return self.view

    def _run(self) -> None:
        while not self._stop.is_set():
            began = time.monotonic()
            try:
                self.look_once()
            except Exception:  # the page says that its newest view gets old
                logger.exception("look_failed")
            took = time.monotonic() - began
            self._stop.wait(max(self._every - took, took))


def _values(look: Look, verdict: Verdict, stages: Mapping[str, StageSeconds]) -> Values:
    values: dict[str, float | None] = {
        _AGES[stage.name]: stage.seconds for stage in verdict.stages if stage.name in _AGES
    }
    if values["waiting"] is None and any(
        each.kind == "stream" and each.facts for each in look.processes
    ):
        values["waiting"] = 0.0
    values |= {f"p50 {name}": each.median for name, each in stages.items()}
    values |= {f"p99 {name}": each.p99 for name, each in stages.items()}
    streams = [each for each in look.processes if each.kind == "stream" and each.facts]
    if streams:
        values["rejected"] = sum(each.number(_RECENT_REJECTED) for each in streams)
    return values
