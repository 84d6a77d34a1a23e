"""Reads the metrics of other processes, all at once and in bounded time."""

import http.client
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, TypeVar

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from freshet_client import Access

TIMEOUT_SECONDS = 1.5
"""The longest wait for all answers together; on one network they take milliseconds.
With the start of a command it is about two seconds; twice as much would let whoever is
on call wait twice as long for a process that is frozen.
"""

LONGEST_SECONDS = 6.0
"""The longest wait where those that answer are slow themselves, as on a machine whose
CPUs are all wanted: two cores at a load of 15 took more than 1.5 s to answer. Twice as
long: a frozen process beside slow ones is waited for twice as long.
"""

# Times as long as the slowest answer so far that the rest is waited for: neighbours on
# one machine answer within a factor of two or three. Twice as many: a frozen process
# beside slow ones is waited for twice as long.
_PATIENCE = 4.0

TLS_VARIABLE = "FRESHET_CLIENT_METRICS_TLS"
"""Set to 1, metrics are read with TLS, and with what the other variables of clients
name: ``FRESHET_CLIENT_TLS_CA``, ``_TLS_CERT``, ``_TLS_KEY``, ``_SERVER_NAME`` and
``_TOKEN_FILE``, which is sent to nobody without TLS.
"""

# A page with a thousand partitions has two megabytes. Twice as many let a stranger on a
# port fill twice the memory.
_MOST_BYTES = 32 << 20

Samples = dict[str, list[tuple[dict[str, str], float]]]

T = TypeVar("T")

# Of a port that wants a token, which the reader lacks or may not have.
_CLOSED = frozenset({http.client.UNAUTHORIZED, http.client.FORBIDDEN})


class NoMetricsPageError(ValueError):
    """What answers has no page of metrics: another program has the port.

    Not retriable: see what listens there.
    """

    retriable = False


@dataclass(frozen=True, kw_only=True)
class Addresses:
    """Where the processes answer, HOST:PORT each: four metrics endpoints, and the
    server's gRPC.
    """

    stream: str
    tuner: str
    refresher: str
    server: str
    target: str


@dataclass(frozen=True, kw_only=True)
class Scrape:
    """What a metrics endpoint says.

    Attributes:
        samples: by name, with their labels.
        clock_ahead_seconds: how far its clock is ahead of this machine's, to a second;
            negative: behind; None: it does not say.
    """

    samples: Samples
    clock_ahead_seconds: float | None


def read_metrics(address: str) -> Samples:
    """Return the samples at a metrics endpoint by name, with their labels.

    Raises:
        OSError: nothing answers there, or not in time.
        ValueError: what answers there has no metrics.
    """
    return scrape(address).samples


def scrape(address: str, seconds: float = TIMEOUT_SECONDS) -> Scrape:
    """Return what a metrics endpoint says.

    Args:
        address: HOST:PORT.
        seconds: the longest wait.

    Raises:
        OSError: nothing answers there, or not in time.
        ValueError: what answers there has no metrics.
    """
    text, date = _page(address, seconds)
    now = time.time()
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            samples.setdefault(sample.name, []).append((dict(sample.labels), sample.value))
    return Scrape(samples=samples, clock_ahead_seconds=_ahead(date, now))


def gather(
    questions: Mapping[str, Callable[[], T]], seconds: float = TIMEOUT_SECONDS
) -> dict[str, T | Exception]:
    """Ask all questions at once, and return each answer or what was raised instead.

    A question that is not answered in time gets a `TimeoutError`; its thread ends with
    the process. Where answers are slow, so may the others be, and they have longer.

    Args:
        questions: by name.
        seconds: how long all of them together may take; up to `LONGEST_SECONDS` where
            those that come are slow.
    """
    answers: dict[str, T | Exception] = {}
    came, began = threading.Condition(), time.monotonic()
    slowest, patience = 0.0, seconds

    def ask(name: str, question: Callable[[], T]) -> None:
        nonlocal slowest
        answer: T | Exception
        try:
            answer = question()
        except Exception as error:  # noqa: BLE001  # an answer, too
            answer = error
        with came:
            answers[name], slowest = answer, time.monotonic() - began
            came.notify()

    threads = [
        threading.Thread(target=ask, args=each, name=f"ask-{each[0]}", daemon=True)
        for each in questions.items()
    ]
    for thread in threads:
        thread.start()
    with came:
        while len(answers) < len(questions):
            patience = max(seconds, min(_PATIENCE * slowest, LONGEST_SECONDS))
            left = began + patience - time.monotonic()
            if left <= 0:
                break
            came.wait(left)
        return {name: answers[name] if name in answers else _late(patience) for name in questions}


def total(samples: Samples, name: str) -> float | None:
    """Return the sum of a metric over its labels.

    None where it is not exported, or is not a number yet.
    """
    if name not in samples:
        return None
    value = math.fsum(value for _, value in samples[name])
    return value if math.isfinite(value) else None


def label(samples: Samples, name: str, key: str) -> str | None:
    """Return the label value of the sample that is 1."""
    return next((labels.get(key) for labels, value in samples.get(name, []) if value == 1), None)


def cause_of(error: Exception) -> str:
    """Return why an endpoint does not answer, in a few words."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _page(address: str, seconds: float) -> tuple[str, str | None]:
    """Return the text at a metrics endpoint and its Date header.

    A connection is cut at the deadline: one that drips bytes would else keep its thread
    for as long as it likes.

    Raises:
        OSError: nothing answers there, or not in time.
        ValueError: what answers there has no metrics, or a file of the client's is
            none.
    """
    connection, headers = _connection(address, seconds)
    late = threading.Event()
    try:
        connection.connect()
        timer = threading.Timer(seconds, _cut, (connection.sock, late))
        timer.daemon = True
        timer.start()
        try:
            connection.request("GET", "/metrics", headers=headers)
            # Closed here: of one that ends its connection, nobody else is left to.
            with connection.getresponse() as answer:
                content = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            if late.is_set():
                raise _late(seconds) from error
            if isinstance(error, OSError):
                raise
            raise ValueError(f"what answers is no HTTP: {error!r}") from error
        finally:
            timer.cancel()
    finally:
        connection.close()
    if late.is_set():
        raise _late(seconds)
    if answer.status != http.client.OK:
        kind = ValueError if answer.status in _CLOSED else NoMetricsPageError
        raise kind(f"HTTP {answer.status} {answer.reason}")
    if len(content) == _MOST_BYTES:
        raise ValueError(f"the page has {_MOST_BYTES} bytes or more")
    return content.decode("utf-8", "replace"), answer.headers.get("Date")


class _TlsConnection(http.client.HTTPConnection):
    """A connection that trusts what the client's variables say."""

    def __init__(self, address: str, seconds: float, access: "Access") -> None:
        super().__init__(address, timeout=seconds)
        self._name = access.server_name or self.host
        self._context = ssl.create_default_context(cafile=access.tls_ca or None)
        if access.tls_cert:
            self._context.load_cert_chain(access.tls_cert, access.tls_key or None)

    def connect(self) -> None:
        super().connect()
        self.sock = self._context.wrap_socket(self.sock, server_hostname=self._name)


def _connection(address: str, seconds: float) -> tuple[http.client.HTTPConnection, dict[str, str]]:
    """Return what to ask at an address, and the headers that go with it."""
    if os.environ.get(TLS_VARIABLE, "") in {"", "0"}:
        return http.client.HTTPConnection(address, timeout=seconds), {}
    # Of the extra client, which a machine that only asks plain ports may lack.
    from freshet_client import Access, ClientError  # noqa: PLC0415  # as said

    access = Access.from_environment()
    try:
        return _TlsConnection(address, seconds, access), dict(access.metadata())
    except (OSError, ClientError) as error:
        raise ValueError(f"a file that FRESHET_CLIENT_ names cannot be used: {error}") from error


def _cut(connected: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)


def _late(seconds: float) -> TimeoutError:
    return TimeoutError(f"no answer within {seconds:g} s")


def _ahead(date: str | None, now: float) -> float | None:
    """Return how far a Date header is ahead; it is cut to whole seconds."""
    try:
        return None if date is None else parsedate_to_datetime(date).timestamp() + 0.5 - now
    except ValueError:
        return None
