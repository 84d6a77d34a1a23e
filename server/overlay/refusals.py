"""Why overlay segments are not taken: counted, logged once, and tried again."""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from model.artifact.overlay.pointer import Newest
from model.artifact.overlay.segment import SegmentFault
from model.errors import SegmentRefused
from stream.errors import described

logger = logging.getLogger(__name__)

# Seconds before the same segments are tried again: a full one of 10,000 items takes
# some 20 ms to read and check. Twice as long, and a folder that was away for a moment
# costs two seconds of freshness instead of one.
_RETRY_SECONDS = 1.0

IO: Final = "io"
UNEXPECTED: Final = "unexpected"
REASONS: Final = (*(str(fault) for fault in SegmentFault), IO, UNEXPECTED)
"""Values of the label `reason`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """What was not taken.

    Attributes:
        message: what was wrong, where.
        reason: the kind, one of `REASONS`.
        tried: writer and sequence that the pointer named; None: it could not be read.
        next_try: when to try the same again, on the monotonic clock.
    """

    message: str
    reason: str
    tried: tuple[str, int] | None
    next_try: float


class Refusals:
    """The newest refusal of each source of an overlay: pointers, segments, the list of
    gone items.

    Args:
        count: called with the reason of each refusal.
        monotonic: seconds on a clock that never goes back.
    """

    def __init__(
        self, count: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._count = count
        self._monotonic = monotonic
        self._newest: dict[str, Refusal] = {}

    @property
    def message(self) -> str:
        """What is not taken now, and why; empty: everything is."""
        return "; ".join(refusal.message for refusal in self._newest.values())

    def refuse(self, source: str, error: Exception, newest: Newest | None = None) -> None:
        """Record that something was not taken; log it unless that is known.

        Args:
            source: a file or generation.
            error: why.
            newest: the pointer that named it; None: it could not be read.
        """
        reason, before = reason_of(error), self._newest.get(source)
        refusal = Refusal(
            message=described(error),
            reason=reason,
            tried=None if newest is None else (newest.writer, newest.sequence),
            next_try=self._monotonic() + _RETRY_SECONDS,
        )
        self._newest[source] = refusal
        self._count(reason)
        if before is None or before.reason != reason:
            logger.error(
                "overlay_refused source=%s reason=%s why=%s",
                source,
                reason,
                refusal.message,
                exc_info=error if reason == UNEXPECTED else None,
            )

    def clear(self, source: str) -> None:
        """Record that all of a source was taken."""
        self._newest.pop(source, None)

    def keep_only(self, *sources: str) -> None:
        """Forget what was refused of any other source."""
        self._newest = {name: self._newest[name] for name in sources if name in self._newest}

    def is_worth_trying(self, source: str, newest: Newest | None = None) -> bool:
        """Whether something else is there than was refused, or it is time again."""
        refusal = self._newest.get(source)
        named = None if newest is None else (newest.writer, newest.sequence)
        return refusal is None or self._monotonic() >= refusal.next_try or named != refusal.tried


def reason_of(error: Exception) -> str:
    """Return the kind of a failure, one of `REASONS`."""
    if isinstance(error, SegmentRefused):
        return str(error.fault)
    return IO if isinstance(error, OSError) else UNEXPECTED
