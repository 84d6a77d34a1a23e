"""Compares what a soak left with what it should be: graph, catalogue, quarantine."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from bench.soak.trial import NUM_PARTITIONS, Trial
from stream.reading.reader import open_graph
from testing.soak.compare import Losses, compare, counts_of_facts, counts_of_graph
from testing.soak.history import facts_of
from testing.soak.workers import run_freshet


def compare_graph(trial: Trial) -> Iterator[str]:
    """Compare with a plain build, with a rebuilt store through ``verify``, and with the
    facts themselves.
    """
    began = time.monotonic()
    events, items, plain = (
        trial.folder / "events.jsonl",
        trial.folder / "items.jsonl",
        trial.folder / "plain",
    )
    trial.history.write(events, items)
    source = ("--source", f"file:{events}", "--catalog", f"file:{items}")
    run_freshet("stream", *source, "--store", plain)
    hashes = [
        run_freshet("graph", "hash", "--store", store).strip() for store in (trial.store, plain)
    ]
    trial.add("graph hash equal", float(hashes[0] == hashes[1]), target="1", note=hashes[0][:16])
    if hashes[0] != hashes[1]:
        yield f"the graph hash is {hashes[0]}, that of a plain build {hashes[1]}"
    yield from _verify(trial, events, items)
    yield from _compare_counts(trial)
    trial.add("seconds to compare", time.monotonic() - began, "s")


def _verify(trial: Trial, events: Path, items: Path) -> Iterator[str]:
    against = ("--against", f"file:{events}", "--catalog", f"file:{items}")
    output = run_freshet(
        "verify",
        "--store",
        trial.store,
        *against,
        "--config",
        trial.config,
        "--json",
        allowed=(0, 1),
    )
    found = json.loads(output)
    trial.add(
        "verify equal", float(found["equal"]), target="1", note="sessions, edges and catalogue"
    )
    if not found["equal"]:
        yield (
            f"verify differs: {json.dumps(found['counts'])}, first "
            f"{json.dumps(found['first'])[:500]}"
        )


def _compare_counts(trial: Trial) -> Iterator[str]:
    facts = facts_of(trial.history.events)
    with open_graph(trial.store, trial.settings) as graph:
        losses = compare(counts_of_graph(graph), counts_of_facts(facts))
    trial.add(
        "events",
        len(trial.history.events),
        note=f"{len(trial.history.deliveries):,} deliveries, planned",
    )
    trial.add("distinct facts", len(facts))
    trial.add("lost", losses.num_lost, target="0", note=_by_kind(losses.lost))
    trial.add("doubled", losses.num_doubled, target="0", note=_by_kind(losses.doubled))
    yield from _losses(losses)


def _losses(losses: Losses) -> Iterator[str]:
    if losses.num_lost:
        yield f"lost: {_by_kind(losses.lost)}"
    if losses.num_doubled:
        yield f"doubled: {_by_kind(losses.doubled)}"


def _by_kind(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)


def compare_quarantine(trial: Trial) -> Iterator[str]:
    """Compare the quarantine with the malformed records that were planted."""
    found, planted = _quarantined(trial), trial.history.malformed
    note = f"{len(found & planted):,} of {len(planted):,} planted"
    trial.add("malformed and not quarantined", len(planted - found), target="0", note=note)
    trial.add("quarantined and not malformed", len(found - planted), target="0")
    if found != planted:
        yield (
            f"quarantine: {len(planted - found)} missing, {len(found - planted)} should not be "
            "there"
        )


def _quarantined(trial: Trial) -> set[bytes]:
    """Return the distinct values in the quarantine topic.

    A kill may put a record there twice.
    """
    from kafka import KafkaConsumer, TopicPartition

    topic = trial.settings.quarantine_topic
    partitions = [TopicPartition(topic, number) for number in range(NUM_PARTITIONS)]
    values: set[bytes] = set()
    with closing(
        KafkaConsumer(bootstrap_servers=trial.bootstrap, enable_auto_commit=False)
    ) as consumer:
        ends = consumer.end_offsets(partitions)
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        while any(consumer.position(each) < end for each, end in ends.items()):
            for found in consumer.poll(timeout_ms=500).values():
                values.update(message.value for message in found)
    return values
