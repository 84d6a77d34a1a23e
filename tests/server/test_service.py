"""The contract over a real socket."""

import contextlib
import functools
import inspect
import logging
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)

from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server import errors
from server.methods.failures import failure_of
from server.retrieve import RetrievalQuery
from server.service import SERVICE_NAME
from testing.overlays import overlay_rows, random_units
from testing.retrieval_server import (
    DEADLINE_SECONDS,
    Call,
    RunningServer,
    Serve,
    check_health,
    wait_until,
    watch_health,
)
from testing.small_generations import (
    DIM,
    NOW_MS,
    Artifacts,
    make_catalogue,
    some_attributes,
)

QUERIES = ["xbox 360", "halo 3", *[f"query {n}" for n in range(50)]]


def stub_of(channel: grpc.Channel) -> retrieval_grpc.RetrievalServiceStub:
    """Return the generated stub."""
    return retrieval_grpc.RetrievalServiceStub(channel)


def retrieve(server: RunningServer, query: str, k: int = 0) -> retrieval_pb.RetrieveResponse:
    """Call Retrieve over a channel of its own."""
    with grpc.insecure_channel(server.address) as channel:
        request = retrieval_pb.RetrieveRequest(query=query, k=k)
        return stub_of(channel).Retrieve(request, timeout=DEADLINE_SECONDS)


def freshness(server: RunningServer) -> retrieval_pb.GetFreshnessResponse:
    """Call GetFreshness over a channel of its own."""
    with grpc.insecure_channel(server.address) as channel:
        return stub_of(channel).GetFreshness(
            retrieval_pb.GetFreshnessRequest(), timeout=DEADLINE_SECONDS
        )


def health(server: RunningServer, service: str = "") -> int:
    """Return the status that a health check reports."""
    return check_health(server.address, service)


def is_live(server: RunningServer, generation_id: str) -> bool:
    """Whether the metrics name a generation as the live one."""
    return server.metric("freshet_server_generation_info", generation=generation_id) == 1


def test_an_answer_carries_items_and_receipt(artifacts: Artifacts, serve: Serve) -> None:
    """A known query's response holds ids, titles and scores, best first, and where they
    came from.
    """
    catalogue = make_catalogue(100, QUERIES)
    generation_id = artifacts.publish(catalogue)

    response = retrieve(serve(), "Xbox-360!", 5)

    expected = catalogue.nearest_to_query("xbox 360", 5)
    assert [hit.item_id for hit in response.hits] == [
        f"{generation_id}/{item}" for item in expected
    ]
    assert [hit.title for hit in response.hits] == [catalogue.titles[item] for item in expected]
    scores = [hit.score for hit in response.hits]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)
    assert response.query_path == retrieval_pb.QUERY_PATH_KNOWN
    assert response.normalized_query == "xbox 360"
    assert response.receipt == retrieval_pb.FreshnessReceipt(
        generation=generation_id,
        watermark_ms=NOW_MS - 60_000,
        watermark_age_seconds=60.0,
        snapshot_ms=NOW_MS - 30_000,
        snapshot_age_seconds=30.0,
        live_since_ms=NOW_MS,
    )


@pytest.mark.parametrize("query", ["xbox 360", "query 7", "nobody asked this"])
@pytest.mark.parametrize("k", [0, 5, 100])
def test_a_plain_request_has_the_answer_of_any_other(
    artifacts: Artifacts, serve: Serve, query: str, k: int
) -> None:
    """Byte for byte: one that says its number twice is read as a message."""
    artifacts.publish(make_catalogue(200, QUERIES))
    plain = retrieval_pb.RetrieveRequest(query=query, k=k).SerializeToString()
    said_twice = plain + b"\x10" + bytes([k])

    with grpc.insecure_channel(serve().address) as channel:
        ask: Any = channel.unary_unary(f"/{SERVICE_NAME}/Retrieve")
        answers = [
            ask(each, timeout=DEADLINE_SECONDS) for each in (plain, b"\x10\x01" + said_twice)
        ]

    assert answers[0] == answers[1]
    assert len(retrieval_pb.RetrieveResponse.FromString(answers[0]).hits) == (k or 10)


def test_an_unseen_query_says_so(artifacts: Artifacts, serve: Serve) -> None:
    """A query that the graph does not know is answered through the encoder, and both
    paths are counted.
    """
    artifacts.publish(make_catalogue(100, QUERIES))
    server = serve()

    assert retrieve(server, "xbox 36O").query_path == retrieval_pb.QUERY_PATH_ENCODED
    assert retrieve(server, "xbox 360").query_path == retrieval_pb.QUERY_PATH_KNOWN
    assert server.metric("freshet_server_queries_total", path="encoded") == 1
    assert server.metric("freshet_server_queries_total", path="known") == 1


def asking(server: RunningServer, request: retrieval_pb.RetrieveRequest) -> Any:
    """Call Retrieve with a message; return the response, or the error."""
    with grpc.insecure_channel(server.address) as channel:
        try:
            return stub_of(channel).Retrieve(request, timeout=DEADLINE_SECONDS)
        except grpc.RpcError as error:
            return error


def test_a_filter_says_which_items_may_be_in_the_answer(artifacts: Artifacts, serve: Serve) -> None:
    """And the answer what became of it; metrics tell of that, too."""
    catalogue = make_catalogue(100, QUERIES)
    catalogue.attributes = some_attributes(100)
    generation_id = artifacts.publish(catalogue)
    server = serve()
    wanted = [
        item
        for item in catalogue.nearest_to_query("halo 3", 100)
        if catalogue.attributes[item]["brand"] == "brand 2"
        and int(catalogue.attributes[item]["price"]) <= 6
    ]
    filter_ = retrieval_pb.Filter(
        conditions=[
            retrieval_pb.Condition(attribute="brand", equals="brand 2"),
            retrieval_pb.Condition(attribute="price", range=retrieval_pb.NumberRange(at_most=6)),
            retrieval_pb.Condition(attribute="brnad", equals="acme", negated=True),
        ],
        excluded_item_ids=[f"{generation_id}/{wanted[0]}", "nowhere"],
    )

    found = asking(server, retrieval_pb.RetrieveRequest(query="halo 3", k=50, filter=filter_))

    assert [hit.item_id for hit in found.hits] == [f"{generation_id}/{item}" for item in wanted[1:]]
    assert found.filter == retrieval_pb.FilterReport(
        num_matching=len(wanted) - 1,
        path=retrieval_pb.FILTER_PATH_EXACT,
        unknown_attributes=["brnad"],
    )
    assert not retrieve(server, "halo 3").HasField("filter")
    assert server.metric("freshet_server_filtered_total", path="exact") == 1
    assert server.metric("freshet_server_filtered_short_total") == 1
    assert server.metric("freshet_server_filter_unknown_attributes_total") == 1


def test_a_filter_that_cannot_be_answered_has_a_precise_status(
    artifacts: Artifacts, serve: Serve
) -> None:
    """Never an answer to another question, and nothing in the log."""
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()
    has_brand = retrieval_pb.Condition(attribute="brand", present=True)
    request = retrieval_pb.RetrieveRequest(
        query="halo 3", filter=retrieval_pb.Filter(conditions=[has_brand])
    )
    newer = retrieval_pb.RetrieveRequest.FromString(
        retrieval_pb.RetrieveRequest(query="halo 3").SerializeToString() + b"\x98\x06\x01"
    )
    empty = retrieval_pb.RetrieveRequest(
        query="halo 3", filter=retrieval_pb.Filter(conditions=[retrieval_pb.Condition()])
    )

    errors_ = [asking(server, each) for each in (request, newer, empty)]

    assert [error.code() for error in errors_] == [
        grpc.StatusCode.FAILED_PRECONDITION,
        grpc.StatusCode.INVALID_ARGUMENT,
        grpc.StatusCode.INVALID_ARGUMENT,
    ]
    assert "train again" in errors_[0].details()
    assert "field 99 of RetrieveRequest" in errors_[1].details()
    assert "filter.conditions[0].attribute" in errors_[2].details()


def test_k_larger_than_the_catalogue_gives_all_of_it(artifacts: Artifacts, serve: Serve) -> None:
    """There is no error in asking for more than there is."""
    artifacts.publish(make_catalogue(30, QUERIES))

    assert len(retrieve(serve(), "halo 3", 1000).hits) == 30


def test_no_k_gives_the_default(artifacts: Artifacts, serve: Serve) -> None:
    """A request without k gets as many items as the setting says."""
    artifacts.publish(make_catalogue(30, QUERIES))

    assert len(retrieve(serve(default_k=4), "halo 3").hits) == 4


@pytest.mark.parametrize(
    ("query", "k", "words"),
    [
        ("", 10, "is empty"),
        ("?!", 10, "no letter"),
        ("x" * 100_000, 10, "at most 1024"),
        ("halo 3", 1001, "from 1 to 1000"),
        ("halo 3", 2**32 - 1, "from 1 to 1000"),
    ],
)
def test_a_request_outside_the_limits_is_an_invalid_argument(
    artifacts: Artifacts, serve: Serve, query: str, k: int, words: str
) -> None:
    """The status is INVALID_ARGUMENT, its message says which limit, and it is counted
    as such.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()

    with pytest.raises(grpc.RpcError) as caught:
        retrieve(server, query, k)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert words in (caught.value.details() or "")
    server.wait_for_metric(
        1, "freshet_server_requests_total", method="Retrieve", code="INVALID_ARGUMENT"
    )


@pytest.mark.parametrize(
    "query",
    ["café crème", "игра", "カメラ", "🎮 controller", "ﬁne", "a\u0301", "İstanbul", "\u0000x"],
)
def test_any_unicode_is_answered(artifacts: Artifacts, serve: Serve, query: str) -> None:
    """Queries of any script are answered."""
    artifacts.publish(make_catalogue(30, QUERIES))

    assert len(retrieve(serve(), query, 3).hits) == 3


def test_a_server_without_a_generation_waits_for_one(artifacts: Artifacts, serve: Serve) -> None:
    """It says that it is not ready, in every way there is, and
    becomes ready by itself.
    """
    server = serve()
    with pytest.raises(grpc.RpcError) as caught:
        retrieve(server, "halo 3")
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "no generation is live yet" in (caught.value.details() or "")
    assert freshness(server) == retrieval_pb.GetFreshnessResponse(ready=False)
    assert health(server) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert health(server, SERVICE_NAME) == health_pb2.HealthCheckResponse.NOT_SERVING
    assert server.metric("freshet_server_ready") == 0

    generation_id = artifacts.publish(make_catalogue(30, QUERIES))
    wait_until(lambda: freshness(server).ready, "the server is ready")

    assert retrieve(server, "halo 3").receipt.generation == generation_id
    assert server.metric("freshet_server_ready") == 1
    assert server.metric("freshet_server_generation_info", generation=generation_id) == 1
    wait_until(
        lambda: health(server) == health_pb2.HealthCheckResponse.SERVING, "health is SERVING"
    )
    assert health(server, SERVICE_NAME) == health_pb2.HealthCheckResponse.SERVING


def test_a_waiting_server_says_why(artifacts: Artifacts, serve: Serve) -> None:
    """When the first generation to come is corrupt, the answer to a query says so."""
    server = serve()
    generation_id = artifacts.write(make_catalogue(30, QUERIES))
    artifacts.damage(generation_id)
    artifacts.use(generation_id)
    wait_until(lambda: freshness(server).last_refusal, "the generation is refused")

    with pytest.raises(grpc.RpcError) as caught:
        retrieve(server, "halo 3")

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "sha256" in (caught.value.details() or "")


def test_freshness_says_what_is_served(artifacts: Artifacts, serve: Serve) -> None:
    """GetFreshness has the receipt and the sizes of the live generation."""
    generation_id = artifacts.publish(make_catalogue(30, QUERIES))

    answer = freshness(serve())

    assert answer.ready
    assert answer.receipt.generation == generation_id
    assert (answer.num_items, answer.num_queries) == (30, len(QUERIES))
    assert answer.last_refusal == ""


def test_a_corrupt_generation_is_refused_while_the_old_one_answers(
    artifacts: Artifacts, serve: Serve
) -> None:
    """The old generation goes on answering, and the refusal is seen in GetFreshness and
    the metrics.
    """
    first = artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()
    second = artifacts.write(make_catalogue(40, QUERIES))
    artifacts.damage(second)
    artifacts.use(second)
    wait_until(lambda: freshness(server).last_refusal, "the generation is refused")

    assert second in freshness(server).last_refusal
    assert server.metric("freshet_server_swap_refused_total", reason="corrupt") == 1
    assert retrieve(server, "halo 3").receipt.generation == first
    assert health(server) == health_pb2.HealthCheckResponse.SERVING


def test_a_pruned_generation_goes_on_answering(artifacts: Artifacts, serve: Serve) -> None:
    """A live generation whose folder is deleted stays whole until it is swapped out."""
    catalogue = make_catalogue(300, QUERIES)
    first = artifacts.publish(catalogue)
    server = serve()
    shutil.rmtree(artifacts.store.generation_path(first))

    for query in QUERIES:
        expected = [f"{first}/{item}" for item in catalogue.nearest_to_query(query, 10)]
        assert [hit.item_id for hit in retrieve(server, query, 10).hits] == expected


def test_swaps_under_continuous_requests(artifacts: Artifacts, serve: Serve) -> None:
    """Through many swaps, old folders deleted behind them, each answer is whole and of
    one generation.
    """
    catalogues = [make_catalogue(200 + 10 * n, QUERIES, seed=n) for n in range(4)]
    expected: dict[str, dict[str, list[str]]] = {}

    def publish(number: int) -> str:
        catalogue = catalogues[number % len(catalogues)]
        generation_id = artifacts.write(catalogue)
        expected[generation_id] = {
            query: [f"{generation_id}/{item}" for item in catalogue.nearest_to_query(query, 10)]
            for query in QUERIES
        }
        artifacts.use(generation_id)
        return generation_id

    previous = publish(0)
    server = serve(num_threads=4)
    done = threading.Event()

    def ask() -> set[str]:
        seen: set[str] = set()
        with grpc.insecure_channel(server.address) as channel:
            stub = stub_of(channel)
            while not done.is_set():
                for query in QUERIES:
                    request = retrieval_pb.RetrieveRequest(query=query, k=10)
                    response = stub.Retrieve(request, timeout=DEADLINE_SECONDS)
                    generation_id = response.receipt.generation
                    assert [hit.item_id for hit in response.hits] == expected[generation_id][query]
                    seen.add(generation_id)
        return seen

    with ThreadPoolExecutor(4) as pool:
        askers = [pool.submit(ask) for _ in range(4)]
        try:
            for number in range(1, 9):
                newest = publish(number)
                wait_until(functools.partial(is_live, server, newest), "the swap is done")
                artifacts.store.remove(previous)
                previous = newest
        finally:
            done.set()
        seen = set().union(*(asker.result() for asker in askers))

    assert len(seen) >= 5
    assert server.metric("freshet_server_swaps_total") == 9
    wait_until(
        lambda: (
            server.metric("freshet_server_request_seconds_count", method="Retrieve")
            == server.metric("freshet_server_requests_total", method="Retrieve", code="OK")
        ),
        "as many calls are timed as are counted",
    )


def test_an_unexpected_error_keeps_its_traceback_to_itself(
    artifacts: Artifacts,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug is INTERNAL with an id for the client, and a traceback under that id in the
    log.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()

    def fail(*_: object) -> None:
        raise ZeroDivisionError("the secret cause")

    monkeypatch.setattr("server.service.retrieve", fail)
    with caplog.at_level(logging.ERROR), pytest.raises(grpc.RpcError) as caught:
        retrieve(server, "halo 3")

    details = caught.value.details() or ""
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in details
    error_id = details.rpartition("error_id=")[2]
    (record,) = [record for record in caplog.records if "request_failed" in record.message]
    assert error_id
    assert error_id in record.message
    assert record.exc_info
    server.wait_for_metric(1, "freshet_server_requests_total", method="Retrieve", code="INTERNAL")


def test_an_answer_that_cannot_be_written_ends_its_call(
    artifacts: Artifacts,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A bug behind the methods is INTERNAL, too; its client waits for nothing, and the
    thread answers the next call.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()

    with monkeypatch.context() as patched:
        patched.setattr("server.service.response_bytes", lambda *_: "no bytes")
        with caplog.at_level(logging.ERROR), pytest.raises(grpc.RpcError) as caught:
            retrieve(server, "halo 3")

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "answer_failed method=Retrieve" in caplog.text
    assert retrieve(server, "halo 3").hits


def test_reflection_lists_the_services(artifacts: Artifacts, serve: Serve) -> None:
    """A generic client can find out what the server offers, and the shape of its
    messages.
    """
    server = serve()
    with grpc.insecure_channel(server.address) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        services = set(database.get_services())
        file = database.FindFileContainingSymbol(SERVICE_NAME)

    assert services >= {SERVICE_NAME, "grpc.health.v1.Health"}
    assert "RetrieveRequest" in [message.name for message in file.message_type]


def test_idle_streams_do_not_starve_requests(artifacts: Artifacts, serve: Serve) -> None:
    """Clients that keep reflection and health streams open hold no thread that answers
    requests or checks.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(num_threads=1)
    release = threading.Event()

    def silent() -> Iterator[bytes]:
        release.wait(DEADLINE_SECONDS)
        yield from ()

    with grpc.insecure_channel(server.address) as channel:
        open_stream: Call = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
        )
        streams = [open_stream(silent()) for _ in range(3)]
        watch = watch_health(channel)
        assert next(watch).status == health_pb2.HealthCheckResponse.SERVING

        assert len(retrieve(server, "halo 3", 3).hits) == 3
        assert health(server) == health_pb2.HealthCheckResponse.SERVING

        release.set()
        watch.cancel()
        for stream in streams:
            stream.cancel()


def test_a_plain_request_of_an_idle_server_wakes_no_thread(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is answered where it comes; another has a thread of the door's, and so has a
    plain one while that is at work.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(num_threads=2)
    threads: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def answered(query: RetrievalQuery, *_: object) -> retrieval_pb.RetrieveResponse:
        threads.append(threading.current_thread().name)
        if len(threads) == 2:
            entered.set()
            release.wait(DEADLINE_SECONDS)
        return retrieval_pb.RetrieveResponse(normalized_query=query.query)

    monkeypatch.setattr("server.service.response_bytes", answered)
    plain = retrieval_pb.RetrieveRequest(query="halo 3")
    with grpc.insecure_channel(server.address) as channel:
        stub = stub_of(channel)
        stub.Retrieve(plain, timeout=DEADLINE_SECONDS)
        other = stub.Retrieve.future(
            retrieval_pb.RetrieveRequest(query="Halo 3"), timeout=DEADLINE_SECONDS
        )
        assert entered.wait(DEADLINE_SECONDS)
        stub.Retrieve(plain, timeout=DEADLINE_SECONDS)
        release.set()
        assert other.result().normalized_query == "halo 3"

    assert [name.startswith("grpc_") for name in threads] == [False, True, True]


@pytest.mark.parametrize("query", ["halo 3", "Halo 3"], ids=["gRPC's own", "the door's"])
def test_a_health_check_does_not_wait_behind_requests(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch, query: str
) -> None:
    """While every request thread is busy, a health check is answered; so it is while
    a plain request keeps the thread that takes all calls.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(num_threads=1)
    entered, release = threading.Event(), threading.Event()

    def block(*_: object) -> retrieval_pb.RetrieveResponse:
        entered.set()
        release.wait(DEADLINE_SECONDS)
        return retrieval_pb.RetrieveResponse()

    monkeypatch.setattr("server.service.response_bytes", block)
    with grpc.insecure_channel(server.address) as channel:
        request = retrieval_pb.RetrieveRequest(query=query)
        under_way = stub_of(channel).Retrieve.future(request, timeout=DEADLINE_SECONDS)
        assert entered.wait(DEADLINE_SECONDS)

        assert health(server) == health_pb2.HealthCheckResponse.SERVING
        assert not under_way.done()
        release.set()
        under_way.result()


def test_a_flood_is_turned_away_not_queued(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request that would wait for too long is told so, with when to try again, and
    those under way are answered.
    """
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(num_threads=1, wait_seconds=0.05)
    entered, release = threading.Event(), threading.Event()
    answer = retrieval_pb.RetrieveResponse()

    def block(*_: object) -> retrieval_pb.RetrieveResponse:
        entered.set()
        release.wait(DEADLINE_SECONDS)
        return answer

    monkeypatch.setattr("server.service.response_bytes", block)
    with grpc.insecure_channel(server.address) as channel:
        # Not as plain as what is answered without a turn.
        request = retrieval_pb.RetrieveRequest(query="Halo 3", k=1)
        under_way = stub_of(channel).Retrieve.future(request, timeout=DEADLINE_SECONDS)
        assert entered.wait(DEADLINE_SECONDS)

        with pytest.raises(grpc.RpcError) as caught:
            stub_of(channel).Retrieve(request, timeout=DEADLINE_SECONDS)
        release.set()

        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        found: list[object] = [tuple(entry) for entry in caught.value.trailing_metadata() or ()]  # type: ignore[arg-type]  # pairs
        assert ("grpc-retry-pushback-ms", "200") in found
        assert server.metric("freshet_server_calls_refused_total", reason="overload") == 1
        assert under_way.result() == answer


def test_a_request_given_up_in_the_queue_costs_nothing(
    artifacts: Artifacts, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A request whose client left while it waited for a thread is not worked on."""
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve(num_threads=1)
    entered, release = threading.Event(), threading.Event()
    worked_on: list[str] = []

    def block(query: RetrievalQuery, *_: object) -> retrieval_pb.RetrieveResponse:
        worked_on.append(query.query)
        entered.set()
        release.wait(DEADLINE_SECONDS)
        return retrieval_pb.RetrieveResponse()

    monkeypatch.setattr("server.service.response_bytes", block)
    with grpc.insecure_channel(server.address) as channel:
        stub = stub_of(channel)
        first = stub.Retrieve.future(
            retrieval_pb.RetrieveRequest(query="Halo 3"), timeout=DEADLINE_SECONDS
        )
        assert entered.wait(DEADLINE_SECONDS)
        given_up = stub.Retrieve.future(
            retrieval_pb.RetrieveRequest(query="given up"), timeout=DEADLINE_SECONDS
        )
        server.wait_for_metric(2, "freshet_server_open_calls")
        given_up.cancel()
        # The server learns of it a moment after the caller.
        server.wait_for_metric(1, "freshet_server_open_calls")
        release.set()
        first.result()

        stub.Retrieve(retrieval_pb.RetrieveRequest(query="next"), timeout=DEADLINE_SECONDS)
    assert worked_on == ["halo 3", "next"]


def test_every_error_names_a_status() -> None:
    """The status of each of the server's errors is one that gRPC knows, and the client
    is told why only where it can do something about it.
    """
    kinds = [
        kind
        for kind in vars(errors).values()
        if inspect.isclass(kind) and issubclass(kind, errors.ServerError)
    ]

    for kind in kinds:
        failure = failure_of(kind("the reason"), "Retrieve")
        assert failure.code is grpc.StatusCode[kind.status]
        is_internal = failure.code is grpc.StatusCode.INTERNAL
        assert (failure.message == "the reason") == (not is_internal)
    assert {errors.QueryRefused, errors.NoGeneration, errors.CanaryFailed} <= set(kinds)


def publish_overlay(artifacts: Artifacts, generation_id: str, reflected_ms: int) -> None:
    """Write an overlay with one item, one query and one deletion."""
    folder = OverlayFolder.of(artifacts.root)
    publisher = OverlayPublisher(
        folder, generation_id, DIM, GoneList(folder.gone_path), clock_ms=lambda: NOW_MS - 500
    )
    vector = random_units(np.random.default_rng(5), 1, DIM)[0]
    publisher.publish(
        overlay_rows(
            DIM,
            items={"new": vector},
            queries={"brand new": vector},
            gone_items=[f"{generation_id}/3"],
        ),
        Claim(
            reflected_ms=reflected_ms,
            catalog_reflected_ms=reflected_ms + 700,
            watermark_ms=NOW_MS - 1_000,
        ),
    )


def reflected_of(error: grpc.RpcError) -> int:
    """Return how fresh an answer could be, from the metadata of an error."""
    metadata = {entry.key: entry.value for entry in error.trailing_metadata()}
    return int(metadata["freshet-reflected-ms"])


def ask(server: RunningServer, **limits: float) -> retrieval_pb.RetrieveResponse:
    """Ask for an answer at least so fresh."""
    wanted = retrieval_pb.MinFreshness(**limits)  # type: ignore[arg-type]
    request = retrieval_pb.RetrieveRequest(query="brand new", min_freshness=wanted)
    with grpc.insecure_channel(server.address) as channel:
        return stub_of(channel).Retrieve(request, timeout=DEADLINE_SECONDS)


def test_an_answer_from_the_overlay_says_so(artifacts: Artifacts, serve: Serve) -> None:
    """The item that is new since the training, the query's path, and the receipt."""
    publish_overlay(artifacts, artifacts.publish(make_catalogue(30, QUERIES)), NOW_MS - 1_500)
    server = serve()

    response = retrieve(server, "brand new", 3)

    assert (response.hits[0].item_id, response.hits[0].title) == ("new", "new new")
    assert response.query_path == retrieval_pb.QUERY_PATH_FRESH
    receipt = response.receipt
    assert (receipt.overlay_sequence, receipt.reflected_ms) == (1, NOW_MS - 1_500)
    assert receipt.age_seconds == 1.5
    assert receipt.catalog_reflected_ms == NOW_MS - 800
    assert (receipt.watermark_ms, receipt.watermark_age_seconds) == (NOW_MS - 1_000, 1.0)
    assert server.metric("freshet_server_overlay_age_seconds") == 1.5
    assert server.metric("freshet_server_overlay_silence_seconds") == 0.5
    assert server.metric("freshet_server_answers_total", freshness="fresh") == 1
    assert server.metric("freshet_server_hits_total", source="overlay") == 1
    assert server.metric("freshet_server_hits_total", source="generation") == 2
    state = freshness(server).overlay
    assert (state.sequence, state.num_items, state.num_queries, state.num_gone_items) == (
        1,
        1,
        1,
        1,
    )
    assert (state.behind, state.last_refusal, state.pending_generation) == ("", "", "")
    assert state.written_ms == NOW_MS - 500


def test_an_answer_as_fresh_as_wanted_is_given(artifacts: Artifacts, serve: Serve) -> None:
    """At the bound, too."""
    publish_overlay(artifacts, artifacts.publish(make_catalogue(30, QUERIES)), NOW_MS - 1_500)
    server = serve()

    for limits in ({"reflected_ms": NOW_MS - 1_500}, {"max_age_seconds": 1.5}, {"reflected_ms": 0}):
        assert ask(server, **limits).receipt.reflected_ms == NOW_MS - 1_500


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        ({"reflected_ms": NOW_MS - 1_499}, r"0\.0 s short"),
        ({"reflected_ms": NOW_MS + 500}, r"2\.0 s short"),
        ({"max_age_seconds": 1.4}, r"is 1\.5 s old, the request wants 1\.4 s at most"),
    ],
)
def test_an_answer_that_would_be_older_is_refused_with_how_fresh_it_is(
    artifacts: Artifacts, serve: Serve, limits: dict[str, float], words: str
) -> None:
    """FAILED_PRECONDITION, in words and as metadata."""
    publish_overlay(artifacts, artifacts.publish(make_catalogue(30, QUERIES)), NOW_MS - 1_500)
    server = serve()

    with pytest.raises(grpc.RpcError, match=words) as caught:
        ask(server, **limits)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reflected_of(caught.value) == NOW_MS - 1_500
    labels = {"method": "Retrieve", "code": "FAILED_PRECONDITION"}
    server.wait_for_metric(1, "freshet_server_requests_total", **labels)


@pytest.mark.parametrize("limits", [{"reflected_ms": 1}, {"max_age_seconds": 1e9}])
def test_nothing_is_promised_where_no_refresher_runs(
    artifacts: Artifacts, serve: Serve, limits: dict[str, float]
) -> None:
    """The age of an answer is not known, so none is young enough."""
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()

    with pytest.raises(grpc.RpcError, match=r"nothing says|nobody knows") as caught:
        ask(server, **limits)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert reflected_of(caught.value) == 0
    assert "run freshet refresh" in freshness(server).overlay.behind


@pytest.mark.parametrize(
    "limits", [{"reflected_ms": -1}, {"max_age_seconds": 0.0}, {"max_age_seconds": float("nan")}]
)
def test_what_no_answer_can_be_is_an_invalid_argument(
    artifacts: Artifacts, serve: Serve, limits: dict[str, float]
) -> None:
    """It would never be answered."""
    artifacts.publish(make_catalogue(30, QUERIES))

    with pytest.raises(grpc.RpcError, match="min_freshness") as caught:
        ask(serve(), **limits)

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_refresher_that_says_nothing_is_told(artifacts: Artifacts, serve: Serve) -> None:
    """What it said last is not repeated as if it were news."""
    publish_overlay(artifacts, artifacts.publish(make_catalogue(30, QUERIES)), NOW_MS - 1_500)

    behind = freshness(serve(overlay_silent_seconds=0.4)).overlay.behind

    assert "the refresher has said nothing for" in behind


def test_what_is_asked_most_is_told(artifacts: Artifacts, serve: Serve) -> None:
    """As normalised; refused queries are not counted."""
    artifacts.publish(make_catalogue(30, QUERIES))
    server = serve()
    for query in ("Halo 3", "halo-3", "lamp", "?!"):
        with contextlib.suppress(grpc.RpcError):
            retrieve(server, query)

    with grpc.insecure_channel(server.address) as channel:
        response = stub_of(channel).GetAsked(
            retrieval_pb.GetAskedRequest(limit=5), timeout=DEADLINE_SECONDS
        )

    asked = [(each.query, each.count) for each in response.queries]
    assert asked == [("halo 3", 2), ("lamp", 1)]
    assert response.window_seconds > 0
