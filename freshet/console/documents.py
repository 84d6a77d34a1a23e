"""Pure: what the pages show of a view, as JSON."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from freshet.console.history import Series
from freshet.console.stage_seconds import STAGES
from freshet.console.watch import View
from freshet.diagnosis.kinds.stream import quarantine_of
from freshet.diagnosis.processes import ProcessStatus
from freshet.diagnosis.status import headline, is_well
from freshet.probe import Samples
from stream.reasons import REASONS

Document = dict[str, Any]

_PARTITION_METRICS = {
    "records": "freshet_stream_behind_records",
    "seconds": "freshet_stream_partition_behind_seconds",
    "stuck_seconds": "freshet_stream_partition_stuck_seconds",
}
"""The metric of each column."""


def overview(view: View) -> Document:
    """Return how fresh answers are, what holds them up, and how each process is."""
    verdict, processes = view.verdict, view.look.processes
    return {
        "at_ms": round(view.look.at_seconds * 1000),
        "headline": headline(processes),
        "is_well": is_well(processes),
        "num_problems": sum(len(each.problems) for each in processes),
        "age_seconds": verdict.age_seconds,
        "objective_seconds": verdict.objective_seconds,
        "blocked_at": verdict.blocked_at,
        "cause": None if verdict.cause is None else asdict(verdict.cause),
        "since_seconds": verdict.since_seconds,
        "last_good": verdict.last_good,
        "stages": [
            {
                "name": stage.name,
                "seconds": stage.seconds,
                "text": stage.text,
                "is_blocked": stage.name == verdict.blocked_at,
            }
            for stage in verdict.stages
        ],
        "durations": [{"stage": name, **asdict(view.stages[name])} for name in STAGES],
        "processes": [_process(each) for each in processes],
    }


def history(series: Series) -> Document:
    """Return values over time."""
    return {"begin_ms": series.begin_ms, "step_ms": series.step_ms, "values": series.values}


def partitions(view: View) -> Document:
    """Return what waits in each partition, the longest wait first."""
    streams = [each for each in view.look.processes if each.kind == "stream"]
    rows = [row for each in streams for row in _partition_rows(each, _samples(view, each))]
    rows.sort(key=lambda row: (-row["stuck_seconds"], -row["seconds"], -row["records"]))
    answering = [each for each in streams if each.facts]
    return {
        "at_ms": round(view.look.at_seconds * 1000),
        "partitions": rows,
        "shards_without_owner": max(
            (each.number("shards_without_owner") for each in answering), default=None
        ),
        "silent": [each.name for each in streams if not each.facts],
        "brokers": _texts(answering, "broker"),
        "broker_errors": _texts(answering, "broker_error"),
    }


def _quarantines(streams: Sequence[ProcessStatus]) -> list[str]:
    """Return where the records are, as `freshet quarantine` is told."""
    return sorted({quarantine_of(each.facts["broker"]) for each in streams if each.facts})


def quarantine(view: View) -> Document:
    """Return how many messages were rejected, by reason, the most frequent lately
    first.
    """
    streams = [each for each in view.look.processes if each.kind == "stream"]
    samples = [_samples(view, each) for each in streams if each.facts]
    total = _by_reason(samples, "freshet_stream_quarantined_total")
    recent = _by_reason(samples, "freshet_stream_recent_quarantined")
    rows: list[Document] = [
        {
            "reason": reason,
            "meaning": REASONS.get(reason, "not known here: the stream is newer"),
            "recent": recent.get(reason, 0.0),
            "total": total.get(reason, 0.0),
        }
        for reason in {**dict.fromkeys(REASONS), **total}
    ]
    rows.sort(key=lambda row: (-row["recent"], -row["total"], row["reason"]))
    return {
        "at_ms": round(view.look.at_seconds * 1000),
        "reasons": rows,
        "recent_messages": sum(each.number("recent_messages") for each in streams),
        "waiting_seconds": max(
            (each.number("quarantine_waiting_seconds") for each in streams), default=0.0
        ),
        "where": _quarantines(streams),
        "silent": [each.name for each in streams if not each.facts],
        "is_known": bool(samples),
    }


def _process(status: ProcessStatus) -> Document:
    return {
        "name": status.name,
        "kind": status.kind,
        "address": status.address,
        "is_up": status.up,
        "is_wanted": status.is_wanted,
        "note": status.note,
        "problems": [asdict(problem) for problem in status.problems],
        "facts": {name: value for name, value in status.facts.items() if value is not None},
    }


def _texts(processes: Sequence[ProcessStatus], name: str) -> list[str]:
    """Return what a fact is in these processes, each text once."""
    return sorted({str(each.facts[name]) for each in processes if each.facts[name]})


def _samples(view: View, status: ProcessStatus) -> Samples:
    return view.look.samples.get(status.address, {}) if status.facts else {}


def _partition_rows(status: ProcessStatus, samples: Samples) -> Iterator[Document]:
    found: dict[tuple[str, str], Document] = {}
    for column, metric in _PARTITION_METRICS.items():
        for labels, value in samples.get(metric, []):
            place = labels.get("topic", ""), labels.get("partition", "")
            row = found.setdefault(place, {"records": 0.0, "seconds": 0.0, "stuck_seconds": 0.0})
            row[column] = value if math.isfinite(value) else 0.0
    for (topic, partition), row in found.items():
        yield {"topic": topic, "partition": partition, "process": status.name, **row}


def _by_reason(samples: Sequence[Samples], metric: str) -> dict[str, float]:
    counts: dict[str, float] = {}
    for each in samples:
        for labels, value in each.get(metric, []):
            reason = labels.get("reason", "")
            counts[reason] = counts.get(reason, 0.0) + value
    return counts
