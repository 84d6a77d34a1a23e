"""What is said of how far a member is, without a broker."""

from collections.abc import Collection
from types import SimpleNamespace
from typing import Any, cast

import pytest

from stream.events.types import SourcePartition
from stream.kafka.client import BrokerAway
from stream.sources.topics.progress import Progress


class _Silent:
    """A reader whose broker does not say where partitions end."""

    def end(self, position: SourcePartition) -> None:
        """Know nothing."""

    def next_offset(self, position: SourcePartition) -> None:
        """Know nothing."""

    def ends(self, positions: Collection[SourcePartition]) -> None:
        """Raise what a client does."""
        raise BrokerAway("Failed to get offsets by timestamps in 1000 ms")


def test_ends_that_are_not_known_for_a_moment(caplog: pytest.LogCaptureFixture) -> None:
    """The log says what becomes of it."""
    assignment = SimpleNamespace(positions=[SourcePartition("freshet.clicks", 0)])
    contact = SimpleNamespace(away="")
    progress = Progress(cast("Any", _Silent()), cast("Any", assignment), cast("Any", contact))

    assert progress.reflected_ms() == {}
    assert "asked again, nothing is lost error=Failed to get offsets" in caplog.text
