"""Which stage holds answers up, from how the processes are. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from freshet.diagnosis.processes import Problem, ProcessStatus
from freshet.terminal.output import duration

# Seconds that answers may be old where no server tells its objective; its default.
_OBJECTIVE_SECONDS = 60.0

# Seconds after which a newest event is said to be old; a day: a quiet night is not.
# Twice as many: an old log that was replayed looks for a day more as if something were
# missing.
_OLD_SECONDS = 86_400.0


class StageName(StrEnum):
    """What an event passes until answers know it, in this order."""

    HAPPENED = "happened"
    BROKER = "in the broker"
    CONSUMED = "consumed"
    DURABLE = "durable"
    EMBEDDED = "embedded"
    PUBLISHED = "published"
    SERVED = "served"


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far events have come.

    Attributes:
        name: the stage.
        seconds: how long ago it was that everything from before had passed it; None:
            nobody says.
        text: the same in words.
        blockers: what holds events up there.
    """

    name: StageName
    seconds: float | None
    text: str
    blockers: tuple[Problem, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Why answers are stale, or that they are not.

    Attributes:
        is_fresh: nothing holds answers up, and they are as young as the objective says.
        age_seconds: how old answers are; None: nobody says.
        objective_seconds: how old they may be.
        blocked_at: the first stage that holds events up; None: none does.
        cause: what is wrong there, and what to do; None: nothing is.
        since_seconds: how long ago that began, at the least; None: not known.
        last_good: what answers have, in words.
        stages: all of them, in order.
        others: what else is wrong, and holds up no answer.
    """

    is_fresh: bool
    age_seconds: float | None
    objective_seconds: float
    blocked_at: StageName | None
    cause: Problem | None
    since_seconds: float | None
    last_good: str
    stages: tuple[Stage, ...]
    others: tuple[Problem, ...]


_SYMPTOMS = {"FreshetAnswersBehind", "FreshetEmbeddingsStale"}
"""Problems that say that answers are late, and not why."""

_LATE_STEPS = {
    StageName.DURABLE: "see the stream: its log, and whether disk and CPU keep up",
    StageName.PUBLISHED: "see the refresher: its log, and whether its rounds keep up",
    StageName.SERVED: (
        "see that the server reads the folder that the refresher writes: compare "
        "fresh/GENERATION/NEWEST in the artifacts folder as both machines see it; where it is the "
        "same, restart the server"
    ),
}
"""What to do where answers are late and no process says why, by the slowest stage."""

_OF_STREAM = {
    "FreshetBrokerSilent": StageName.BROKER,
    "FreshetShardsWithoutOwner": StageName.CONSUMED,
    "FreshetGraphBehind": StageName.CONSUMED,
    "FreshetPartitionStuck": StageName.CONSUMED,
    "FreshetProcessDown": StageName.CONSUMED,
    "FreshetStranger": StageName.CONSUMED,
    "FreshetQuarantineUnavailable": StageName.DURABLE,
    "FreshetSchemaRegistryUnavailable": StageName.CONSUMED,
}
"""Where a problem of a stream holds events up; others do not."""

_GONE = {"FreshetProcessDown", "FreshetStranger"}
"""Problems of a stream that the others of its group make up for."""

_HOLD_NOTHING_UP = {
    "FreshetCertificateExpired",
    "FreshetCertificateExpiring",
    "FreshetClockOffset",
    "FreshetDiskFull",
}
"""Problems of any process that say nothing of a stage; what comes of them does."""

_OF_SERVER = {
    "FreshetProcessDown": StageName.SERVED,
    "FreshetStranger": StageName.SERVED,
    "FreshetServerNotReady": StageName.SERVED,
    "FreshetSwapRefused": StageName.SERVED,
    "FreshetOverlayRefused": StageName.SERVED,
    "FreshetWatcherStalled": StageName.SERVED,
}
"""The same of a server."""

_LATE_FAILURES = {"GateRefused", "ArtifactError"}
"""Reasons of a failed run that made vectors and could not publish them."""


def judge(processes: Sequence[ProcessStatus]) -> Verdict:
    """Return which stage holds answers up, and why.

    The first one counts: what is behind it waits for it.
    """
    blockers: dict[StageName, list[Problem]] = {name: [] for name in StageName}
    others: list[Problem] = []
    has_refresher = any(each.kind == "refresher" and each.is_wanted for each in processes)
    is_replaced = _others_have_the_shards(processes)
    for process in processes:
        for problem in process.problems:
            name = _stage_of(process, problem, has_refresher=has_refresher)
            if is_replaced and process.kind == "stream" and problem.runbook in _GONE:
                name = None
            if name is None:
                others.append(problem)
            else:
                blockers[name].append(problem)
    stages = _stages(processes, blockers, has_refresher=has_refresher)
    age, objective = stages[-1].seconds, _objective(processes)
    is_late = has_refresher and age is not None and age > objective
    symptoms = [problem for problem in others if problem.runbook in _SYMPTOMS]
    blocked = next((stage for stage in stages if stage.blockers), None)
    if blocked is None and (is_late or symptoms):
        blocked = _slowest(stages)
    told = None
    if blocked is not None:
        # Where a server keeps an older generation, the refresher may be at the newer.
        refused = [each for each in others if each.runbook == "FreshetSwapRefused"]
        is_served = blocked.name == StageName.SERVED
        told = (*blocked.blockers, *(refused if is_served else ()), *symptoms, None)[0]
    return Verdict(
        is_fresh=blocked is None,
        age_seconds=age,
        objective_seconds=objective,
        blocked_at=None if blocked is None else blocked.name,
        cause=None if told is None or blocked is None else _with_step(told, blocked.name),
        since_seconds=None if told is None else told.since_seconds or age,
        last_good=_last_good(processes, age, has_refresher=has_refresher),
        stages=tuple(stages),
        others=tuple(problem for problem in others if problem is not told),
    )


def _with_step(cause: Problem, stage: StageName) -> Problem:
    """Return a cause with a next step that does not lead back here."""
    if cause.runbook != "FreshetAnswersBehind":
        return cause
    return replace(cause, step=_LATE_STEPS.get(stage, cause.step))


def _others_have_the_shards(processes: Sequence[ProcessStatus]) -> bool:
    """Whether a stream that is gone holds nothing up.

    Those that are left have every shard, and answers are young: by then the group has
    given them its own.
    """
    left = [each for each in processes if each.kind == "stream" and each.up and each.facts]
    age = _served(processes)
    return (
        any(each.number("shards") for each in left)
        and not any(each.number("shards_without_owner") for each in left)
        and age is not None
        and age <= _objective(processes)
    )


def _stage_of(process: ProcessStatus, problem: Problem, *, has_refresher: bool) -> StageName | None:
    """Return where a problem holds events up; None: nowhere."""
    is_beside = process.kind in {"probe", "sink"}  # shoppers' events pass neither
    if is_beside or problem.runbook in _HOLD_NOTHING_UP:
        return None
    if process.kind == "stream":
        return _OF_STREAM.get(problem.runbook)
    if process.kind == "tuner":
        return None if has_refresher else _of_tuner(process, problem)
    if process.kind == "refresher":
        is_late = process.facts.get("behind_reason") == "publish"
        return StageName.PUBLISHED if is_late else StageName.EMBEDDED
    if problem.runbook == "FreshetSwapRefused" and has_refresher:
        return None  # the overlay of the older one may go on; where it does not, answers get old
    return _OF_SERVER.get(problem.runbook)


def _of_tuner(process: ProcessStatus, problem: Problem) -> StageName:
    """Return where a tuner holds events up that no refresher makes up for."""
    is_failing = problem.runbook in {"FreshetTunerFailing", "FreshetTunerBlocked"}
    is_late = process.facts.get("last_failure_reason") in _LATE_FAILURES
    return StageName.PUBLISHED if is_failing and is_late else StageName.EMBEDDED


def _stages(
    processes: Sequence[ProcessStatus],
    blockers: dict[StageName, list[Problem]],
    *,
    has_refresher: bool,
) -> list[Stage]:
    streams = [each for each in processes if each.kind == "stream" and each.facts]
    events = _least(streams, "watermark_age_seconds")
    waiting = _most(streams, "behind_seconds")
    durable = _most(streams, "reflected_age_seconds")
    brokers = {str(each.facts["broker"]) for each in streams if each.facts["broker"]}
    published, how = _published(processes, has_refresher=has_refresher)
    served = _served(processes)
    rows = {
        StageName.HAPPENED: (events, _happened(events, waiting)),
        StageName.BROKER: (None, ", ".join(sorted(brokers)) or "no stream names a broker"),
        StageName.CONSUMED: (
            waiting,
            _ago("the oldest record that waits arrived", waiting) if waiting else "nothing waits",
        ),
        StageName.DURABLE: (durable, _ago("the graph is complete up to", durable)),
        StageName.EMBEDDED: (None, _embedding(processes, has_refresher=has_refresher)),
        StageName.PUBLISHED: (published, _ago(how, published)),
        StageName.SERVED: (served, _ago("answers reflect all that came until", served)),
    }
    if not streams:
        rows[StageName.CONSUMED] = (None, "no stream says")
    return [
        Stage(name=name, seconds=seconds, text=text, blockers=tuple(blockers[name]))
        for name, (seconds, text) in rows.items()
    ]


def _happened(events: float | None, waiting: float | None) -> str:
    text = _ago("all that happened is in the graph until", events)
    if events is None or events <= _OLD_SECONDS or waiting:
        return text
    return f"{text}; nothing newer has come to every partition"


def _embedding(processes: Sequence[ProcessStatus], *, has_refresher: bool) -> str:
    for each in processes:
        if has_refresher and each.kind == "refresher" and each.facts:
            return f"{each.number('waiting_changes'):,.0f} changes wait for a round"
        if not has_refresher and each.kind == "tuner" and each.facts:
            began = each.facts.get("run_began_age_seconds")
            return _ago("a run began", began) if isinstance(began, float) else "no run is under way"
    return "nobody says"


def _published(
    processes: Sequence[ProcessStatus], *, has_refresher: bool
) -> tuple[float | None, str]:
    kind, name, how = (
        ("refresher", "overlay_age_seconds", "the overlay has all that came until")
        if has_refresher
        else ("tuner", "last_success_age_seconds", "a run ended well")
    )
    return _most([each for each in processes if each.kind == kind], name), how


def _served(processes: Sequence[ProcessStatus]) -> float | None:
    servers = [each for each in processes if each.kind == "server" and each.facts]
    told = _most(servers, "overlay_age_seconds")
    return _most(servers, "snapshot_age_seconds") if told is None else told


def _slowest(stages: Sequence[Stage]) -> Stage:
    """Return the stage that adds most to the age of answers, where none says why."""
    order = (StageName.DURABLE, StageName.PUBLISHED, StageName.SERVED)
    told = {stage.name: stage.seconds for stage in stages}
    by_name, before, added = {stage.name: stage for stage in stages}, 0.0, {}
    for name in order:
        seconds = told[name]
        if seconds is not None:
            added[name], before = seconds - before, seconds
    slowest = max(added, key=lambda name: added[name], default=StageName.SERVED)
    return by_name[slowest]


def _objective(processes: Sequence[ProcessStatus]) -> float:
    told = [each.number("objective_seconds") for each in processes if each.kind == "server"]
    return max(told, default=0.0) or _OBJECTIVE_SECONDS


def _last_good(
    processes: Sequence[ProcessStatus], age: float | None, *, has_refresher: bool
) -> str:
    servers = [each for each in processes if each.kind == "server" and each.facts]
    live = {str(each.facts["generation"]) for each in servers if each.facts["generation"]}
    if age is None or not live:
        return "not known: no server answers"
    what = "all that came until" if has_refresher else "the graph as it was"
    return f"{what} {duration(age)} ago, with generation {', '.join(sorted(live))}"


def _ago(words: str, seconds: float | None) -> str:
    return "nobody says" if seconds is None else f"{words} {duration(seconds)} ago"


def _known(processes: Sequence[ProcessStatus], name: str) -> list[float]:
    values = [each.facts.get(name) for each in processes]
    return [value for value in values if isinstance(value, float)]


def _most(processes: Sequence[ProcessStatus], name: str) -> float | None:
    return max(_known(processes, name), default=None)


def _least(processes: Sequence[ProcessStatus], name: str) -> float | None:
    return min(_known(processes, name), default=None)
