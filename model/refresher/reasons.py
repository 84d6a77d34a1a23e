"""Why an overlay is behind: what is said of it to people and to alerts."""

from dataclasses import dataclass
from enum import StrEnum


class Behind(StrEnum):
    """The kinds of reasons; values of the label `reason`."""

    NO_GENERATION = "no_generation"
    GENERATION = "generation"
    FEED = "feed"
    GAP = "gap"
    UNFOLLOWED = "unfollowed"
    PUBLISH = "publish"
    REPLAY = "replay"
    BURST = "burst"
    CLOCK = "clock"
    GRAPH = "graph"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the overlay is behind.

    Attributes:
        reason: the kind.
        detail: what, where and what to do, in one line, without a number that changes
            from one second to the next.
    """

    reason: Behind
    detail: str
