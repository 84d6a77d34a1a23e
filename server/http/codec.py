"""Pure: JSON and HTTP statuses, as the Connect protocol has them for unary calls."""

import base64
import json
import math
from typing import Any, Final

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message

from server.calls.failure import Failure

JSON_TYPE: Final = "application/json"

# https://connectrpc.com/docs/protocol#error-codes
_STATUSES: Final = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.UNKNOWN: 500,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.INTERNAL: 500,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}
# How deep a request nests: the contract's own go three deep. Twice as many: no harm.
_MOST_DEPTH: Final = 16
# Of what a parser says of a body. Twice as much says no more.
_SHOWN_CHARS: Final = 300

Headers = list[tuple[str, str]]


def read_json(body: bytes, message: Message) -> Failure | None:
    """Read the JSON of a request into its message; return what is wrong with it.

    A field that the contract does not have is refused: an answer that ignores a filter
    is worse than none.

    Args:
        body: as sent.
        message: empty, of the method's type.
    """
    try:
        json_format.Parse(_object_in(body), message, max_recursion_depth=_MOST_DEPTH)
    except Exception as error:  # noqa: BLE001  # whatever a parser raises, the body is the client's
        name = message.DESCRIPTOR.name
        why = " ".join(str(error).split())[:_SHOWN_CHARS].encode("utf-8", "replace").decode()
        return Failure(
            code=grpc.StatusCode.INVALID_ARGUMENT,
            message=f"the body is no {name} in JSON: {why}",
            reason="MALFORMED",
        )
    return None


def _object_in(body: bytes) -> str:
    """Return the text of an object, without a byte order mark.

    Raises:
        ValueError: it is something else, which the parser takes for an empty object.
    """
    text = body.decode("utf-8-sig")
    if not text.lstrip().startswith("{"):
        raise ValueError("it is no object, such as {}")
    return text


def write_json(message: Message, *, has_all_fields: bool) -> bytes:
    """Return a message as JSON.

    Args:
        message: the message.
        has_all_fields: those that are 0 or empty, too.
    """
    text = json_format.MessageToJson(
        message,
        always_print_fields_with_no_presence=has_all_fields,
        indent=None,
        ensure_ascii=False,
    )
    return text.encode()


def http_status(failure: Failure) -> int:
    """Return the HTTP status that stands for a failure."""
    return _STATUSES.get(failure.code, 500)


def error_json(failure: Failure) -> bytes:
    """Return a failure as JSON: code, message, details."""
    details = [_detail(each) for each in failure.details()]
    code = failure.code.name.lower().replace("cancelled", "canceled")
    return json.dumps({"code": code, "message": failure.message, "details": details}).encode()


def error_headers(failure: Failure) -> Headers:
    """Return the headers of a failure: what is trailing metadata over gRPC, and what
    HTTP has words of its own for.
    """
    headers = [
        (f"trailer-{name}", value) for name, value in failure.metadata if isinstance(value, str)
    ]
    if failure.retry_ms:
        headers.append(("retry-after", str(math.ceil(failure.retry_ms / 1000))))
    if failure.code is grpc.StatusCode.UNAUTHENTICATED:
        headers.append(("www-authenticate", "Bearer"))
    return headers


def _detail(message: Message) -> dict[str, Any]:
    value = base64.b64encode(message.SerializeToString()).decode().rstrip("=")
    return {
        "type": message.DESCRIPTOR.full_name,
        "value": value,
        "debug": json_format.MessageToDict(message),
    }
