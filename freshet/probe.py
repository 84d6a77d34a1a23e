"""Reads the status of other processes: their metrics, and a server's freshness."""

import math
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from freshet_client import OverlayState, Receipt

_TIMEOUT_SECONDS = 2.0
"""The longest wait for an answer; on one network it takes milliseconds. Twice as much
would let `freshet status` wait twice as long for an address where no process answers.
"""

_STREAM_PROBLEMS = {
    "broker_silent_seconds": "Kafka has not answered for {:.0f} s",
    "quarantine_waiting_seconds": "the quarantine topic has taken no record for {:.0f} s",
}
"""What keeps a stream from its work, by the fact that has the seconds of it."""

_PASSES_BY_ITSELF = {"replay", "burst"}
"""Reasons of a refresher for being behind that no one has to do anything about."""

Samples = dict[str, list[tuple[dict[str, str], float]]]


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the processes answer, HOST:PORT each: four metrics endpoints, and the
    server's gRPC.
    """

    stream: str
    tuner: str
    refresher: str
    server: str
    target: str


@dataclass(frozen=True, kw_only=True)
class ProcessStatus:
    """The status of one process.

    Attributes:
        name: stream, tuner, refresher or server.
        address: where it was probed.
        up: whether it answered and is able to do its work.
        problem: why not; empty where it is up.
        facts: what there is to know, by name; numbers in the unit that the name ends
            in.
        is_wanted: False: it does not run, and nothing misses it.
    """

    name: str
    address: str
    up: bool
    problem: str
    facts: dict[str, float | str | None] = field(default_factory=dict)
    is_wanted: bool = True


def read_status(addresses: Addresses) -> list[ProcessStatus]:
    """Probe every process; none of them has to answer."""
    now = time.time()
    server = _server_status(addresses)
    tuner = _from_metrics("tuner", addresses.tuner, lambda samples: _tuner_facts(samples, now))
    return [
        _stream_status(addresses.stream, now),
        tuner,
        _refresher_status(addresses.refresher, server, tuner),
        server,
    ]


def read_metrics(address: str) -> Samples:
    """Return the samples at a metrics endpoint by name, with their labels.

    Raises:
        OSError: nothing answers there, or not in time.
    """
    # A proxy named in the environment has no business between neighbours.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://{address}/metrics", timeout=_TIMEOUT_SECONDS) as answer:
        text = answer.read().decode("utf-8", "replace")
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return samples


def total(samples: Samples, name: str) -> float | None:
    """Return the sum of a metric over its labels.

    None where it is not exported, or is not a number yet.
    """
    if name not in samples:
        return None
    value = math.fsum(value for _, value in samples[name])
    return value if math.isfinite(value) else None


def _from_metrics(
    name: str,
    address: str,
    facts_of: Callable[[Samples], dict[str, float | str | None]],
    prefix: str = "",
) -> ProcessStatus:
    try:
        samples = read_metrics(address)
    except (OSError, ValueError) as error:
        problem = f"no metrics at {address}: {_cause(error)}"
        return ProcessStatus(name=name, address=address, up=False, problem=problem)
    if not any(sample.startswith(f"freshet_{prefix or name}_") for sample in samples):
        problem = f"what answers at {address} is not the {name}"
        return ProcessStatus(name=name, address=address, up=False, problem=problem)
    return ProcessStatus(name=name, address=address, up=True, problem="", facts=facts_of(samples))


def _stream_status(address: str, now: float) -> ProcessStatus:
    """A stream whose broker or quarantine does not answer runs, and cannot do its
    work.
    """
    status = _from_metrics("stream", address, lambda samples: _stream_facts(samples, now))
    for fact, problem in _STREAM_PROBLEMS.items():
        seconds = status.facts.get(fact)
        if isinstance(seconds, float) and seconds:
            return replace(status, up=False, problem=problem.format(seconds))
    return status


def _stream_facts(samples: Samples, now: float) -> dict[str, float | str | None]:
    watermark = total(samples, "freshet_stream_graph_watermark_seconds")
    return {
        "events": total(samples, "freshet_stream_events_total"),
        "new_facts": total(samples, "freshet_stream_new_facts_total"),
        "quarantined": total(samples, "freshet_stream_quarantined_total"),
        "watermark_age_seconds": max(now - watermark, 0.0) if watermark else None,
        "behind_seconds": total(samples, "freshet_stream_behind_seconds"),
        "behind_records": total(samples, "freshet_stream_behind_records"),
        "shards_without_owner": total(samples, "freshet_stream_shards_without_owner"),
        "records_lost": total(samples, "freshet_stream_records_lost_total"),
        "broker_silent_seconds": total(samples, "freshet_stream_broker_silent_seconds"),
        "quarantine_waiting_seconds": total(samples, "freshet_stream_quarantine_waiting_seconds"),
    }


def _tuner_facts(samples: Samples, now: float) -> dict[str, float | str | None]:
    succeeded = total(samples, "freshet_tuner_last_success_timestamp_seconds")
    failed = total(samples, "freshet_tuner_last_failure_timestamp_seconds")
    return {
        "generation": _label(samples, "freshet_tuner_generation_info", "generation"),
        "every_seconds": total(samples, "freshet_tuner_every_seconds"),
        "last_success_age_seconds": now - succeeded if succeeded else None,
        "last_failure_age_seconds": now - failed if failed else None,
        "last_failure_reason": _label(samples, "freshet_tuner_last_failure_info", "reason"),
        "refresher_down": _label(samples, "freshet_tuner_refresher_down_info", "reason"),
    }


def _refresher_status(address: str, server: ProcessStatus, tuner: ProcessStatus) -> ProcessStatus:
    """A refresher is optional: where none answers, the server has nothing of one and
    the tuner runs none, nobody has started one.
    """
    status = _from_metrics("refresher", address, _refresher_facts, "refresh")
    if not status.facts and (down := tuner.facts.get("refresher_down")):
        return replace(status, up=False, problem=f"the tuner starts it again: {down}")
    if not status.facts and not server.facts.get("overlay_sequence"):
        problem = f"{status.problem}; answers are as fresh as the generation"
        return replace(status, up=True, problem=problem, is_wanted=False)
    behind = status.facts.get("behind_reason")
    if not behind or behind in _PASSES_BY_ITSELF:
        return status
    return replace(status, up=False, problem=str(status.facts["behind"]))


def _refresher_facts(samples: Samples) -> dict[str, float | str | None]:
    return {
        "generation": _label(samples, "freshet_refresh_generation_info", "generation"),
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
        "behind_reason": _label(samples, "freshet_refresh_behind_info", "reason"),
        "behind": _label(samples, "freshet_refresh_behind_info", "detail"),
    }


def _server_status(addresses: Addresses) -> ProcessStatus:
    status = _from_metrics("server", addresses.server, _server_facts)
    if not status.up:
        return status
    problem, facts = _freshness(addresses.target)
    return ProcessStatus(
        name="server",
        address=addresses.server,
        up=not problem,
        problem=problem,
        facts={**status.facts, **facts},
    )


def _server_facts(samples: Samples) -> dict[str, float | str | None]:
    return {
        "generation": _label(samples, "freshet_server_generation_info", "generation"),
        "watermark_age_seconds": total(samples, "freshet_server_watermark_age_seconds"),
        "snapshot_age_seconds": total(samples, "freshet_server_snapshot_age_seconds"),
        "overlay_sequence": total(samples, "freshet_server_overlay_sequence"),
        "overlay_age_seconds": total(samples, "freshet_server_overlay_age_seconds"),
        "requests": total(samples, "freshet_server_requests_total"),
        "swaps": total(samples, "freshet_server_swaps_total"),
        "refused": total(samples, "freshet_server_swap_refused_total"),
    }


def _freshness(target: str) -> tuple[str, dict[str, float | str | None]]:
    # An extra: the machine of a stream or a tuner need not have it.
    from freshet_client import Access, ClientError, RetrievalClient  # noqa: PLC0415

    try:
        with RetrievalClient(
            target,
            timeout_seconds=_TIMEOUT_SECONDS,
            retry=None,
            access=Access.from_environment(),
        ) as client:
            freshness = client.freshness()
    except ClientError as error:
        return str(error), {}
    facts: dict[str, float | str | None] = {
        "items": freshness.num_items,
        "queries": freshness.num_queries,
        "last_refusal": freshness.last_refusal or None,
        **_overlay_facts(freshness.overlay, freshness.receipt),
    }
    return ("" if freshness.ready else "no generation is live yet"), facts


def _overlay_facts(
    overlay: "OverlayState | None", receipt: "Receipt | None"
) -> dict[str, float | str | None]:
    """Return what there is to know of the fresh lane; nothing where there is none."""
    if overlay is None or receipt is None or not (overlay.written_ms or overlay.last_refusal):
        return {}
    return {
        "reflected_age_seconds": receipt.age_seconds,
        "overlay_segment": overlay.sequence,
        "overlay_items": overlay.num_items,
        "overlay_queries": overlay.num_queries,
        "gone_items": overlay.num_gone_items,
        "overlay_behind": overlay.behind or None,
        "overlay_refusal": overlay.last_refusal or None,
        "waits_for_overlay": overlay.pending_generation or None,
    }


def _label(samples: Samples, name: str, label: str) -> str | None:
    """Return the label value of the sample that is 1."""
    return next((labels.get(label) for labels, value in samples.get(name, []) if value == 1), None)


def _cause(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
