"""One click's trace, from its record in a real Kafka to the answer that knows it."""

import json
import time
from itertools import pairwise
from pathlib import Path

import pytest
from kafka import KafkaProducer

from freshet.probe import read_metrics, total
from freshet.shop import feed
from freshet.shop.shop import Shop
from freshet_client import RetrievalClient
from stream.traces.context import TraceContext
from stream.traces.tracer import Fan, Stage
from testing.monitoring.otlp_receiver import otlp_receiver
from tests.e2e.conftest import System

_PRODUCER = TraceContext("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7")
_OTHER = TraceContext("5bf92f3577b34da6a3ce929d0e0e4736", "10f067aa0ba902b7")


def test_a_click_is_followed_to_the_first_answer_that_knows_it(
    kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Consumed, applied, published, served, answered, in this order, each a child of
    the producer's span; what took it along links to it; a click whose producer does not
    sample has none.
    """
    with otlp_receiver() as receiver:
        monkeypatch.setenv("FRESHET_TELEMETRY_OTLP_ENDPOINT", f"http://{receiver.address}")
        monkeypatch.setenv("FRESHET_TELEMETRY_METRICS_EVERY_SECONDS", "1")
        system = System(tmp_path, kafka_bootstrap)
        try:
            query, item = _start(system)
            _publish(system, query, item, _PRODUCER.header)
            _publish(system, query, item, _OTHER.header[:-2] + "00")
            with RetrievalClient(system.target, timeout_seconds=60.0, retry=None) as client:

                def has_answer() -> bool:
                    client.retrieve(query, 5)
                    names = {span.name for span in receiver.trace(_PRODUCER.trace_id)}
                    return names == set(Stage)  # each process sends its own, when it likes

                system.until(has_answer, "the trace reaches an answer")
            system.until(
                lambda: receiver.metric("freshet-server", "freshet_server_answers"),
                "the metrics of the server",
            )
        finally:
            system.stop_all()
    spans = receiver.trace(_PRODUCER.trace_id)

    assert [span.name for span in spans] == list(Stage)
    assert [span.service for span in spans] == [
        *("freshet-stream", "freshet-stream", "freshet-refresher"),
        *("freshet-server", "freshet-server"),
    ]
    assert {span.parent_id for span in spans} == {_PRODUCER.span_id}
    assert all(one.end_ns <= two.begin_ns for one, two in pairwise(spans))
    assert all(span.begin_ns <= span.end_ns for span in spans)
    for fan in Fan:
        assert any(_PRODUCER.trace_id in span.links for span in receiver.spans(fan)), fan
    assert receiver.trace(_OTHER.trace_id) == []


def test_each_worker_of_a_server_says_when_it_answers(
    kafka_bootstrap: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers answer at one address, and send the last two spans themselves; the
    metrics of all are sent once.
    """
    with otlp_receiver() as receiver:
        monkeypatch.setenv("FRESHET_TELEMETRY_OTLP_ENDPOINT", f"http://{receiver.address}")
        system = System(tmp_path, kafka_bootstrap)

        def said(stage: Stage) -> int:
            return sum(span.name == stage for span in receiver.trace(_PRODUCER.trace_id))

        def is_answered_by_both() -> bool:
            # A new connection, so that the other worker may take it.
            with RetrievalClient(system.target, timeout_seconds=60.0, retry=None) as client:
                client.retrieve(query, 5)
            return said(Stage.ANSWER) == 2

        try:
            query, item = _start(system, "--workers", "2")
            _publish(system, query, item, _PRODUCER.header)
            system.until(is_answered_by_both, "both workers have answered")
        finally:
            system.stop_all()
    spans = receiver.trace(_PRODUCER.trace_id)

    assert said(Stage.SERVE) == 2
    assert {span.parent_id for span in spans} == {_PRODUCER.span_id}
    assert {span.service for span in spans if span.name == Stage.ANSWER} == {"freshet-server"}


def _start(system: System, *serve: str) -> tuple[str, str]:
    """Let all processes run over a shop with one generation; return a query and an item
    of it.
    """
    feed.write_history(Shop(7, 100), 2_000, system.root)
    events, items = system.root / "events.jsonl", system.root / "items.jsonl"
    metrics = system.start_stream()
    system.publish(events, items)

    def is_caught_up() -> bool:
        try:
            samples = read_metrics(metrics)
        except OSError:
            return False
        behind = total(samples, "freshet_stream_behind_records")
        return bool(total(samples, "freshet_stream_events_total")) and behind == 0

    system.until(is_caught_up, "the stream applies the history")
    store, artifacts = ("--store", system.store), ("--artifacts", system.artifacts)
    system.run("train", *store, *artifacts, "--budget", "20s")
    system.start("server", "serve", *artifacts, "--listen", system.target, *serve)
    system.start("refresher", "refresh", *store, *artifacts, "--every", "0.3s")
    with RetrievalClient(system.target, timeout_seconds=60.0, retry=None) as client:
        client.wait_until_ready(120.0)

        def is_fresh() -> bool:
            receipt = client.freshness().receipt
            return receipt is not None and receipt.reflected_ms > 0

        system.until(is_fresh, "a refresher speaks for the answers")
    clicks = map(json.loads, events.read_text().splitlines())
    click = next(each for each in clicks if each.get("query"))
    return click["query"], click["item_id"]


def _publish(system: System, query: str, item: str, traceparent: str) -> None:
    """Publish one click as a traced producer does."""
    session = f"traced-{traceparent}"
    click = {
        "ts_ms": round(time.time() * 1000),
        "type": "search_click",
        "session_id": session,
        "user_id": session,
        "query": query,
        "item_id": item,
    }
    producer = KafkaProducer(bootstrap_servers=system.bootstrap)
    producer.send(
        system._environment["FRESHET_STREAM_CLICKS_TOPIC"],
        key=session.encode(),
        value=json.dumps(click).encode(),
        headers=[("content-type", b"application/json"), ("traceparent", traceparent.encode())],
    )
    producer.close()
