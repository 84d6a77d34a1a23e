"""Bearer tokens: only their hashes are stored, in a file that is read again when it
changes.
"""

import hashlib
import hmac
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock
from typing import Final

from server.errors import SettingsInvalid
from stream.files import read_plain

logger = logging.getLogger(__name__)

# Bytes of a token that this module makes: nobody guesses 256 bits, so that a plain hash
# of it needs no salt. Twice as many would be no safer.
_TOKEN_BYTES: Final = 32
# Ten thousand tokens. Twice as many would be compared with at each call.
_MOST_BYTES: Final = 1 << 20
# Seconds between two looks at the file. Twice as long lets a removed token in for twice
# as long.
_CHECK_SECONDS: Final = 1.0
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """One line of the file.

    Attributes:
        name: of the caller, for limits and logs.
        sha256: of the token, in hexadecimal.
        expires_seconds: Unix time; infinity: never.
    """

    name: str
    sha256: str
    expires_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenVerdict:
    """What a token is worth.

    Attributes:
        name: of the caller; empty: the token lets nobody in.
        has_expired: it is known, and no longer good.
    """

    name: str = ""
    has_expired: bool = False


def new_token(name: str) -> tuple[str, str]:
    """Return a new token, and the line of the file that lets it in.

    Raises:
        SettingsInvalid: a caller cannot have this name.
    """
    if not _NAME.fullmatch(name):
        raise SettingsInvalid(
            f"a caller's name is {name!r}; it must be up to 64 letters, digits, '.', '_' or '-'"
        )
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    return token, f"{name} {_sha256(token)}"


class TokenFile:
    """The tokens of a file: a line each, ``NAME SHA256 [EXPIRES]``, where the last is a
    UTC time such as ``2027-01-31T00:00:00Z``; ``#`` begins a comment.

    A file that becomes unreadable leaves the tokens that were last read, which is
    logged.

    Args:
        path: the file.
        setting: that names it, for messages.
        clock: Unix time in seconds.

    Raises:
        SettingsInvalid: it cannot be read, or a line is wrong.
    """

    def __init__(
        self,
        path: Path,
        *,
        setting: str = "server.tokens",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._setting = setting
        self._clock = clock
        self._lock = Lock()
        self._tokens = _read(path, setting)
        self._stamp = _stamp(path)
        self._looked_at = clock()

    def verdict(self, token: str) -> TokenVerdict:
        """Return what a token is worth; compared with every stored one, in a time that
        does not tell how much of it is right.
        """
        self._look()
        given, found = _sha256(token), None
        for stored in self._tokens:
            if hmac.compare_digest(stored.sha256, given):
                found = stored
        if found is None:
            return TokenVerdict()
        if self._clock() >= found.expires_seconds:
            return TokenVerdict(has_expired=True)
        return TokenVerdict(name=found.name)

    def _look(self) -> None:
        """Read the file again if it has changed."""
        now = self._clock()
        if now - self._looked_at < _CHECK_SECONDS:
            return
        with self._lock:
            self._looked_at = now
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            try:
                self._tokens = _read(self._path, self._setting)
            except SettingsInvalid as error:
                logger.error("tokens_not_read_again why=%s", error)  # noqa: TRY400  # the message says all
            else:
                # One that is being written may be empty just now: it is read again.
                level = logging.INFO if self._tokens else logging.WARNING
                logger.log(level, "tokens_read count=%d path=%s", len(self._tokens), self._path)


def _sha256(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path, setting: str) -> tuple[StoredToken, ...]:
    try:
        # A mounted secret is a link to the file.
        # Editors of Windows put a byte order mark before UTF-8.
        text = read_plain(path.resolve(), _MOST_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsInvalid(f"{setting}: {path} cannot be read: {error}") from error
    lines = [line.partition("#")[0].split() for line in text.splitlines()]
    return tuple(
        _parsed(fields, f"{setting}: {path}, line {number}")
        for number, fields in enumerate(lines, start=1)
        if fields
    )


def _parsed(fields: list[str], where: str) -> StoredToken:
    try:
        name, sha256, *rest = fields
        expires = datetime.fromisoformat(rest[0]) if rest else None
    except ValueError:
        name, sha256, rest, expires = "", "", [], None
    if len(rest) > 1 or not _NAME.fullmatch(name) or not _HASH.fullmatch(sha256):
        raise SettingsInvalid(
            f"{where} is not NAME SHA256 [EXPIRES]; `freshet token NAME` writes such lines"
        )
    if expires is not None and expires.tzinfo is None:
        expires = expires.replace(tzinfo=UTC)
    seconds = float("inf") if expires is None else expires.timestamp()
    return StoredToken(name=name, sha256=sha256, expires_seconds=seconds)
