"""Until when the certificates of a process are good."""

import math
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from server.errors import SettingsInvalid
from server.security.tls import TlsFiles, TlsSettings
from stream.files import read_plain

# A chain of certificates has some 10 kB. Twice as much: no harm.
_MOST_BYTES = 1 << 20
_NONE: Mapping[str, str] = {}
_UNKNOWN = math.nan, math.nan


def watch_certificates(
    registry: CollectorRegistry,
    of_ports: Mapping[str, TlsSettings],
    of_clients: Mapping[str, str] = _NONE,
) -> None:
    """Let a registry say at each scrape from when to when certificates are good.

    What a port uses is told: of files that changed and cannot be used together, what
    they had before.

    Args:
        registry: what the process serves.
        of_ports: what names their files, by its table; it may name none. Of a chain the
            certificate counts that ends first.
        of_clients: files of certificates that this process shows to others, by the
            settings that name them; empty: there is none. It reads them once, so that
            those of now are told until it ends.
    """
    from_when = Gauge(
        "freshet_certificate_valid_from_timestamp_seconds",
        "From when a certificate is good, by the setting that names its file",
        ["setting"],
        registry=registry,
    )
    until_when = Gauge(
        "freshet_certificate_expires_timestamp_seconds",
        "Until when it is",
        ["setting"],
        registry=registry,
    )
    for table, settings in of_ports.items():
        if settings.tls_cert:
            port, setting = _OfPort(settings, table), f"{table}.tls_cert"
            from_when.labels(setting).set_function(partial(port.seconds, is_end=False))
            until_when.labels(setting).set_function(partial(port.seconds, is_end=True))
    for setting, path in of_clients.items():
        if path:
            begin, end = _read_once(path)
            from_when.labels(setting).set(begin)
            until_when.labels(setting).set(end)


class _OfPort:
    """From when to when the certificate is good that a port uses now.

    Args:
        settings: have one.
        table: where they are.
    """

    def __init__(self, settings: TlsSettings, table: str) -> None:
        self._files = TlsFiles(settings, table)
        self._found = _UNKNOWN
        with suppress(SettingsInvalid, ValueError):  # the port says so
            self._found = _validity(self._files.contents()["tls_cert"])

    def seconds(self, *, is_end: bool) -> float:
        """Return one of the two, in seconds since 1970; NaN: it never had one."""
        changed = self._files.changed_contents()
        if changed is not None:
            self._found = _validity(changed["tls_cert"])
        return self._found[is_end]


def _read_once(path: str) -> tuple[float, float]:
    with suppress(OSError, ValueError):  # the client says so
        return _validity(read_plain(Path(path).resolve(), _MOST_BYTES))
    return _UNKNOWN


def _validity(pem: bytes) -> tuple[float, float]:
    """Return from when to when the certificate is good that ends first.

    Raises:
        ValueError: there is none, or a broken one.
    """
    from cryptography import x509  # noqa: PLC0415  # .1 s, where there is a certificate

    first = min(x509.load_pem_x509_certificates(pem), key=lambda each: each.not_valid_after_utc)
    return first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp()
