"""How much is read and written at once, and how long is waited for more."""

from dataclasses import dataclass

from stream.settings.bounds import check_bounds


@dataclass(frozen=True, kw_only=True)
class BatchSettings:
    """How records become micro-batches."""

    # Records; chosen by hand. Twice as many: fewer polls, each with twice the memory.
    batch_records: int = 1000
    """Most records that one poll of the source returns."""

    # Events; chosen by hand: a write then merges tens of thousands at once. Twice as
    # many apply more per CPU second, and each write takes longer and more memory.
    batch_events: int = 32_000
    """Events of a micro-batch, about: one is written once it has as many.

    A record may hold many events, and is never split.
    """

    # Milliseconds; chosen by hand. Twice as long: fewer, larger writes at a low rate,
    # and a graph that is 100 ms older.
    batch_wait_ms: int = 100
    """Longest time, in milliseconds, that a record waits for its micro-
    batch to fill; ten times as long while each poll returns as many as it may.
    """

    # Seconds; chosen by hand. Twice as long notices a stop up to a second late.
    poll_seconds: float = 0.5
    """Longest wait of one poll of Kafka, in seconds, and so the longest delay until a
    stop or a snapshot request is noticed.
    """

    # Seconds; chosen by hand. Twice as long finds new lines 0.2 s later.
    follow_poll_seconds: float = 0.2
    """Poll interval of followed files, in seconds."""

    def _check_batches(self) -> None:
        check_bounds("batch_records", self.batch_records, 1, 100_000)
        check_bounds("batch_events", self.batch_events, 1, 1_000_000)
        check_bounds("batch_wait_ms", self.batch_wait_ms, 0, 60_000)
        for name in ("follow_poll_seconds", "poll_seconds"):
            check_bounds(name, getattr(self, name), 0.001, 3600.0)
