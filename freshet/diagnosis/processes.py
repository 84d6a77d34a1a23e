"""What is known of a process: its facts, and what is wrong with it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from freshet.probe import Addresses

Value = float | str | None
Facts = Mapping[str, Value]


@dataclass(frozen=True, kw_only=True)
class Targets:
    """Where processes are asked, HOST:PORT each.

    Attributes:
        streams: metrics of the streams.
        tuner: metrics of the tuner.
        refresher: metrics of the refresher, if there is one.
        servers: metrics of the servers.
        targets: gRPC of the servers, in the same order.
        probes: metrics of the probes; none: nobody misses one.
        sinks: metrics of the sinks; the same.
    """

    streams: Sequence[str]
    tuner: str
    refresher: str
    servers: Sequence[str]
    targets: Sequence[str]
    probes: Sequence[str] = ()
    sinks: Sequence[str] = ()

    @classmethod
    def of(cls, addresses: Addresses) -> "Targets":
        """Return those of a system with one process of each kind."""
        return cls(
            streams=(addresses.stream,),
            tuner=addresses.tuner,
            refresher=addresses.refresher,
            servers=(addresses.server,),
            targets=(addresses.target,),
        )


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Something that is wrong.

    Attributes:
        text: what and why, in one line.
        step: what to do next, in one line.
        runbook: its heading in docs/operations.md.
        since_seconds: how long ago it began, at the least; None: not known.
    """

    text: str
    step: str
    runbook: str
    since_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """The status of one process.

    Attributes:
        name: stream, tuner, refresher, server, probe or sink; with a number where there
            are several.
        address: where it was asked.
        up: whether it answered and is able to do its work.
        problems: what is wrong with it; none where all is well.
        facts: what there is to know, by name; numbers in the unit that the name ends
            in.
        is_wanted: False: it does not run, and nothing misses it.
        note: what is worth knowing and not wrong; may be empty.
    """

    name: str
    address: str
    up: bool
    problems: tuple[Problem, ...] = ()
    facts: Mapping[str, Value] = field(default_factory=dict)
    is_wanted: bool = True
    note: str = ""

    @property
    def kind(self) -> str:
        """The name without a number."""
        return self.name.partition(" ")[0]

    @property
    def problem(self) -> str:
        """What is wrong first, or else the note; may be empty."""
        return self.problems[0].text if self.problems else self.note

    def number(self, name: str) -> float:
        """Return a fact that is a number; 0 where it is not known."""
        value = self.facts.get(name)
        return float(value) if isinstance(value, int | float) else 0.0
