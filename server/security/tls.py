"""The certificate of a port, read again for connections that come after it changed.

Without gRPC: the metrics ports of processes that have none are protected by it, too.
"""

import logging
import ssl
from pathlib import Path
from threading import Lock
from typing import Protocol

from server.errors import SettingsInvalid
from stream.files import read_plain

logger = logging.getLogger(__name__)

# A chain of certificates has some 10 kB. Twice as much: no harm.
_MOST_BYTES = 1 << 20


class TlsSettings(Protocol):
    """The PEM files of a port; `ServerSettings` has them."""

    @property
    def tls_cert(self) -> str:
        """Its certificate; empty: it has no TLS."""

    @property
    def tls_key(self) -> str:
        """The private key of that."""

    @property
    def tls_client_ca(self) -> str:
        """The authorities of its clients' certificates; empty: they need none."""


class TlsContexts:
    """What protects connections other than gRPC's, made anew when a file changes.

    Args:
        settings: has a certificate.
        table: where the settings are, for messages.

    Raises:
        SettingsInvalid: a file cannot be used.
    """

    def __init__(self, settings: TlsSettings, *, table: str = "server") -> None:
        self._files = TlsFiles(settings, table)
        self._settings, self._table = settings, table
        self._context = _context(settings, table)

    def current(self) -> ssl.SSLContext:
        """Return the context for a new connection."""
        if self._files.changed_contents() is not None:
            try:
                self._context = _context(self._settings, self._table)
            except SettingsInvalid as error:
                logger.error("certificate_not_read_again why=%s", error)  # noqa: TRY400  # the message says all
        return self._context


def _context(settings: TlsSettings, table: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    try:
        # An encrypted key is refused: nobody is there to be asked for its password.
        context.load_cert_chain(settings.tls_cert, settings.tls_key, password=lambda: "")
        if settings.tls_client_ca:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(settings.tls_client_ca)
    except OSError as error:  # an error of TLS is one, too
        raise SettingsInvalid(
            f"{table}.tls_cert, tls_key or tls_client_ca cannot be used: {error}; certificate and "
            "key belong together, the key without a password"
        ) from error
    return context


class TlsFiles:
    """The PEM files of a port, and whether they have changed.

    Args:
        settings: has a certificate.
        table: where the settings are, for messages.
    """

    def __init__(self, settings: TlsSettings, table: str) -> None:
        self._settings, self._table = settings, table
        self._paths = {
            "tls_cert": settings.tls_cert,
            "tls_key": settings.tls_key,
            "tls_client_ca": settings.tls_client_ca,
        }
        self._lock = Lock()
        self._stamps = self._stamps_now()

    def contents(self) -> dict[str, bytes]:
        """Read the files; return what each has, by the name of its setting.

        Raises:
            SettingsInvalid: one cannot be read, or is no PEM, or they cannot be used
                together: gRPC would find that out at the first connection.
        """
        found = {
            name: _pem(f"{self._table}.{name}", path) for name, path in self._paths.items() if path
        }
        _context(self._settings, self._table)
        return found

    def changed_contents(self) -> dict[str, bytes] | None:
        """Return what the files have now; None: what they had before, or nothing that
        can be used.
        """
        with self._lock:
            stamps = self._stamps_now()
            if stamps == self._stamps:
                return None
            self._stamps = stamps
        try:
            found = self.contents()
        except SettingsInvalid as error:
            logger.error("certificate_not_read_again why=%s", error)  # noqa: TRY400  # the message says all
            return None
        logger.info("certificate_read path=%s", self._paths["tls_cert"])
        return found

    def _stamps_now(self) -> tuple[tuple[int, int], ...]:
        return tuple(_stamp(path) for path in self._paths.values() if path)


def _stamp(path: str) -> tuple[int, int]:
    try:
        found = Path(path).stat()
    except OSError:
        return (0, 0)
    return found.st_ino, found.st_mtime_ns


def _pem(name: str, path: str) -> bytes:
    try:
        # A mounted secret is a link to the file.
        content = read_plain(Path(path).resolve(), _MOST_BYTES)
    except OSError as error:
        raise SettingsInvalid(f"{name}: {path} cannot be read: {error}") from error
    if b"-----BEGIN " not in content:
        raise SettingsInvalid(f"{name}: {path} is no PEM file")
    return content
