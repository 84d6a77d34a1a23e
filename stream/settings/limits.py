"""What is too large, or too far ahead, to be taken in."""

from dataclasses import dataclass

from stream.settings.bounds import check_bounds

# Bytes of an id. A cut session is named after its user, and its entry has two bytes for
# the length of that name: twice as much would not fit.
_MAX_ID_BYTES = 32 * 1024


@dataclass(frozen=True, kw_only=True)
class LimitSettings:
    """The largest records, ids and texts, and the latest times."""

    # Bytes; what a Kafka broker takes by default. Twice as much needs brokers set so.
    max_record_bytes: int = 1024 * 1024
    """Largest record, in bytes; larger ones are quarantined without being decoded."""

    # Bytes: events compress 5 to 20 times, and a broker takes batches of 1 MiB.
    # Twice as much lets one batch take some 200 MiB more memory while it is read.
    max_batch_bytes: int = 64 * 1024 * 1024
    """What a compressed batch of Kafka may unpack to, in bytes; one that is more is
    passed over, and its records counted.

    With the client confluent it holds for zstd alone, and there 100 MB is the least.
    """

    # Bytes; chosen by hand, far over any real id. Twice as much lets garbage take more.
    max_field_bytes: int = 1024
    """Longest session, user or item id, in bytes of UTF-8."""

    # Bytes; chosen by hand. Twice as much lets pasted texts in as queries.
    max_query_bytes: int = 512
    """Longest query, in bytes of UTF-8, before and after it is normalised."""

    # Bytes; chosen by hand. Twice as much doubles the largest catalogue entry.
    max_text_bytes: int = 64 * 1024
    """Longest catalogue title, text or attribute value, in bytes of UTF-8."""

    # One hour, a clock in the next time zone. Twice as long lets one wrong clock move
    # the watermark, from which lateness is measured, two hours ahead.
    max_future_seconds: float = 3600.0
    """How far ahead an event time may be, in seconds, of this machine's clock or of the
    time that records carry in Kafka, whichever is later; later ones are absurd.
    """

    def _check_limits(self) -> None:
        check_bounds("max_record_bytes", self.max_record_bytes, 64 * 1024, 64 * 1024**3)
        # 2 GB are what both clients can count to.
        check_bounds("max_batch_bytes", self.max_batch_bytes, 64 * 1024, 2_000_000_000)
        check_bounds("max_field_bytes", self.max_field_bytes, 16, _MAX_ID_BYTES)
        for name in ("max_query_bytes", "max_text_bytes"):
            check_bounds(name, getattr(self, name), 16, 16 * 1024**2)
        check_bounds("max_future_seconds", self.max_future_seconds, 0.0, 10 * 365 * 86400.0)
