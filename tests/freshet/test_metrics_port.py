"""Who may read the metrics of a process, and over what."""

import http.client
import shutil
import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, Gauge

from freshet.config import ConfigError, load_config
from freshet.metrics import metrics_endpoint
from freshet.metrics_port import listening
from freshet.metrics_settings import MetricsSettings
from freshet.probe import TLS_VARIABLE, scrape
from server.errors import SettingsInvalid
from server.security.tokens import new_token

TLS = Path(__file__).parents[2] / "testing" / "golden" / "tls"
DEADLINE_SECONDS = 60.0
ENCRYPTED = MetricsSettings(tls_cert=str(TLS / "server.pem"), tls_key=str(TLS / "server.key"))


def with_client_ca(settings: MetricsSettings) -> MetricsSettings:
    """Return settings that want certificates of readers, too."""
    return MetricsSettings(
        tls_cert=settings.tls_cert, tls_key=settings.tls_key, tls_client_ca=str(TLS / "ca.pem")
    )


@pytest.fixture
def registry() -> CollectorRegistry:
    """Return metrics to read."""
    found = CollectorRegistry()
    Gauge("freshet_test_answer", "For the test", registry=found).set(42)
    return found


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the variables of clients; each is a file of the test's."""
    monkeypatch.setenv(TLS_VARIABLE, "1")
    monkeypatch.setenv("FRESHET_CLIENT_TLS_CA", str(TLS / "ca.pem"))

    def having(**files: str) -> None:
        for name, path in files.items():
            monkeypatch.setenv(f"FRESHET_CLIENT_{name.upper()}", path)

    return having


@pytest.fixture
def answers() -> Callable[[int], bool]:
    """Return whether the metrics at a port can be read."""

    def can_be_read(port: int) -> bool:
        try:
            found = scrape(f"localhost:{port}", DEADLINE_SECONDS).samples
        except (OSError, ValueError):
            return False
        return found["freshet_test_answer"] == [({}, 42.0)]

    return can_be_read


def test_only_tls_is_answered(
    registry: CollectorRegistry,
    reader: Callable[..., None],
    answers: Callable[[int], bool],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A reader that trusts the authority is; one that does not, or speaks plainly, is
    not.
    """
    reader()
    with listening(("127.0.0.1", 0), registry, ENCRYPTED) as port:
        assert answers(port)
        monkeypatch.delenv("FRESHET_CLIENT_TLS_CA")
        assert not answers(port)
        monkeypatch.delenv(TLS_VARIABLE)
        assert not answers(port)


def test_a_reader_must_have_a_certificate(
    registry: CollectorRegistry, reader: Callable[..., None], answers: Callable[[int], bool]
) -> None:
    """Where the settings say so."""
    reader()
    with listening(("127.0.0.1", 0), registry, with_client_ca(ENCRYPTED)) as port:
        assert not answers(port)
        reader(tls_cert=str(TLS / "client.pem"), tls_key=str(TLS / "client.key"))
        assert answers(port)


def test_a_reader_must_have_a_token(
    registry: CollectorRegistry,
    reader: Callable[..., None],
    answers: Callable[[int], bool],
    tmp_path: Path,
) -> None:
    """One of the file, which is read again when it changes, and is not sent without
    TLS.
    """
    token, line = new_token("prometheus")
    (tmp_path / "tokens").write_text(f"{line}\n", encoding="utf-8")
    (tmp_path / "token").write_text(token, encoding="utf-8")
    settings = MetricsSettings(
        tls_cert=ENCRYPTED.tls_cert, tls_key=ENCRYPTED.tls_key, tokens=str(tmp_path / "tokens")
    )
    reader()
    with listening(("127.0.0.1", 0), registry, settings) as port:
        assert not answers(port)
        reader(token_file=str(tmp_path / "token"))
        assert answers(port)


def test_who_has_no_token_is_told_so(registry: CollectorRegistry, tmp_path: Path) -> None:
    """By a status, and in words."""
    expired, line = new_token("old")
    (tmp_path / "tokens").write_text(f"{line} 2001-01-31T00:00:00Z\n", encoding="utf-8")
    settings = MetricsSettings(tokens=str(tmp_path / "tokens"))
    found = {}
    with listening(("127.0.0.1", 0), registry, settings) as port:
        for given in ("", "Bearer wrong", f"bearer {expired}", f"Basic {expired}"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=DEADLINE_SECONDS)
            connection.request("GET", "/metrics", headers={"authorization": given})
            answer = connection.getresponse()
            found[given.partition(" ")[0]] = (answer.status, b"expired" in answer.read())
            connection.close()

    assert found == {
        "": (401, False),
        "Bearer": (401, False),
        "bearer": (401, True),
        "Basic": (401, False),
    }


def test_a_new_certificate_is_taken(registry: CollectorRegistry, tmp_path: Path) -> None:
    """Without a restart, for connections that come after it."""
    for name in ("server.pem", "server.key"):
        shutil.copy(TLS / name, tmp_path / name)
    settings = MetricsSettings(
        tls_cert=str(tmp_path / "server.pem"), tls_key=str(tmp_path / "server.key")
    )
    with listening(("127.0.0.1", 0), registry, settings) as port:
        before = ssl.get_server_certificate(("127.0.0.1", port), timeout=DEADLINE_SECONDS)
        for name in ("server.pem", "server.key"):
            shutil.copy(TLS / f"other-{name}", tmp_path / "new")
            (tmp_path / "new").replace(tmp_path / name)
        after = ssl.get_server_certificate(("127.0.0.1", port), timeout=DEADLINE_SECONDS)

    assert before.strip() in (TLS / "server.pem").read_text("utf-8")
    assert after.strip() in (TLS / "other-server.pem").read_text("utf-8")
    assert before != after


def test_silent_clients_hold_nobody_up(
    registry: CollectorRegistry, reader: Callable[..., None], answers: Callable[[int], bool]
) -> None:
    """Neither before their handshake nor after it."""
    reader()
    with listening(("127.0.0.1", 0), registry, ENCRYPTED) as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(20)]
        assert answers(port)
        for each in silent:
            each.close()


def test_files_that_cannot_be_used_are_named(registry: CollectorRegistry, tmp_path: Path) -> None:
    """When the process starts, by their setting."""
    wrong = tmp_path / "wrong"
    wrong.write_text("no PEM", encoding="utf-8")
    for settings, message in (
        (MetricsSettings(tls_cert=str(wrong), tls_key=str(wrong)), r"metrics\.tls_cert"),
        (MetricsSettings(tokens=str(tmp_path / "none")), r"metrics\.tokens: .* cannot be read"),
        (MetricsSettings(tokens=str(wrong)), r"metrics\.tokens: .* line 1 is not NAME"),
    ):
        with (
            pytest.raises(SettingsInvalid, match=message),
            metrics_endpoint("127.0.0.1:0", registry, settings=settings),
        ):
            pass


@pytest.mark.parametrize(
    ("name", "message"),
    [("TLS_CERT", "tls_key is ''"), ("TLS_CLIENT_CA", "must be empty without tls_cert")],
)
def test_settings_that_do_not_fit_together_are_refused(name: str, message: str) -> None:
    """With the table and the key."""
    with pytest.raises(ConfigError, match=rf"\[metrics\].*{message}"):
        load_config(None, {f"FRESHET_METRICS_{name}": "some.pem"})
