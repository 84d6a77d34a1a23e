"""What librdkafka complains about: what passes by itself, what the rest means."""

import re

from confluent_kafka import KafkaError

from stream.errors import SourceUnavailable
from stream.settings import StreamSettings

# Complaints remembered of a client that lives long; the first tries say all.
_MAX_CAUSES = 9
_CAUSE = re.compile(r"(?:\[thrd:[^\]]*\]: )?(?:\S+: )*(?P<cause>.*?)(?: \(after .*)?$", re.DOTALL)
_REFUSALS = {KafkaError._AUTHENTICATION, KafkaError._FATAL}  # noqa: SLF001  # their public name

MISSING = {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_TOPIC}  # noqa: SLF001  # their public name
"""Codes of a topic or partition that is not there."""


class Causes:
    """Remembers what the client complained about that is not just a consequence.

    Attributes:
        noted: the newest complaints, a text each.
        fatal: what the client does not recover from; None: it lives.
    """

    def __init__(self) -> None:
        self.noted: list[str] = []
        self.fatal: KafkaError | None = None

    def note(self, error: KafkaError) -> None:
        """Remember an error, as the client's callback."""
        if error.fatal():
            self.fatal = error
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001  # its public name
            self.noted = [*self.noted[-_MAX_CAUSES:], error_text(error)]


def is_passing(error: KafkaError, settings: StreamSettings) -> bool:
    """Whether the client recovers by itself.

    Brokers that are away, leaders that move, ends of partitions; a token that ran out,
    for the next may come late, and whether tokens fit at all was seen at the start.
    """
    refusals = {KafkaError._FATAL} if settings.uses_tokens else _REFUSALS  # noqa: SLF001  # as above
    is_local = error.code() < 0 and error.code() not in refusals
    return not error.fatal() and (is_local or bool(error.retriable()) or error.code() in MISSING)


def error_text(error: KafkaError) -> str:
    """Return what was wrong, without the names of threads and brokers before it."""
    match = _CAUSE.match(error.str())
    return match["cause"] if match else error.str()


def refused(bootstrap: str, error: KafkaError) -> SourceUnavailable:
    """Return what an error that does not pass means for the operator."""
    is_fenced = (
        error.code() == KafkaError.FENCED_INSTANCE_ID
        or "same group.instance.id" in error.str()
        or "instance ID is still used" in error.str()
    )
    if is_fenced:  # the code of a fatal error does not say which
        return SourceUnavailable(
            "another freshet stream joined the group with this stream.worker_id; give each its own"
        )
    if "ConsumerGroupHeartbeat" in error.str() or error.code() == KafkaError.UNSUPPORTED_VERSION:
        return SourceUnavailable(
            f"Kafka at {bootstrap} does not share partitions out ({error_text(error)}): it is "
            "older than 4.0, or told not to; set stream.group_protocol to classic"
        )
    return SourceUnavailable(
        f"Kafka at {bootstrap} refused ({error_text(error)}); check the broker's log and this "
        "client's rights"
    )
