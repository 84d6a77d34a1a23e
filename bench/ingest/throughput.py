"""Polling against applying: single events, with malformed ones, batches, a file; in
frames of a schema registry, over TLS with a password.
"""

from base64 import b64encode
from collections.abc import Mapping
from operator import itemgetter
from typing import Any

import msgspec

from bench.ingest.topics import end_offset, publish, publish_framed, publish_with_bad
from bench.ingest.workbench import Workbench
from deploy.kafka.broker import LocalBroker
from deploy.kafka.secured import secured_listeners
from protos import events_v1_pb2 as pb
from stream.events.types import Interaction
from stream.reading.reader import open_graph
from stream.settings import KAFKA_CLIENTS, StreamSettings

_BATCHED = 64  # events in a record: what the target of 150,000 events a CPU-second is stated for
_CPU = itemgetter("cpu_seconds")


def measure_throughput(bench: Workbench) -> None:
    """Poll and apply single events, with and without malformed ones among them, then
    batches, then a file.
    """
    single = publish(bench, batch_size=1)
    poll = bench.add_rate(
        "poll only, single events", _poll(bench, single, bench.num_events), bench.num_events
    )
    clean, mixed = _clean_and_mixed(bench, single, publish_with_bad(bench))
    applied = bench.add_rate("applied, single events", clean, bench.num_events)
    bench.add("applied / poll only, single events", applied / poll, "x", target=">= 0.5")
    rate = bench.add_rate("applied, 1% malformed mixed in", mixed, bench.num_events)
    bench.add(
        "1% malformed / clean", rate / applied, "x", target=">= 0.95", note="the better of two each"
    )
    _measure_batches(bench)
    _measure_file(bench)


def _clean_and_mixed(
    bench: Workbench, single: str, bad: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Apply both topics in turn, twice, and return what was cheaper.

    One run differs by more than 5%.
    """
    num_mixed = end_offset(bench, bad)
    clean, mixed = [], []
    for turn in (1, 2):
        clean.append(
            bench.run("stream", **bench.stream_arguments(single, bench.num_events, f"clean {turn}"))
        )
        mixed.append(bench.run("stream", **bench.stream_arguments(bad, num_mixed, f"mixed {turn}")))
        _check_same_graph(bench, f"mixed {turn}")
    planted, quarantined = num_mixed - bench.num_events, mixed[0]["quarantined"]
    note = f"{planted:,} planted, {quarantined:,} quarantined"
    bench.add(
        "malformed and not quarantined", planted - quarantined, "events", target="0", note=note
    )
    bench.add("good and lost", bench.num_events - mixed[0]["events"], "events", target="0")
    return min(clean, key=_CPU), min(mixed, key=_CPU)


def measure_registry(bench: Workbench) -> None:
    """Apply single events plain and in the frames of a schema registry, in turn."""
    from testing.stand_ins.schema_registry import schema_registry

    plain = publish(bench, batch_size=1)
    descriptor = b64encode(pb.DESCRIPTOR.serialized_pb).decode()
    with schema_registry() as registry:
        framed = publish_framed(bench, registry.register("events", "PROTOBUF", descriptor))
        found = _in_turn(
            bench,
            {
                name: {"topic": topic, "more": {"schema_registry_url": registry.url}}
                for name, topic in (("plain", plain), ("framed", framed))
            },
        )
    rates = {
        name: bench.add_rate(f"applied, {name}", result, bench.num_events)
        for name, result in found.items()
    }
    bench.add(
        "registry-framed / plain protobuf", rates["framed"] / rates["plain"], "x", target=">= 0.9"
    )


def measure_secured(bench: Workbench) -> None:
    """Apply single events in plain text and over TLS with a password (SCRAM), by each
    client in turn, twice; of each what was cheaper.

    From a broker of its own: whoever brings one has no such listener.
    """
    listeners = secured_listeners(bench.folder)
    with LocalBroker(secured=listeners) as broker, bench.on(broker.bootstrap):
        topic = publish(bench, batch_size=1)
        places = {
            "in plain text": (broker.bootstrap, {}),
            "TLS and SCRAM": (broker.secured_bootstraps["BOTH"], listeners.access("SASL_SSL")),
        }
        for client in KAFKA_CLIENTS:
            ways = {
                f"{client}, {name}": {
                    "topic": topic,
                    "bootstrap": bootstrap,
                    "more": {"kafka_client": client, **access},
                }
                for name, (bootstrap, access) in places.items()
            }
            plain, secured = (
                bench.add_rate(f"applied, {name}", result, bench.num_events)
                for name, result in _in_turn(bench, ways).items()
            )
            bench.add(
                f"TLS and SCRAM / plain text, {client}", secured / plain, "x", target=">= 0.8"
            )


def _in_turn(
    bench: Workbench, ways: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, Any]]:
    """Apply topics of the run's events in several ways in turn, twice, and return what
    was cheaper of each: one run differs by more than 5%.

    Args:
        bench: whose events, once each in every topic.
        ways: by name, the topic and whatever differs from the part's arguments.
    """
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
    stores = [(name, f"{name} {turn}") for turn in (1, 2) for name in ways]
    for name, store in stores:
        arguments = bench.stream_arguments(str(ways[name]["topic"]), bench.num_events, store)
        found[name].append(bench.run("stream", **{**arguments, **ways[name]}))
        _check_same_graph(bench, store, stores[0][1])
    return {name: min(results, key=_CPU) for name, results in found.items()}


def _measure_batches(bench: Workbench) -> None:
    topic = publish(bench, batch_size=_BATCHED)
    num_records = end_offset(bench, topic)
    poll = bench.add_rate(
        "poll only, batches of 64", _poll(bench, topic, num_records), bench.num_events
    )
    applied = bench.run("stream", **bench.stream_arguments(topic, num_records, "batches"))
    rate = bench.add_rate("applied, batches of 64", applied, bench.num_events, target=">= 150,000")
    bench.add("applied / poll only, batches of 64", rate / poll, "x")
    _check_same_graph(bench, "batches")


def _measure_file(bench: Workbench) -> None:
    path = bench.folder / "events.jsonl"
    with path.open("wb") as out:
        out.writelines(_json_line(event) for event in bench.events())
    applied = bench.run(
        "files", path=str(path), num_records=bench.num_events, store=str(bench.store("file"))
    )
    bench.add_rate("applied, a file of JSON lines", applied, bench.num_events)
    _check_same_graph(bench, "file")


def _poll(bench: Workbench, topic: str, num_records: int) -> dict[str, Any]:
    return bench.run("poll", bootstrap=bench.bootstrap, topic=topic, num_records=num_records)


def _check_same_graph(bench: Workbench, store: str, first: str = "clean 1") -> None:
    """End the run where the same events did not make the same graph."""
    hashes = {}
    for name in (first, store):
        with open_graph(bench.store(name), StreamSettings()) as graph:
            hashes[name] = graph.graph_hash()
    if len(set(hashes.values())) > 1:
        raise SystemExit(f"the same events made different graphs: {hashes}")


def _json_line(event: Interaction) -> bytes:
    fields = {"type": event.action.label, "query": event.query or None}
    fields |= {"session_id": event.session_id, "user_id": event.user_id, "item_id": event.item_id}
    return msgspec.json.encode({"ts_ms": event.ts_ms, **fields}) + b"\n"
