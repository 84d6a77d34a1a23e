"""How a stream is, from its metrics."""

from dataclasses import replace
from functools import partial

from freshet.diagnosis.kinds.answering import answer_of, down
from freshet.diagnosis.processes import Facts, Problem, ProcessStatus, Value
from freshet.probe import Samples, Scrape, label, total
from freshet.terminal.output import duration
from stream.kafka.access.connection import NO_TOPIC
from stream.reasons import REASONS

# Seconds for which records may wait without one moving: a shard that changes hands
# takes the session timeout of ten and a moment. Twice as long: said twice as late.
_MOST_STUCK_SECONDS = 30.0
# Seconds that the oldest waiting record may be old, as in FreshetGraphBehind.
_MOST_BEHIND_SECONDS = 300.0
# Seconds for which nothing may vouch for the graph though nothing waits: four looks at
# the ends a second do. Twice as long: said twice as late.
_MOST_UNTOLD_SECONDS = 60.0
# Share of what comes that may be quarantined, as in FreshetQuarantineSurge, and how
# many it takes: a few bad lines of a quiet night are nobody's work.
_MOST_REJECTED, _LEAST_REJECTED = 0.01, 10
# Seconds that records' times may be off the clock, as in FreshetClockOffset.
_MOST_OFFSET_SECONDS = 60.0
# Seconds for which a loss is told, as in FreshetRecordsLost.
_TOLD_SECONDS = 3600.0
# Seconds that the bytes of an erasure may stay, as in FreshetErasedBytesStay.
_MOST_UNPURGED_SECONDS = 14_400.0


def stream_status(name: str, address: str, found: Scrape | Exception, now: float) -> ProcessStatus:
    """Return how a stream is; one whose broker, quarantine or registry does not answer
    runs, and cannot do its work.

    Args:
        name: of the process.
        address: where it was asked.
        found: what its metrics said.
        now: seconds since 1970.
    """
    clock = found.clock_ahead_seconds if isinstance(found, Scrape) else None
    problems_of = partial(_problems, clock_ahead_seconds=clock or 0.0)
    status = answer_of(name, address, found, partial(_facts, now=now), problems_of)
    if status.number("broker_silent_seconds"):
        return down(status, _broker_silent(status))
    if waiting := status.number("quarantine_waiting_seconds"):
        return down(
            status,
            Problem(
                text=f"the quarantine topic has taken no record for {duration(waiting)}",
                step="create the topic again, or mend the broker; the stream waits meanwhile",
                runbook="FreshetQuarantineUnavailable",
                since_seconds=waiting,
            ),
        )
    if waiting := status.number("registry_waiting_seconds"):
        return down(
            status,
            Problem(
                text=f"the schema registry has not answered for {duration(waiting)}",
                step="mend the registry, or its address and password in the settings; the stream "
                "waits meanwhile",
                runbook="FreshetSchemaRegistryUnavailable",
                since_seconds=waiting,
            ),
        )
    return status


def _broker_silent(status: ProcessStatus) -> Problem:
    silent = status.number("broker_silent_seconds")
    broker, error = status.facts.get("broker"), status.facts.get("broker_error")
    at, why = f" at {broker}" if broker else "", f": {error}" if error else ""
    if str(error or "").startswith(NO_TOPIC):
        return Problem(
            text=f"Kafka{at} has answered nothing for {duration(silent)}{why}",
            step=(
                "a topic was deleted: create it again with as many partitions as the others, and "
                "the stream reads it from its start; until then nothing new comes"
            ),
            runbook="FreshetBrokerSilent",
            since_seconds=silent,
        )
    return Problem(
        text=f"Kafka{at} has not answered for {duration(silent)}{why}",
        step=(
            "see whether the broker runs and answers others, then network and address; the stream "
            "waits and resumes by itself, and nothing is lost while the topics hold"
        ),
        runbook="FreshetBrokerSilent",
        since_seconds=silent,
    )


def _facts(samples: Samples, now: float) -> Facts:
    watermark = total(samples, "freshet_stream_graph_watermark_seconds")
    backup = total(samples, "freshet_stream_last_backup_timestamp_seconds")
    reflected = total(samples, "freshet_stream_reflected_seconds")
    stuck = _worst(samples, "freshet_stream_partition_stuck_seconds")
    return {
        "events": total(samples, "freshet_stream_events_total"),
        "new_facts": total(samples, "freshet_stream_new_facts_total"),
        "quarantined": total(samples, "freshet_stream_quarantined_total"),
        "recent_messages": total(samples, "freshet_stream_recent_messages"),
        "recent_quarantined": total(samples, "freshet_stream_recent_quarantined"),
        "quarantine_reasons": _reasons(samples) or None,
        "watermark_age_seconds": max(now - watermark, 0.0) if watermark else None,
        "reflected_age_seconds": max(now - reflected, 0.0) if reflected else None,
        "behind_seconds": total(samples, "freshet_stream_behind_seconds"),
        "behind_records": total(samples, "freshet_stream_behind_records"),
        "stuck_partition": stuck[0] or None,
        "stuck_seconds": stuck[1],
        "shards": total(samples, "freshet_stream_shards"),
        "group_members": total(samples, "freshet_stream_group_members"),
        "shards_without_owner": total(samples, "freshet_stream_shards_without_owner"),
        "backup_age_seconds": max(now - backup, 0.0) if backup else None,
        "records_lost": total(samples, "freshet_stream_records_lost_total"),
        "records_skipped": total(samples, "freshet_stream_records_skipped_total"),
        "topics_recreated": total(samples, "freshet_stream_topics_recreated_total"),
        **{
            f"{kind}_age_seconds": _loss_age(samples, kind, now)
            for kind in ("lost", "skipped", "recreated")
        },
        "broker": _broker(samples),
        "broker_error": label(samples, "freshet_stream_broker_error_info", "error"),
        "broker_silent_seconds": total(samples, "freshet_stream_broker_silent_seconds"),
        "quarantine_waiting_seconds": total(samples, "freshet_stream_quarantine_waiting_seconds"),
        "registry_waiting_seconds": total(
            samples, "freshet_stream_schema_registry_waiting_seconds"
        ),
        "clock_offset_seconds": total(samples, "freshet_stream_clock_offset_seconds"),
        "unpurged_seconds": total(samples, "freshet_stream_unpurged_seconds"),
    }


def _problems(facts: Facts, *, clock_ahead_seconds: float) -> list[Problem]:
    """Return what is wrong though the stream works, and its clock is so far off."""
    silent = _number(facts, "broker_silent_seconds")
    waits = [] if silent else _waiting(facts, clock_ahead_seconds)
    return [*waits, *_losses(facts), *_rejections(facts), *_clocks(facts), *_erasures(facts)]


def _waiting(facts: Facts, clock_ahead_seconds: float) -> list[Problem]:
    problems = []
    without, behind = _number(facts, "shards_without_owner"), _number(facts, "behind_seconds")
    stuck, untold = _number(facts, "stuck_seconds"), _number(facts, "reflected_age_seconds")
    records = f"{_number(facts, 'behind_records'):,.0f} records wait"
    if without:
        problems.append(
            Problem(
                text=f"{without:.0f} shards have no process, and nobody reads their partitions",
                step="start another `freshet stream`, or give all topics as many partitions",
                runbook="FreshetShardsWithoutOwner",
            )
        )
    if stuck > _MOST_STUCK_SECONDS:
        problems.append(
            Problem(
                text=(
                    f"partition {facts['stuck_partition']} has applied no record for "
                    f"{duration(stuck)} though some wait ({records} in all partitions)"
                ),
                step=(
                    "look for an open transaction or a partition without a leader "
                    "(kafka-transactions.sh describe-producers, kafka-topics.sh --describe), then "
                    "at the stream's log"
                ),
                runbook="FreshetPartitionStuck",
                since_seconds=stuck,
            )
        )
    elif behind > _MOST_BEHIND_SECONDS:
        problems.append(
            Problem(
                text=f"the oldest record that waits arrived {duration(behind)} ago; {records}",
                step="see whether they get fewer; if not, start another `freshet stream`",
                runbook="FreshetGraphBehind",
                since_seconds=behind,
            )
        )
    elif (
        untold > _MOST_UNTOLD_SECONDS
        and not _number(facts, "behind_records")
        and abs(_number(facts, "clock_offset_seconds")) <= _MOST_OFFSET_SECONDS
    ):
        problems.append(_untold(untold, clock_ahead_seconds))
    return problems


def _untold(seconds: float, clock_ahead_seconds: float) -> Problem:
    # It vouches by its own clock, which only the records that it reads correct.
    is_slow = clock_ahead_seconds < -_MOST_OFFSET_SECONDS
    return Problem(
        text=f"nothing has vouched for the graph to be complete for {duration(seconds)}",
        step=(
            f"its clock is {duration(-clock_ahead_seconds)} slow, and so is what it vouches for "
            "until a record comes: mend the clock (FreshetClockOffset), and start it again"
            if is_slow
            else "the broker does not say where every partition ends: look for one without a "
            "leader (kafka-topics.sh --describe --unavailable-partitions), and for a topic that "
            "was deleted, which the stream's log names"
        ),
        runbook="FreshetGraphBehind",
        since_seconds=seconds,
    )


def _losses(facts: Facts) -> list[Problem]:
    lost, skipped = _number(facts, "records_lost"), _number(facts, "records_skipped")
    found = {
        "lost": Problem(
            text=f"{lost:,.0f} records were gone from their topics before they were read",
            step=(
                "the log names topic and offsets; publish them again from elsewhere, and make "
                "retention.ms outlast the longest standstill"
            ),
            runbook="FreshetRecordsLost",
        ),
        "skipped": Problem(
            text=f"{skipped:,.0f} records could not be unpacked and were passed over",
            step="the log names the batch and why; find its producer",
            runbook="FreshetRecordsSkipped",
        ),
        "recreated": Problem(
            text="a topic is another one than was read before, and was read from its start",
            step=(
                "the log names it; see who deleted it or cut it short, and publish again what is "
                "missing"
            ),
            runbook="FreshetTopicRecreated",
        ),
    }
    ages = {kind: facts.get(f"{kind}_age_seconds") for kind in found}
    return [
        replace(found[kind], since_seconds=age)
        for kind, age in ages.items()
        if isinstance(age, float) and age <= _TOLD_SECONDS
    ]


def quarantine_of(broker: Value) -> str:
    """Return the option of `freshet quarantine` that says where a stream's records are.

    Args:
        broker: whose records it reads, HOST:PORT[,HOST:PORT]; None: files.
    """
    return f"--kafka {broker}" if broker else "--store STORE"


def _rejections(facts: Facts) -> list[Problem]:
    came, rejected = _number(facts, "recent_messages"), _number(facts, "recent_quarantined")
    if rejected < _LEAST_REJECTED or rejected <= _MOST_REJECTED * came:
        return []
    where = quarantine_of(facts.get("broker"))
    return [
        Problem(
            text=(
                f"{rejected / came:.0%} of the {came:,.0f} messages of the last five minutes were "
                f"quarantined: {facts['quarantine_reasons']}"
            ),
            step=f"`freshet quarantine list {where} --since 10m` shows them; mend the producer, "
            f"then publish them again or `freshet quarantine replay {where}`",
            runbook="FreshetQuarantineSurge",
        )
    ]


def _clocks(facts: Facts) -> list[Problem]:
    offset = _number(facts, "clock_offset_seconds")
    if abs(offset) <= _MOST_OFFSET_SECONDS:
        return []
    where = "ahead of" if offset > 0 else "behind"
    return [
        Problem(
            text=f"the times of records in Kafka are {duration(abs(offset))} {where} its clock",
            step="compare `date` on the stream's machine, the broker and a producer; mend NTP",
            runbook="FreshetClockOffset",
        )
    ]


def _erasures(facts: Facts) -> list[Problem]:
    age = _number(facts, "unpurged_seconds")
    if age <= _MOST_UNPURGED_SECONDS:
        return []
    return [
        Problem(
            text=f"bytes of what was erased {duration(age)} ago are still there",
            step="the log has `purge failed` with the cause",
            runbook="FreshetErasedBytesStay",
            since_seconds=age,
        )
    ]


def _reasons(samples: Samples) -> str:
    """Return why messages were quarantined lately, most frequent first."""
    counts = {
        labels["reason"]: count
        for labels, count in samples.get("freshet_stream_recent_quarantined", [])
        if count
    }
    most = sorted(counts, key=lambda reason: -counts[reason])
    return ", ".join(
        f"{reason} {counts[reason]:,.0f} ({REASONS.get(reason, 'not known here')})"
        for reason in most
    )


def _worst(samples: Samples, name: str) -> tuple[str, float]:
    """Return the partition with the largest value, and that."""
    found = [
        (value, f"{labels['topic']}-{labels['partition']}")
        for labels, value in samples.get(name, [])
    ]
    value, place = max(found, default=(0.0, ""))
    return (place, value) if value else ("", 0.0)


def _broker(samples: Samples) -> str | None:
    return next(
        (labels["bootstrap"] for labels, _ in samples.get("freshet_stream_broker_up", [])), None
    )


def _loss_age(samples: Samples, kind: str, now: float) -> float | None:
    for labels, at in samples.get("freshet_stream_last_loss_timestamp_seconds", []):
        if labels["kind"] == kind and at:
            return max(now - at, 0.0)
    return None


def _number(facts: Facts, name: str) -> float:
    value = facts.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
