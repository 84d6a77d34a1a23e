"""The JSON door with TLS: the files, and the reload, are those of gRPC."""

import http.client
import shutil
import ssl
from pathlib import Path

import pytest

from testing.retrieval_server import DEADLINE_SECONDS, RunningServer, Serve
from testing.small_generations import Artifacts, make_catalogue

TLS = Path(__file__).parents[3] / "testing" / "golden" / "tls"
CA = str(TLS / "ca.pem")


@pytest.fixture(autouse=True)
def _shop(artifacts: Artifacts) -> None:
    """One generation to answer from."""
    artifacts.publish(make_catalogue(30, ["lamp"]))


def ask(server: RunningServer, ca: str, client: tuple[str, str] | None = None) -> int:
    """Return the status of a call over TLS."""
    context = ssl.create_default_context(cafile=ca)
    context.check_hostname = False
    if client is not None:
        context.load_cert_chain(*client)
    host, _, port = server.server.http_address.rpartition(":")
    connection = http.client.HTTPSConnection(
        host, int(port), timeout=DEADLINE_SECONDS, context=context
    )
    try:
        connection.request(
            "POST",
            "/freshet.retrieval.v1.RetrievalService/Retrieve",
            b'{"query": "lamp"}',
            {"content-type": "application/json"},
        )
        return connection.getresponse().status
    finally:
        connection.close()


def pem(name: str) -> str:
    """Return the path of a file."""
    return str(TLS / name)


def test_only_tls_is_answered(serve: Serve) -> None:
    """A client that trusts the authority is; one that speaks plainly is not."""
    server = serve(
        http_address="127.0.0.1:0", tls_cert=pem("server.pem"), tls_key=pem("server.key")
    )

    assert ask(server, CA) == 200
    host, _, port = server.server.http_address.rpartition(":")
    plain = http.client.HTTPConnection(host, int(port), timeout=DEADLINE_SECONDS)
    plain.request("POST", "/", b"{}")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        plain.getresponse()
    plain.close()
    assert ask(server, CA) == 200


def test_mutual_tls_wants_a_certificate(serve: Serve) -> None:
    """One of the authority; the name in it is the caller, for whom limits hold."""
    server = serve(
        http_address="127.0.0.1:0",
        tls_cert=pem("server.pem"),
        tls_key=pem("server.key"),
        tls_client_ca=CA,
        caller_calls_per_second=0.01,
    )
    own = pem("client.pem"), pem("client.key")

    with pytest.raises((ssl.SSLError, ConnectionError, http.client.HTTPException)):
        ask(server, CA)
    assert [ask(server, CA, own), ask(server, CA, own)] == [200, 429]


def test_a_certificate_is_rotated_without_a_restart(serve: Serve, tmp_path: Path) -> None:
    """A new connection sees the new one; files that are none leave it as it is."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(pem("server.pem"), cert)
    shutil.copy(pem("server.key"), key)
    server = serve(http_address="127.0.0.1:0", tls_cert=str(cert), tls_key=str(key))
    host, _, port = server.server.http_address.rpartition(":")

    def served() -> str:
        return ssl.get_server_certificate((host, int(port)), timeout=DEADLINE_SECONDS)

    before = served()
    shutil.copy(pem("other-server.key"), key)
    shutil.copy(pem("other-server.pem"), cert)
    after = served()
    cert.write_text("rubbish")

    assert before != after == served()
    assert ask(server, CA) == 200
