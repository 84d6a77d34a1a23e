"""What can be set of the stream: a module a subject, and all of them as one."""

from stream.settings.graph import DEFAULT_SESSION_GAP_SECONDS
from stream.settings.group import KAFKA_CLIENTS
from stream.settings.stream import StreamSettings

__all__ = ["DEFAULT_SESSION_GAP_SECONDS", "KAFKA_CLIENTS", "StreamSettings"]
