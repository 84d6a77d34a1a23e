"""Until when certificates are good is told before they end."""

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from prometheus_client import CollectorRegistry

from freshet.certificates import watch_certificates
from freshet.metrics_settings import MetricsSettings

BEGIN = datetime(2031, 1, 1, tzinfo=UTC)
KEY = Ed25519PrivateKey.generate()
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop")])


def certificate(days: int) -> bytes:
    """Return one that is good for so many days."""
    made = (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(KEY.public_key())
        .serial_number(1)
        .not_valid_before(BEGIN)
        .not_valid_after(BEGIN + timedelta(days=days))
        .sign(KEY, None)
    )
    return made.public_bytes(serialization.Encoding.PEM)


def key_of(key: Ed25519PrivateKey) -> bytes:
    """Return it as a file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def port(path: Path) -> MetricsSettings:
    """Return the settings of a port with a certificate, and its key beside that."""
    key = path.with_name("key.pem")
    key.write_bytes(key_of(KEY))
    return MetricsSettings(tls_cert=str(path), tls_key=str(key))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A certificate that is good for 90 days."""
    found = tmp_path / "server.pem"
    found.write_bytes(certificate(90))
    return found


def told(registry: CollectorRegistry, setting: str = "server.tls_cert") -> tuple[float, float]:
    """Return from when to when a registry says that a certificate is good."""
    both = [
        registry.get_sample_value(
            f"freshet_certificate_{name}_timestamp_seconds", {"setting": setting}
        )
        for name in ("valid_from", "expires")
    ]
    assert both[0] is not None
    assert both[1] is not None
    return both[0], both[1]


def days_told(registry: CollectorRegistry) -> float:
    """Return how many days after the beginning it ends."""
    begin, end = told(registry)
    assert begin == BEGIN.timestamp()
    return (end - begin) / 86_400


def test_each_certificate_is_told_by_its_setting(path: Path) -> None:
    """And none where there is none."""
    registry = CollectorRegistry()
    watch_certificates(registry, {"server": port(path), "metrics": MetricsSettings()})

    assert days_told(registry) == 90
    found = {sample.labels["setting"] for each in registry.collect() for sample in each.samples}
    assert found == {"server.tls_cert"}


def test_of_a_chain_what_ends_first(path: Path) -> None:
    """An authority between that ends is as bad; the key in the same file is none."""
    path.write_bytes(certificate(90) + key_of(KEY) + certificate(30) + certificate(3650))
    registry = CollectorRegistry()
    watch_certificates(registry, {"server": port(path)})

    assert days_told(registry) == 30


@pytest.mark.parametrize("is_link", [True, False])
def test_a_new_certificate_is_told_at_once(path: Path, tmp_path: Path, is_link: bool) -> None:
    """Put in its place, or behind the link that a mounted secret is."""
    given = path
    if is_link:
        given = tmp_path / "mounted.pem"
        given.symlink_to(path)
    registry = CollectorRegistry()
    watch_certificates(registry, {"server": port(given)})
    before = days_told(registry)
    new = tmp_path / "new.pem"
    new.write_bytes(certificate(180))
    new.replace(path)

    assert (before, days_told(registry)) == (90, 180)


@pytest.mark.parametrize("content", [b"", b"no certificate", None])
def test_a_file_that_is_spoilt_leaves_what_is_in_use(path: Path, content: bytes | None) -> None:
    """The process goes on with the certificate that it has."""
    registry = CollectorRegistry()
    watch_certificates(registry, {"server": port(path)})
    assert days_told(registry) == 90

    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    assert days_told(registry) == 90
    path.write_bytes(certificate(30))
    assert days_told(registry) == 30


def test_a_certificate_without_its_key_is_not_in_use(path: Path) -> None:
    """A port goes on with the old one until the key comes, and so does what is told."""
    registry, settings, other = CollectorRegistry(), port(path), Ed25519PrivateKey.generate()
    watch_certificates(registry, {"server": settings})
    Path(settings.tls_key).write_bytes(key_of(other))
    path.write_bytes(certificate(180))
    before = days_told(registry)
    Path(settings.tls_key).write_bytes(key_of(KEY))

    assert (before, days_told(registry)) == (90, 180)


def test_a_client_has_what_it_read_at_its_start(path: Path) -> None:
    """A new file does not help it: it is to be restarted."""
    registry, setting = CollectorRegistry(), "stream.ssl_certificate_location"
    watch_certificates(registry, {}, {setting: str(path)})
    path.write_bytes(certificate(180))

    begin, end = told(registry, setting)

    assert (end - begin) / 86_400 == 90


def test_a_file_that_never_had_one(tmp_path: Path) -> None:
    """It is said to be unknown, which no alert takes for a time."""
    registry, none = CollectorRegistry(), str(tmp_path / "none.pem")
    watch_certificates(registry, {"server": MetricsSettings(tls_cert=none, tls_key=none)})

    assert all(math.isnan(each) for each in told(registry))
