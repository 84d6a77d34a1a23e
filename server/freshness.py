"""How old an answer is: the freshness receipt, from the live generation's provenance
and the time now.
"""

from dataclasses import dataclass

from server.live import LiveGeneration


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """What an answer was made from.

    Times are UTC epoch milliseconds; ages are as of the answer.

    Attributes:
        generation: id of the generation.
        watermark_ms: event time up to which everything is reflected; 0: no event was.
        watermark_age_seconds: how long ago that was; never negative.
        snapshot_ms: when the snapshot of the graph behind the embeddings was taken.
        snapshot_age_seconds: how long ago that was; never negative.
        live_since_ms: when the server swapped to the generation.
    """

    generation: str
    watermark_ms: int
    watermark_age_seconds: float
    snapshot_ms: int
    snapshot_age_seconds: float
    live_since_ms: int


def receipt_of(live: LiveGeneration, now_ms: int) -> Receipt:
    """Return the receipt of an answer that `live` gives at `now_ms`."""
    snapshot = live.generation.manifest.snapshot
    return Receipt(
        generation=live.generation.id,
        watermark_ms=snapshot.watermark_ms,
        watermark_age_seconds=age_seconds(snapshot.watermark_ms, now_ms),
        snapshot_ms=snapshot.taken_ms,
        snapshot_age_seconds=age_seconds(snapshot.taken_ms, now_ms),
        live_since_ms=live.live_since_ms,
    )


def age_seconds(then_ms: int, now_ms: int) -> float:
    """Return the seconds from `then_ms` to `now_ms`.

    0 where `then_ms`, by another clock, is yet to come.
    """
    return max(0, now_ms - then_ms) / 1000
