"""The errors of the client, each with what the caller should do.

::

    ClientError
    ├── SettingsInvalid       the target or a setting cannot work (correct it)
    ├── QueryRefused          the request is outside the limits (change the request)
    │   ├── NotFreshEnough    an answer is too old for it (retriable: it gets fresher)
    │   └── ItemUnknown       it names an item that is not there (name another)
    ├── NotAuthenticated      the server wants a token, or another one (get one)
    ├── NoGeneration          nothing is live yet (retriable: it becomes live by itself)
    ├── ServerBusy            too many requests wait (retriable, after a pause)
    ├── ServerUnreachable     no server answers (retriable: start one)
    │   └── DeadlineExceeded  no answer in time (retriable, with a longer deadline)
    └── CallFailed            the server answered with an error (look at its log)

Only those marked so are retriable. What the client's retry policy covers was tried
again before an error arrives.
"""

from collections.abc import Iterable

import grpc

_REFLECTED_KEY = "freshet-reflected-ms"
_NOT_READY = ("freshet-reason", "not-ready")
"""Trailing metadata of the contract, see ``protos/retrieval_v1.proto``."""


class ClientError(Exception):
    """Anything that the client reports on purpose.

    The message says what, where and what to do.

    Attributes:
        retriable: whether the same call may succeed later.
        code: name of the gRPC status that the call ended with, such as
            ``UNAVAILABLE``; empty: no call was made.
    """

    retriable = False

    def __init__(self, message: str, *, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class SettingsInvalid(ClientError):
    """The target or a setting has a value that cannot work."""


class QueryRefused(ClientError):
    """The request is outside the limits of the contract or of the server."""


class NotFreshEnough(QueryRefused):
    """The answer would not be as fresh as the request wants.

    Ask again in a moment, or for less.

    Attributes:
        reflected_ms: what an answer would reflect now, UTC epoch milliseconds, as in
            `Receipt`; 0: not known.
    """

    retriable = True

    def __init__(self, message: str, *, code: str = "", reflected_ms: int = 0) -> None:
        super().__init__(message, code=code)
        self.reflected_ms = reflected_ms


class ItemUnknown(QueryRefused):
    """The server does not have the item, or it is deleted."""


class NotAuthenticated(ClientError):
    """The server wants a token, or another than it was sent; get one from whoever runs
    it.
    """


class NoGeneration(ClientError):
    """The server runs and has no generation to answer from yet."""

    retriable = True


class ServerBusy(ClientError):
    """The server has more requests than it can answer in time, or this caller has made
    more than it may.
    """

    retriable = True


class ServerUnreachable(ClientError):
    """Nothing answered at the target."""

    retriable = True


class DeadlineExceeded(ServerUnreachable):
    """Nothing answered within the deadline of the call."""


class CallFailed(ClientError):
    """The server, or something between it and us, failed the call."""


def error_of(call: grpc.RpcError, target: str, timeout_seconds: float) -> ClientError:
    """Return the error of ours that a failed call stands for.

    Args:
        call: what gRPC raised.
        target: HOST:PORT that was called, for the message.
        timeout_seconds: the deadline that the call had, for the message.
    """
    if not isinstance(call, grpc.Call):
        return CallFailed(f"the call to {target} failed: {call}")
    status, details = call.code(), call.details() or ""
    kind, message = _MEANINGS.get(
        status, (CallFailed, "the server at {target} failed the call: {code}: {details}")
    )
    if status is grpc.StatusCode.UNAVAILABLE:
        if _is_not_ready(call.trailing_metadata()):
            kind, message = NoGeneration, "the server at {target} is not ready: {details}"
        else:
            message = _why_unreachable(details) or message
    if status is grpc.StatusCode.RESOURCE_EXHAUSTED and _TOO_LARGE in details:
        kind, message = (
            QueryRefused,
            "the request is too large for the server at {target}: {details}",
        )
    reflected_ms = _reflected_ms(call.trailing_metadata())
    if status is grpc.StatusCode.FAILED_PRECONDITION and reflected_ms is not None:
        return NotFreshEnough(details, code=status.name, reflected_ms=reflected_ms)
    return kind(
        message.format(target=target, seconds=timeout_seconds, code=status.name, details=details),
        code=status.name,
    )


def error_in_batch(number: int, message: str, reflected_ms: int) -> ClientError:
    """Return the error of ours that one request of a batch ended with.

    Args:
        number: of its gRPC status.
        message: what the server says of it.
        reflected_ms: as `NotFreshEnough` has it.
    """
    status = next((each for each in grpc.StatusCode if each.value[0] == number), None)
    name = str(number) if status is None else status.name
    if status is grpc.StatusCode.FAILED_PRECONDITION:
        return NotFreshEnough(message, code=name, reflected_ms=reflected_ms)
    kind = CallFailed if status is None else _MEANINGS.get(status, (CallFailed, ""))[0]
    return kind(message, code=name)


_MEANINGS: dict[grpc.StatusCode, tuple[type[ClientError], str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: (QueryRefused, "{details}"),
    # A condition of a request field does not hold.
    grpc.StatusCode.FAILED_PRECONDITION: (QueryRefused, "{details}"),
    grpc.StatusCode.NOT_FOUND: (ItemUnknown, "{details}"),
    grpc.StatusCode.UNAVAILABLE: (
        ServerUnreachable,
        "no retrieval server answers at {target}; is `freshet serve` running there?",
    ),
    grpc.StatusCode.CANCELLED: (
        ServerUnreachable,
        "the server at {target} stopped, or this client was closed, before the answer came",
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        DeadlineExceeded,
        (
            "the server at {target} did not answer within {seconds:g} s, tries included: "
            "it is overloaded, has no generation yet (`client.is_ready()` or `freshet status` "
            "says so), or the address is wrong"
        ),
    ),
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        ServerBusy,
        (
            "the server at {target} has too many requests waiting; "
            "send fewer at once, or start another server ({details})"
        ),
    ),
    grpc.StatusCode.UNAUTHENTICATED: (
        NotAuthenticated,
        "the server at {target} does not let this caller in: {details}",
    ),
    grpc.StatusCode.UNIMPLEMENTED: (
        CallFailed,
        "what listens at {target} is not a Freshet server, or one of another version",
    ),
}


# What gRPC says of a message beyond the limit of whoever reads it, or sends it.
_TOO_LARGE = "message larger than max"

# What gRPC says of a connection that could not be made; the first that fits counts.
_UNREACHABLE = (
    (
        "certificate has expired",
        (
            "the certificate of the server at {target} has expired; whoever runs it renews it "
            "(server.tls_cert)"
        ),
    ),
    (
        "certificate is not yet valid",
        "the certificate of the server at {target} is not valid yet; compare the clocks of both",
    ),
    (
        "Hostname Verification Check failed",
        (
            "the certificate of the server at {target} is of another name; call it by "
            "that one, or give it as server_name (FRESHET_CLIENT_SERVER_NAME)"
        ),
    ),
    (
        "CERTIFICATE_VERIFY_FAILED",
        (
            "the certificate of the server at {target} is signed by somebody else than tls_ca "
            "(FRESHET_CLIENT_TLS_CA) says: give the file of its authority"
        ),
    ),
    (
        "WRONG_VERSION_NUMBER",
        (
            "what listens at {target} speaks without TLS; leave out what asks for it (tls_ca, "
            "FRESHET_CLIENT_TLS_CA), or call another port"
        ),
    ),
    (
        "Failed parsing HTTP/2",
        "what listens at {target} speaks no gRPC; call the port of `freshet serve --listen`",
    ),
    (
        "Failed to create security handshaker",
        (
            "the PEM files of this client cannot be used for {target}: see tls_ca, "
            "tls_cert and tls_key (FRESHET_CLIENT_TLS_CA and the like), the last two of one pair"
        ),
    ),
    (
        "connect to all addresses; last error: UNAVAILABLE: ",  # a connection was there
        (
            "what listens at {target} closes the connection at once: it may want TLS (tls_ca, "
            "FRESHET_CLIENT_TLS_CA), or this client's certificate (FRESHET_CLIENT_TLS_CERT)"
        ),
    ),
    (
        "errors resolving",
        "the host of {target} is not known here; check the name",
    ),
)


def _why_unreachable(details: str) -> str:
    """Return what to say where gRPC knows more than that nobody answers; empty: it does
    not.
    """
    return next((message for sign, message in _UNREACHABLE if sign in details), "")


def _is_not_ready(metadata: Iterable[tuple[str, str | bytes]] | None) -> bool:
    return any(tuple(entry) == _NOT_READY for entry in metadata or ())


def _reflected_ms(metadata: Iterable[tuple[str, str | bytes]] | None) -> int | None:
    """Return how fresh an answer could be; None: the server does not say."""
    values = [value for key, value in metadata or () if key == _REFLECTED_KEY]
    return int(values[0]) if values and str(values[0]).isdecimal() else None
