"""Until when the certificates of a process are good."""

import math
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge

from stream.files import read_plain

# A chain of certificates has some 10 kB. Twice as much: no harm.
_MOST_BYTES = 1 << 20
_NONE: Mapping[str, str] = {}


def watch_certificates(
    registry: CollectorRegistry, of_ports: Mapping[str, str], of_clients: Mapping[str, str] = _NONE
) -> None:
    """Let a registry say at each scrape from when to when certificates are good.

    The file of a port is read again when it changes, as the port does. Of one that
    cannot be read what it had before is told, since that is what is in use.

    Args:
        registry: what the process serves.
        of_ports: the PEM files, by the settings that name them; empty: there is none.
            Of a chain the certificate counts that ends first.
        of_clients: the same of certificates that this process shows to others, which it
            reads once: those of now are told until it ends.
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
    for setting, path in {**of_ports, **of_clients}.items():
        if path:
            validity = _Validity(Path(path), is_kept=setting in of_clients)
            from_when.labels(setting).set_function(partial(validity.seconds, is_end=False))
            until_when.labels(setting).set_function(partial(validity.seconds, is_end=True))


class _Validity:
    """From when to when the certificates of a file are good, in seconds since 1970."""

    def __init__(self, path: Path, *, is_kept: bool) -> None:
        self._path = path
        self._stamp: tuple[int, int] | None = None
        self._found = math.nan, math.nan
        self._look()
        self._is_kept = is_kept

    def seconds(self, *, is_end: bool) -> float:
        """Return one of the two; NaN: no certificate was ever in the file."""
        if not self._is_kept:
            self._look()
        return self._found[is_end]

    def _look(self) -> None:
        try:
            found = self._path.stat()
            stamp = found.st_ino, found.st_mtime_ns
            if stamp != self._stamp:
                self._found = _validity(self._path)
                self._stamp = stamp
        except (OSError, ValueError):
            pass  # whoever uses the file says so


def _validity(path: Path) -> tuple[float, float]:
    """Return from when to when the certificate is good that ends first.

    Raises:
        OSError: the file cannot be read.
        ValueError: it has no certificate, or a broken one.
    """
    from cryptography import x509  # noqa: PLC0415  # .1 s, where there is a certificate

    chain = x509.load_pem_x509_certificates(read_plain(path.resolve(), _MOST_BYTES))
    first = min(chain, key=lambda each: each.not_valid_after_utc)
    return first.not_valid_before_utc.timestamp(), first.not_valid_after_utc.timestamp()
