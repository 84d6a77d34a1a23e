"""Asks every process at once, and says how each is."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from freshet.diagnosis.kinds.probe import probe_status
from freshet.diagnosis.kinds.refresher import refresher_status
from freshet.diagnosis.kinds.server import ask_freshness, load_client, server_status
from freshet.diagnosis.kinds.sink import sink_status
from freshet.diagnosis.kinds.stream import stream_status
from freshet.diagnosis.kinds.tuner import tuner_status
from freshet.diagnosis.processes import Problem, ProcessStatus, Targets
from freshet.diagnosis.steps import with_first_step
from freshet.probe import LONGEST_SECONDS, TIMEOUT_SECONDS, Samples, Scrape, gather, scrape
from freshet.terminal.output import duration

# Seconds since the snapshot of what is served, as in FreshetEmbeddingsStale.
_MOST_SNAPSHOT_SECONDS = 1800.0


@dataclass(frozen=True, kw_only=True)
class Look:
    """What all processes said at one moment.

    Attributes:
        at_seconds: when, seconds since 1970.
        processes: how each is.
        samples: the metrics of those that answered, by address.
    """

    at_seconds: float
    processes: Sequence[ProcessStatus]
    samples: Mapping[str, Samples]


def read_status(targets: Targets) -> list[ProcessStatus]:
    """Return how every process is; see `look_at`."""
    return [*look_at(targets).processes]


def look_at(targets: Targets, seconds: float = TIMEOUT_SECONDS) -> Look:
    """Ask every process at once; none of them has to answer.

    Args:
        targets: where they are.
        seconds: the longest wait for all of them together; up to `LONGEST_SECONDS`
            where those that answer are slow.
    """
    longest = max(seconds, LONGEST_SECONDS)
    questions: dict[str, Callable[[], Any]] = {
        address: partial(scrape, address, longest)
        for address in {
            *(*targets.streams, targets.tuner, targets.refresher, *targets.servers),
            *(*targets.probes, *targets.sinks),
        }
    }
    questions |= {
        f"grpc {target}": partial(ask_freshness, target, longest) for target in targets.targets
    }
    load_client()
    found, now = gather(questions, seconds), time.time()
    streams = [
        stream_status(name, address, found[address], now)
        for name, address in _named("stream", targets.streams)
    ]
    servers = [
        server_status(name, address, found[address], found[f"grpc {target}"], now)
        for (name, address), target in zip(
            _named("server", targets.servers), targets.targets, strict=True
        )
    ]
    servers = [_with_old_snapshot(server, streams) for server in servers]
    tuner = tuner_status(targets.tuner, found[targets.tuner], now)
    servers = [with_first_step(server, streams, tuner) for server in servers]
    refresher = refresher_status(targets.refresher, found[targets.refresher], servers, tuner)
    refresher = with_first_step(refresher, streams, tuner)
    optional = [
        status_of(name, address, found[address], now)
        for kind, addresses, status_of in (
            ("probe", targets.probes, probe_status),
            ("sink", targets.sinks, sink_status),
        )
        for name, address in _named(kind, addresses)
    ]
    samples = {name: each.samples for name, each in found.items() if isinstance(each, Scrape)}
    processes = [*streams, tuner, refresher, *servers, *optional]
    return Look(at_seconds=now, processes=processes, samples=samples)


def is_well(processes: Sequence[ProcessStatus]) -> bool:
    """Return whether nothing is wrong with any process."""
    return not any(each.problems for each in processes)


def headline(processes: Sequence[ProcessStatus]) -> str:
    """Return in one line how fresh answers are, and how much is wrong."""
    servers = [each for each in processes if each.kind == "server" and each.facts]
    ages = [_age_text(server) for server in servers]
    said = "; ".join(dict.fromkeys(ages)) or "no server says how fresh answers are"
    count = sum(len(each.problems) for each in processes)
    wrong = {0: "nothing is wrong", 1: "1 thing is wrong"}.get(count, f"{count} things are wrong")
    return f"{wrong}; {said}"


def _named(kind: str, addresses: Sequence[str]) -> list[tuple[str, str]]:
    """Return a name and an address each; several are numbered."""
    if len(addresses) == 1:
        return [(kind, addresses[0])]
    return [(f"{kind} {number}", address) for number, address in enumerate(addresses, 1)]


def _with_old_snapshot(server: ProcessStatus, streams: Sequence[ProcessStatus]) -> ProcessStatus:
    """Return a server's status with the age of its graph where that is a problem: no
    refresher speaks for it, and a stream has newer events.

    In a shop where nothing happens it grows without a fault.
    """
    age, newest = server.number("snapshot_age_seconds"), server.number("watermark_age_seconds")
    graphs = [each.number("watermark_age_seconds") for each in streams if each.facts]
    is_told = isinstance(server.facts.get("overlay_age_seconds"), float)
    if is_told or age <= _MOST_SNAPSHOT_SECONDS or not any(graph < newest - 1 for graph in graphs):
        return server
    problem = Problem(
        text=f"answers are of a graph as it was {duration(age)} ago, and events came since",
        step="see which generation the tuner published last, and why not a newer one",
        runbook="FreshetEmbeddingsStale",
        since_seconds=age,
    )
    return ProcessStatus(
        name=server.name,
        address=server.address,
        up=server.up,
        problems=(*server.problems, problem),
        facts=server.facts,
    )


def _age_text(server: ProcessStatus) -> str:
    age = server.facts.get("overlay_age_seconds")
    if isinstance(age, float):
        return f"answers reflect all that came until {duration(age)} ago"
    snapshot = server.facts.get("snapshot_age_seconds")
    if isinstance(snapshot, float):
        return f"answers are of the graph as it was {duration(snapshot)} ago"
    return "there are no answers yet"
