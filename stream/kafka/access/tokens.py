"""Tokens for OAUTHBEARER: of an OpenID provider by client credentials, or of a file."""

import json
import logging
import re
import ssl
import threading
import time
from base64 import b64encode, urlsafe_b64decode
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote_plus, unquote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, HTTPSHandler, Request, build_opener

from stream.settings import StreamSettings

logger = logging.getLogger(__name__)

# Seconds for the endpoint's answer, during which the client's network thread waits:
# well within the session of a group. Twice as many bear a slower provider, and delay
# heartbeats for as long.
_ANSWER_SECONDS = 4.0
# Bytes of an answer or a file that are read: many times a token, which brokers take up
# to some 100 KB of. Twice as many only let garbage take more memory.
_MAX_BYTES = 256 * 1024
# Of a token's life after which the next one is asked for, as in Kafka's own client
# (sasl.login.refresh.window.factor). A larger share leaves less time for a provider
# that is away.
_REFRESH_AFTER = 0.8
# Seconds between two tries while the token at hand is still good; as Kafka's client
# (sasl.login.retry.backoff.max.ms). Twice as many ask a provider that fails half as
# often.
_RETRY_SECONDS = 10.0
# Seconds that a token counts which does not say how long it is good: as providers give
# at the least. Twice as many use one that may have run out.
_UNKNOWN_LIFE_SECONDS = 300.0
# Characters of an endpoint's complaint that are told.
_SHOWN_CHARS = 200

# RFC 6750, 2.1: also what may stand in the message to the broker without ending it.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f]+")


class TokenUnavailable(Exception):
    """There is no token; the message is one line that says why, and what to do."""


class Token(NamedTuple):
    """A token, and until when it is good.

    Attributes:
        text: as it is sent; a secret.
        expires_at: seconds since the epoch.
    """

    text: str
    expires_at: float


class TokenProvider:
    """Hands out a good token, and asks for the next one before it runs out.

    Any thread may call.

    Args:
        settings: where tokens come from.
        clock: seconds since the epoch.
    """

    def __init__(self, settings: StreamSettings, clock: Callable[[], float] = time.time) -> None:
        url = settings.sasl_oauthbearer_token_endpoint_url
        scheme = urlsplit(url).scheme
        self._ask = _of_file(url, clock) if scheme == "file" else _of_endpoint(settings, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._token = Token("", 0.0)
        self._ask_again_at = 0.0

    def token(self) -> Token:
        """Return a token that is good now.

        Raises:
            TokenUnavailable: there is none, and the last one has run out.
        """
        with self._lock:
            now = self._clock()
            if now >= self._ask_again_at:
                self._renew(now)
            return self._token

    def _renew(self, now: float) -> None:
        try:
            self._token = self._ask()
        except TokenUnavailable as error:
            if now >= self._token.expires_at:
                raise
            self._ask_again_at = now + _RETRY_SECONDS
            logger.warning("token_not_renewed error=%s", error)
            return
        self._ask_again_at = now + (self._token.expires_at - now) * _REFRESH_AFTER


def extensions_of(settings: StreamSettings) -> dict[str, str]:
    """Return what is told to the broker beside the token (RFC 7628, 3.1)."""
    pairs = filter(None, settings.sasl_oauthbearer_extensions.split(","))
    return {name.strip(): value for name, _, value in (pair.partition("=") for pair in pairs)}


def _of_file(url: str, clock: Callable[[], float]) -> Callable[[], Token]:
    path = Path(unquote(urlsplit(url).path))

    def ask() -> Token:
        try:
            with path.open("rb") as file:
                text = file.read(_MAX_BYTES).decode("ascii").strip()
        except OSError as error:
            raise TokenUnavailable(f"{_setting(url)} cannot be read ({error.strerror})") from None
        except UnicodeDecodeError:
            text = ""
        return _checked(text, None, clock(), f"{_setting(url)} holds no token")

    return ask


def _of_endpoint(settings: StreamSettings, clock: Callable[[], float]) -> Callable[[], Token]:
    url = settings.sasl_oauthbearer_token_endpoint_url
    form = {"grant_type": "client_credentials"}
    if settings.sasl_oauthbearer_scope:
        form["scope"] = settings.sasl_oauthbearer_scope

    def ask() -> Token:
        # RFC 6749, 2.3.1: both are encoded as in a form.
        names = settings.sasl_oauthbearer_client_id, client_secret(settings)
        credentials = ":".join(map(quote_plus, names))
        request = Request(  # noqa: S310  # the settings take https and http alone
            url,
            data=urlencode(form).encode(),
            headers={
                "Authorization": f"Basic {b64encode(credentials.encode()).decode()}",
                "Accept": "application/json",
            },
        )
        answer = _answer(request, settings)
        lasts = answer.get("expires_in")
        token = answer.get("access_token")
        is_number = isinstance(lasts, int | float) and not isinstance(lasts, bool)
        return _checked(
            token if isinstance(token, str) else "",
            float(lasts) if is_number and lasts is not None else None,
            clock(),
            f"{_setting(url)} answered without an access_token",
        )

    return ask


def client_secret(settings: StreamSettings) -> str:
    """Return the secret of the client, read anew where it is in a file.

    Raises:
        TokenUnavailable: the file cannot be used.
    """
    if not settings.sasl_oauthbearer_client_secret_file:
        return settings.sasl_oauthbearer_client_secret
    path = Path(settings.sasl_oauthbearer_client_secret_file)
    key = f"stream.sasl_oauthbearer_client_secret_file: {path}"
    try:
        secret = path.read_text("utf-8").rstrip("\r\n")
    except OSError as error:
        raise TokenUnavailable(f"{key} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise TokenUnavailable(f"{key} is not UTF-8") from None
    if not secret:
        raise TokenUnavailable(f"{key} is empty")
    return secret


class _NoRedirects(HTTPRedirectHandler):
    """The credentials go where the settings say, and nowhere else."""

    def redirect_request(self, *_arguments: Any, **_more: Any) -> None:
        """Follow none."""


def _answer(request: Request, settings: StreamSettings) -> dict[str, Any]:
    where = _setting(request.full_url)
    try:
        handlers = [_NoRedirects(), HTTPSHandler(context=_context(settings))]
        with build_opener(*handlers).open(request, timeout=_ANSWER_SECONDS) as reply:
            content = reply.read(_MAX_BYTES)
    except HTTPError as error:
        with error:
            complaint = _shown(error.read(_MAX_BYTES))
        raise TokenUnavailable(
            f"{where} refused ({error.code} {complaint or error.reason}); check "
            "stream.sasl_oauthbearer_client_id, its secret and stream.sasl_oauthbearer_scope"
        ) from None
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise TokenUnavailable(
            f"{where} does not answer ({_shown(str(reason).encode()) or type(error).__name__}); "
            "check the address and, for a certificate, stream.https_ca_location"
        ) from None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise TokenUnavailable(f"{where} answered {_shown(content)!r}, which is no JSON object")
    return found


def _context(settings: StreamSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.https_ca_location or None)
    except OSError as error:  # an SSLError is one
        raise TokenUnavailable(
            f"stream.https_ca_location: {settings.https_ca_location} holds no certificate in PEM "
            f"({error.strerror or error})"
        ) from None


def _checked(text: str, lasts: float | None, now: float, otherwise: str) -> Token:
    """Return a token that can be sent, with the end of its life: as its answer says,
    else as it says itself.
    """
    if not _TOKEN.fullmatch(text):
        raise TokenUnavailable(otherwise)
    expires_at = now + lasts if lasts is not None else _expiry_of(text)
    if expires_at is None:
        expires_at = now + _UNKNOWN_LIFE_SECONDS
    if expires_at <= now:
        raise TokenUnavailable(
            f"{otherwise} that is still good: it ran out {now - expires_at:.0f} seconds ago"
        )
    return Token(text, expires_at)


def _expiry_of(text: str) -> float | None:
    """Return until when a token is good that is a JWT; None: it does not say."""
    parts = text.split(".")
    try:
        claims = json.loads(urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError, OverflowError, RecursionError):
        return None


def _setting(url: str) -> str:
    return f"stream.sasl_oauthbearer_token_endpoint_url: {url}"


def _shown(content: bytes) -> str:
    """Return the start of a complaint in one line."""
    return _CONTROLS.sub(" ", content.decode("utf-8", "replace"))[:_SHOWN_CHARS].strip()
