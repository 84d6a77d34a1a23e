"""Tests of who may ask the console, and what it lets a browser do."""

import json
import socket
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from freshet.console.guard import guard_of
from freshet.console.listener import _MOST_CONNECTIONS
from freshet.process import CommandError
from server.security.tokens import new_token
from tests.freshet.conftest import Until
from tests.freshet.console.conftest import Serve

_PATHS = ("overview", "history", "partitions", "quarantine", "generations", "search?q=lamp")


def test_nothing_can_be_changed(serve: Serve) -> None:
    """Whatever method is no reading is refused, whatever it is called."""
    console = serve()
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
        status, headers, _ = console.ask("/api/overview", method=method)
        assert (status, headers["allow"]) == (405, "GET, HEAD"), method
    assert console.ask("/api/overview", method="HEAD")[0::2] == (200, b"")


def test_every_answer_forbids_what_a_page_does_not_need(serve: Serve) -> None:
    """No inline script, no other origin, no frame, no guess at types, no cache; also
    where it fails.
    """
    console = serve()
    for path in ("/", "/console.js", "/api/overview", "/nowhere", "/../../etc/passwd", "/api/x"):
        _, headers, _ = console.ask(path)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:9106", 200),
        ("localhost:9106", 200),
        ("LOCALHOST.", 200),
        ("[::1]:9106", 200),
        ("console.example", 200),
        ("attacker.example", 421),
        ("localhost.attacker.example", 421),
        ("127.0.0.1.nip.io:9106", 421),
        ("", 421),
        ("localhost:9106@attacker.example", 421),
    ],
)
def test_a_name_that_was_rebound_gets_nothing(serve: Serve, host: str, status: int) -> None:
    """Only loopback's names, addresses, and names that were given."""
    console = serve(names=("console.example",))

    assert console.ask("/api/overview", Host=host)[0] == status
    assert console.ask("/", Host=host)[0] == status


def test_another_sites_page_may_not_ask(serve: Serve) -> None:
    """It could not read the answer, but have the servers asked."""
    console = serve()

    asked = {
        site: console.ask("/api/search?q=lamp", Sec_Fetch_Site=site)[0]
        for site in ("cross-site", "same-site", "same-origin", "none")
    }

    assert asked == {"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200}


def test_beyond_loopback_a_token_is_needed(tmp_path: Path, serve: Serve) -> None:
    """It does not start without; with one, data is for who has it, and the page itself
    tells nothing.
    """
    for address in ("0.0.0.0:9106", "[::]:9106", "192.0.2.7:9106", "console.example:9106"):
        with pytest.raises(CommandError, match="--tokens"):
            guard_of(address, (), None)
    guard_of("127.0.0.1:9106", (), None)
    guard_of("[::1]:9106", (), None)
    guard_of("localhost:9106", (), None)

    tokens = tmp_path / "tokens"
    token, line = new_token("on-call")
    tokens.write_text(line + "\n")
    guard_of("0.0.0.0:9106", (), tokens)
    console = serve(tokens=tokens)
    for path in _PATHS:
        assert console.ask(f"/api/{path}")[0] == 401
        assert console.ask(f"/api/{path}", Authorization="Bearer wrong")[0] == 401
        assert console.ask(f"/api/{path}", Authorization=token)[0] == 401
        assert console.ask(f"/api/{path}", Authorization=f"Bearer {token}")[0] == 200
    assert console.ask("/")[0] == 200
    with pytest.raises(CommandError, match=r"--tokens.*cannot be read"):
        guard_of("127.0.0.1:9106", (), tmp_path / "nowhere")


def test_wrong_questions_say_what_is_wrong(serve: Serve) -> None:
    """In JSON, with a status that fits."""
    console = serve()
    told = {}
    for path in (
        "/api/history?seconds=long",
        "/api/history?seconds=nan",
        "/api/search?q=",
        "/api/search?q=lamp&server=7",
        "/api/search?q=" + "a" * 20_000,
        "/api/overview?" + "&".join(f"a{n}=1" for n in range(50)),
        "/api/nothing",
        "/console.py",
    ):
        status, _, body = console.ask(path)
        told[path[:40]] = status, json.loads(body)["problem"]

    assert [status for status, _ in told.values()] == [400, 400, 400, 400, 400, 400, 404, 404]
    assert told["/api/history?seconds=long"][1] == "seconds=long is not a number"


def test_connections_that_say_nothing_leave_room(serve: Serve, eventually: Until) -> None:
    """A flood of them is turned away, and once they are gone the console answers."""
    console = serve()
    silent = [socket.create_connection(console.address) for _ in range(_MOST_CONNECTIONS)]
    extra = socket.create_connection(console.address, timeout=120)
    try:
        assert extra.recv(1) == b""
    finally:
        for each in (*silent, extra):
            each.close()

    def is_answered() -> bool:
        # Their threads learn a moment later that they are gone.
        with suppress(ConnectionError, HTTPException):
            return console.ask("/api/overview")[0] == 200
        return False

    eventually(is_answered)
