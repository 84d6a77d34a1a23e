"""How a server is, from its metrics and from what it says of its freshness."""

import importlib
import math
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from freshet.diagnosis.kinds.answering import answer_of, down
from freshet.diagnosis.processes import Facts, Problem, ProcessStatus
from freshet.diagnosis.steps import ANOTHER_GENERATION, FIRST_GENERATION
from freshet.probe import TIMEOUT_SECONDS, Samples, Scrape, label, total
from freshet.terminal.output import duration

if TYPE_CHECKING:
    from freshet_client import Freshness, OverlayState, Receipt

# Seconds that answers may be old where the server tells no objective; its default.
_OBJECTIVE_SECONDS = 60.0
# Seconds without a look at CURRENT, as in FreshetWatcherStalled.
_MOST_UNWATCHED_SECONDS = 600.0
# What the index may find less than it was judged by, as in FreshetIndexRecallLow.
_MOST_RECALL_LOST = 0.05
# First pages in common with the generation before, as in FreshetGenerationDrift.
_LEAST_OVERLAP = 0.3


def load_client() -> None:
    """Load what asks servers, where it is installed: a busy machine takes long for it,
    and no server is to be blamed for that.
    """
    with suppress(ModuleNotFoundError):
        importlib.import_module("freshet_client")


def ask_freshness(target: str, seconds: float = TIMEOUT_SECONDS) -> "Freshness":
    """Return what a server says of its freshness.

    Args:
        target: HOST:PORT of its gRPC.
        seconds: the longest wait.

    Raises:
        ClientError: it says nothing.
        ModuleNotFoundError: the client is an extra, and not installed.
    """
    # An extra: the machine of a stream or a tuner need not have it.
    from freshet_client import Access, RetrievalClient  # noqa: PLC0415

    with RetrievalClient(
        target, timeout_seconds=seconds, retry=None, access=Access.from_environment()
    ) as client:
        return client.freshness()


def server_status(
    name: str, address: str, found: Scrape | Exception, told: "Freshness | Exception", now: float
) -> ProcessStatus:
    """Return how a server is; one without a generation is not up.

    Args:
        name: of the process.
        address: where its metrics were asked for.
        found: what they said.
        told: what it said of its freshness.
        now: seconds since 1970.
    """
    status = answer_of(name, address, found, lambda samples: _facts(samples, now))
    if not status.up:
        return status
    if isinstance(told, Exception):
        return down(status, _silent(told))
    status = replace(status, facts={**status.facts, **_told_facts(told)})
    if not told.ready:
        return down(status, _not_ready(status))
    return replace(status, problems=(*status.problems, *_problems(status.facts)))


def _facts(samples: Samples, now: float) -> Facts:
    heartbeat = total(samples, "freshet_server_watcher_heartbeat_timestamp_seconds")
    return {
        "generation": label(samples, "freshet_server_generation_info", "generation"),
        "watermark_age_seconds": total(samples, "freshet_server_watermark_age_seconds"),
        "snapshot_age_seconds": total(samples, "freshet_server_snapshot_age_seconds"),
        "objective_seconds": total(samples, "freshet_server_objective_seconds"),
        "overlay_sequence": total(samples, "freshet_server_overlay_sequence"),
        "overlay_segments": total(samples, "freshet_server_overlay_segments_total"),
        "overlay_age_seconds": total(samples, "freshet_server_overlay_age_seconds"),
        "requests": total(samples, "freshet_server_requests_total"),
        "answers": total(samples, "freshet_server_answers_total"),
        "fresh_answers": _counted(samples, "fresh"),
        "shown_items": total(samples, "freshet_server_shown_items"),
        "generation_overlap": total(samples, "freshet_server_generation_overlap"),
        "index_recall": total(samples, "freshet_server_index_recall"),
        "certified_recall": total(samples, "freshet_server_index_certified_recall"),
        "swaps": total(samples, "freshet_server_swaps_total"),
        "refused": total(samples, "freshet_server_swap_refused_total"),
        "workers_up": total(samples, "freshet_server_worker_up"),
        "worker_restarts": total(samples, "freshet_server_worker_restarts_total"),
        "newest_refused": total(samples, "freshet_server_newest_refused"),
        "watcher_age_seconds": max(now - heartbeat, 0.0) if heartbeat else None,
    }


def _told_facts(freshness: "Freshness") -> Facts:
    return {
        "items": freshness.num_items,
        "queries": freshness.num_queries,
        "last_refusal": freshness.last_refusal or None,
        **_overlay_facts(freshness.overlay, freshness.receipt),
    }


def _overlay_facts(overlay: "OverlayState | None", receipt: "Receipt | None") -> Facts:
    """Return what there is to know of the fresh lane; nothing where there is none."""
    if overlay is None or receipt is None or not (overlay.written_ms or overlay.last_refusal):
        return {}
    return {
        "reflected_age_seconds": receipt.age_seconds,
        "catalog_age_seconds": receipt.catalog_age_seconds,
        "overlay_segment": overlay.sequence,
        "overlay_items": overlay.num_items,
        "overlay_queries": overlay.num_queries,
        "gone_items": overlay.num_gone_items,
        "overlay_behind": overlay.behind or None,
        "overlay_refusal": overlay.last_refusal or None,
        "waits_for_overlay": overlay.pending_generation or None,
    }


def _counted(samples: Samples, freshness: str) -> float | None:
    return next(
        (
            value
            for labels, value in samples.get("freshet_server_answers_total", [])
            if labels["freshness"] == freshness
        ),
        None,
    )


def _silent(error: Exception) -> Problem:
    return Problem(
        text=str(error) or type(error).__name__,
        step="it answers metrics and no calls: see --target, its log, and its load",
        runbook="FreshetServerNotReady",
    )


def _not_ready(status: ProcessStatus) -> Problem:
    refusal = status.facts.get("last_refusal")
    return Problem(
        text=f"no generation is live yet{f': {refusal}' if refusal else ''}",
        step=(
            f"{ANOTHER_GENERATION}; the server takes it by itself" if refusal else FIRST_GENERATION
        ),
        runbook="FreshetServerNotReady",
    )


def _problems(facts: Facts) -> list[Problem]:
    return [*_refused(facts), *_late(facts), *_unwatched(facts), *_recall(facts), *_drift(facts)]


def _refused(facts: Facts) -> list[Problem]:
    problems = []
    if facts["newest_refused"]:
        problems.append(
            Problem(
                text=f"it refuses the newest generation and keeps an older one: "
                f"{facts['last_refusal']}",
                step=ANOTHER_GENERATION,
                runbook="FreshetSwapRefused",
            )
        )
    if refusal := facts.get("overlay_refusal"):
        problems.append(
            Problem(
                text=f"it refuses segments of the overlay: {refusal}",
                step="restart the refresher: it writes a full segment, which replaces all before",
                runbook="FreshetOverlayRefused",
            )
        )
    return problems


def _late(facts: Facts) -> list[Problem]:
    age, objective = facts.get("overlay_age_seconds"), facts["objective_seconds"]
    limit = objective if isinstance(objective, float) else _OBJECTIVE_SECONDS
    if not isinstance(age, float) or age <= limit:
        return []
    waits, behind = facts.get("waits_for_overlay"), facts.get("overlay_behind")
    why = f"generation {waits} waits for its overlay" if waits else behind
    step = "`freshet why-stale` says which stage holds them up"
    if facts["newest_refused"] and not waits:
        why = "what is refreshed is the generation that it refuses, or nothing"
        step = "put a generation live that it takes, as above: the refresher follows"
    return [
        Problem(
            text=(
                f"answers are {duration(age)} old, the objective is {duration(limit)}"
                f"{f': {why}' if why else ''}"
            ),
            step=step,
            runbook="FreshetAnswersBehind",
            since_seconds=age,
        )
    ]


def _unwatched(facts: Facts) -> list[Problem]:
    age = facts["watcher_age_seconds"]
    if not isinstance(age, float) or age <= _MOST_UNWATCHED_SECONDS:
        return []
    return [
        Problem(
            text=f"it has not looked for a new generation for {duration(age)}",
            step="see whether the disk of the artifacts folder answers, then restart the server",
            runbook="FreshetWatcherStalled",
            since_seconds=age,
        )
    ]


def _recall(facts: Facts) -> list[Problem]:
    recall, certified = facts["index_recall"], facts["certified_recall"]
    lost = _as_float(certified) - _as_float(recall)
    if not lost > _MOST_RECALL_LOST:
        return []
    return [
        Problem(
            text=f"its index finds {recall:.0%} of the nearest items, and was judged by "
            f"{certified:.0%}",
            step="train again; where it stays, raise model.recall_at_10",
            runbook="FreshetIndexRecallLow",
        )
    ]


def _drift(facts: Facts) -> list[Problem]:
    overlap = _as_float(facts["generation_overlap"])
    if not overlap < _LEAST_OVERLAP:
        return []
    return [
        Problem(
            text=f"its generation has {overlap:.0%} of the first pages in common with the one "
            "before",
            step="compare the two with `freshet generations show ID --artifacts DIR`; `freshet "
            "generations use ID --artifacts DIR` puts the one before back",
            runbook="FreshetGenerationDrift",
        )
    ]


def _as_float(value: object) -> float:
    return float(value) if isinstance(value, int | float) else math.nan
