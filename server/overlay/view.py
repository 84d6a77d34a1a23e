"""What is answered from: a generation and its overlay, as one immutable reference."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from model.artifact.overlay.pointer import Newest
from model.artifact.overlay.segment import Claim
from server.live import LiveGeneration
from server.overlay.coverage import claim_of_snapshot
from server.overlay.held import HeldOverlay, IndexPlaces, hide, no_overlay

NOTHING_GONE: Mapping[str, int] = MappingProxyType({})


@dataclass(frozen=True, kw_only=True)
class LiveView:
    """A generation and its overlay.

    Immutable; a reader takes it once and works with that.

    Attributes:
        live: the generation.
        overlay: what changes its answers.
        claim: how fresh both together are.
        newest: the pointer that the overlay was made after; None: there was none.
        gone: items that no generation may show, as the folder's list has them: when
            each went, UTC epoch milliseconds, by id.
        carried_gone: likewise, items that were gone in the view before and that this
            one may not know of.
        live_since_ms: when the server swapped to the generation, UTC epoch.
        places: where items are in the index.
    """

    live: LiveGeneration
    overlay: HeldOverlay
    claim: Claim
    newest: Newest | None = None
    gone: Mapping[str, int] = field(default_factory=lambda: NOTHING_GONE)
    carried_gone: Mapping[str, int] = field(default_factory=lambda: NOTHING_GONE)
    live_since_ms: int
    places: IndexPlaces

    @property
    def generation_id(self) -> str:
        """Id of the generation."""
        return self.live.generation.id

    @property
    def num_shown(self) -> int:
        """How many items answers can have."""
        return len(self.live.index) - len(self.overlay.hidden) + len(self.overlay.shown)

    @classmethod
    def bare(cls, live: LiveGeneration, gone: Mapping[str, int] = NOTHING_GONE) -> "LiveView":
        """Return the view of a generation without segments.

        Args:
            live: the generation.
            gone: see the attribute.
        """
        places = IndexPlaces(live)
        return cls(
            live=live,
            overlay=no_overlay(live, gone, places),
            claim=claim_of_snapshot(live.generation.manifest.snapshot),
            gone=gone,
            live_since_ms=live.live_since_ms,
            places=places,
        )

    def with_gone(self, gone: Mapping[str, int], carried: Mapping[str, int]) -> "LiveView":
        """Return the same view where other items are gone, see the attributes."""
        overlay = hide(self.overlay, self.live, {**carried, **gone}, self.places)
        return replace(self, overlay=overlay, gone=gone, carried_gone=carried)

    def all_gone(self, now_ms: int) -> dict[str, int]:
        """Return all that is gone in this view, and since when, for one that may not
        know of it.

        What its segments say is gone is so as of `now_ms`.
        """
        segments = dict.fromkeys(self.overlay.rows.gone_items, now_ms)
        return {**self.carried_gone, **self.overlay.gone_items, **segments}
