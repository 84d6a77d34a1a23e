"""How a tuner is, from its metrics."""

from functools import partial

from freshet.diagnosis.kinds.answering import answer_of
from freshet.diagnosis.kinds.quality import quality_facts, quality_problems
from freshet.diagnosis.processes import Facts, Problem, ProcessStatus
from freshet.probe import Samples, Scrape, label, total
from freshet.terminal.output import duration

# Periods without a run that ended well, and seconds beside them, as in
# FreshetTunerStalled: a training may be longer than a short period.
_MOST_PERIODS, _GRACE_SECONDS = 3, 300.0
# Seconds that a tuner may run without ever having succeeded, as there.
_FIRST_SECONDS = 1800.0
_NONE_YET = "no generation is live yet; the tuner looks again every few seconds"
# Reasons of failures that do not pass by themselves, as in FreshetTunerBlocked.
_BLOCKING = frozenset(
    {
        "ArtifactError",
        "OSError",
        "PermissionError",
        "SnapshotUnreadable",
        "StoreUnreadable",
        "StoreWriteFailed",
    }
)


def tuner_status(address: str, found: Scrape | Exception, now: float) -> ProcessStatus:
    """Return how the tuner is.

    Args:
        address: where it was asked.
        found: what its metrics said.
        now: seconds since 1970.
    """
    return answer_of("tuner", address, found, partial(_facts, now=now), _problems)


def _facts(samples: Samples, now: float) -> Facts:
    def age(name: str) -> float | None:
        at = total(samples, name)
        return max(now - at, 0.0) if at else None

    info = "freshet_tuner_last_failure_info"
    failed = age("freshet_tuner_last_failure_timestamp_seconds")
    succeeded = age("freshet_tuner_last_success_timestamp_seconds")
    reason, detail = label(samples, info, "reason"), label(samples, info, "detail")
    # What a run that ended well has made good is no failure any more.
    has_passed = failed is not None and succeeded is not None and succeeded <= failed
    return {
        "generation": label(samples, "freshet_tuner_generation_info", "generation"),
        "every_seconds": total(samples, "freshet_tuner_every_seconds"),
        "last_success_age_seconds": succeeded,
        "run_began_age_seconds": age("freshet_tuner_run_started_timestamp_seconds"),
        "last_failure_age_seconds": None if has_passed else failed,
        "last_failure_reason": None if has_passed else reason,
        "last_failure": None if has_passed else detail or None,
        "passed_failure": (
            f"{duration(failed)} ago, and a run has ended well since: {reason}: {detail}"
            if has_passed and failed is not None
            else None
        ),
        "failures_in_a_row": total(samples, "freshet_tuner_failures_in_a_row"),
        "refresher_down": label(samples, "freshet_tuner_refresher_down_info", "reason"),
        "active_items": total(samples, "freshet_tuner_active_items"),
        "own_title_recall": total(samples, "freshet_tuner_own_title_recall"),
        "first_page_overlap": total(samples, "freshet_tuner_first_page_overlap"),
        "mean_item_cosine": _cosine(samples, "mean"),
        "worst_item_cosine": _cosine(samples, "worst"),
        "started_age_seconds": age("process_start_time_seconds"),
        **quality_facts(samples),
        **_pin(samples, now),
    }


def _cosine(samples: Samples, statistic: str) -> float | None:
    found = samples.get("freshet_tuner_item_cosine", [])
    return next((value for labels, value in found if labels["statistic"] == statistic), None)


def _pin(samples: Samples, now: float) -> Facts:
    """Return which generation is pinned, and for how long; nothing where none is."""
    for labels, since in samples.get("freshet_tuner_pinned_timestamp_seconds", []):
        return {
            "pinned": f"{labels.get('generation') or '?'}: nothing newer goes live",
            "pinned_age_seconds": now - since if since else None,
        }
    return {}


def _problems(facts: Facts) -> list[Problem]:
    return [*_run_problems(facts), *quality_problems(facts)]


def _run_problems(facts: Facts) -> list[Problem]:
    success, failure = facts["last_success_age_seconds"], facts["last_failure_age_seconds"]
    every, began = facts["every_seconds"], facts["run_began_age_seconds"]
    if isinstance(failure, float) and (not isinstance(success, float) or failure < success):
        return [_failing(facts, success if isinstance(success, float) else None)]
    started = facts["started_age_seconds"]
    limit = _FIRST_SECONDS
    if isinstance(every, float) and every > 0:
        limit = _MOST_PERIODS * every + _GRACE_SECONDS
    if isinstance(success, float):
        since, is_late = success, success > limit
    else:
        since = started if isinstance(started, float) else 0.0
        is_late = since > max(limit, _FIRST_SECONDS)
    if not is_late:
        return []
    under_way = (
        f"; the one under way began {duration(began)} ago" if isinstance(began, float) else ""
    )
    return [
        Problem(
            text=f"no run has ended well for {duration(since)}{under_way}",
            step="see whether it uses a CPU (a training that is too long for its period), or waits "
            "for a snapshot of the stream",
            runbook="FreshetTunerStalled",
            since_seconds=since,
        )
    ]


def _way_on(reason: str) -> str:
    if reason in _BLOCKING:
        return (
            "mend the disk, the rights or the files that the message names, and the next run ends "
            "well"
        )
    if reason == "GateRefused":
        return (
            "if what it names is wanted, or the newest clicks are no shoppers', look at it with "
            "`freshet generations show ID` and take it with `freshet generations use ID "
            "--artifacts DIR`; else mend what changed in events or catalogue"
        )
    return "what the reason means is under Errors of the runbook"


def _failing(facts: Facts, since: float | None) -> Problem:
    row = facts["failures_in_a_row"]
    count = f", {row:.0f} in a row" if isinstance(row, float) and row > 1 else ""
    detail = facts["last_failure"] or "see the tuner's log"
    is_blocked = facts["last_failure_reason"] in _BLOCKING
    meanwhile = "the live generation stays" if facts["generation"] else _NONE_YET
    return Problem(
        text=f"the last run failed{count}: {facts['last_failure_reason']}: {detail}",
        step=f"{meanwhile}; {_way_on(str(facts['last_failure_reason']))}",
        runbook="FreshetTunerBlocked" if is_blocked else "FreshetTunerFailing",
        since_seconds=since,
    )
