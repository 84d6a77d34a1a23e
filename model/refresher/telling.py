"""Tells people and Prometheus how the refresher is."""

import logging
from collections.abc import Sequence

from model.errors import ModelError
from model.refresher.diagnosis import trouble_of
from model.refresher.lane import Lane
from model.refresher.parts import Parts
from model.refresher.reasons import Behind, Trouble
from stream.errors import StreamError, refusal

logger = logging.getLogger(__name__)

_MS = 1000  # a second


class Teller:
    """Counts each failure, and logs it once for as long as it lasts.

    Args:
        parts: what the refresher works with.
    """

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._told = ""

    def failed(self, reason: Behind, error: Exception) -> Trouble:
        """Count a failure that is tried again; return what to say of it."""
        self._parts.metrics.failed(type(error).__name__)
        text = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, ModelError | StreamError):
            return Trouble(reason, text)
        if isinstance(error, OSError):
            advice = refusal(error)
            text = f"{error.filename}: {error.strerror}" if error.filename else text
            return Trouble(reason, f"{text}; {advice}" if advice else text)
        if self._told != text:
            logger.error("unexpected error=%s", text, exc_info=error)
        return Trouble(reason, f"unexpected {type(error).__name__}: {text}")

    def tell(self, lanes: Sequence[Lane], trouble: Trouble | None) -> None:
        """Say how it is.

        Args:
            lanes: the first is what is published.
            trouble: what is in the way, if anything is known to be.
        """
        metrics, settings = self._parts.metrics, self._parts.settings
        gaps, ahead_ms = 0, 0
        if lanes:
            lane = lanes[0]
            trouble = trouble or trouble_of(lane, settings, self._parts.clock_ms())
            gaps, ahead_ms = len(lane.progress.gaps), lane.progress.ahead_ms
            gaps = max(gaps, int(lane.is_partial))
            metrics.waiting(lane.waiting)
            if lane.served is not None:
                metrics.claimed(lane.served.reflected_ms)
                self._parts.on_claim(lane.served.reflected_ms)
            if lane.published is not None:
                metrics.overlay(
                    generation=lane.generation_id,
                    sequence=lane.sequence,
                    items=len(lane.names.items),
                    queries=len(lane.names.queries),
                )
        metrics.behind(trouble, gaps=gaps, clock_ahead_seconds=ahead_ms / _MS)
        said = "" if trouble is None else f"{trouble.reason}: {trouble.detail}"
        if said != self._told:
            if said:
                logger.warning("behind %s", said)
            else:
                logger.info("no longer behind")
            self._told = said
