"""Hits as bytes of a response: no message is built, and no text decoded.

Where the optional library `freshet_native` is installed they are written in C from the
tables of ids and titles. Else each is made when it is first shown and kept: all of a
hit but its score is the same in every answer, so with the score last an answer is their
concatenation.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from importlib.util import find_spec
from itertools import chain
from struct import iter_unpack
from threading import Lock
from typing import TYPE_CHECKING, Final

import numpy as np

from model.artifact.arrays.strings import StringTable
from protos import retrieval_v1_pb2 as retrieval_pb
from server.answers.wire import BYTES, FIXED32, tag_of, varint
from stream.dtypes import Bools, Float32s, Int64s

IS_NATIVE: Final = find_spec("freshet_native") is not None
"""Whether hits are written in C, and none is kept."""

if IS_NATIVE or TYPE_CHECKING:
    import freshet_native

_SCORE_BYTES: Final = 4  # of a float32
# What Python keeps beside the bytes of a hit: an object, its place and its key. Twice
# as much would keep half as many hits in the same memory.
_OVERHEAD_BYTES: Final = 250

Texts = tuple[bytes, bytes]
"""Id and title, UTF-8."""


_HITS: Final = tag_of(retrieval_pb.RetrieveResponse, "hits", BYTES)
_ITEM_ID: Final = tag_of(retrieval_pb.Hit, "item_id", BYTES)
_TITLE: Final = tag_of(retrieval_pb.Hit, "title", BYTES)
_SCORE: Final = tag_of(retrieval_pb.Hit, "score", FIXED32)

# Of the lengths of most ids and titles, and of the hits with them. Twice as many would
# be for titles that are pages.
_LENGTHS: Final = range(512)
_HEADS: Final = {
    tag: [tag + varint(size) for size in _LENGTHS] for tag in (_HITS, _ITEM_ID, _TITLE)
}
_OF_HIT, _OF_ITEM_ID, _OF_TITLE = _HEADS[_HITS], _HEADS[_ITEM_ID], _HEADS[_TITLE]

# As `freshet_native` takes them, a byte each: it writes these four and no other.
_TAGS: Final = _HITS + _ITEM_ID + _TITLE + _SCORE


def native_hits(
    rows: Int64s,
    is_fresh: Bools,
    scores: Float32s,
    item_ids: StringTable,
    titles: StringTable,
    fresh_ids: tuple[str, ...],
    fresh_titles: tuple[str, ...],
) -> bytes:
    """Return hits as a response has them, the same bytes that `with_scores` makes.

    Args:
        rows: ``int64 [n]``, which items.
        is_fresh: ``bool [n]``, whether each is a row of the overlay.
        scores: ``float32 [n]``, cosines; what rounding made more than 1 is 1.
        item_ids: of the generation.
        titles: likewise; empty where there is none.
        fresh_ids: of the overlay.
        fresh_titles: likewise.

    Raises:
        IndexError: there is no such item.
    """
    return freshet_native.hits_of(
        rows,
        is_fresh,
        scores,
        item_ids.offsets,
        item_ids.data,
        titles.offsets,
        titles.data,
        fresh_ids,
        fresh_titles,
        _TAGS,
    )


def hit_without_score(item_id: bytes, title: bytes) -> bytes:
    """Return a hit of a `RetrieveResponse` up to the four bytes of its score."""
    long = len(_OF_HIT)
    size = len(item_id)
    of_id = _OF_ITEM_ID[size] if size < long else _ITEM_ID + varint(size)
    of_title, rest = b"", len(title)
    if rest:
        of_title = _OF_TITLE[rest] if rest < long else _TITLE + varint(rest)
    size += rest + len(of_id) + len(of_title) + len(_SCORE) + _SCORE_BYTES
    head = _OF_HIT[size] if size < long else _HITS + varint(size)
    return b"".join((head, of_id, item_id, of_title, title, _SCORE))


def with_scores(hits: Sequence[bytes], scores: Float32s) -> bytes:
    """Return hits as a response has them.

    Args:
        hits: each without its score.
        scores: ``float32 [len(hits)]``.
    """
    packed = iter_unpack(f"{_SCORE_BYTES}s", np.asarray(scores, dtype="<f4").tobytes())
    return b"".join(chain.from_iterable(zip(hits, chain.from_iterable(packed), strict=True)))


class HitCache:
    """The hits that were shown, each without its score; any number of threads may share
    one.

    Where there is no room, those that were made first go.

    Args:
        most_bytes: what all of them may take, with what Python keeps beside them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._made: OrderedDict[Hashable, bytes] = OrderedDict()
        self._num_bytes = 0
        self._lock = Lock()

    @property
    def num_bytes(self) -> int:
        """What the hits take."""
        return self._num_bytes

    def of(
        self, keys: Sequence[Hashable], texts: Callable[[Sequence[int]], Sequence[Texts]]
    ) -> list[bytes]:
        """Return the hit of each key.

        Args:
            keys: whatever tells one hit from the others.
            texts: returns id and title of the keys at some places.
        """
        hits = list(map(self._made.get, keys))
        if None in hits:
            missing = [place for place, hit in enumerate(hits) if hit is None]
            made = [hit_without_score(*each) for each in texts(missing)]
            for place, hit in zip(missing, made, strict=True):
                hits[place] = hit
            self._keep([keys[place] for place in missing], made)
        return hits  # type: ignore[return-value]  # no None is left

    def _keep(self, keys: Sequence[Hashable], hits: Sequence[bytes]) -> None:
        with self._lock:
            for key, hit in zip(keys, hits, strict=True):
                if key not in self._made:
                    self._num_bytes += len(hit) + _OVERHEAD_BYTES
                    self._made[key] = hit
            while self._num_bytes > self._most_bytes:
                _, oldest = self._made.popitem(last=False)
                self._num_bytes -= len(oldest) + _OVERHEAD_BYTES
