"""Calls by the clock: as fast as answers come, or as often as is wanted, whatever comes
back.
"""

import subprocess
from dataclasses import dataclass

from bench.generators.program import call_command, lines_of


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of calls.

    Attributes:
        seconds: how long they were made for.
        codes: how often each status came.
        p50_ms: how long half of the answers took.
        p99_ms: and all but one in a hundred.
        late_ms: how late all calls but one in a hundred were made.
        cpu_seconds: what making them took.
    """

    seconds: float
    codes: dict[str, int]
    p50_ms: float
    p99_ms: float
    late_ms: float
    cpu_seconds: float

    @property
    def goodput(self) -> float:
        """Calls answered within their deadline, a second."""
        return self.codes.get("OK", 0) / self.seconds

    @property
    def offered(self) -> float:
        """Calls made a second."""
        return sum(self.codes.values()) / self.seconds

    @property
    def success(self) -> float:
        """Share of the calls that were answered within their deadline."""
        return self.codes.get("OK", 0) / max(1, sum(self.codes.values()))


class Callers:
    """Honest callers of one server, in a process and on connections of their own.

    Args:
        address: HOST:PORT.
        deadline_seconds: of each call.
        num_queries: how many known queries there are.
        connections: to the server; as many as a small search service has.
    """

    def __init__(
        self, address: str, deadline_seconds: float, num_queries: int, connections: int = 8
    ) -> None:
        self._address = address
        self._deadline_seconds = deadline_seconds
        self._num_queries = num_queries
        self._connections = connections

    def closed_loop(self, num_callers: int, seconds: float) -> Outcome:
        """Make calls one after the other, by some callers at once."""
        return self._call("--callers", num_callers, seconds)

    def open_loop(self, rate: float, seconds: float) -> Outcome:
        """Make so many calls a second, at random times, whatever becomes of them."""
        return self._call("--rate", rate, seconds)

    def _call(self, loop: str, many: float, seconds: float) -> Outcome:
        options = (
            *(loop, many, "--seconds", seconds, "--deadline", f"{self._deadline_seconds}s"),
            *("--connections", self._connections),
        )
        command = call_command(self._address, self._num_queries, *options)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(done.stderr.strip())
        (found,) = lines_of(done.stdout)
        return Outcome(
            seconds=found["seconds"],
            codes=found["codes"],
            p50_ms=found["answered"]["p50_ms"],
            p99_ms=found["answered"]["p99_ms"],
            late_ms=found["late"]["p99_ms"],
            cpu_seconds=found["cpu_seconds"],
        )
