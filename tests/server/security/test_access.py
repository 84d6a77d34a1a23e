"""A protected server and the Python client, over real sockets with TLS."""

import shutil
import subprocess
from pathlib import Path

import pytest

from freshet_client import Access, NotAuthenticated, RetrievalClient, ServerUnreachable
from freshet_client import SettingsInvalid as ClientSettingsInvalid
from server.errors import SettingsInvalid
from server.security.tokens import new_token
from testing.retrieval_server import DEADLINE_SECONDS, RunningServer, Serve
from testing.small_generations import Artifacts, make_catalogue

TLS = Path(__file__).parents[3] / "testing" / "golden" / "tls"
"""Certificates of an authority of their own, good for a hundred years."""

CA = str(TLS / "ca.pem")


@pytest.fixture(autouse=True)
def _shop(artifacts: Artifacts) -> None:
    """One generation to answer from."""
    artifacts.publish(make_catalogue(30, ["lamp"]))


def ask(server: RunningServer, access: Access, seconds: float = DEADLINE_SECONDS) -> int:
    """Return how many items an answer has."""
    with RetrievalClient(
        server.address, timeout_seconds=seconds, retry=None, access=access
    ) as client:
        return len(client.retrieve("lamp", 3).hits)


def pem(name: str) -> str:
    """Return the path of a file."""
    return str(TLS / name)


def test_a_client_that_trusts_the_authority_is_answered(serve: Serve) -> None:
    """And one without TLS is not."""
    server = serve(tls_cert=pem("server.pem"), tls_key=pem("server.key"))

    assert ask(server, Access(tls_ca=CA)) == 3
    with pytest.raises(ServerUnreachable, match="it may want TLS"):
        ask(server, Access(), seconds=3.0)


@pytest.mark.parametrize(
    ("access", "words"),
    [
        (Access(tls_ca=pem("client.pem")), "signed by somebody else"),
        (Access(tls_ca=CA, server_name="other.example"), "is of another name"),
        (Access(tls_ca=CA, tls_cert=pem("client.pem"), tls_key=pem("server.key")), "PEM files"),
    ],
)
def test_a_connection_that_is_not_trusted_says_why(
    serve: Serve, access: Access, words: str
) -> None:
    """It said that no server answers, and asked whether one runs."""
    server = serve(tls_cert=pem("server.pem"), tls_key=pem("server.key"))

    with pytest.raises(ServerUnreachable, match=words):
        ask(server, access)


def test_other_things_at_an_address_are_told_apart(serve: Serve) -> None:
    """A server without TLS, a port that is none of gRPC's, and a name of nobody."""
    plain = serve()
    with pytest.raises(ServerUnreachable, match="without TLS"):
        ask(plain, Access(tls_ca=CA))
    with (
        RetrievalClient("nobody.invalid:1", retry=None) as client,
        pytest.raises(ServerUnreachable, match="not known here"),
    ):
        client.retrieve("lamp")


def test_mutual_tls_wants_a_certificate(serve: Serve) -> None:
    """One of the authority."""
    server = serve(tls_cert=pem("server.pem"), tls_key=pem("server.key"), tls_client_ca=CA)
    own = Access(tls_ca=CA, tls_cert=pem("client.pem"), tls_key=pem("client.key"))

    assert ask(server, own) == 3
    with pytest.raises(ServerUnreachable):
        ask(server, Access(tls_ca=CA), seconds=3.0)


def test_a_certificate_is_rotated_without_a_restart(serve: Serve, tmp_path: Path) -> None:
    """A new connection sees the new one; files that are none leave it as it is."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(pem("server.pem"), cert)
    shutil.copy(pem("server.key"), key)
    server = serve(tls_cert=str(cert), tls_key=str(key))
    assert ask(server, Access(tls_ca=CA)) == 3

    shutil.copy(pem("client.key"), key)
    shutil.copy(pem("client.pem"), cert)
    trusting_the_new_one_alone = Access(tls_ca=str(cert))
    assert ask(server, trusting_the_new_one_alone) == 3
    cert.write_text("rubbish")
    assert ask(server, Access(tls_ca=CA, server_name="localhost")) == 3


def test_a_certificate_comes_before_its_key(serve: Serve, tmp_path: Path) -> None:
    """Between the two the old pair goes on; both together are taken once they fit."""
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    shutil.copy(pem("server.pem"), cert)
    shutil.copy(pem("server.key"), key)
    server = serve(tls_cert=str(cert), tls_key=str(key))

    shutil.copy(pem("client.pem"), cert)
    assert ask(server, Access(tls_ca=CA)) == 3
    shutil.copy(pem("client.key"), key)
    assert ask(server, Access(tls_ca=str(cert))) == 3


def test_a_token_file_is_read_again(serve: Serve, tmp_path: Path) -> None:
    """A client that runs on goes over to its new token."""
    token, line = new_token("team")
    (tmp_path / "tokens").write_text(line)
    (tmp_path / "token").write_text("wrong\n")
    server = serve(tokens=str(tmp_path / "tokens"))
    access = Access(token_file=str(tmp_path / "token"))
    with RetrievalClient(server.address, retry=None, access=access) as client:
        with pytest.raises(NotAuthenticated, match="not known"):
            client.retrieve("lamp")
        (tmp_path / "token").write_text(f"{token}\n")
        assert client.retrieve("lamp").hits


@pytest.mark.parametrize("name", ["tls_cert", "tls_key"])
def test_a_server_does_not_start_without_its_files(serve: Serve, tmp_path: Path, name: str) -> None:
    """It names the setting."""
    files = {"tls_cert": pem("server.pem"), "tls_key": pem("server.key")}

    with pytest.raises(SettingsInvalid, match=name):
        serve(**{**files, name: str(tmp_path / "none")})


@pytest.mark.parametrize("key", ["client.key", "encrypted"])
def test_a_server_does_not_start_with_a_key_that_it_cannot_use(
    serve: Serve, tmp_path: Path, key: str
) -> None:
    """It blamed the address that it listens on. Nobody is asked for a password."""
    path = tmp_path / "encrypted"
    command = ["openssl", "pkey", "-aes256", "-passout", "pass:x", "-in", pem("server.key")]
    subprocess.run([*command, "-out", str(path)], check=True, capture_output=True)

    with pytest.raises(SettingsInvalid, match="belong together, the key without a password"):
        serve(tls_cert=pem("server.pem"), tls_key=str(path) if key == "encrypted" else pem(key))


@pytest.mark.parametrize("content", [b"", b"one\ntwo\n", b"\xff\xfet\x00", b"caf\xc3\xa9"])
def test_a_token_file_without_a_token_is_named(tmp_path: Path, content: bytes) -> None:
    """It was sent, and the server blamed."""
    path = tmp_path / "token"
    path.write_bytes(content)

    with pytest.raises(ClientSettingsInvalid, match="must hold one token"):
        Access(token_file=str(path)).metadata()
    path.write_bytes(b"\xef\xbb\xbfabc\r\n")
    assert Access(token_file=str(path)).metadata() == (("authorization", "Bearer abc"),)


def test_a_client_names_the_file_that_it_lacks(tmp_path: Path) -> None:
    """Before it calls."""
    with pytest.raises(ClientSettingsInvalid, match="none"):
        RetrievalClient("127.0.0.1:1", access=Access(tls_ca=str(tmp_path / "none")))
    with pytest.raises(ClientSettingsInvalid, match="is no PEM file"):
        RetrievalClient("127.0.0.1:1", access=Access(tls_ca=__file__))
    with pytest.raises(ClientSettingsInvalid, match="go together"):
        RetrievalClient("127.0.0.1:1", access=Access(tls_cert=CA))


def test_the_environment_names_files() -> None:
    """As the commands read it."""
    found = Access.from_environment(
        {"FRESHET_CLIENT_TOKEN_FILE": "t", "FRESHET_CLIENT_TLS_CA": "c"}
    )

    assert found == Access(token_file="t", tls_ca="c")
