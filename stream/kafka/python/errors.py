"""What the broker says, in this project's words."""

from kafka.errors import FencedInstanceIdError, KafkaError

from stream.errors import SourceUnavailable


def refused(bootstrap: str, error: KafkaError) -> SourceUnavailable:
    """Return why a broker refuses this client for good."""
    if isinstance(error, FencedInstanceIdError):
        return SourceUnavailable(
            "another freshet stream joined the group with this stream.worker_id; give each its own"
        )
    return SourceUnavailable(
        f"Kafka at {bootstrap} refused ({error}); check the broker's log and this client's rights"
    )
