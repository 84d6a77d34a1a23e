"""The phases of a run: the start, probing under load and at rest, and throughput."""

import argparse
import json
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from threading import Event

from bench.figures import Figure, print_figure
from bench.freshness.durable import DurableWatch
from bench.freshness.prober import Outcome, Prober
from bench.freshness.probes import Probe, ProbeMaker, interleaved
from bench.freshness.report import claim_figures, latency_figures
from bench.freshness.sightings import percentile
from bench.freshness.system import REFRESHER, System
from bench.freshness.throughput import Applied, Backlogs, best
from bench.generators.program import lines_of, publish_command
from freshet.shop import feed
from freshet.shop.shop import Shop
from freshet_client import RetrievalClient
from stream.clock import now_ms
from stream.settings import StreamSettings

_SETTLE_SECONDS = 10.0  # from the start of a load until probes begin; chosen by hand
_LIVE_RATE = 1000.0  # events a second up to which the shop is simulated as it goes
_NUM_AGES, _AGE_SECONDS = 100, 0.13  # asked so often, so far apart: over some rounds
_FRESH_SECONDS = 3.0  # answers so young have all that there is; twice the usual age
_MAX_SHOWN_FAILURES = 5  # of calls, below the table


class Trial:
    """What the phases of one run share.

    Args:
        system: runs.
        bootstrap: "host:port" of its broker.
        options: of the command line.
        maker: of probes.
    """

    def __init__(
        self, system: System, bootstrap: str, options: argparse.Namespace, maker: ProbeMaker
    ) -> None:
        self.system = system
        self.bootstrap = bootstrap
        self.options = options
        self.maker = maker
        self.shop = ("--seed", options.seed, "--items", options.items)
        self.durable = DurableWatch(system.store, options.timeout)
        self.backlogs = Backlogs(system, self.shop, options.backlog)
        self.figures: list[Figure] = []
        self.problems: list[str] = []
        self._next_number = 0

    def add(self, figure: Figure) -> None:
        """Add a figure and show it."""
        self.figures.append(figure)
        print_figure(figure)

    def take_numbers(self, count: int) -> int:
        """Return the first of so many numbers of probes that none has had."""
        first = self._next_number
        self._next_number += count
        return first


def begin(trial: Trial, shop: Shop) -> None:
    """Publish the shop's history and what probes need of it, start the system, and wait
    until the first generation answers.
    """
    system, options, folder = trial.system, trial.options, trial.system.folder / "history"
    folder.mkdir()
    feed.write_history(shop, options.history, folder)
    items, events = trial.maker.history(now_ms())
    for name, lines in (("items.jsonl", items), ("events.jsonl", events)):
        with (folder / name).open("a", encoding="utf-8") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
    files = ("--events", folder / "events.jsonl", "--items", folder / "items.jsonl")
    system.run("replay", *files, "--to", system.source, "--speed", "max", "--batch", 64)
    system.start_stream()
    system.until(system.is_caught_up, "the stream applies the history")
    system.start_server()
    system.start_tuner(options.every, options.fresh_every)
    with RetrievalClient(system.target, retry=None) as client:
        system.until(partial(client.is_ready, timeout_seconds=1.0), "a first generation")


def measure_phase(trial: Trial, phase: str, count: int) -> None:
    """Probe under load, or at rest."""
    system, options = trial.system, trial.options
    if phase == "load":
        _start_load(trial, options.rate or _half_of_the_limit(trial))
        Event().wait(_SETTLE_SECONDS)
    before, began = system.events_applied(), time.monotonic()
    refused_before = system.events_quarantined()
    cpu_before = system.cpu_split()
    outcome = _probe(trial, count)
    seconds = time.monotonic() - began
    applied = (system.events_applied() - before) / seconds
    cores = {
        name: (used - cpu_before.get(name, 0.0)) / seconds
        for name, used in system.cpu_split().items()
    }
    if phase == "load":
        _end_load(trial)
    note = ", ".join(f"{name} {share:.0%}" for name, share in cores.items()) + " of a core"
    trial.add(Figure(name=f"{phase}: events applied", value=round(applied), unit="/s", note=note))
    trial.add(
        Figure(
            name=f"{phase}: events quarantined",
            value=round(system.events_quarantined() - refused_before),
            unit="",
            target="0",
        )
    )
    for figure in (
        *latency_figures(phase, outcome.sightings, options.timeout),
        *claim_figures(phase, outcome.sightings),
    ):
        trial.add(figure)
    trial.add(Figure(name=f"{phase}: probes not usable", value=outcome.num_unusable, unit=""))
    trial.add(
        Figure(name=f"{phase}: probes failed", value=len(outcome.failures), unit="", target="0")
    )
    trial.problems += outcome.failures[:_MAX_SHOWN_FAILURES]


def needs_generators(rate: float) -> bool:
    """Whether a load of so many events a second, 0: of half of the limit, is more than
    Python makes beside everything else.
    """
    return not 0 < rate <= _LIVE_RATE


def _start_load(trial: Trial, rate: float) -> None:
    """Let so many events come a second.

    A busy shop is written first: to simulate it live, the quarter of an hour before has
    to be simulated as well.
    """
    system = trial.system
    if not needs_generators(rate):
        system.start("load", "simulate", *trial.shop, "--to", system.source, "--rate", rate)
        return
    seconds = _SETTLE_SECONDS + trial.options.seconds + 2 * trial.options.timeout
    events = trial.backlogs.write(round(rate * seconds))
    command = publish_command(trial.bootstrap, StreamSettings(), events, rate)
    system.start_program("load", command)
    system.until(lambda: lines_of(system.log_of("load")), "the load has read its events")


def _end_load(trial: Trial) -> None:
    """Stop the load; show what it was where it says so."""
    trial.system.stop("load")
    for said in lines_of(trial.system.log_of("load"))[1:]:
        late = said["late"]
        note = f"late by {late['p50_ms']:.0f} / {late['p99_ms']:.0f} / {late['most_ms']:.0f} ms"
        value = round(said["rate"])
        trial.add(Figure(name="load: events published", value=value, unit="/s", note=note))


def _half_of_the_limit(trial: Trial) -> float:
    """Apply a backlog beside everything else; return half of its events a second."""
    applied = trial.backlogs.apply()
    note = f"{applied.events_a_cpu_second:,.0f} a CPU-second of the stream"
    value = round(applied.events_a_second)
    trial.add(Figure(name="load: ingest limit", value=value, unit="events/s", note=note))
    return applied.events_a_second / 2


def _probe(trial: Trial, count: int) -> Outcome:
    system, options = trial.system, trial.options
    first = trial.take_numbers(count)

    def maker(kind: str, number: int) -> Callable[[], Probe]:
        return lambda: trial.maker.probe(kind, number, now_ms())

    plan = interleaved(options.kinds, first, count, options.probe_every)
    with closing(Prober(trial.bootstrap, system.target, trial.durable, options.timeout)) as prober:
        probes = ((due, maker(kind, number)) for due, kind, number in plan)
        return prober.run(probes, system.check)


def measure_rest(trial: Trial) -> None:
    """Measure what each process costs while nothing happens and nobody asks."""
    system, seconds = trial.system, trial.options.rest_seconds
    used = {name: partial(system.cpu_seconds, name) for name in ("stream", "tuner", "server")}
    before = {name: read() for name, read in used.items()}
    refresher_before = system.cpu_seconds_of_child("tuner", REFRESHER)
    Event().wait(seconds)
    for process, read in used.items():
        share = round(100 * (read() - before[process]) / seconds, 2)
        trial.add(Figure(name=f"rest: CPU of the {process}", value=share, unit="% of a core"))
    refresher = system.cpu_seconds_of_child("tuner", REFRESHER)
    if refresher is not None and refresher_before is not None:
        share = 100 * (refresher - refresher_before) / seconds
        trial.add(
            Figure(
                name="rest: CPU of the refresher",
                value=round(share, 2),
                unit="% of a core",
                target="< 3",
            )
        )


def measure_age(trial: Trial) -> None:
    """Ask how old answers are while nothing happens; in truth they have all."""
    pause, ages = Event(), []
    with RetrievalClient(trial.system.target) as client:
        for _ in range(_NUM_AGES):
            receipt = client.freshness().receipt
            if receipt is not None and receipt.age_seconds is not None:
                ages.append(receipt.age_seconds)
            pause.wait(_AGE_SECONDS)
    for label, share in (("p50", 0.5), ("p99", 0.99)) if ages else ():
        value = round(percentile(ages, share), 3)
        trial.add(Figure(name=f"rest: age that answers report, {label}", value=value, unit="s"))


def _await_freshness(trial: Trial) -> None:
    """Wait until answers reflect what there is."""
    with RetrievalClient(trial.system.target) as client:

        def is_fresh() -> bool:
            receipt = client.freshness().receipt
            age = receipt.age_seconds if receipt else None
            return age is not None and age < _FRESH_SECONDS

        trial.system.until(is_fresh, "answers are fresh")


def measure_throughput(trial: Trial) -> None:
    """Apply backlogs in turn without and with the refresher."""
    system, options = trial.system, trial.options
    if not options.fresh_every or not options.turns:
        return
    system.stop("tuner")
    measured: dict[bool, list[Applied]] = {False: [], True: []}
    for _ in range(options.turns):
        for is_on in (False, True):
            if is_on:
                system.start_refresher(options.fresh_every)
                _await_freshness(trial)
            measured[is_on].append(trial.backlogs.apply())
            if is_on:
                system.stop("refresher")
    off, on = best(measured[False]), best(measured[True])
    for name, each in (("off", off), ("on", on)):
        note = f"{each.events_a_cpu_second:,.0f} a CPU-second of the stream"
        trial.add(
            Figure(
                name=f"ingest, refresher {name}",
                value=round(each.events_a_second),
                unit="events/s",
                note=note,
            )
        )
    by_cpu = on.events_a_cpu_second / off.events_a_cpu_second
    trial.add(
        Figure(
            name="ingest, refresher on / off",
            value=round(on.events_a_second / off.events_a_second, 3),
            unit="x",
            target=">= 0.95",
            note=f"by the stream's CPU {by_cpu:.3f} x",
        )
    )
