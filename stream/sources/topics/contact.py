"""Whether the broker is there: a silent topic told from a broker that is away, for
which the clients themselves retry without end.
"""

import logging
import time
from collections import deque
from collections.abc import Collection

from stream.events.types import SourcePartition
from stream.kafka.access.connection import NO_TOPIC, what_listens
from stream.kafka.client import Reader
from stream.metrics import StreamMetrics

logger = logging.getLogger(__name__)

# Seconds of silence after which the broker is asked whether it is there. Twice as
# many: half the questions, and a broker is missed twice as late.
_SILENCE_SECONDS = 5.0
# Looks at the ends, four times a second, within which a client that waits for records
# has asked the broker for them at least once: every half second. Twice as many tell
# half as exactly when something came.
_LOOKS_PER_FETCH = 5


class Contact:
    """When the broker was heard, and why it does not answer.

    Args:
        bootstrap: where it is.
        metrics: told when it goes away and comes back.

    Attributes:
        away: why it does not answer; empty: it does.
    """

    def __init__(self, bootstrap: str, metrics: StreamMetrics) -> None:
        self.away = ""
        self._bootstrap = bootstrap
        self._metrics = metrics
        self._checked_at = self._heard_at = time.monotonic()
        self._looks = deque([self._heard_at], maxlen=_LOOKS_PER_FETCH)
        metrics.set_broker(bootstrap, "")

    @property
    def silent_seconds(self) -> float:
        """How long ago the broker was last heard, if it does not answer; 0: it does."""
        return time.monotonic() - self._heard_at if self.away else 0.0

    @property
    def asked_at(self) -> float:
        """A moment, in monotonic seconds, after which a waiting client has asked each
        partition for more.
        """
        return self._looks[0]

    def look(self) -> None:
        """Remember, at a look at the ends, when the broker had been heard."""
        self._looks.append(self._heard_at)

    @property
    def is_due(self) -> bool:
        """Whether nothing was heard for so long that the broker should be asked."""
        return time.monotonic() - self._checked_at >= _SILENCE_SECONDS

    def heard(self) -> None:
        """Record that records came."""
        self._note("")

    def ask(self, reader: Reader, topic: str, missing: Collection[str] = ()) -> None:
        """Ask the broker, about the first partition of a topic, whether it is there.

        Args:
            reader: asks.
            topic: of which.
            missing: topics that a broker says were deleted: it is there, and they are
                why the clients hear nothing.
        """
        said = reader.why_silent(SourcePartition(topic, 0))
        if said and missing:
            self._note(f"{NO_TOPIC} {', '.join(missing)}")
        else:
            self._note(said and f"{what_listens(self._bootstrap)} ({said})")

    def _note(self, why: str) -> None:
        was_away, self.away = self.away, why
        self._checked_at = time.monotonic()
        if not why:
            self._heard_at = self._checked_at
        if why != was_away:
            self._metrics.set_broker(self._bootstrap, why)
        if why and not was_away:
            logger.warning("broker away bootstrap=%s error=%s", self._bootstrap, why)
        elif was_away and not why:
            logger.warning("broker back bootstrap=%s", self._bootstrap)
