"""Finds out why an overlay is behind, and whether a generation would help. Pure."""

from typing import NamedTuple

from model.artifact.overlay.wanted import EarlyReason
from model.refresh_settings import RefreshSettings
from model.refresher.lane import Lane
from model.refresher.reasons import Behind, Trouble
from stream.feed.reader import NOT_KEPT

_MS = 1000  # a second

_SLOW_CLOCK = Trouble(
    Behind.CLOCK,
    "this machine's clock is behind that of the stream or the broker, and no more is claimed than "
    "it says; see whether NTP runs on each",
)
_FAST_CLOCK = Trouble(
    Behind.CLOCK,
    "what was written just now is old by this machine's clock: it is ahead of the stream's; see "
    "whether NTP runs on both",
)
_BURST = Trouble(Behind.BURST, "more changes came than rounds take in; they follow")
_OLD_GRAPH = Trouble(
    Behind.GRAPH, "the graph is behind, or no stream runs to say that it is not: see the stream"
)


class Wish(NamedTuple):
    """A generation that would help."""

    reason: EarlyReason
    detail: str


def trouble_of(lane: Lane, settings: RefreshSettings, now_ms: int) -> Trouble | None:
    """Return why what a lane publishes is behind; None: it is not."""
    if lane.is_gapped:
        return _lacks(lane)
    progress = lane.progress
    limit_ms = settings.behind_after_seconds * _MS
    if progress.ahead_ms > limit_ms:
        return _SLOW_CLOCK
    if now_ms - progress.claim.reflected_ms <= limit_ms and not lane.is_held:
        return None
    if not progress.is_caught_up:
        return Trouble(
            Behind.REPLAY,
            f"what changed since the snapshot of generation {lane.generation_id} is being taken in",
        )
    if lane.waiting:
        return _BURST
    return _FAST_CLOCK if progress.late_ms > limit_ms else _OLD_GRAPH


def _lacks(lane: Lane) -> Trouble:
    if lane.is_partial:
        return Trouble(
            Behind.GENERATION,
            f"generation {lane.generation_id} has nothing to continue from, as those of earlier "
            "versions: clicks wait for the next one; new and deleted items do not",
        )
    if _is_unfed(lane):
        return Trouble(
            Behind.UNFOLLOWED,
            "no stream keeps a feed of the store, as after a load of files that has ended: what is "
            "in it comes into answers with a generation alone. If a stream runs, the refresher "
            "reads another store: compare their --store",
        )
    shards = "; ".join(f"shard {shard}: {why}" for shard, why in sorted(lane.progress.gaps.items()))
    return Trouble(
        Behind.GAP,
        f"the feed does not reach back to generation {lane.generation_id} ({shards}); the next "
        "generation mends it",
    )


def _is_unfed(lane: Lane) -> bool:
    """Return whether nobody follows the store, so that no generation mends it."""
    gaps = lane.progress.gaps
    return bool(gaps) and all(why == NOT_KEPT for why in gaps.values())


def wish_of(lane: Lane, cosine: float, settings: RefreshSettings) -> Wish | None:
    """Return why a generation would help; None: it would not.

    Args:
        lane: what is published.
        cosine: the worst of its last audit.
        settings: the limits.
    """
    if lane.is_partial:
        return Wish(EarlyReason.OLD_GENERATION, "the live one has nothing to continue from")
    if lane.progress.gaps:
        gap = Wish(EarlyReason.FEED_GAP, "the feed does not reach back to its snapshot")
        return None if _is_unfed(lane) else gap
    if not cosine >= settings.min_audit_cosine:
        return Wish(
            EarlyReason.DRIFT,
            f"the worst cosine to a full pass is {cosine:.4f}, below {settings.min_audit_cosine}",
        )
    if len(lane.names.items) > settings.max_overlay_items:
        return Wish(
            EarlyReason.OVERLAY_FULL, f"the overlay has over {settings.max_overlay_items:,} items"
        )
    if lane.last_round.withheld > settings.max_withheld_radians:
        return Wish(
            EarlyReason.WITHHELD,
            f"nodes wait with movements over {settings.max_withheld_radians} radians",
        )
    return None
