"""Reaching a Kafka broker, and saying in one line why it could not be reached."""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kafka.errors import KafkaError
from kafka.net.compat import KafkaNetClient

from stream.errors import StreamError

_CAUSE = re.compile(r"\w+Error: (?P<cause>.*?)(?: \(backoff .*)?$")
_CONSEQUENCES = ("Unable to bootstrap", "Bootstrap failed")


@contextmanager
def reaching(bootstrap: str, error_type: type[StreamError]) -> Iterator["Connections"]:
    """Turn a failure to connect within the block into one error that names the cause.

    The client raises "unable to bootstrap" whatever went wrong, and tells the cause to
    its log alone; within the block that log is read instead of passed on. What a client
    holds when it fails is released.

    Args:
        bootstrap: "host:port", or several with commas.
        error_type: what to raise.

    Yields:
        What to hand to a client as its ``kafka_client``.

    Raises:
        error_type: the broker could not be reached or refused the connection.
    """
    log = logging.getLogger("kafka")
    causes = _Causes()
    connections = Connections()
    propagate, level = log.propagate, log.level
    log.addHandler(causes)
    log.propagate = False
    log.setLevel(logging.WARNING)
    try:
        yield connections
    except (KafkaError, ValueError) as error:
        connections.close()
        cause = causes.last or str(error)
        raise error_type(
            f"no Kafka broker answers at {bootstrap} ({cause}); check the address and that the "
            "broker runs"
        ) from error
    finally:
        log.removeHandler(causes)
        log.propagate = propagate
        log.setLevel(level)


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


class _Causes(logging.Handler):
    """Remembers the last thing the client complained about that is not just a
    consequence.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        found = _CAUSE.search(message)
        if found and not any(consequence in message for consequence in _CONSEQUENCES):
            self.last = found["cause"]
