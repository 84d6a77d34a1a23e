"""Which stage holds answers up, by what the processes say."""

from collections.abc import Callable

import pytest

from freshet.diagnosis.processes import Problem, ProcessStatus, Value
from freshet.diagnosis.stages import StageName, Verdict, judge


def _problem(runbook: str, seconds: float | None = None) -> Problem:
    return Problem(text=f"text of {runbook}", step="do", runbook=runbook, since_seconds=seconds)


class System:
    """How four processes are: well, until a test says otherwise."""

    def __init__(self) -> None:
        self.facts: dict[str, dict[str, Value]] = {
            "stream": {
                "broker": "kafka:9092",
                "watermark_age_seconds": 2.0,
                "behind_seconds": 0.0,
                "reflected_age_seconds": 0.3,
            },
            "tuner": {"last_success_age_seconds": 200.0, "run_began_age_seconds": None},
            "refresher": {"overlay_age_seconds": 0.6, "waiting_changes": 3.0},
            "server": {
                "generation": "g1",
                "overlay_age_seconds": 0.9,
                "snapshot_age_seconds": 210.0,
                "objective_seconds": 60.0,
            },
        }
        self.problems: dict[str, list[Problem]] = {name: [] for name in self.facts}
        self.has_refresher = True
        self.others: list[ProcessStatus] = []

    def breaks(self, name: str, runbook: str, seconds: float | None = None) -> None:
        """Let a process have a problem."""
        self.problems[name].append(_problem(runbook, seconds))

    def verdict(self) -> Verdict:
        """Judge it."""
        return judge(
            [
                ProcessStatus(
                    name=name,
                    address="at:1",
                    up=True,
                    facts=self.facts[name],
                    problems=tuple(self.problems[name]),
                    is_wanted=name != "refresher" or self.has_refresher,
                )
                for name in self.facts
            ]
            + self.others
        )


@pytest.fixture
def system() -> System:
    """A system that is well."""
    return System()


def test_nothing_holds_up_a_system_that_is_well(system: System) -> None:
    """It says how old answers are, and up to where each stage is."""
    verdict = system.verdict()

    assert verdict.is_fresh
    assert (verdict.blocked_at, verdict.cause, verdict.age_seconds) == (None, None, 0.9)
    assert [stage.name for stage in verdict.stages] == list(StageName)
    assert "generation g1" in verdict.last_good


def _publishes_not(system: System) -> None:
    system.facts["refresher"]["behind_reason"] = "publish"
    system.breaks("refresher", "FreshetRefresherBehind", 80.0)


def _gate_refuses(system: System) -> None:
    system.has_refresher = False
    system.facts["refresher"] = {}
    system.facts["tuner"]["last_failure_reason"] = "GateRefused"
    system.facts["server"]["overlay_age_seconds"] = None
    system.breaks("tuner", "FreshetTunerFailing", 900.0)


def _tuner_dead(system: System) -> None:
    _gate_refuses(system)
    system.facts["tuner"] = {}
    system.problems["tuner"] = [_problem("FreshetProcessDown")]


@pytest.mark.parametrize(
    ("make", "stage", "runbook"),
    [
        (
            lambda system: system.breaks("stream", "FreshetBrokerSilent", 70.0),
            StageName.BROKER,
            "FreshetBrokerSilent",
        ),
        (
            lambda system: system.breaks("stream", "FreshetGraphBehind", 70.0),
            StageName.CONSUMED,
            "FreshetGraphBehind",
        ),
        (
            lambda system: system.breaks("stream", "FreshetProcessDown"),
            StageName.CONSUMED,
            "FreshetProcessDown",
        ),
        (
            lambda system: system.breaks("stream", "FreshetQuarantineUnavailable", 70.0),
            StageName.DURABLE,
            "FreshetQuarantineUnavailable",
        ),
        (
            lambda system: system.breaks("stream", "FreshetSchemaRegistryUnavailable", 70.0),
            StageName.CONSUMED,
            "FreshetSchemaRegistryUnavailable",
        ),
        (
            lambda system: system.breaks("refresher", "FreshetProcessDown"),
            StageName.EMBEDDED,
            "FreshetProcessDown",
        ),
        (_publishes_not, StageName.PUBLISHED, "FreshetRefresherBehind"),
        (_gate_refuses, StageName.PUBLISHED, "FreshetTunerFailing"),
        (_tuner_dead, StageName.EMBEDDED, "FreshetProcessDown"),
        (
            lambda system: system.breaks("server", "FreshetOverlayRefused"),
            StageName.SERVED,
            "FreshetOverlayRefused",
        ),
    ],
    # Not the addresses of functions: all processes of a run must agree.
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_the_stage_that_blocks_is_named_with_its_cause(
    system: System, make: Callable[[System], None], stage: StageName, runbook: str
) -> None:
    """The answers being late is a symptom, and no cause."""
    make(system)
    system.breaks("server", "FreshetAnswersBehind", 90.0)
    verdict = system.verdict()

    assert not verdict.is_fresh
    assert verdict.blocked_at == stage
    assert verdict.cause is not None
    assert verdict.cause.runbook == runbook
    assert [problem.runbook for problem in verdict.others] == ["FreshetAnswersBehind"]


def test_the_first_stage_counts(system: System) -> None:
    """What is behind it waits for it."""
    system.breaks("refresher", "FreshetRefresherBehind", 60.0)
    system.breaks("stream", "FreshetBrokerSilent", 65.0)
    verdict = system.verdict()

    assert verdict.blocked_at == StageName.BROKER
    assert verdict.since_seconds == 65.0


def test_what_holds_up_no_answer_is_said_beside(system: System) -> None:
    """A refused gate under a refresher, or poison: wrong, and answers are fresh."""
    system.breaks("tuner", "FreshetTunerFailing")
    system.breaks("stream", "FreshetQuarantineSurge")
    system.breaks("server", "FreshetSwapRefused")
    verdict = system.verdict()

    assert verdict.is_fresh
    assert {problem.runbook for problem in verdict.others} == {
        "FreshetTunerFailing",
        "FreshetQuarantineSurge",
        "FreshetSwapRefused",
    }


def test_a_refused_generation_is_why_answers_are_late(system: System) -> None:
    """The refresher has gone on to the generation that the server refuses."""
    system.facts["server"]["overlay_age_seconds"] = 230.0
    system.breaks("server", "FreshetSwapRefused")
    system.breaks("server", "FreshetAnswersBehind", 230.0)
    verdict = system.verdict()

    assert verdict.blocked_at == StageName.SERVED
    assert verdict.cause is not None
    assert (verdict.cause.runbook, verdict.cause.step) == ("FreshetSwapRefused", "do")
    assert verdict.since_seconds == 230.0
    assert [problem.runbook for problem in verdict.others] == ["FreshetAnswersBehind"]


@pytest.mark.parametrize(
    ("ages", "step"),
    [
        ((200.0, 200.5, 201.0), "see the stream"),
        ((0.3, 200.5, 201.0), "see the refresher"),
        ((0.3, 0.5, 201.0), "fresh/GENERATION/NEWEST"),
    ],
)
def test_late_answers_that_nobody_explains_have_a_next_step_by_stage(
    system: System, ages: tuple[float, float, float], step: str
) -> None:
    """That of the server's own problem is to ask what is asked here."""
    system.facts["stream"]["reflected_age_seconds"] = ages[0]
    system.facts["refresher"]["overlay_age_seconds"] = ages[1]
    system.facts["server"]["overlay_age_seconds"] = ages[2]
    system.breaks("server", "FreshetAnswersBehind", ages[2])
    verdict = system.verdict()

    assert verdict.cause is not None
    assert verdict.cause.runbook == "FreshetAnswersBehind"
    assert step in verdict.cause.step
    assert verdict.others == ()


@pytest.mark.parametrize(
    ("seconds", "waits", "is_said"),
    [(476_000_000.0, 0.0, True), (30_000.0, 0.0, False), (476_000_000.0, 5.0, False)],
)
def test_an_old_log_is_told_from_events_that_are_missing(
    system: System, seconds: float, waits: float, *, is_said: bool
) -> None:
    """Its newest event is years old, and nothing is wrong with that."""
    system.facts["stream"]["watermark_age_seconds"] = seconds
    system.facts["stream"]["behind_seconds"] = waits
    happened = system.verdict().stages[0]

    assert ("nothing newer has come to every partition" in happened.text) == is_said


@pytest.mark.parametrize(
    ("without_owner", "seconds", "is_fresh"),
    [(0.0, 0.9, True), (1.0, 0.9, False), (0.0, 61.0, False)],
)
def test_a_worker_whose_shards_others_have_holds_nothing_up(
    system: System, without_owner: float, seconds: float, *, is_fresh: bool
) -> None:
    """It is wrong, and said beside; unless shards are left, or answers are late."""
    facts: dict[str, Value] = {
        **system.facts["stream"],
        "shards": 2.0,
        "shards_without_owner": without_owner,
    }
    other = ProcessStatus(name="stream 2", address="at:2", up=True, facts=facts)
    system.others.append(other)
    system.facts["stream"] = {}
    system.facts["server"]["overlay_age_seconds"] = seconds
    system.breaks("stream", "FreshetProcessDown")
    verdict = system.verdict()

    assert verdict.is_fresh == is_fresh
    assert [each.runbook for each in verdict.others] == ["FreshetProcessDown"] * is_fresh
    assert verdict.blocked_at == (None if is_fresh else StageName.CONSUMED)


@pytest.mark.parametrize(
    ("ages", "stage"),
    [
        ((200.0, 200.5, 201.0), StageName.DURABLE),
        ((0.3, 200.5, 201.0), StageName.PUBLISHED),
        ((0.3, 0.5, 201.0), StageName.SERVED),
    ],
)
def test_where_nobody_complains_the_slowest_stage_is_named(
    system: System, ages: tuple[float, float, float], stage: StageName
) -> None:
    """By how much it adds to the age."""
    durable, published, served = ages
    system.facts["stream"]["reflected_age_seconds"] = durable
    system.facts["refresher"]["overlay_age_seconds"] = published
    system.facts["server"]["overlay_age_seconds"] = served
    verdict = system.verdict()

    assert not verdict.is_fresh
    assert verdict.blocked_at == stage


def test_a_night_without_a_refresher_is_no_delay(system: System) -> None:
    """The graph as it was nine hours ago is all there is."""
    _gate_refuses(system)
    system.problems["tuner"] = []
    system.facts["server"]["snapshot_age_seconds"] = 32_400.0
    verdict = system.verdict()

    assert verdict.is_fresh
    assert "9 h 00 min" in verdict.last_good
