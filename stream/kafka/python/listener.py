"""What the group says on the client's thread, told on the worker's."""

from collections import deque
from collections.abc import Callable, Collection, Iterable
from typing import Any

from kafka import AsyncConsumerRebalanceListener, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.future import Future

from stream.kafka.client import Changes

_Say = Callable[[Changes, Collection[int]], None]


class GroupListener(AsyncConsumerRebalanceListener):  # type: ignore[misc]  # the client is not typed
    """Notes what the client says on its own thread, to be told on the worker's.

    Heartbeats must not wait.
    """

    def __init__(self, consumer: Any, assignor: CooperativeStickyAssignor) -> None:
        self._consumer = consumer
        self._assignor = assignor
        self._noted: deque[tuple[_Say, list[int], Future]] = deque()
        self._waits = True

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        """Note them, paused."""
        for partition in assigned:
            self._consumer.pause(partition)
            self._consumer.seek(partition, 0)  # without a position the client would look one up
        self._note(lambda changes, numbers: changes.assigned(numbers), assigned)

    async def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        """Return when the worker has let go.

        Only then does the client let the group share them out anew.
        """
        told = self._note(lambda changes, numbers: changes.revoked(numbers), revoked)
        if self._waits:
            await told

    async def on_partitions_lost(self, lost: Iterable[TopicPartition]) -> None:
        """Note them, and claim them no more."""
        # The assignor would go on claiming them, and the group might believe it.
        self._assignor.member_assignment = None
        self._note(lambda changes, numbers: changes.lost(numbers), lost)

    def tell(self, changes: Changes) -> bool:
        """Tell all that was noted; return whether there was anything."""
        has_any = bool(self._noted)
        while self._noted:
            say, partitions, told = self._noted.popleft()
            say(changes, partitions)
            told.success(None)
        return has_any

    def let_go(self) -> None:
        """Wait for nobody any more."""
        self._waits = False
        while self._noted:
            self._noted.popleft()[2].success(None)

    def _note(self, say: _Say, partitions: Iterable[TopicPartition]) -> Any:
        told = Future()
        self._noted.append((say, sorted(partition.partition for partition in partitions), told))
        return told
