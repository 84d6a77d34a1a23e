"""Tokens: asked for once in their life, renewed before its end, and what is said when
there is none.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from stream.kafka.access.tokens import TokenProvider, TokenUnavailable, extensions_of
from stream.settings import StreamSettings
from testing.stand_ins.token_endpoint import (
    CLIENT_ID,
    CLIENT_SECRET,
    TokenEndpoint,
    token_endpoint,
    unsigned_token,
)

NOW = 1_800_000_000.0


@pytest.fixture
def endpoint() -> Iterator[TokenEndpoint]:
    """One of this test."""
    with token_endpoint() as server:
        yield server


def settings_of(url: str, **more: Any) -> StreamSettings:
    """Return settings that take tokens from somewhere."""
    own = {
        "security_protocol": "SASL_SSL",
        "sasl_mechanism": "OAUTHBEARER",
        "sasl_oauthbearer_token_endpoint_url": url,
        "sasl_oauthbearer_client_id": CLIENT_ID,
        "sasl_oauthbearer_client_secret": CLIENT_SECRET,
    }
    return StreamSettings(**{**own, **more})


def test_a_token_is_kept_until_most_of_its_life_is_over(endpoint: TokenEndpoint) -> None:
    """Four fifths, as in Kafka's own client; the scope is asked for."""
    clock = [NOW]
    settings = settings_of(endpoint.url, sasl_oauthbearer_scope="kafka read")
    provider = TokenProvider(settings, lambda: clock[0])
    first = provider.token()
    clock[0] += 239.9
    assert provider.token() is first
    clock[0] += 0.2
    second = provider.token()

    assert (first.expires_at, second.expires_at) == (NOW + 300.0, clock[0] + 300.0)
    assert (
        endpoint.forms
        == [
            {"grant_type": "client_credentials", "scope": "kafka read"},
        ]
        * 2
    )


def test_a_provider_that_is_away_is_borne_while_the_token_is_good(
    endpoint: TokenEndpoint,
) -> None:
    """It is asked again every ten seconds, and the error comes when the token has run
    out.
    """
    clock = [NOW]
    provider = TokenProvider(settings_of(endpoint.url), lambda: clock[0])
    first = provider.token()
    endpoint.answer = 503, b"down"
    for seconds in (250.0, 255.0, 261.0):
        clock[0] = NOW + seconds
        assert provider.token() is first
    assert len(endpoint.forms) == 3
    clock[0] = NOW + 300.0
    with pytest.raises(TokenUnavailable, match=r"refused .503 down.*client_id"):
        provider.token()


@pytest.mark.parametrize(
    ("status", "answer", "expected"),
    [
        (200, b"<html>\n", "answered '<html>', which is no JSON object"),
        (200, b"[" * 100_000, "which is no JSON object"),
        (200, b"[]", "which is no JSON object"),
        (200, b"{}", "answered without an access_token"),
        (200, b'{"access_token": 7}', "answered without an access_token"),
        (200, b'{"access_token": "a\\u0001b"}', "answered without an access_token"),
        (200, b'{"access_token": "abc", "expires_in": 0}', "still good: it ran out 0 seconds"),
        (302, b"", "refused .302"),
        (400, b'{"error": "invalid_scope"}', "400 .*invalid_scope.*sasl_oauthbearer_scope"),
    ],
)
def test_answers_without_a_token(
    endpoint: TokenEndpoint, status: int, answer: bytes, expected: str
) -> None:
    """One line says what came instead, short, and where from."""
    endpoint.answer = status, answer
    with pytest.raises(TokenUnavailable, match=expected) as raised:
        TokenProvider(settings_of(endpoint.url)).token()

    assert str(raised.value).startswith(
        f"stream.sasl_oauthbearer_token_endpoint_url: {endpoint.url} "
    )
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 500
    assert len(endpoint.forms) == 1


def test_how_long_a_token_counts_that_does_not_say(endpoint: TokenEndpoint) -> None:
    """As its JWT says; one that is no JWT for five minutes."""
    clock = lambda: NOW  # noqa: E731  # short
    jwt = unsigned_token(life_seconds=77.0, now=NOW)
    for text, expires_at in ((jwt, NOW + 77.0), ("opaque", NOW + 300.0)):
        endpoint.answer = 200, b'{"access_token": "%s", "expires_in": null}' % text.encode()
        assert TokenProvider(settings_of(endpoint.url), clock).token() == (text, expires_at)


def test_an_endpoint_that_is_not_there(endpoint: TokenEndpoint) -> None:
    """It is named."""
    endpoint.server_close()
    with pytest.raises(TokenUnavailable, match=r"does not answer \(.*(refused|reset)"):
        TokenProvider(settings_of(endpoint.url)).token()


def test_a_secret_from_a_file(endpoint: TokenEndpoint, tmp_path: Path) -> None:
    """It is read for each token; a file that cannot be used is named."""
    path = tmp_path / "secret"
    path.write_text(CLIENT_SECRET + "\n")
    more = {"sasl_oauthbearer_client_secret": "", "sasl_oauthbearer_client_secret_file": str(path)}
    settings = settings_of(endpoint.url, **more)
    assert TokenProvider(settings).token().text
    for content, expected in ((b"\n", "is empty"), (b"\xff", "is not UTF-8"), (None, "be read")):
        path.unlink() if content is None else path.write_bytes(content)
        with pytest.raises(TokenUnavailable, match=f"client_secret_file: .*secret .*{expected}"):
            TokenProvider(settings).token()


def test_a_token_from_a_file(tmp_path: Path) -> None:
    """Something else renews it; it is read again before it has run out."""
    path = tmp_path / "the token"
    path.write_text(unsigned_token(life_seconds=100.0, now=NOW) + "\n")
    clock = [NOW]
    url = f"file://{tmp_path}/the%20token"
    provider = TokenProvider(settings_of(url), lambda: clock[0])
    assert provider.token().expires_at == NOW + 100.0
    path.write_text(unsigned_token(life_seconds=200.0, now=NOW))
    clock[0] += 81.0
    assert provider.token().expires_at == NOW + 200.0
    clock[0] += 200.0
    with pytest.raises(TokenUnavailable, match="still good: it ran out 81 seconds ago"):
        provider.token()


@pytest.mark.parametrize("content", [b"", b"two words", b"\xff", None])
def test_a_file_without_a_token(tmp_path: Path, content: bytes | None) -> None:
    """It is named, with what is wrong."""
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)
    expected = "cannot be read" if content is None else "holds no token"
    with pytest.raises(TokenUnavailable, match=f"{path} {expected}"):
        TokenProvider(settings_of(path.as_uri())).token()


def test_an_authority_that_cannot_be_used(tmp_path: Path) -> None:
    """It is named by its setting."""
    (tmp_path / "ca.pem").write_text("garbage")
    for name in ("ca.pem", "absent.pem"):
        settings = settings_of("https://127.0.0.1:1/", https_ca_location=str(tmp_path / name))
        with pytest.raises(TokenUnavailable, match=f"https_ca_location: .*{name} holds no"):
            TokenProvider(settings).token()


def test_extensions() -> None:
    """Names and values, several with commas; values may have an equals sign."""
    settings = settings_of("file:///t", sasl_oauthbearer_extensions="logicalCluster=lkc-1, id=a=b")
    assert extensions_of(settings) == {"logicalCluster": "lkc-1", "id": "a=b"}
