"""Faults while traffic runs, and whether on-call is told: ``python -m bench faults``.

The whole system over a real Kafka, with a Prometheus and an Alertmanager that run the
rules as they are shipped. An alert counts when it arrives at a webhook. Each fault is
injected, its alert awaited, and undone; then three runs in which nothing is wrong must
be silent. The exit code is 1 where an alert is missing, late or false.
"""

import argparse
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.faults.catalogue import FAULTS, SHORT
from bench.faults.fault import Fault
from bench.faults.process_faults import may_move_clocks
from bench.faults.quiet import QUIET, be_quiet
from bench.faults.stack import Stack, may_mount
from bench.figures import Figure, print_figure, print_header, write_json
from bench.folders import work_folder
from freshet.process import ended_by_signals
from testing.monitoring.questions import blind_rules, empty_panels
from testing.monitoring.webhook import Arrived

_PATIENCE = 2.0  # times as long as an alert may take is waited, to tell late from never
_BUDGET = "FreshetBudgetBurning"  # goes on for as long as its windows remember
_SETTLE_SECONDS = 240.0  # until nothing fires after a repair, on a busy machine
_WARM_SECONDS = 90.0  # until each rate has a minute of samples, and the slowest rules ran

Add = Callable[[Figure], None]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What came of a fault.

    Attributes:
        fault: that was injected.
        alert: the right one; None: it never arrived.
        seconds: from the injection until it arrived.
        others: names of the alerts that arrived besides.
        status: what `freshet status` said: its exit code and text.
    """

    fault: Fault
    alert: Arrived | None
    seconds: float
    others: Sequence[str]
    status: tuple[int, str]

    @property
    def names_cause(self) -> bool:
        """Whether the alert says where and why."""
        return self.alert is not None and bool(
            re.search(self.fault.says, self.alert.annotations["summary"], re.DOTALL)
        )

    @property
    def status_knows(self) -> bool:
        """Whether `freshet status` ends with an error and says what is wrong."""
        code, text = self.status
        return code != 0 and bool(re.search(self.fault.status, text))


def run(argv: Sequence[str]) -> int:
    """Measure, print a table, then one JSON line a figure; return the exit code."""
    options = _parse(argv)
    chosen = _chosen(options)
    figures: list[Figure] = []
    problems: list[str] = []

    def add(figure: Figure) -> None:
        figures.append(figure)
        print_figure(figure)

    # A run that is told to end leaves no process and no mount behind.
    with ended_by_signals(), work_folder(options.folder, "faults") as folder:
        stack = Stack(folder, items=options.items, rate=options.rate, seed=options.seed)
        print_header()
        with stack.running():
            problems += _ask_everything(stack, add)
            for name in options.quiet:
                false = be_quiet(stack, name, options.quiet_seconds)
                add(Figure(name=f"{name}: false alerts", value=len(false), unit="", target="0"))
                problems += [f"{name}: {each}" for each in false]
            lingering = {_BUDGET}
            told = [_try(stack, fault, lingering, add) for fault in chosen]
    problems += [
        problem for each in told for problem in _problems(each, is_timed=not options.short)
    ]
    for figure in _summary(told):
        add(figure)
    conditions = {name: getattr(options, name) for name in ("items", "rate", "seed")}
    write_json("faults", figures, options.json, conditions)
    for problem in problems:
        print(f"PROBLEM: {problem}")
    return 1 if problems else 0


def _ask_everything(stack: Stack, add: Add) -> list[str]:
    """Run every query of every panel and rule, once there is something to see."""
    stack.monitoring.webhook.wait(lambda: False, _WARM_SECONDS, stack.system.check)
    empty, blind = empty_panels(stack.monitoring), blind_rules(stack.monitoring)
    add(Figure(name="panels without data", value=len(empty), unit="", target="0"))
    add(Figure(name="rules without data", value=len(blind), unit="", target="0"))
    return [*empty, *blind]


def _try(stack: Stack, fault: Fault, lingering: set[str], add: Add) -> Told:
    """Inject a fault, wait for its alert, and undo it.

    Args:
        stack: that bears it.
        fault: to inject.
        lingering: alerts that go on after a repair, by their rule; that of this fault
            is added where it does.
        add: takes the figure.
    """
    hook = stack.monitoring.webhook
    began = time.time()
    repair = fault.inject(stack)

    def right() -> Arrived | None:
        return next((each for each in hook.since(began) if _is_right(each, fault)), None)

    hook.wait(lambda: right() is not None, _PATIENCE * fault.within_seconds, lambda: None)
    found = right()
    told = Told(
        fault=fault,
        alert=found,
        seconds=found.at - began if found else _PATIENCE * fault.within_seconds,
        others=sorted({each.name for each in hook.since(began) if each is not found}),
        status=stack.status(),
    )
    add(_figure(told))
    # For whoever wants to know what it said; kept with --folder.
    (stack.folder / f"status after {fault.name}.txt").write_text(told.status[1], "utf-8")
    repair()
    if fault.lingers:
        lingering.add(fault.alert)
    _settle(stack, fault, lingering)
    return told


def _is_right(arrived: Arrived, fault: Fault) -> bool:
    return (
        arrived.name == fault.alert
        and arrived.labels.get("component") == fault.component
        and arrived.channel == fault.severity
    )


def _settle(stack: Stack, fault: Fault, lingering: Collection[str]) -> None:
    """Wait until all run, answers are fresh, and nothing fires but what lingers."""
    hook = stack.monitoring.webhook

    def is_settled() -> bool:
        stack.mend()
        firing = {each.name for each in hook.firing}.difference(lingering)
        return not firing and stack.is_fresh()

    if not hook.wait(is_settled, _SETTLE_SECONDS, lambda: None):
        firing = ", ".join(sorted({each.name for each in hook.firing}))
        print(f"  after {fault.name}: still firing: {firing or 'none'}", flush=True)


def _figure(told: Told) -> Figure:
    where = f"{told.fault.alert} ({told.fault.component})"
    if told.alert is None:
        note = f"never: {where}"
    else:
        note = f"{where}: {' '.join(told.alert.annotations['summary'].split())}"
    if told.others:
        note += f"; also {', '.join(told.others)}"
    note += f"; status {'says it' if told.status_knows else f'{told.status[0]}, does not say it'}"
    return Figure(
        name=told.fault.name,
        value=round(told.seconds, 1) if told.alert else float("nan"),
        unit="s",
        target=f"<= {told.fault.within_seconds:g}",
        note=note,
    )


def _problems(told: Told, *, is_timed: bool) -> list[str]:
    name = told.fault.name
    if told.alert is None:
        return [f"{name}: {told.fault.alert} never arrived"]
    found = []
    if is_timed and told.seconds > told.fault.within_seconds:
        found.append(f"{name}: {told.fault.alert} took {told.seconds:.0f} s")
    if not told.names_cause:
        found.append(f"{name}: the alert does not say why: {told.alert.annotations['summary']}")
    return found


def _summary(told: Sequence[Told]) -> list[Figure]:
    count = len(told)
    right = sum(each.names_cause for each in told)
    in_time = sum(
        each.alert is not None and each.seconds <= each.fault.within_seconds for each in told
    )
    known = sum(each.status_knows for each in told)
    of = f"{count} of {count}"
    return [
        Figure(name="right alert, with stage and cause", value=right, unit="faults", target=of),
        Figure(name="in time", value=in_time, unit="faults", target=of),
        Figure(name="freshet status says it", value=known, unit="faults", target=of),
    ]


def _chosen(options: argparse.Namespace) -> list[Fault]:
    names = SHORT if options.short else options.only
    chosen = [fault for fault in FAULTS if names is None or fault.name in names]
    able = {"": True, "mount": may_mount(), "compiler": may_move_clocks()}
    for fault in chosen:
        if not able[fault.wants]:
            print(f"left out: {fault.name}: this machine does not allow {fault.wants}")
    return [fault for fault in chosen if able[fault.wants]]


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench faults", description=__doc__)
    parser.add_argument(
        "--short", action="store_true", help=f"only {', '.join(SHORT)}, and late is no problem"
    )
    parser.add_argument(
        "--only",
        nargs="*",
        choices=[fault.name for fault in FAULTS],
        metavar="FAULT",
        help="these faults alone; without a name: none [default: all]",
    )
    parser.add_argument(
        "--quiet",
        nargs="*",
        default=list(QUIET),
        choices=list(QUIET),
        help="runs in which nothing is wrong; without a name: none [default: all]",
    )
    parser.add_argument(
        "--quiet-seconds", type=float, default=300.0, help="how long each of them lasts"
    )
    parser.add_argument("--items", type=int, default=500, help="products of the shop")
    parser.add_argument("--rate", type=float, default=20.0, help="events a second")
    parser.add_argument("--seed", type=int, default=7, help="of the shop")
    parser.add_argument(
        "--folder", type=Path, help="keep store, artifacts and logs in this new folder"
    )
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the JSON lines to a file, too"
    )
    return parser.parse_args(argv)
