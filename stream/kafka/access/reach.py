"""Reaching a Kafka broker, and saying in one line why it could not be reached."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from stream.errors import StreamError
from stream.kafka.access.refusals import unreachable
from stream.kafka.access.tokens import TokenUnavailable
from stream.settings import StreamSettings

_CAUSE = re.compile(r"(?:\w+Error: |\[Error \d+\] )(?P<cause>.*?)(?: \(backoff .*)?$")
_CONSEQUENCES = ("Unable to bootstrap", "Bootstrap failed")


@contextmanager
def reaching(
    bootstrap: str, settings: StreamSettings, error_type: type[StreamError]
) -> Iterator["Connections"]:
    """Turn a failure to connect within the block into one error that names the cause.

    The client raises "unable to bootstrap" whatever went wrong, and tells the cause to
    its log alone; within the block that log is read instead of passed on. What a client
    holds when it fails is released.

    Args:
        bootstrap: "host:port", or several with commas.
        settings: how it is reached.
        error_type: what to raise.

    Yields:
        What to hand to a client as its ``kafka_client``.

    Raises:
        error_type: the broker could not be reached or refused the connection.
    """
    causes = _Causes()
    connections = Connections()
    with _LOG.read_by(causes):
        try:
            yield connections
        except TokenUnavailable as error:
            raise error_type(str(error)) from error
        except (KafkaError, ValueError) as error:
            connections.close()
            why = unreachable(bootstrap, causes.noted or [str(error)], settings)
            raise error_type(why) from error


class Connections:
    """Makes the network side of a Kafka client, and remembers it."""

    def __init__(self) -> None:
        self._made: list[Any] = []

    def __call__(self, **options: Any) -> Any:
        """Make one."""
        self._made.append(KafkaNetClient(**options))
        return self._made[-1]

    def close(self) -> None:
        """Close all that were made."""
        for connection in self._made:
            connection.close()


class _ClientLog:
    """The log of the client, which is read instead of passed on while anybody wants it:
    threads may connect at once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._before = True, logging.NOTSET

    @contextmanager
    def read_by(self, reader: logging.Handler) -> Iterator[None]:
        """Hand what is logged within the block to a handler alone."""
        log = logging.getLogger("kafka")
        with self._lock:
            if not self._readers:
                self._before = log.propagate, log.level
                log.propagate = False
                log.setLevel(logging.WARNING)
            self._readers += 1
            log.addHandler(reader)
        try:
            yield
        finally:
            with self._lock:
                log.removeHandler(reader)
                self._readers -= 1
                if not self._readers:
                    log.propagate, level = self._before
                    log.setLevel(level)


_LOG = _ClientLog()


class _Causes(logging.Handler):
    """Remembers what the client complained about that is not just a consequence."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.noted: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        found = _CAUSE.search(message)
        if found and not any(consequence in message for consequence in _CONSEQUENCES):
            self.noted.append(_without_stray_end(found["cause"]))


def _without_stray_end(cause: str) -> str:
    """Return a cause without the brackets that close what was said before it."""
    for opening, closing in ("()", "[]", "()"):
        if cause.endswith(closing) and cause.count(closing) > cause.count(opening):
            cause = cause[:-1]
    return cause
