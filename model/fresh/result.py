"""What one round of the fresh lane recomputed, as plain columns."""

from dataclasses import dataclass

from model.artifact.overlay.segment import OverlayRows


@dataclass(frozen=True, kw_only=True)
class RoundResult(OverlayRows):
    """The rows of one round, to be published as an overlay segment.

    No item is named twice, nor a query; none that has a vector is gone.

    Attributes:
        recomputed: nodes whose vector was computed, moved or not.
        carried: nodes that wait for a later round because this one was full.
        withheld: the largest movement that a node waits with or that is not followed,
            in radians, estimated.
        poisoned: nodes that were left out because their vector is not finite.
    """

    recomputed: int
    carried: int
    withheld: float
    poisoned: int
