"""The contract as JSON over HTTP: answers, refusals and limits are those of gRPC."""

import base64
import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.rpc import error_details_pb2

from protos import retrieval_v1_pb2 as retrieval_pb
from protos import retrieval_v1_pb2_grpc as retrieval_grpc
from server.calls.failure import Failure
from server.errors import PortBusy
from server.http.codec import http_status
from server.security.tokens import new_token
from testing.retrieval_server import DEADLINE_SECONDS, RunningServer, Serve, wait_until
from testing.small_generations import Artifacts, make_catalogue

SERVICE = "/freshet.retrieval.v1.RetrievalService/"
QUERIES = ["xbox 360", "halo 3"]
LAMP = b'{"query": "lamp"}'


@pytest.fixture
def server(artifacts: Artifacts, serve: Serve) -> RunningServer:
    """Return a server with both doors over fifty items."""
    artifacts.publish(make_catalogue(50, QUERIES))
    return serve(http_address="127.0.0.1:0")


@contextlib.contextmanager
def connected(server: RunningServer) -> Iterator[http.client.HTTPConnection]:
    """Yield a connection to the JSON door."""
    host, _, port = server.server.http_address.rpartition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def post(
    server: RunningServer,
    method: str,
    body: Any,
    headers: Mapping[str, str] | None = None,
    *,
    verb: str = "POST",
) -> tuple[int, Any, Mapping[str, str]]:
    """Call a method over a connection of its own; return status, JSON and headers."""
    with connected(server) as connection:
        return exchange(connection, method, body, headers, verb=verb)


def exchange(
    connection: http.client.HTTPConnection,
    method: str,
    body: Any,
    headers: Mapping[str, str] | None = None,
    *,
    verb: str = "POST",
) -> tuple[int, Any, Mapping[str, str]]:
    """Call a method over a connection; return status, JSON and headers."""
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    path = method if "/" in method else SERVICE + method
    connection.request(verb, path, sent, {"Content-Type": "application/json", **(headers or {})})
    response = connection.getresponse()
    assert response.getheader("content-type") == "application/json"
    return response.status, json.loads(response.read()), dict(response.getheaders())


def raw(server: RunningServer, data: bytes) -> bytes:
    """Send bytes, and return all that comes until the server closes."""
    host, _, port = server.server.http_address.rpartition(":")
    with socket.create_connection((host, int(port)), DEADLINE_SECONDS) as sock:
        sock.sendall(data)
        received = b""
        while chunk := sock.recv(65536):
            received += chunk
    return received


def head(*lines: str, path: str = f"{SERVICE}Retrieve") -> bytes:
    """Return the head of a request."""
    all_lines = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json", *lines]
    return ("\r\n".join(all_lines) + "\r\n\r\n").encode()


@pytest.mark.parametrize(
    ("method", "request_"),
    [
        ("Retrieve", retrieval_pb.RetrieveRequest(query="Xbox-360!", k=5)),
        ("Retrieve", retrieval_pb.RetrieveRequest(query="nie gesehen ü")),
        (
            "RetrieveBatch",
            retrieval_pb.RetrieveBatchRequest(
                requests=[retrieval_pb.RetrieveRequest(query=q) for q in ("halo 3", "")]
            ),
        ),
        ("Explain", retrieval_pb.ExplainRequest(query="halo 3", item_id="{item}")),
        ("SimilarItems", retrieval_pb.SimilarItemsRequest(item_id="{item}", k=3)),
        ("GetFreshness", retrieval_pb.GetFreshnessRequest()),
        ("GetAsked", retrieval_pb.GetAskedRequest()),
        ("ListGenerations", retrieval_pb.ListGenerationsRequest(limit=1)),
    ],
)
def test_an_answer_is_that_of_grpc(
    artifacts: Artifacts, server: RunningServer, method: str, request_: Any
) -> None:
    """Every method, field by field."""
    if hasattr(request_, "item_id"):
        request_.item_id = f"{artifacts.store.current_id()}/7"
    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        expected = getattr(stub, method)(request_, timeout=DEADLINE_SECONDS)

    status, answer, _ = post(server, method, json_format.MessageToDict(request_))

    assert status == 200
    assert json_format.ParseDict(answer, type(expected)()) == expected
    server.wait_for_metric(2, "freshet_server_requests_total", method=method, code="OK")


def test_names_may_be_as_the_contract_writes_them(server: RunningServer) -> None:
    """`max_age_seconds` and `maxAgeSeconds` are one field."""
    for wanted in ({"max_age_seconds": 1}, {"maxAgeSeconds": 1}):
        for name in ("min_freshness", "minFreshness"):
            status, error, headers = post(server, "Retrieve", {"query": "lamp", name: wanted})
            assert (status, error["code"]) == (400, "failed_precondition")
            assert headers["trailer-freshet-reflected-ms"] == "0"
            assert headers["retry-after"] == "1"


def test_a_mask_leaves_fields_out(server: RunningServer) -> None:
    """Its paths are as JSON writes names; without one, fields that are 0 are there."""
    asked = {"query": "lamp", "k": 1, "fieldMask": "hits.itemId"}

    status, answer, _ = post(server, "Retrieve", asked)

    assert (status, list(answer), list(answer["hits"][0])) == (200, ["hits"], ["itemId"])
    assert post(server, "Retrieve", {"query": "lamp"})[1]["contextMembers"] == 0


def test_a_mask_in_a_batch_leaves_fields_out(server: RunningServer) -> None:
    """They were there as 0 and as empty texts, which nobody can tell from what is."""
    asked = {"query": "lamp", "k": 1, "fieldMask": "hits.itemId"}

    status, answer, _ = post(server, "RetrieveBatch", {"requests": [asked]})

    (response,) = (each["response"] for each in answer["answers"])
    assert (status, list(response), list(response["hits"][0])) == (200, ["hits"], ["itemId"])


def test_a_byte_order_mark_is_no_part_of_a_body(server: RunningServer) -> None:
    """What some tools put before JSON that they read from a file."""
    status, answer, _ = post(server, "Retrieve", b'\xef\xbb\xbf {"query": "lamp", "k": 1}')

    assert (status, len(answer["hits"])) == (200, 1)


def test_an_error_has_code_message_and_details(server: RunningServer) -> None:
    """As Connect has them: the details of gRPC, in base64 and in words."""
    status, error, _ = post(server, "Retrieve", {"query": "lamp", "k": 5000})

    assert (status, error["code"]) == (400, "invalid_argument")
    assert "from 1 to 1000" in error["message"]
    info, violation = error["details"]
    assert info["type"] == "google.rpc.ErrorInfo"
    assert info["debug"]["reason"] == "QUERY_REFUSED"
    packed = base64.b64decode(info["value"] + "===")
    assert error_details_pb2.ErrorInfo.FromString(packed).reason == "QUERY_REFUSED"
    assert violation["debug"]["fieldViolations"][0]["field"] == "k"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "no RetrieveRequest in JSON"),
        (b"{", "no RetrieveRequest in JSON"),
        (b"[1]", "no RetrieveRequest in JSON: it is no object"),
        (b"[]", "no RetrieveRequest in JSON: it is no object"),
        (b"null", "no RetrieveRequest in JSON: it is no object"),
        (b'"\xff"', "utf-8"),
        (b'{"query": 5}', "query"),
        (b'{"query": "x", "filtre": 1}', "filtre"),
        (b'{"query": "x", "k": -1}', "k"),
        (b'{"query": "\\ud800"}', "no RetrieveRequest in JSON"),
        (b'{"a":' * 5000, "no RetrieveRequest in JSON"),
        (b'{"min_freshness":{"reflected_ms":"x"}}', "reflected"),
    ],
)
def test_a_body_that_is_no_request_says_why(server: RunningServer, body: bytes, words: str) -> None:
    """Also a field that the contract does not have: an answer would ignore it."""
    status, error, _ = post(server, "Retrieve", body)

    assert (status, error["code"]) == (400, "invalid_argument")
    assert words in error["message"]
    assert len(error["message"]) < 500
    assert error["details"][0]["debug"]["reason"] == "MALFORMED"
    assert server.metric("freshet_server_calls_refused_total", reason="malformed") == 1


@pytest.mark.parametrize(
    ("method", "headers", "verb", "status", "words"),
    [
        ("Nothing", {}, "POST", 404, "no such method"),
        ("/", {}, "POST", 404, "no such method"),
        ("Retrieve", {}, "GET", 405, "POST"),
        ("Retrieve", {"Content-Type": "text/plain"}, "POST", 415, "application/json"),
        ("Retrieve", {"Content-Encoding": "gzip"}, "POST", 415, "content-encoding"),
        ("Retrieve", {"Connect-Timeout-Ms": "500ms"}, "POST", 400, "connect-timeout-ms"),
        ("Retrieve", {"Connect-Timeout-Ms": "-1"}, "POST", 400, "connect-timeout-ms"),
        ("Retrieve", {"Connect-Timeout-Ms": "9" * 11}, "POST", 400, "connect-timeout-ms"),
    ],
)
def test_what_is_no_call_has_a_status_of_http(
    server: RunningServer,
    method: str,
    headers: Mapping[str, str],
    verb: str,
    status: int,
    words: str,
) -> None:
    """With what to do, and counted."""
    found, error, _ = post(server, method, LAMP, headers, verb=verb)

    assert found == status
    assert words in error["message"]
    reason = "unknown_method" if status == 404 else "malformed"
    assert server.metric("freshet_server_calls_refused_total", reason=reason) == 1


def test_a_target_may_be_a_whole_url(server: RunningServer) -> None:
    """As HTTP has it for what comes through a proxy."""
    with connected(server) as connection:
        for url in ("http://shop.example:8080", "HTTPS://[::1]"):
            assert exchange(connection, f"{url}{SERVICE}Retrieve?x=1", {"query": "a"})[0] == 200
        assert exchange(connection, "http://shop.example/", {"query": "a"})[0] == 404


def test_a_connection_serves_one_call_after_another(server: RunningServer) -> None:
    """Failed ones whose request was read whole among them; also sent at once."""
    with connected(server) as connection:
        statuses = [
            exchange(connection, "Retrieve", {"query": query})[0] for query in ("a", "", "b")
        ]
    assert statuses == [200, 400, 200]
    one = head(f"Content-Length: {len(LAMP)}") + LAMP
    last = head(f"Content-Length: {len(LAMP)}", "Connection: close") + LAMP
    assert raw(server, one + one + last).count(b"HTTP/1.1 200") == 3


def test_a_head_has_no_body(server: RunningServer) -> None:
    """As balancers ask whether a port answers; the connection serves the next one."""
    with connected(server) as connection:
        connection.request("HEAD", f"{SERVICE}Retrieve")
        response = connection.getresponse()
        assert (response.status, response.read()) == (405, b"")
        assert int(response.headers["content-length"]) > 0
        assert exchange(connection, "Retrieve", {"query": "a"})[0] == 200
    assert raw(server, b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").endswith(
        b"\r\n\r\n"
    )


def test_a_body_may_come_in_chunks(server: RunningServer) -> None:
    """And after a client that asks whether to go on."""
    chunked = head("Transfer-Encoding: chunked", "Connection: close")
    chunked += b"9\r\n" + LAMP[:9] + b"\r\n8\r\n" + LAMP[9:] + b"\r\n0\r\n\r\n"
    assert b"200" in raw(server, chunked).split(b"\r\n")[0]

    waiting = head("Expect: 100-continue", f"Content-Length: {len(LAMP)}", "Connection: close")
    assert raw(server, waiting + LAMP).startswith((b"HTTP/1.1 100", b"HTTP/1.1 200"))


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100, 400),
        (b"GARBAGE\r\n\r\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 404),
        (head("X: " + "y" * 20_000), 431),
        (b"POST / HTTP/1.1\r\n" + b"a: b\r\n" * 10_000, 431),
        (head("Content-Length: 5", "Content-Length: 6") + b"123456", 400),
        (head("Content-Length: -1"), 400),
        (head("Content-Length: 2000000"), 413),
        (head("Content-Length: 5000000") + b" " * 5_000_000, 413),
        (head("Content-Length: 5000000", "Content-Encoding: br") + b" " * 5_000_000, 415),
        (head("Transfer-Encoding: chunked") + b"zz\r\n", 400),
        (
            head("Transfer-Encoding: chunked")
            + b"".join(b"10000\r\n" + b" " * 65536 + b"\r\n" for _ in range(17)),
            413,
        ),
    ],
)
def test_hostile_bytes_are_refused(server: RunningServer, data: bytes, status: int) -> None:
    """With a status, which a client that is still sending reads, too, and the
    connection closed.
    """
    received = raw(server, data)

    assert received.startswith(f"HTTP/1.1 {status}".encode()), received[:200]
    assert post(server, "Retrieve", {"query": "lamp"})[0] == 200


def test_a_request_that_does_not_come_ends(artifacts: Artifacts, serve: Serve) -> None:
    """Nothing at all, a head without an end, a body that drips: each within its time,
    while others are answered.
    """
    artifacts.publish(make_catalogue(50, QUERIES))
    server = serve(http_address="127.0.0.1:0", receive_seconds=1.5)

    assert raw(server, b"") == b""
    assert b" 408 " in raw(server, b"POST /x HTTP/1.1\r\nHost:").split(b"\r\n")[0]
    status = raw(server, head("Content-Length: 100") + b"{").split(b"\r\n")[0]
    assert b" 408 " in status or b" 504 " in status  # the sweep of open calls may be faster
    assert post(server, "Retrieve", {"query": "lamp"})[0] == 200
    wait_until(lambda: server.metric("freshet_server_open_calls") == 0, "no call is open")
    server.wait_for_metric(
        1, "freshet_server_requests_total", method="Retrieve", code="DEADLINE_EXCEEDED"
    )


def test_connections_are_bounded(artifacts: Artifacts, serve: Serve) -> None:
    """One more is closed; it is answered once another is gone."""
    artifacts.publish(make_catalogue(50, QUERIES))
    server = serve(http_address="127.0.0.1:0", max_connections=1)
    with connected(server) as first:
        assert exchange(first, "Retrieve", {"query": "lamp"})[0] == 200
        assert raw(server, b"") == b""

    def answered() -> bool:
        with contextlib.suppress(ConnectionError, http.client.HTTPException):
            return post(server, "Retrieve", {"query": "lamp"})[0] == 200
        return False

    wait_until(answered, "the next connection is served")


def test_an_idle_connection_and_an_old_one_end(artifacts: Artifacts, serve: Serve) -> None:
    """The idle one without a word, the old one with its next answer."""
    artifacts.publish(make_catalogue(50, QUERIES))
    one = head(f"Content-Length: {len(LAMP)}") + LAMP

    idle = raw(serve(http_address="127.0.0.1:0", idle_connection_seconds=0.1), one)
    old = raw(serve(http_address="127.0.0.1:0", connection_age_seconds=0.0001), one)

    assert b"connection: close" not in idle.lower()
    assert b"connection: close" in old.lower()


def test_a_caller_needs_a_token_and_has_limits(
    artifacts: Artifacts, serve: Serve, tmp_path: Path
) -> None:
    """The verdict is that of gRPC, and the two doors share one allowance."""
    artifacts.publish(make_catalogue(50, QUERIES))
    token, line = new_token("team")
    (tmp_path / "tokens").write_text(line + "\n")
    server = serve(
        http_address="127.0.0.1:0", tokens=str(tmp_path / "tokens"), caller_calls_per_second=3.0
    )
    bearer = {"Authorization": f"Bearer {token}"}

    status, error, headers = post(server, "Retrieve", {"query": "lamp"})
    assert (status, error["code"], headers["www-authenticate"]) == (
        401,
        "unauthenticated",
        "Bearer",
    )
    assert post(server, "Retrieve", {"query": "lamp"}, {"Authorization": "Bearer x"})[0] == 401
    batch = {"requests": [{"query": "lamp"}] * 50}
    assert post(server, "RetrieveBatch", batch, bearer)[0] == 200
    status, error, headers = post(server, "Retrieve", {"query": "lamp"}, bearer)
    assert (status, error["code"]) == (429, "resource_exhausted")
    assert 1 < int(headers["retry-after"]) <= 16
    with grpc.insecure_channel(server.address) as channel:
        stub = retrieval_grpc.RetrievalServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Retrieve(
                retrieval_pb.RetrieveRequest(query="lamp"),
                metadata=(("authorization", f"Bearer {token}"),),
                timeout=DEADLINE_SECONDS,
            )
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_deadlines_overload_and_stop(artifacts: Artifacts, serve: Serve) -> None:
    """With the only thread taken, a call ends at its own deadline, a later one is shed,
    and a stop answers what is under way.
    """
    artifacts.publish(make_catalogue(50, QUERIES))
    server = serve(http_address="127.0.0.1:0", num_threads=1, wait_seconds=2.0)
    begun, release = threading.Event(), threading.Event()
    service = server.server._service
    retrieve = service._retrieve

    def slow(request: retrieval_pb.RetrieveRequest, *, is_probe: bool) -> object:
        if request.query == "slow":
            begun.set()
            assert release.wait(DEADLINE_SECONDS)
        return retrieve(request, is_probe=is_probe)

    service._retrieve = slow  # type: ignore[method-assign, assignment]
    answered: list[int] = []
    holder = threading.Thread(
        target=lambda: answered.append(post(server, "Retrieve", {"query": "slow"})[0])
    )
    holder.start()
    assert begun.wait(DEADLINE_SECONDS)

    late = post(server, "Retrieve", {"query": "lamp"}, {"Connect-Timeout-Ms": "50"})
    shed = post(server, "Retrieve", {"query": "lamp"})

    assert (late[0], late[1]["code"]) == (504, "deadline_exceeded")
    assert (shed[0], shed[1]["code"]) == (429, "resource_exhausted")
    assert shed[1]["details"][0]["debug"]["reason"] == "OVERLOAD"
    stopping = threading.Thread(target=lambda: server.server.stop(grace_seconds=DEADLINE_SECONDS))
    stopping.start()
    release.set()
    holder.join(DEADLINE_SECONDS)
    stopping.join(DEADLINE_SECONDS)
    assert answered == [200]
    with pytest.raises(ConnectionError):
        raw(server, b"")


def test_an_internal_error_keeps_its_words(server: RunningServer) -> None:
    """The client learns which line of the log has them."""

    def broken(_: object) -> retrieval_pb.RetrieveResponse:
        raise RuntimeError("secret")

    server.server._service._retrieve = broken  # type: ignore[assignment,method-assign]

    status, error, _ = post(server, "Retrieve", {"query": "lamp"})

    assert (status, error["code"]) == (500, "internal")
    assert "secret" not in json.dumps(error)
    assert "error_id" in error["details"][0]["debug"]["metadata"]


def test_a_server_without_a_generation_says_so(serve: Serve) -> None:
    """As over gRPC, metadata included."""
    status, error, headers = post(serve(http_address="127.0.0.1:0"), "Retrieve", {"query": "x"})

    assert (status, error["code"]) == (503, "unavailable")
    assert headers["trailer-freshet-reason"] == "not-ready"


def test_it_is_off_by_default_and_a_taken_port_is_named(artifacts: Artifacts, serve: Serve) -> None:
    """A server listens for HTTP only where it is told to, and where it can."""
    artifacts.publish(make_catalogue(50, QUERIES))
    assert serve().server.http_address == ""
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(PortBusy):
        serve(http_address=f"127.0.0.1:{taken.getsockname()[1]}")


def test_every_status_has_one_of_http() -> None:
    """Whatever the code, an error is no success."""
    for code in grpc.StatusCode:
        if code is not grpc.StatusCode.OK:
            assert http_status(Failure(code=code, message="", reason="")) >= 400
