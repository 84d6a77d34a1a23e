"""Receipts as bytes of a response: all of one but its ages is written once a view."""

from struct import Struct
from typing import Final
from weakref import ref

from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers.wire import BYTES, FIXED64, tag_of, varint
from server.freshness import Receipt, aged, receipt_of
from server.overlay.view import LiveView

_RECEIPT: Final = tag_of(retrieval_pb.RetrieveResponse, "receipt", BYTES)
_WATERMARK_AGE, _SNAPSHOT_AGE, _AGE = (
    tag_of(retrieval_pb.FreshnessReceipt, field, FIXED64)
    for field in ("watermark_age_seconds", "snapshot_age_seconds", "age_seconds")
)
_AGE_BYTES: Final = 8  # of a double


def receipt_message(receipt: Receipt) -> retrieval_pb.FreshnessReceipt:
    """Return a receipt as a message."""
    return retrieval_pb.FreshnessReceipt(
        generation=receipt.generation,
        watermark_ms=receipt.watermark_ms,
        watermark_age_seconds=receipt.watermark_age_seconds,
        snapshot_ms=receipt.snapshot_ms,
        snapshot_age_seconds=receipt.snapshot_age_seconds,
        live_since_ms=receipt.live_since_ms,
        overlay_sequence=receipt.overlay_sequence,
        reflected_ms=receipt.reflected_ms,
        age_seconds=receipt.age_seconds,
        refused_generation=receipt.refused_generation,
        catalog_reflected_ms=receipt.catalog_reflected_ms,
    )


class ViewReceipts:
    """The receipts of a view's answers, while a generation is refused; any number of
    threads may share one.

    The view itself is not kept: one that is live no longer has its generation's memory.

    Args:
        view: the view.
        refused_generation: what `CURRENT` names and the server refused; empty: nothing.

    Attributes:
        refused_generation: the same.
        snapshot_ms: as in all of them.
        reflected_ms: likewise; 0: not known.
    """

    def __init__(self, view: LiveView, refused_generation: str) -> None:
        self._view = ref(view)
        self.refused_generation = refused_generation
        self._whole = whole = receipt_of(view, 0, refused_generation)
        self._watermark_ms = whole.watermark_ms
        self.snapshot_ms = whole.snapshot_ms
        self.reflected_ms = whole.reflected_ms
        # The fields in the order of their numbers, as messages are written, cut before
        # each age. An age of 0 is not written, which `written` leaves to the message.
        pieces = [
            _bytes_of(generation=whole.generation, watermark_ms=whole.watermark_ms)
            + _WATERMARK_AGE,
            _bytes_of(snapshot_ms=whole.snapshot_ms) + _SNAPSHOT_AGE,
            _bytes_of(
                live_since_ms=whole.live_since_ms,
                overlay_sequence=whole.overlay_sequence,
                reflected_ms=whole.reflected_ms,
            )
            + (_AGE if whole.reflected_ms else b""),
            _bytes_of(
                refused_generation=whole.refused_generation,
                catalog_reflected_ms=whole.catalog_reflected_ms,
            ),
        ]
        num_ages = 3 if whole.reflected_ms else 2
        size = sum(map(len, pieces)) + num_ages * _AGE_BYTES
        pieces[0] = _RECEIPT + varint(size) + pieces[0]
        self._pieces = tuple(pieces)
        sizes = [len(piece) for piece in pieces]
        age = "d" if whole.reflected_ms else ""
        self._packed = Struct(f"<{sizes[0]}sd{sizes[1]}sd{sizes[2]}s{age}{sizes[3]}s")

    def is_of(self, view: LiveView) -> bool:
        """Whether they are of this very view."""
        return self._view() is view

    def receipt(self, now_ms: int) -> Receipt:
        """Return the receipt of an answer that is given at `now_ms`."""
        return aged(self._whole, now_ms)

    def written(self, now_ms: int) -> bytes:
        """Return the receipt of an answer that is given at `now_ms`, as a response has
        it.
        """
        snapshot_ms, reflected_ms = self.snapshot_ms, self.reflected_ms
        watermark_ms = self._watermark_ms
        if now_ms <= watermark_ms or now_ms <= snapshot_ms or now_ms <= reflected_ms:
            return _whole(self.receipt(now_ms))
        watermark_age, snapshot_age = (now_ms - watermark_ms) / 1000, (now_ms - snapshot_ms) / 1000
        first, second, third, last = self._pieces
        if not reflected_ms:
            return self._packed.pack(first, watermark_age, second, snapshot_age, third, last)
        age = (now_ms - reflected_ms) / 1000
        return self._packed.pack(first, watermark_age, second, snapshot_age, third, age, last)


def _whole(receipt: Receipt) -> bytes:
    response = retrieval_pb.RetrieveResponse(receipt=receipt_message(receipt))
    return response.SerializeToString()


def _bytes_of(**fields: str | int) -> bytes:
    return retrieval_pb.FreshnessReceipt(**fields).SerializeToString()  # type: ignore[arg-type]  # texts and numbers
