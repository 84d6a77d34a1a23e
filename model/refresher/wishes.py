"""Asks the tuner for a generation before its time, where one would help."""

import logging
from collections.abc import Sequence

from model.artifact.overlay.wanted import EarlyReason, Wanted, ask
from model.refresher.diagnosis import Wish, wish_of
from model.refresher.lane import Lane
from model.refresher.parts import Parts

logger = logging.getLogger(__name__)

# Failures of the lanes of one generation: one may be chance, such as memory. Twice as
# many: asked some seconds later.
_MOST_LOST = 2
# Reasons that lie in what a generation begins with.
_OF_ITS_FEED = {EarlyReason.FEED_GAP, EarlyReason.OLD_GENERATION}


class Wishes:
    """Audits now and then, and asks where an overlay has become too large or too far
    off.

    Args:
        parts: what the refresher works with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._audited = ("", 1.0)
        self._next_audit = 0.0
        self._next_ask = 0.0
        self._asked_for_gap = False
        self._lost: tuple[str, int] = ("", 0)

    def lost(self, generation_id: str) -> None:
        """The lane of a generation failed.

        What fails on the same change again and again is mended by a generation that has
        the change.
        """
        known, times = self._lost
        self._lost = (generation_id, times + 1 if known == generation_id else 1)
        if self._lost[1] >= _MOST_LOST and self._parts.monotonic() >= self._next_ask:
            self._ask(Wish(EarlyReason.FAILED, f"the lane of {generation_id} fails again"))

    def consider(self, lanes: Sequence[Lane]) -> None:
        """Ask for a generation where it would help, and none was asked for lately.

        While one is brought up to date already, only what that one lacks is a reason;
        and for that nobody asks twice in a row: the generation that came did not help.
        """
        if not lanes:
            return
        now, settings = self._parts.monotonic(), self._parts.settings
        lane = lanes[-1]
        if now >= self._next_audit:
            self._next_audit = now + settings.audit_every_seconds
            self._audit(lanes[0])
        generation_id, cosine = self._audited
        wish = wish_of(lane, cosine if generation_id == lane.generation_id else 1.0, settings)
        if len(lanes) > 1 and wish is not None and wish.reason not in _OF_ITS_FEED:
            return
        if not lane.is_gapped and lane.progress.is_begun:
            self._asked_for_gap = False
        if wish is not None and now >= self._next_ask and self._may_help(wish):
            self._ask(wish)

    def _audit(self, lane: Lane) -> None:
        try:
            cosine = lane.audit()
        except Exception as error:
            self._parts.metrics.failed(type(error).__name__)
            logger.exception("audit_failed generation=%s", lane.generation_id)
            return
        self._audited = (lane.generation_id, cosine)
        self._parts.metrics.audited(cosine)

    def _may_help(self, wish: Wish) -> bool:
        if wish.reason not in _OF_ITS_FEED:
            return True
        is_first, self._asked_for_gap = not self._asked_for_gap, True
        return is_first

    def _ask(self, wish: Wish) -> None:
        self._next_ask = self._parts.monotonic() + self._parts.settings.ask_again_seconds
        wanted = Wanted(reason=wish.reason, detail=wish.detail, at_ms=self._parts.clock_ms())
        try:
            ask(self._parts.artifacts.root, wanted)
        except OSError as error:
            logger.warning("a generation is wanted, and asking failed error=%s", error)
            return
        logger.warning("a generation is wanted reason=%s detail=%s", wish.reason, wish.detail)
        self._parts.metrics.wanted(wish.reason)
