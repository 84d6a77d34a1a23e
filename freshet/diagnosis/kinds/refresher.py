"""How a refresher is, from its metrics, and whether one is missed."""

from collections.abc import Sequence
from dataclasses import replace

from freshet.diagnosis.kinds.answering import answer_of, down
from freshet.diagnosis.processes import Facts, Problem, ProcessStatus
from freshet.diagnosis.steps import ANOTHER_GENERATION, FIRST_GENERATION
from freshet.probe import Samples, Scrape, label, total

_PASSES_BY_ITSELF = {"replay", "burst"}
"""Reasons for being behind that no one has to do anything about, for a while."""

_BLOCKED = {"publish", "feed", "failed"}
"""Reasons that do not pass by themselves, as in FreshetRefresherBlocked."""

# Seconds that these may last: a replay of a generation's changes takes seconds. Twice
# as long hides for twice as long a machine that is too slow for its changes.
_MOST_CATCHING_UP_SECONDS = 300.0

_STEPS = {
    "publish": "free space in the artifacts folder, or give this user the right to write there",
    "feed": "look at the disk of the store, and at this user's right to read it",
    "generation": ANOTHER_GENERATION,
    "gap": "the next generation mends it; where it does not come, look at the tuner",
    "unfollowed": "start `freshet stream` on the topics, or with --follow; where loads of files "
    "are all that comes, no refresher is needed",
    "clock": "see whether NTP runs on this machine and the stream's",
    "graph": "look at the stream: it does not run, or is behind",
    "no_generation": FIRST_GENERATION,
    "failed": "a defect: the log has the traceback; it is tried again by itself",
}
"""What to do, by why it is behind."""


def refresher_status(
    address: str,
    found: Scrape | Exception,
    servers: Sequence[ProcessStatus],
    tuner: ProcessStatus,
) -> ProcessStatus:
    """Return how the refresher is.

    It is optional: where none answers, no server has had anything of one since it
    started and the tuner runs none, nobody has started one.

    Args:
        address: where it was asked.
        found: what its metrics said.
        servers: the servers.
        tuner: the tuner.
    """
    status = answer_of("refresher", address, found, _facts)
    if not status.facts:
        return _absent(status, servers, tuner)
    reason = status.facts.get("behind_reason")
    age = status.number("overlay_age_seconds")
    if not reason or (reason in _PASSES_BY_ITSELF and age <= _MOST_CATCHING_UP_SECONDS):
        return replace(status, note=str(status.facts.get("behind") or ""))
    return down(
        status,
        Problem(
            text=str(status.facts["behind"]),
            step=_STEPS.get(str(reason), "see whether freshet_refresh_waiting_changes falls"),
            runbook="FreshetRefresherBlocked" if reason in _BLOCKED else "FreshetRefresherBehind",
            since_seconds=age or None,
        ),
    )


def _absent(
    status: ProcessStatus, servers: Sequence[ProcessStatus], tuner: ProcessStatus
) -> ProcessStatus:
    if reason := tuner.facts.get("refresher_down"):
        return down(
            replace(status, problems=()),
            Problem(
                text=f"the tuner starts it again: {reason}",
                step="its last line is in the tuner's log",
                runbook="FreshetProcessDown",
            ),
        )
    seen = ("overlay_sequence", "overlay_segments")
    if any(server.number(name) for server in servers for name in seen):
        return status
    note = f"{status.problem}; answers are as fresh as the generation"
    return replace(status, up=True, problems=(), note=note, is_wanted=False)


def _facts(samples: Samples) -> Facts:
    return {
        "generation": label(samples, "freshet_refresh_generation_info", "generation"),
        "sequence": total(samples, "freshet_refresh_sequence"),
        "overlay_age_seconds": total(samples, "freshet_refresh_age_seconds"),
        "overlay_items": total(samples, "freshet_refresh_overlay_items"),
        "overlay_queries": total(samples, "freshet_refresh_overlay_queries"),
        "rounds": total(samples, "freshet_refresh_rounds_total"),
        "recomputed": total(samples, "freshet_refresh_recomputed_total"),
        "waiting_changes": total(samples, "freshet_refresh_waiting_changes"),
        "carried": total(samples, "freshet_refresh_carried"),
        "audit_cosine": total(samples, "freshet_refresh_audit_cosine"),
        "poisoned": total(samples, "freshet_refresh_poisoned_total"),
        "generations_wanted": total(samples, "freshet_refresh_wanted_total"),
        "behind_reason": label(samples, "freshet_refresh_behind_info", "reason"),
        "behind": label(samples, "freshet_refresh_behind_info", "detail"),
    }
