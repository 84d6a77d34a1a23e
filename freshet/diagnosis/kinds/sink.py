"""How a sink is, from its metrics."""

from functools import partial

from freshet.diagnosis.kinds.answering import answer_of
from freshet.diagnosis.processes import Facts, Problem, ProcessStatus
from freshet.probe import Samples, Scrape, total
from freshet.terminal.output import duration

# Seconds that a database may lack what answers have, as in FreshetSinkBehind.
_MOST_BEHIND_SECONDS = 1800.0


def sink_status(name: str, address: str, found: Scrape | Exception, now: float) -> ProcessStatus:
    """Return how a sink is.

    Args:
        name: of the process.
        address: where it was asked.
        found: what its metrics said.
        now: seconds since 1970.
    """
    return answer_of(name, address, found, partial(_facts, now=now), _problems)


def _facts(samples: Samples, now: float) -> Facts:
    watermark = total(samples, "freshet_sink_watermark_timestamp_seconds")
    return {
        "behind_seconds": total(samples, "freshet_sink_behind_seconds"),
        "items": total(samples, "freshet_sink_items"),
        "watermark_age_seconds": max(now - watermark, 0.0) if watermark else None,
        "failures": total(samples, "freshet_sink_failures_total"),
    }


def _problems(facts: Facts) -> list[Problem]:
    behind = facts["behind_seconds"]
    if not isinstance(behind, float) or behind <= _MOST_BEHIND_SECONDS:
        return []
    return [
        Problem(
            text=f"for {duration(behind)} its database has not had all that answers have",
            step="its log has `sink failed` with the cause: the database does not answer, or takes "
            "nothing",
            runbook="FreshetSinkBehind",
            since_seconds=behind,
        )
    ]
