"""How a probe is, from its metrics, and so the path that it walks."""

from functools import partial

from freshet.diagnosis.kinds.answering import answer_of
from freshet.diagnosis.processes import Facts, Problem, ProcessStatus
from freshet.probe import Samples, Scrape, total

# Losses of one step in a row, as in FreshetProbeLost: one may be a swap in the middle
# of a restart. Twice as many: told twice as late.
_MOST_LOST_IN_A_ROW = 2


def probe_status(name: str, address: str, found: Scrape | Exception, now: float) -> ProcessStatus:
    """Return how a probe is.

    Args:
        name: of the process.
        address: where it was asked.
        found: what its metrics said.
        now: seconds since 1970.
    """
    return answer_of(name, address, found, partial(_facts, now=now), _problems)


def _facts(samples: Samples, now: float) -> Facts:
    last = total(samples, "freshet_probe_last_answer_timestamp_seconds")
    in_a_row = {
        labels["step"]: count
        for labels, count in samples.get("freshet_probe_lost_in_a_row", [])
        if count >= _MOST_LOST_IN_A_ROW
    }
    return {
        "sent": total(samples, "freshet_probe_sent_total"),
        "answered": total(samples, "freshet_probe_answered_total"),
        "lost": total(samples, "freshet_probe_lost_total"),
        "errors": total(samples, "freshet_probe_errors_total"),
        "last_answer_age_seconds": max(now - last, 0.0) if last else None,
        "lost_in_a_row": ", ".join(f"{step} {count:.0f}" for step, count in in_a_row.items())
        or None,
    }


def _problems(facts: Facts) -> list[Problem]:
    if not facts["lost_in_a_row"]:
        return []
    since = facts["last_answer_age_seconds"]
    return [
        Problem(
            text=f"no answer showed what it published, times in a row: {facts['lost_in_a_row']}",
            step="`freshet why-stale` names the stage that holds events up",
            runbook="FreshetProbeLost",
            since_seconds=since if isinstance(since, float) else None,
        )
    ]
