"""How old an answer is: the freshness receipt, from the live view and the time now."""

from typing import NamedTuple, Protocol

from server.errors import NotFreshEnough
from server.overlay.view import LiveView


class Receipt(NamedTuple):
    """What an answer was made from.

    Times are UTC epoch milliseconds; ages are as of the answer.

    Attributes:
        generation: id of the generation.
        watermark_ms: event time up to which everything is reflected; 0: no event was.
        watermark_age_seconds: how long ago that was; never negative.
        snapshot_ms: when the snapshot of the graph behind the embeddings was taken.
        snapshot_age_seconds: how long ago that was; never negative.
        live_since_ms: when the server swapped to the generation.
        overlay_sequence: the newest segment of the overlay in it; 0: none is.
        reflected_ms: every record that had reached the topics by then, in broker time,
            is in the answer; 0: not known.
        age_seconds: how long ago that was; never negative, 0 where it is not known.
        refused_generation: what `CURRENT` names and this server refused; empty:
            nothing.
        catalog_reflected_ms: every state of the catalogue that had reached the topics
            by then is in the answer; never before `reflected_ms`.
    """

    generation: str
    watermark_ms: int
    watermark_age_seconds: float
    snapshot_ms: int
    snapshot_age_seconds: float
    live_since_ms: int
    overlay_sequence: int
    reflected_ms: int
    age_seconds: float
    refused_generation: str = ""
    catalog_reflected_ms: int = 0


def receipt_of(view: LiveView, now_ms: int, refused_generation: str = "") -> Receipt:
    """Return the receipt of an answer that `view` gives at `now_ms`, while a generation
    is refused.
    """
    snapshot, claim = view.live.generation.manifest.snapshot, view.claim
    timeless = Receipt(
        generation=view.live.generation.id,
        watermark_ms=max(snapshot.watermark_ms, claim.watermark_ms),
        watermark_age_seconds=0.0,
        snapshot_ms=snapshot.taken_ms,
        snapshot_age_seconds=0.0,
        live_since_ms=view.live_since_ms,
        overlay_sequence=view.overlay.sequence,
        reflected_ms=claim.reflected_ms,
        age_seconds=0.0,
        refused_generation=refused_generation,
        catalog_reflected_ms=claim.catalog_reflected_ms,
    )
    return aged(timeless, now_ms)


def aged(receipt: Receipt, now_ms: int) -> Receipt:
    """Return a receipt with the ages that it has at `now_ms`."""
    reflected_ms = receipt.reflected_ms
    return receipt._replace(
        watermark_age_seconds=age_seconds(receipt.watermark_ms, now_ms),
        snapshot_age_seconds=age_seconds(receipt.snapshot_ms, now_ms),
        age_seconds=age_seconds(reflected_ms, now_ms) if reflected_ms else 0.0,
    )


class WantsFreshness(Protocol):
    """A request that says how fresh its answer must be."""

    @property
    def min_reflected_ms(self) -> int:
        """Least reflected time, UTC epoch milliseconds; 0: any."""

    @property
    def max_age_seconds(self) -> float:
        """Greatest age; infinity: any."""


def check_freshness(query: WantsFreshness, receipt: Receipt) -> None:
    """Check that an answer with this receipt is as fresh as a request wants.

    Raises:
        NotFreshEnough: it is not; the message says how fresh it is.
    """
    reflected_ms = receipt.reflected_ms
    if query.min_reflected_ms > reflected_ms:
        short = (
            f"it is {(query.min_reflected_ms - reflected_ms) / 1000:.1f} s short"
            if reflected_ms
            else "nothing says how fresh it is, because no refresher runs"
        )
        raise NotFreshEnough(
            f"the answer reflects {reflected_ms}, the request wants {query.min_reflected_ms}: "
            f"{short}",
            reflected_ms,
        )
    if reflected_ms and receipt.age_seconds <= query.max_age_seconds:
        return
    if query.max_age_seconds != float("inf"):
        age = f"{receipt.age_seconds:.1f} s old" if reflected_ms else "of an age that nobody knows"
        raise NotFreshEnough(
            f"the answer is {age}, the request wants {query.max_age_seconds:g} s at most",
            reflected_ms,
        )


def why_behind(view: LiveView, now_ms: int, silent_seconds: float) -> str:
    """Return why a view is not as fresh as it could be, one line for people; empty: it
    is.

    Args:
        view: the live view.
        now_ms: the time now, UTC epoch milliseconds.
        silent_seconds: how long a refresher may say nothing.
    """
    if view.newest is None:
        return "no refresher has written an overlay of this generation; run freshet refresh"
    silence = age_seconds(view.newest.written_ms, now_ms)
    if silence > silent_seconds:
        return f"the refresher has said nothing for {silence:.0f} s; see whether it runs"
    return view.newest.claim.reason


def age_seconds(then_ms: int, now_ms: int) -> float:
    """Return the seconds from `then_ms` to `now_ms`.

    0 where `then_ms`, by another clock, is yet to come.
    """
    return max(0, now_ms - then_ms) / 1000
