"""What is said of a broker that does not answer, without one."""

from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from stream.events.types import SourcePartition
from stream.kafka.client import Reader
from stream.metrics import StreamMetrics
from stream.sources.topics.contact import Contact


class _Silent:
    """A reader that hears what a test says."""

    def __init__(self, why: str) -> None:
        self.why = why

    def why_silent(self, position: SourcePartition) -> str:
        """Say it."""
        assert position == SourcePartition("clicks", 0)
        return self.why


@pytest.mark.parametrize(
    ("missing", "words"), [([], "127.0.0.1:1: "), (["clicks"], "it has no topic clicks")]
)
def test_a_deleted_topic_is_no_broker_that_is_away(missing: list[str], words: str) -> None:
    """The broker answers, so nobody is sent to look at it; the metric has the words."""
    registry = CollectorRegistry()
    contact = Contact("127.0.0.1:1", StreamMetrics(registry))
    silent = _Silent("Unknown topic or partition")
    reader = cast("Reader", silent)

    contact.ask(reader, "clicks", missing)
    assert contact.away.startswith(words)
    told = {"bootstrap": "127.0.0.1:1", "error": contact.away}
    assert registry.get_sample_value("freshet_stream_broker_error_info", told) == 1

    silent.why = ""
    contact.ask(reader, "clicks", missing)
    assert not contact.away
    assert contact.silent_seconds == 0
