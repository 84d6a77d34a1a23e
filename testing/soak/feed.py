"""The soak's publisher: produces a history's deliveries when they are due, through
broker restarts.
"""

import time
from collections.abc import Sequence
from contextlib import ExitStack, closing
from threading import Condition, Thread

from stream.errors import PublishFailed
from stream.kafka.producer import EventProducer, RecordProducer
from stream.settings import StreamSettings
from testing.soak.history import Delivery, Form, Malformed

_CHUNK = 2_000  # deliveries that are flushed, and repeated after an error, together
_BATCH_SIZE = 16  # interactions in an EventBatch: some per partition fill in a chunk
_GIVE_UP_SECONDS = 300.0  # without a broker, whose start may take 240 s


class Feed:
    """Publishes in a thread of its own, in order, and repeats what may be lost.

    Args:
        bootstrap: "host:port".
        settings: names of the topics.
        deliveries: what to publish.

    Attributes:
        num_retries: how often a chunk was published again because the broker did not
            take all of it.
    """

    def __init__(
        self, bootstrap: str, settings: StreamSettings, deliveries: Sequence[Delivery]
    ) -> None:
        self.num_retries = 0
        self._bootstrap = bootstrap
        self._settings = settings
        self._deliveries = deliveries
        self._allowed = 0
        self._failure: Exception | None = None
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def allow(self, number: int) -> None:
        """Let the first `number` deliveries go out.

        Raises:
            PublishFailed: the broker has taken nothing for minutes.
        """
        with self._changed:
            self._allowed = max(self._allowed, number)
            self._changed.notify()
        if self._failure:
            raise self._failure

    def finish(self) -> None:
        """Publish what is left and return when all of it has arrived."""
        self.allow(len(self._deliveries))
        self._thread.join()
        self.allow(0)

    def _run(self) -> None:
        try:
            self._publish_all()
        except Exception as error:  # noqa: BLE001  # raised in the thread that calls allow
            self._failure = error

    def _publish_all(self) -> None:
        done = 0
        while done < len(self._deliveries):
            publisher = self._connect()
            with closing(publisher):
                done = self._publish_from(publisher, done)

    def _publish_from(self, publisher: "_Publisher", done: int) -> int:
        """Publish chunk by chunk until one fails, and return how many deliveries have
        arrived.
        """
        while done < len(self._deliveries):
            end = min(self._await_allowed(done), done + _CHUNK)
            try:
                publisher.publish(self._deliveries[done:end])
            except PublishFailed:
                self.num_retries += 1
                return done
            done = end
        return done

    def _await_allowed(self, done: int) -> int:
        with self._changed:
            self._changed.wait_for(lambda: self._allowed > done)
            return self._allowed

    def _connect(self) -> "_Publisher":
        deadline = time.monotonic() + _GIVE_UP_SECONDS
        while True:
            try:
                return _Publisher(self._bootstrap, self._settings)
            except PublishFailed:
                if time.monotonic() > deadline:
                    raise


class _Publisher:
    """One producer for each form, and one for malformed records."""

    def __init__(self, bootstrap: str, settings: StreamSettings) -> None:
        with ExitStack() as opened:
            plain = opened.enter_context(closing(EventProducer(bootstrap, settings)))
            batched = opened.enter_context(
                closing(EventProducer(bootstrap, settings, batch_size=_BATCH_SIZE))
            )
            lines = opened.enter_context(
                closing(EventProducer(bootstrap, settings, encoding="json"))
            )
            self._events: dict[Form, EventProducer] = {
                "protobuf": plain,
                "batch": batched,
                "json": lines,
            }
            self._records = opened.enter_context(closing(RecordProducer(bootstrap, settings)))
            self._num_partitions = self._records.num_partitions(settings.clicks_topic)
            self._opened = opened.pop_all()
        self._topic = settings.clicks_topic
        self._num_malformed = 0

    def publish(self, deliveries: Sequence[Delivery]) -> None:
        for delivery in deliveries:
            if isinstance(delivery.content, Malformed):
                self._spoil(delivery.content)
            else:
                self._events[delivery.form].publish(delivery.content)
        for producer in self._events.values():
            producer.flush()
        self._records.flush()

    def close(self) -> None:
        self._opened.close()

    def _spoil(self, malformed: Malformed) -> None:
        partition = self._num_malformed % self._num_partitions
        self._num_malformed += 1
        headers = [("content-type", malformed.content_type)]
        self._records.send(self._topic, partition, b"bad", malformed.value, headers)
