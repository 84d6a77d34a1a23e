"""Why a broker ends a connection, from what the clients say about it."""

import re
from collections.abc import Sequence

from stream.settings import StreamSettings

_CREDENTIALS = "stream.sasl_username, its password or stream.sasl_mechanism is wrong"
_REFUSED_CLAIMS = (
    "it does not take the token (its issuer, audience, scope or time), or not "
    "stream.sasl_oauthbearer_extensions"
)

# What the clients say, and what that means; those that say more come first.
_MEANINGS = tuple(
    (re.compile(pattern, re.IGNORECASE), meaning)
    for pattern, meaning in (
        (
            r"(hostname|ip address) mismatch",
            "its certificate names another host: stream.ssl_endpoint_identification_algorithm",
        ),
        (
            r"certificate.verify.failed",
            "its certificate is signed by nobody in stream.ssl_ca_location",
        ),
        (
            r"alert.(bad.certificate|certificate.required|unknown.ca)|bad certificate",
            "it wants a certificate that it trusts; set stream.ssl_certificate_location",
        ),
        (
            r"authentication.?(error|failed)|invalid_token",
            _CREDENTIALS,
        ),
        (
            r"IllegalSaslState|UnsupportedSaslMechanism|mechanism handshake failed",
            "it wants no password there (stream.security_protocol), or not by this mechanism",
        ),
        (
            r"ssl.handshake|handshake failed|wrong.version.number",
            "it does not speak TLS there; see stream.security_protocol",
        ),
        # What something else says first reads as the length of an answer to who expects
        # one: "HTTP", or the beginning of a TLS alert.
        (
            rf"invalid (frame length:|response size) {int.from_bytes(b'HTTP', 'big')}\b",
            "it speaks HTTP there; give the address of a Kafka broker",
        ),
        (
            r"invalid (frame length:|response size) 352\d{6}\b",
            "it speaks TLS there; set stream.security_protocol",
        ),
        (
            r"invalid (frame length|response size)",
            "it speaks no Kafka there, or TLS; see the address, or stream.security_protocol",
        ),
    )
)
_ENDED = re.compile(r"disconnected|broken pipe|transport failure|reset by peer", re.IGNORECASE)
# The last of several tries has what is left of the time: it says nothing of its own.
_LATE = re.compile(r"timed.?out", re.IGNORECASE)
_NO_ANSWER = "check the address and that the broker runs"


def unreachable(bootstrap: str, causes: Sequence[str], settings: StreamSettings) -> str:
    """Return in one line why no broker could be reached, and what to do.

    Args:
        bootstrap: where it was tried.
        causes: what the client complained of, oldest first.
        settings: how it was tried.
    """
    for pattern, meaning in _MEANINGS:
        for cause in reversed(causes):
            if pattern.search(cause):
                told = _wrong(settings) if meaning == _CREDENTIALS else meaning
                return f"Kafka at {bootstrap} refused the connection ({cause}): {told}"
    ended = next((cause for cause in reversed(causes) if _ENDED.search(cause)), None)
    if ended is not None and (ended == causes[-1] or _LATE.search(causes[-1])):
        meaning = (
            f"{_wrong(settings)}, or it speaks something else than "
            f"{settings.security_protocol} there"
            if settings.uses_sasl
            else f"it speaks something else than {settings.security_protocol} there, such as TLS "
            "or with a password; see stream.security_protocol"
        )
        return f"Kafka at {bootstrap} ended the connection ({ended}): {meaning}"
    return f"no Kafka broker answers at {bootstrap} ({causes[-1]}); {_NO_ANSWER}"


def _wrong(settings: StreamSettings) -> str:
    return _REFUSED_CLAIMS if settings.uses_tokens else _CREDENTIALS
