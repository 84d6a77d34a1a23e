"""The client: our own types, and one clear line for each thing that can go wrong."""

import json
import math
import socket
from collections.abc import Callable

import grpc
import numpy as np
import pytest

from freshet_client import (
    AnyOf,
    CallFailed,
    ClientError,
    Condition,
    Context,
    DeadlineExceeded,
    Equals,
    Filter,
    FilterPath,
    FilterReport,
    Freshness,
    GroupBy,
    Has,
    InRange,
    NoGeneration,
    Not,
    NotFreshEnough,
    Query,
    QueryPath,
    QueryRefused,
    RetrievalClient,
    ServerBusy,
    ServerUnreachable,
    SettingsInvalid,
    parse_condition,
)
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import GoneList
from model.artifact.overlay.publisher import OverlayPublisher
from model.artifact.overlay.segment import Claim
from model.context import ContextWeights
from testing.overlays import overlay_rows, random_units
from testing.retrieval_server import DEADLINE_SECONDS, Serve
from testing.small_generations import (
    DIM,
    NOW_MS,
    Artifacts,
    make_catalogue,
    some_attributes,
)


def test_an_answer_comes_in_our_own_types(artifacts: Artifacts, serve: Serve) -> None:
    """Hits, receipt, path and normalised query arrive as the server made them."""
    catalogue = make_catalogue(50, ["desk lamp"])
    generation_id = artifacts.publish(catalogue)

    with serve().client() as client:
        answer = client.retrieve("Desk Lamp!", 3)
        unseen = client.retrieve("unseen")

    expected = catalogue.nearest_to_query("desk lamp", 3)
    assert [hit.item_id for hit in answer.hits] == [f"{generation_id}/{item}" for item in expected]
    assert [hit.title for hit in answer.hits] == [catalogue.titles[item] for item in expected]
    assert answer.receipt.generation == generation_id
    assert answer.receipt.watermark_age_seconds == 60.0
    assert (answer.path, answer.normalized_query) == (QueryPath.KNOWN, "desk lamp")
    assert (unseen.path, len(unseen.hits)) == (QueryPath.ENCODED, 10)


def test_only_the_fields_that_are_wanted_come(artifacts: Artifacts, serve: Serve) -> None:
    """Of one query, as JSON, and of each in a batch, which has its receipt all the
    same.
    """
    catalogue = make_catalogue(50, ["desk lamp"])
    generation_id = artifacts.publish(catalogue)
    ids = [f"{generation_id}/{item}" for item in catalogue.nearest_to_query("desk lamp", 3)]
    mask = ("hits.item_id", "query_path")

    with serve().client() as client:
        answer = client.retrieve("desk lamp", 3, field_mask=mask)
        document = json.loads(client.retrieve_json("desk lamp", 3, field_mask=["hits.score"]))
        batch = client.retrieve_batch(["desk lamp", Query(query="desk lamp", field_mask=mask)], k=3)
        with pytest.raises(QueryRefused, match="no such field"):
            client.retrieve("desk lamp", field_mask=["hits.colour"])
        with pytest.raises(QueryRefused, match="give a list"):
            client.retrieve("desk lamp", field_mask="hits.item_id")

    assert [(hit.item_id, hit.title, hit.score) for hit in answer.hits] == [
        (item_id, "", 0.0) for item_id in ids
    ]
    assert (answer.path, answer.normalized_query) == (QueryPath.KNOWN, "")
    assert answer.receipt.generation == ""
    assert [(hit["item_id"], hit["score"] > 0) for hit in document["hits"]] == [("", True)] * 3
    whole, less = batch
    assert [hit.title for hit in whole.hits] != [""] * 3
    assert [(hit.item_id, hit.title) for hit in less.hits] == [(item_id, "") for item_id in ids]
    assert less.receipt == batch.receipt
    assert less.receipt.generation == generation_id


def test_a_session_arrives(artifacts: Artifacts, serve: Serve) -> None:
    """Its items and queries shift the answer, and the answer says how many did."""
    catalogue = make_catalogue(50, ["desk lamp", "bulb"])
    catalogue.context_weights = ContextWeights(items=3.0, queries=1.0)
    generation_id = artifacts.publish(catalogue)
    session = Context(item_ids=["nobody's", f"{generation_id}/7"], queries=["Bulb!"])

    with serve().client() as client:
        alone = client.retrieve("desk lamp", 3)
        answer = client.retrieve("desk lamp", 3, context=session)
        as_json = json.loads(client.retrieve_json("desk lamp", 3, context=session))

    assert (alone.context_members, answer.context_members) == (0, 2)
    assert answer.hits[0].item_id == f"{generation_id}/7"
    assert answer.hits != alone.hits
    assert as_json["context_members"] == 2


def test_a_filter_arrives(artifacts: Artifacts, serve: Serve) -> None:
    """Every kind of condition, and what became of it."""
    catalogue = make_catalogue(60, ["desk lamp"])
    catalogue.attributes = some_attributes(60)
    generation_id = artifacts.publish(catalogue)
    first, *others = [
        f"{generation_id}/{item}"
        for item in catalogue.nearest_to_query("desk lamp", 60)
        if catalogue.attributes[item]["brand"] in ("brand 1", "brand 2")
        and 2 < int(catalogue.attributes[item]["price"]) <= 9
        and catalogue.attributes[item]["colour"]
        and "sale" not in catalogue.attributes[item]
        and catalogue.attributes[item]["colour"] != "red"
    ]
    wanted = Filter(
        conditions=[
            AnyOf("brand", ["brand 1", "brand 2"]),
            InRange("price", more_than=2, at_most=9),
            Has("colour"),
            Not(Has("sale")),
            Not(Equals("colour", "red")),
            Not(Not(Not(Has("colr")))),
        ],
        excluded_item_ids=[first],
    )
    two = Filter(group_by=GroupBy("brand", 2), min_score=-1.0)

    with serve().client() as client:
        answer = client.retrieve("desk lamp", 60, filter_by=wanted)
        grouped = client.retrieve("desk lamp", 60, filter_by=two)
        as_json = json.loads(client.retrieve_json("desk lamp", 60, filter_by=wanted))
        bare = client.retrieve("desk lamp", 60, filter_by=Filter(conditions=[]))

    assert [hit.item_id for hit in answer.hits] == others
    assert answer.filter == FilterReport(
        num_matching=len(others), path=FilterPath.EXACT, unknown_attributes=("colr",)
    )
    assert len(grouped.hits) == 10
    assert as_json["filter"]["num_matching"] == str(len(others))
    assert bare.filter is None


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("brand=acme", Equals("brand", "acme")),
        ("brand = acme", Equals("brand", "acme")),
        ("brand=acme|zeta", AnyOf("brand", ["acme", "zeta"])),
        (r"brand=ac\|me", Equals("brand", "ac|me")),
        ("brand!=acme", Not(Equals("brand", "acme"))),
        ("price<=20", InRange("price", at_most=20)),
        ("price>=-1.5", InRange("price", at_least=-1.5)),
        ("price<20", InRange("price", less_than=20)),
        ("price>20", InRange("price", more_than=20)),
        ("url=a=b", Equals("url", "a=b")),
        ("brand", Has("brand")),
        ("!brand", Not(Has("brand"))),
    ],
)
def test_conditions_are_read_from_texts(text: str, condition: Condition) -> None:
    """As people write them at a terminal."""
    assert parse_condition(text) == condition


@pytest.mark.parametrize("text", ["", "!", "=acme", "brand=", "price<=cheap", "  "])
def test_what_is_no_condition_is_refused(text: str) -> None:
    """With what to write."""
    with pytest.raises(QueryRefused, match="write"):
        parse_condition(text)


def test_freshness_comes_in_our_own_types(artifacts: Artifacts, serve: Serve) -> None:
    """Ready or not, the freshness arrives."""
    running = serve()
    with running.client() as client:
        before = client.freshness()
    assert before == Freshness(
        ready=False, receipt=None, num_items=0, num_queries=0, last_refusal=""
    )

    artifacts.publish(make_catalogue(50, ["desk lamp"]))
    with serve().client() as client:
        after = client.freshness()
    assert (after.ready, after.num_items, after.num_queries) == (True, 50, 1)
    assert after.receipt is not None
    assert after.receipt.live_since_ms == NOW_MS


def publish_overlay(artifacts: Artifacts, generation_id: str) -> None:
    """Write an overlay with one item, for a query that the generation does not know."""
    folder = OverlayFolder.of(artifacts.root)
    publisher = OverlayPublisher(folder, generation_id, DIM, GoneList(folder.gone_path))
    vector = random_units(np.random.default_rng(5), 1, DIM)[0]
    rows = overlay_rows(DIM, items={"new": vector}, queries={"brand new": vector})
    claim = Claim(
        reflected_ms=NOW_MS - 1_500, catalog_reflected_ms=NOW_MS - 250, reason="half of it waits"
    )
    publisher.publish(rows, claim)


def test_an_overlay_comes_in_our_own_types(artifacts: Artifacts, serve: Serve) -> None:
    """In the receipt of an answer, and in what the server says of itself."""
    artifacts.publish(make_catalogue(50, ["desk lamp"]))
    with serve().client() as client:
        bare = client.retrieve("desk lamp").receipt
    publish_overlay(artifacts, bare.generation)
    with serve().client() as client:
        answer = client.retrieve("brand new", 1, min_reflected_ms=NOW_MS - 1_500)
        overlay = client.freshness().overlay

    assert (bare.overlay_sequence, bare.reflected_ms, bare.age_seconds) == (0, 0, None)
    assert (answer.hits[0].item_id, answer.path) == ("new", QueryPath.FRESH)
    receipt = answer.receipt
    assert (receipt.overlay_sequence, receipt.reflected_ms) == (1, NOW_MS - 1_500)
    assert receipt.age_seconds == 1.5
    assert (receipt.catalog_reflected_ms, receipt.catalog_age_seconds) == (NOW_MS - 250, 0.25)
    assert bare.catalog_age_seconds is None
    assert overlay is not None
    assert (overlay.sequence, overlay.num_items, overlay.num_queries) == (1, 1, 1)
    assert overlay.behind == "half of it waits"


def test_what_is_not_fresh_enough_is_an_error_of_its_own(
    artifacts: Artifacts, serve: Serve
) -> None:
    """It says how fresh the answer could be, and that asking again may help."""
    publish_overlay(artifacts, artifacts.publish(make_catalogue(50, ["desk lamp"])))
    with serve().client() as client:
        for wanted in ({"max_age_seconds": 1.0}, {"min_reflected_ms": NOW_MS}):
            with pytest.raises(NotFreshEnough, match=r"1\.5 s") as caught:
                client.retrieve("brand new", **wanted)
            assert caught.value.reflected_ms == NOW_MS - 1_500
            assert (caught.value.code, caught.value.retriable) == ("FAILED_PRECONDITION", True)
        with pytest.raises(QueryRefused, match="give one of the two"):
            client.retrieve_json("brand new", min_reflected_ms=1, max_age_seconds=1.0)
        with pytest.raises(QueryRefused, match="must be UTC epoch"):
            client.retrieve("brand new", min_reflected_ms=NOW_MS * 10**9)


def test_what_is_asked_most_comes_by_query(artifacts: Artifacts, serve: Serve) -> None:
    """With how often, most asked first."""
    artifacts.publish(make_catalogue(50, ["desk lamp"]))
    with serve().client() as client:
        for query in ("other", "Desk Lamp!", "desk lamp"):
            client.retrieve(query)
        asked = client.asked(1)

    assert asked.counts == {"desk lamp": 2}
    assert asked.window_seconds > 0


def test_json_has_every_field(artifacts: Artifacts, serve: Serve) -> None:
    """The JSON form is the message with all its fields, under the names of the
    contract.
    """
    artifacts.publish(make_catalogue(7, ["desk lamp"]))
    with serve().client() as client:
        answer = json.loads(client.retrieve_json("desk lamp", 7))
        freshness = json.loads(client.freshness_json())

    fields = {"hits", "receipt", "query_path", "normalized_query", "context_members"}
    assert set(answer) == fields
    assert all(set(hit) == {"item_id", "score", "title"} for hit in answer["hits"])
    assert answer["query_path"] == "QUERY_PATH_KNOWN"
    assert set(answer["receipt"]) >= {"generation", "watermark_ms", "watermark_age_seconds"}
    assert freshness["ready"] is True
    assert freshness["last_refusal"] == ""


def test_no_server_is_one_clear_line(free_port: Callable[[], int]) -> None:
    """A target where nothing listens is named, with what to do."""
    target = f"127.0.0.1:{free_port()}"

    with (
        RetrievalClient(target, retry=None) as client,
        pytest.raises(ServerUnreachable) as caught,
    ):
        client.retrieve("lamp")

    assert (
        str(caught.value)
        == f"no retrieval server answers at {target}; is `freshet serve` running there?"
    )


def test_a_server_that_does_not_answer_is_given_up() -> None:
    """A listener that never speaks ends in an error when the call's time is up."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"127.0.0.1:{silent.getsockname()[1]}"

        with (
            RetrievalClient(target, timeout_seconds=0.2) as client,
            pytest.raises(ServerUnreachable, match=target) as caught,
        ):
            client.freshness()

    assert isinstance(caught.value, DeadlineExceeded)
    assert "within 0.2 s" in str(caught.value)


@pytest.mark.parametrize("seconds", [math.nan, "soon", None])
def test_a_timeout_that_is_no_number_is_refused(seconds: float) -> None:
    """By the client, and by what waits for a server, which never ended."""
    with pytest.raises(SettingsInvalid, match=r"timeout_seconds is .* a number of seconds"):
        RetrievalClient("127.0.0.1:1", timeout_seconds=seconds)
    with RetrievalClient("127.0.0.1:1") as client:
        with pytest.raises(SettingsInvalid, match="timeout_seconds is"):
            client.wait_until_ready(seconds)
        if seconds is not None:  # as long as the client's own
            with pytest.raises(SettingsInvalid, match="timeout_seconds is"):
                client.retrieve("lamp", timeout_seconds=seconds)


@pytest.mark.parametrize("seconds", [math.inf, 1e30])
def test_a_timeout_without_an_end_is_none(
    artifacts: Artifacts, serve: Serve, seconds: float
) -> None:
    """It was over at once, for gRPC counts in 64 bits."""
    artifacts.publish(make_catalogue(50, ["lamp"]))

    with serve().client() as client:
        assert client.retrieve("lamp", timeout_seconds=seconds).hits


@pytest.mark.parametrize(
    ("ask", "said"),
    [
        (lambda client: client.list_generations(-1), "limit is -1"),
        (lambda client: client.asked(1 << 32), "limit is 4294967296"),
        (lambda client: client.explain("lamp", "i", max_paths=-1), "max_paths is -1"),
        (lambda client: client.retrieve("lamp", 1.5), "k is 1.5"),
        (
            lambda client: client.retrieve("lamp", filter_by=Filter(group_by=GroupBy("brand", -1))),
            "group_by.max_hits is -1",
        ),
        (
            lambda client: client.retrieve("lamp", context=Context(item_ids="i1")),
            r"context.item_ids is one text; give a list: \['i1'\]",
        ),
        (
            lambda client: client.retrieve("lamp", context=Context(queries="desk")),
            "context.queries is one text",
        ),
        (
            lambda client: client.retrieve("lamp", filter_by=Filter(excluded_item_ids="i1")),
            "filter_by.excluded_item_ids is one text",
        ),
        (
            lambda client: client.retrieve(
                "lamp", filter_by=Filter(conditions=[AnyOf("brand", "acme")])
            ),
            "AnyOf.values is one text",
        ),
        (lambda client: client.retrieve_batch("lamp"), "queries is one text"),
    ],
)
def test_what_no_message_can_say_is_refused_before_a_call(
    ask: Callable[[RetrievalClient], object], said: str
) -> None:
    """One text in place of a list was taken for its letters; what a count cannot be was
    an error of protobuf, or blamed on `k`.
    """
    with (
        RetrievalClient("127.0.0.1:1", retry=None) as client,
        pytest.raises(QueryRefused, match=said),
    ):
        ask(client)


def test_a_request_that_is_too_large_is_refused(artifacts: Artifacts, serve: Serve) -> None:
    """It is no sign of load, and trying again helps nobody."""
    artifacts.publish(make_catalogue(50, ["lamp"]))

    with (
        serve().client() as client,
        pytest.raises(QueryRefused, match="the request is too large for the server") as refused,
    ):
        client.retrieve("x" * 5_000_000)

    assert not refused.value.retriable


def test_a_client_that_was_closed_says_so() -> None:
    """As an error of the client, as every other."""
    client = RetrievalClient("127.0.0.1:1")
    client.close()

    with pytest.raises(CallFailed, match=r"127.0.0.1:1 cannot be called: .*closed"):
        client.retrieve("lamp")


def test_a_call_may_have_a_deadline_of_its_own() -> None:
    """The deadline of a call counts instead of the client's."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        target = f"127.0.0.1:{silent.getsockname()[1]}"

        with (
            RetrievalClient(target, timeout_seconds=3600.0) as client,
            pytest.raises(DeadlineExceeded, match=r"within 0\.1 s"),
        ):
            client.retrieve("lamp", timeout_seconds=0.1)


def test_a_server_of_another_kind_is_told_apart() -> None:
    """A gRPC server without our service is not taken for a failing one."""
    from concurrent.futures import ThreadPoolExecutor

    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("127.0.0.1:0")
    other.start()
    with (
        RetrievalClient(f"127.0.0.1:{port}", timeout_seconds=DEADLINE_SECONDS) as client,
        pytest.raises(CallFailed, match="not a Freshet server"),
    ):
        client.freshness()
    other.stop(0).wait()


def test_a_server_that_is_not_ready_is_told_apart(serve: Serve) -> None:
    """Not ready is retriable and is not mistaken for no server."""
    with (
        serve().client() as client,
        pytest.raises(NoGeneration, match="is not ready: no generation") as caught,
    ):
        client.retrieve("lamp")

    assert caught.value.retriable


@pytest.mark.parametrize(
    ("query", "k", "words"),
    [
        ("", 1, "is empty"),
        ("lamp", 5000, "from 1 to 1000"),
        ("lamp", -1, "k is -1"),
        ("lamp", 2**40, "k is"),
        ("lamp \udcff", 1, "not valid Unicode"),
    ],
)
def test_a_refused_request_says_why(
    artifacts: Artifacts, serve: Serve, query: str, k: int, words: str
) -> None:
    """What the server or the wire cannot take is refused with the reason."""
    artifacts.publish(make_catalogue(7, ["desk lamp"]))

    with serve().client() as client, pytest.raises(QueryRefused, match=words):
        client.retrieve(query, k)


@pytest.mark.parametrize("target", ["", "localhost", "http://localhost:50051/x", "localhost:port"])
def test_a_target_that_is_no_address_is_refused(target: str) -> None:
    """A target must be HOST:PORT."""
    with pytest.raises(SettingsInvalid, match="target is"):
        RetrievalClient(target)


def test_a_proxy_in_the_environment_is_left_out(
    artifacts: Artifacts,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    free_port: Callable[[], int],
) -> None:
    """A web proxy meant for the internet is not asked for a server next door."""
    artifacts.publish(make_catalogue(7, ["desk lamp"]))
    running = serve()
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    with running.client() as client:
        assert client.freshness().ready


def test_every_error_is_a_client_error() -> None:
    """A caller that catches the root of the tree catches all of it."""
    for kind in (
        CallFailed,
        DeadlineExceeded,
        NoGeneration,
        QueryRefused,
        ServerBusy,
        ServerUnreachable,
        SettingsInvalid,
    ):
        assert issubclass(kind, ClientError)
