"""The server's settings and addresses."""

import pytest

from server.errors import SettingsInvalid
from server.listening.addresses import split_address
from server.settings import ServerSettings


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("127.0.0.1:50051", ("127.0.0.1", 50051)),
        ("localhost:0", ("localhost", 0)),
        ("[::1]:9103", ("::1", 9103)),
    ],
)
def test_an_address_is_split(address: str, expected: tuple[str, int]) -> None:
    """HOST:PORT and [HOST]:PORT are understood."""
    assert split_address(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "",
        "50051",
        ":50051",
        "localhost",
        "localhost:",
        "localhost:http",
        "::1:50051",
        "h:65536",
        "h:-1",
        "h:²",
    ],
)
def test_another_address_is_refused(address: str) -> None:
    """Anything else is refused, naming the setting."""
    with pytest.raises(SettingsInvalid, match=r"listen is .* HOST:PORT"):
        split_address(address, "listen")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("default_k", 0),
        ("max_k", 0),
        ("max_k", 5),
        ("max_query_chars", 0),
        ("num_threads", 0),
        ("num_threads", 1025),
        ("workers", 0),
        ("workers", 257),
        ("max_calls_per_connection", 0),
        ("max_connections", 1 << 31),
        ("watch_every_seconds", 0.0),
        ("retry_seconds", -1.0),
        ("grace_seconds", -0.1),
        ("grace_seconds", 1e300),
        ("watch_every_seconds", 1e10),
        ("call_seconds", float("inf")),
        ("objective_seconds", float("nan")),
        ("recall_cpu_share", 1.1),
        ("num_canaries", -1),
        ("canary_floor", 1.5),
        ("num_warmups", -1),
        ("listen", "nowhere"),
        ("metrics", "nowhere"),
    ],
)
def test_a_value_that_cannot_work_is_refused(name: str, value: object) -> None:
    """A setting out of range is refused when the settings are made."""
    with pytest.raises(SettingsInvalid):
        ServerSettings(**{name: value})  # type: ignore[arg-type]
