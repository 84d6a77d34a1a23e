"""One HTTP connection: reads requests within limits, and writes what became of them.

h11 does the parsing; nothing here reads a header by itself.
"""

import asyncio
import contextlib
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import h11

from server.calls.failure import Failure
from server.http.call import HttpCall, Outcome
from server.http.codec import JSON_TYPE, Headers, error_headers, error_json, http_status
from server.http.methods import Method
from server.metrics.calls import CallMetrics, Refused

# Of a request's first line and headers: a token has 43 bytes, a balancer's headers some
# hundreds. Twice as many let each connection hold twice the memory.
_MOST_HEAD_BYTES: Final = 16 << 10
# Of a body, as of a message over gRPC. Twice as many let each call hold twice that.
_MOST_BODY_BYTES: Final = 1 << 20
# At a time from the socket. Twice as many: half the calls of a large body.
_READ_BYTES: Final = 64 << 10
# Digits of a deadline in milliseconds, as Connect has it: 115 days.
_DEADLINE_DIGITS: Final = 10
# What is read and thrown away of a refused request, so that its client, which is still
# sending, reads why and not that the connection was reset. Eight bodies of the longest
# kind; twice as much, or as long, lets strangers cost twice that.
_LINGER_BYTES: Final = 8 << 20
_LINGER_SECONDS: Final = 2.0

_NO_METHOD: Final = "unknown"
_DEADLINE: Final = b"connect-timeout-ms"
_NO_DEADLINE: Final = (
    f"the header connect-timeout-ms must be a whole number of milliseconds, of {_DEADLINE_DIGITS} "
    "digits at most"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long a connection may take for what; seconds.

    Attributes:
        receive_seconds: from the first byte of a request, or the start of the
            connection, to the end of its body.
        call_seconds: for an answer, and again until the client has taken it.
        idle_seconds: between two requests.
        age_seconds: for a whole connection, which then ends with its next answer.
    """

    receive_seconds: float
    call_seconds: float
    idle_seconds: float
    age_seconds: float


class _Refusal(Exception):
    """A request that no method is asked for.

    Args:
        status: of HTTP.
        failure: what is wrong.
        reason: for the metric.
        headers: beside those of the failure.
    """

    def __init__(
        self,
        status: int,
        failure: Failure,
        reason: Refused = Refused.MALFORMED,
        headers: Headers | None = None,
    ) -> None:
        super().__init__(failure.message)
        self.status = status
        self.failure = failure
        self.reason = reason
        self.headers = headers or []


class HttpConnection:
    """Serves the requests of one connection, one after the other.

    Args:
        reader: of the connection.
        writer: likewise.
        methods: by path.
        metrics: where what reaches no method is counted.
        limits: of time.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        methods: Mapping[str, Method],
        metrics: CallMetrics,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._methods = methods
        self._metrics = metrics
        self._limits = limits
        self._parser = h11.Connection(h11.SERVER, max_incomplete_event_size=_MOST_HEAD_BYTES)
        self._ends_at = time.monotonic() + limits.age_seconds
        self._wants_body = True
        self.is_idle = True
        """Whether no request is under way: a stop need not wait for it."""

    async def serve(self) -> None:
        """Serve requests until the client or a limit ends the connection."""
        await self._serve_all()
        self.is_idle = True
        await self._linger()

    async def _serve_all(self) -> None:
        wait_seconds = self._limits.receive_seconds
        while True:
            try:
                async with asyncio.timeout(wait_seconds):
                    begun = await self._begins()
            except TimeoutError:
                return
            if not begun or not await self._serve_one():
                return
            self._parser.start_next_cycle()
            self.is_idle = True
            wait_seconds = self._limits.idle_seconds

    async def _linger(self) -> None:
        """Let a client that is still sending read why its request was refused."""
        is_told = self._parser.our_state not in (h11.IDLE, h11.SEND_RESPONSE, h11.ERROR)
        if not is_told or self._is_read_whole():
            return
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = _LINGER_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while left > 0 and (data := await self._reader.read(_READ_BYTES)):
                    left -= len(data)

    def _is_read_whole(self) -> bool:
        """Whether what came is the whole request, such as one without a body."""
        with contextlib.suppress(h11.RemoteProtocolError):
            while self._parser.their_state is h11.SEND_BODY:
                if self._parser.next_event() is h11.NEED_DATA:
                    return False
        return self._parser.their_state is not h11.ERROR

    async def _begins(self) -> bool:
        """Wait for the first bytes of a request; return False at the end of the
        connection.
        """
        if self._parser.trailing_data[0]:
            return True
        data = await self._reader.read(_READ_BYTES)
        self._parser.receive_data(data)
        return bool(data)

    async def _serve_one(self) -> bool:
        """Serve one request; return whether another one may follow."""
        self.is_idle = False
        started = time.perf_counter()
        call: HttpCall | None = None
        try:
            async with asyncio.timeout(self._limits.receive_seconds):
                request = await self._head()
                if request is None:
                    return False
                method = self._method_of(request)
                call = self._call_of(request, method)
                if not method.door.admit(call):
                    return await self._finish(call)
                body = await self._body(request)
        except (_Refusal, TimeoutError, h11.RemoteProtocolError) as error:
            refusal = self._refusal_of(error)
        except BaseException:  # the connection is lost, or the server stops
            if call is not None:
                call.end(is_gone=True)
            raise
        else:
            call.has_message = True
            self._set_deadline(request, call)
            method.door.queue(call, lambda: method.answer(call, body))
            return await self._finish(call)
        if call is not None and not call.is_active:
            return await self._finish(call)  # the sweep of open calls was faster
        self._metrics.refused(refusal.reason)
        if call is not None:
            call.refuse(refusal.failure)
            return await self._finish(call, refusal)
        seconds = time.perf_counter() - started
        self._metrics.ended(_NO_METHOD, refusal.failure.code.name, seconds)
        return await self._write(refusal.status, refusal.failure, refusal.headers)

    async def _head(self) -> h11.Request | None:
        event = await self._event()
        if not isinstance(event, h11.Request):
            return None
        self._wants_body = event.method != b"HEAD"
        return event

    async def _event(self) -> Any:
        """Return the next part of a request, however many reads that takes."""
        while True:
            event = self._parser.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._parser.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[])
                self._writer.write(self._parser.send(go_on) or b"")
            self._parser.receive_data(await self._reader.read(_READ_BYTES))

    def _method_of(self, request: h11.Request) -> Method:
        """Return what a request calls.

        Raises:
            _Refusal: nothing that there is, or not as it is called.
        """
        size = sum(len(name) + len(value) for name, value in request.headers)
        if size + len(request.target) > _MOST_HEAD_BYTES:
            # h11 itself bounds only what is not complete yet.
            raise _Refusal(431, _malformed(f"the headers have more than {_MOST_HEAD_BYTES} bytes"))
        method = self._methods.get(_path_of(request.target))
        if method is None:
            raise _Refusal(
                404,
                Failure(
                    code=grpc.StatusCode.UNIMPLEMENTED,
                    message="there is no such method; call /SERVICE/METHOD, such as "
                    f"{next(iter(self._methods))}",
                    reason="UNKNOWN_METHOD",
                ),
                Refused.UNKNOWN_METHOD,
            )
        if request.method != b"POST":
            raise _Refusal(405, _malformed("call it with POST"), headers=[("allow", "POST")])
        kind = _header(request, b"content-type").partition(";")[0].strip().lower()
        if kind != JSON_TYPE:
            raise _Refusal(415, _malformed(f"send the header content-type: {JSON_TYPE}"))
        if _header(request, b"content-encoding") not in ("", "identity"):
            raise _Refusal(415, _malformed("send the body as it is, without content-encoding"))
        if (deadline := _header(request, _DEADLINE)) and not _is_deadline(deadline):
            raise _Refusal(400, _malformed(_NO_DEADLINE))
        return method

    def _call_of(self, request: h11.Request, method: Method) -> HttpCall:
        headers = [
            (name.decode("latin-1"), value.decode("latin-1")) for name, value in request.headers
        ]
        host = (self._writer.get_extra_info("peername") or ("?",))[0]
        peer = f"ipv6:%5B{host}%5D" if ":" in host else f"ipv4:{host}"
        identity = _identity(self._writer.get_extra_info("ssl_object"))
        return HttpCall(method.name, headers, peer, identity, asyncio.get_running_loop())

    async def _body(self, request: h11.Request) -> bytes:
        """Read the body of a request.

        Raises:
            _Refusal: it is too long.
        """
        length = _header(request, b"content-length")
        parts: list[bytes] = []
        size = 0
        while size <= _MOST_BODY_BYTES and int(length or 0) <= _MOST_BODY_BYTES:
            event = await self._event()
            if not isinstance(event, h11.Data):
                return b"".join(parts)
            parts.append(bytes(event.data))
            size += len(event.data)
        raise _Refusal(413, _malformed(f"the body has more than {_MOST_BODY_BYTES} bytes"))

    def _set_deadline(self, request: h11.Request, call: HttpCall) -> None:
        """Have a call end when its client waits no more."""
        if text := _header(request, _DEADLINE):
            late = Failure(
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                message=f"the call was not answered within its {text} ms",
                reason="DEADLINE",
            )
            asyncio.get_running_loop().call_later(int(text) / 1000, call.refuse, late)

    async def _finish(self, call: HttpCall, refusal: _Refusal | None = None) -> bool:
        """Write how a call ended; return whether another may follow it.

        Args:
            call: the call.
            refusal: why its request was not read; None: it was, or that was not tried.
        """
        is_gone = True
        try:
            # The sweep of open calls ends it long before, unless it is stuck itself.
            async with asyncio.timeout(2 * self._limits.call_seconds):
                outcome = await call.outcome()
            status = http_status(outcome) if isinstance(outcome, Failure) else 200
            goes_on = await self._write(status if refusal is None else refusal.status, outcome)
            is_gone = False
            return goes_on
        except (TimeoutError, OSError):
            return False
        finally:
            call.end(is_gone=is_gone)

    def _refusal_of(self, error: Exception) -> _Refusal:
        """Return what is wrong with bytes that are no request, or came too slowly."""
        if isinstance(error, _Refusal):
            return error
        if isinstance(error, TimeoutError):
            failure = Failure(
                code=grpc.StatusCode.DEADLINE_EXCEEDED,
                message=f"the request did not come within {self._limits.receive_seconds:g} s",
                reason="OPEN_TOO_LONG",
            )
            return _Refusal(408, failure, Refused.TOO_LONG)
        status = int(getattr(error, "error_status_hint", 400))
        return _Refusal(status, _malformed(f"this is no HTTP request: {error}"))

    async def _write(self, status: int, outcome: Outcome, headers: Headers | None = None) -> bool:
        """Write a response; return whether the connection goes on."""
        if self._parser.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        is_failure = isinstance(outcome, Failure)
        body = error_json(outcome) if isinstance(outcome, Failure) else outcome
        sent: Headers = [
            ("content-type", JSON_TYPE),
            ("content-length", str(len(body))),
            ("x-content-type-options", "nosniff"),
        ]
        sent += headers or []
        sent += error_headers(outcome) if isinstance(outcome, Failure) else []
        # What is left of a request that was not read whole would be taken for the next.
        is_read = self._parser.their_state is h11.DONE
        if (is_failure and not is_read) or time.monotonic() > self._ends_at:
            sent.append(("connection", "close"))
        response = h11.Response(status_code=status, headers=sent)
        # The answer to a HEAD says how long its body would be, and has none.
        data = h11.Data(data=body if self._wants_body else b"")
        parts = (response, data, h11.EndOfMessage())
        self._writer.write(b"".join(self._parser.send(part) or b"" for part in parts))
        async with asyncio.timeout(self._limits.call_seconds):
            await self._writer.drain()
        return self._is_done()

    def _is_done(self) -> bool:
        """Whether request and response are over, and another request may come."""
        return {self._parser.our_state, self._parser.their_state} == {h11.DONE}


def _header(request: h11.Request, name: bytes) -> str:
    """Return the first header of that name; empty: there is none."""
    return next((value.decode("latin-1") for key, value in request.headers if key == name), "")


def _path_of(target: bytes) -> str:
    """Return the path of what is asked for, which proxies may write as a whole URL."""
    url = re.match(rb"https?://[^/?]*", target, re.IGNORECASE)
    return target[url.end() if url else 0 :].partition(b"?")[0].decode("latin-1")


def _is_deadline(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= _DEADLINE_DIGITS


def _malformed(message: str) -> Failure:
    return Failure(code=grpc.StatusCode.INVALID_ARGUMENT, message=message, reason="MALFORMED")


def _identity(tls: ssl.SSLObject | None) -> str:
    """Return the first name in the client's certificate, as gRPC does; empty: none."""
    certificate: Any = (tls.getpeercert() if tls is not None else None) or {}
    for _, name in certificate.get("subjectAltName", ()):
        return str(name)
    subject = [pair for part in certificate.get("subject", ()) for pair in part]
    return next((str(value) for key, value in subject if key == "commonName"), "")
