"""TLS, passwords and tokens, as each Kafka client wants to be told."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kafka.errors import SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

from stream.errors import SettingsInvalid
from stream.kafka.access.tokens import TokenProvider, TokenUnavailable, extensions_of
from stream.settings import StreamSettings

ConfluentToken = tuple[str, float, str, dict[str, str]]
"""Token, when it ends in seconds since the epoch, principal (Java's clients alone need
it), extensions.
"""


def python_options(settings: StreamSettings) -> dict[str, Any]:
    """Return what kafka-python's consumers, producers and admin clients take.

    Raises:
        SettingsInvalid: a file that is named cannot be used.
        TokenUnavailable: there is no token.
    """
    options: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.uses_tls:
        options["ssl_context"] = _tls_context(settings)
    if settings.uses_sasl:
        options["sasl_mechanism"] = settings.sasl_mechanism
    if settings.uses_tokens:
        options["sasl_oauth_token_provider"] = _PythonTokens(settings)
    elif settings.uses_sasl:
        options["sasl_plain_username"] = settings.sasl_username
        options["sasl_plain_password"] = _password(settings)
    return options


def confluent_options(settings: StreamSettings) -> dict[str, Any]:
    """Return what confluent-kafka's clients take.

    Raises:
        SettingsInvalid: a file that is named cannot be used.
        TokenUnavailable: there is no token.
    """
    options: dict[str, Any] = {"security.protocol": settings.security_protocol}
    if settings.uses_tls:
        _tls_context(settings)  # says in one line what is wrong with a file
        options["ssl.endpoint.identification.algorithm"] = (
            settings.ssl_endpoint_identification_algorithm
        )
        files = {
            "ssl.ca.location": settings.ssl_ca_location,
            "ssl.certificate.location": settings.ssl_certificate_location,
            "ssl.key.location": settings.ssl_key_location or settings.ssl_certificate_location,
            "ssl.key.password": settings.ssl_key_password,
        }
        options |= {name: value for name, value in files.items() if value}
    if settings.uses_sasl:
        options["sasl.mechanism"] = settings.sasl_mechanism
    if settings.uses_tokens:
        options["oauth_cb"] = _confluent_tokens(settings)
    elif settings.uses_sasl:
        options["sasl.username"] = settings.sasl_username
        options["sasl.password"] = _password(settings)
    return options


class _PythonTokens(AbstractTokenProvider):  # type: ignore[misc]  # the client is not typed
    """Hands kafka-python its tokens.

    Raises:
        TokenUnavailable: there is not even a first one.
    """

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__()
        self._provider = TokenProvider(settings)
        self._extensions = extensions_of(settings)
        self._provider.token()

    def token(self) -> str:
        """Return a token that is good now."""
        try:
            return self._provider.token().text
        except TokenUnavailable as error:  # it knows its own errors alone
            raise SaslAuthenticationFailedError(str(error)) from error

    def extensions(self) -> dict[str, str]:
        """Return what is told to the broker beside it."""
        return self._extensions


def _confluent_tokens(settings: StreamSettings) -> Callable[[str], ConfluentToken]:
    provider, extensions = TokenProvider(settings), extensions_of(settings)
    provider.token()

    def refresh(_config: str) -> ConfluentToken:
        text, expires_at = provider.token()
        return text, expires_at, "", extensions

    return refresh


def _tls_context(settings: StreamSettings) -> ssl.SSLContext:
    """Return a context of TLS 1.2 or later that checks the broker's certificate."""
    location = settings.ssl_ca_location
    if location:
        _require_file("ssl_ca_location", location)
    try:
        context = ssl.create_default_context(cafile=location or None)
    except ssl.SSLError as error:
        raise SettingsInvalid(
            f"stream.ssl_ca_location: {location} holds no certificate in PEM "
            f"({error.reason or error})"
        ) from None
    context.check_hostname = settings.ssl_endpoint_identification_algorithm == "https"
    if settings.ssl_certificate_location:
        _load_own_certificate(context, settings)
    return context


def _load_own_certificate(context: ssl.SSLContext, settings: StreamSettings) -> None:
    certificate = settings.ssl_certificate_location
    key = settings.ssl_key_location or certificate
    _require_file("ssl_certificate_location", certificate)
    _require_file("ssl_key_location", key)
    try:
        # An empty password is none: without one openssl would ask at the terminal.
        context.load_cert_chain(certificate, key, lambda: settings.ssl_key_password)
    except (ssl.SSLError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise SettingsInvalid(
            f"stream.ssl_certificate_location and ssl_key_location: {certificate} and {key} are "
            f"no certificate and its key in PEM, or stream.ssl_key_password is wrong ({reason})"
        ) from None


def _password(settings: StreamSettings) -> str:
    if not settings.sasl_password_file:
        return settings.sasl_password
    path = _require_file("sasl_password_file", settings.sasl_password_file)
    try:
        password = path.read_text("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsInvalid(f"stream.sasl_password_file: {path} is not UTF-8") from None
    if not password:
        raise SettingsInvalid(f"stream.sasl_password_file: {path} is empty")
    return password


def _require_file(key: str, name: str) -> Path:
    path = Path(name)
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise SettingsInvalid(f"stream.{key}: {path} cannot be read ({error.strerror})") from None
