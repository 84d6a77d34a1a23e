"""Opens the Kafka client that the settings name."""

from stream.errors import SettingsInvalid
from stream.kafka.client import KafkaClient
from stream.settings import StreamSettings


def open_client(bootstrap: str, settings: StreamSettings) -> KafkaClient:
    """Return the client that `settings.kafka_client` names.

    Only that one's library is imported.

    Raises:
        SettingsInvalid: its library is not installed.
    """
    if settings.kafka_client == "kafka-python":
        from stream.kafka.python.client import KafkaPythonClient  # noqa: PLC0415  # only the chosen one

        return KafkaPythonClient(bootstrap, settings)
    try:
        from stream.kafka.confluent.client import ConfluentClient  # noqa: PLC0415  # an extra
    except ImportError as error:
        raise SettingsInvalid(
            f'stream.kafka_client is "confluent", which is not installed ({error}); '
            "run: pip install 'freshet[confluent]'"
        ) from error
    return ConfluentClient(bootstrap, settings)
