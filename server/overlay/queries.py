"""The queries of an overlay, in layers: a segment is taken in at its own cost."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple

import numpy as np

from model.artifact.overlay.segment import OverlayRows
from protos.text import text_key
from stream.dtypes import Float32s

# Times a layer that the one below it has at least; a thinner one is laid together with
# it. So there are as many layers as doublings from a segment to all, four or five, and
# what newer ones replaced is at most as much again. Twice as much: half the layers to
# look in, and rows are copied twice as often.
_THICKER = 2


class _Layer(NamedTuple):
    """Queries of one or several segments, each once.

    Attributes:
        places: row of each query, by normalised text, in the order of the rows.
        vectors: ``float32 [n, dim]``.
        clicks: of each row, as a segment has it.
    """

    places: Mapping[str, int]
    vectors: Float32s
    clicks: tuple[str, ...]

    def above(self, older: "_Layer") -> "_Layer":
        """Return both as one: what this one has replaces its older self."""
        kept = older.only([text for text in older.places if text not in self.places])
        texts = enumerate(chain(kept.places, self.places))
        return _Layer(
            places={text: row for row, text in texts},
            vectors=np.concatenate([kept.vectors, self.vectors]),
            clicks=(*kept.clicks, *self.clicks),
        )

    def only(self, texts: Sequence[str]) -> "_Layer":
        """Return some of these alone."""
        rows = [self.places[text] for text in texts]
        return _Layer(
            places={text: row for row, text in enumerate(texts)},
            vectors=self.vectors[np.array(rows, dtype=np.int64)],
            clicks=tuple(self.clicks[row] for row in rows),
        )


@dataclass(frozen=True, eq=False)
class HeldQueries:
    """Queries that have a vector of their own beside a generation.

    Immutable, so any number of threads may share one; those before and after a segment
    share all layers that it did not touch.

    Attributes:
        gone: keys of queries whose vectors are not used, in no layer either.
    """

    gone: frozenset[int] = frozenset()
    _layers: tuple[_Layer, ...] = ()  # the newest first
    _count: int = 0  # distinct ones

    def __len__(self) -> int:
        return self._count

    def __contains__(self, text: object) -> bool:
        return any(text in layer.places for layer in self._layers)

    def __iter__(self) -> Iterator[str]:
        return iter({text: None for layer in self._layers for text in layer.places})

    def vector(self, text: str) -> Float32s | None:
        """Return the vector ``float32 [dim]`` of a normalised text; None: it has none
        here.
        """
        for layer in self._layers:
            row = layer.places.get(text)
            if row is not None:
                found: Float32s = layer.vectors[row]
                return found
        return None

    def clicks(self, text: str) -> str:
        """Return what was clicked for a normalised text, as a segment has it; empty:
        nothing is known.
        """
        for layer in self._layers:
            row = layer.places.get(text)
            if row is not None:
                return layer.clicks[row]
        return ""

    def taking(self, rows: OverlayRows) -> "HeldQueries":
        """Return these with what newer segments say of queries.

        Only where queries are gone that were not before, all are looked through.

        Args:
            rows: of the segments, merged; all queries that are gone by now.
        """
        gone = frozenset(rows.gone_queries.tolist())
        layers, count = self._without(gone - self.gone)
        if rows.query_texts:
            places = {text: row for row, text in enumerate(rows.query_texts)}
            new = set(places)
            for layer in layers:
                new = new.difference(layer.places)
            count += len(new)
            layers = _laid(_Layer(places, rows.query_vectors, rows.query_clicks), layers)
        return HeldQueries(gone, layers, count)

    def _without(self, gone: frozenset[int]) -> tuple[tuple[_Layer, ...], int]:
        """Return the layers without some queries, and how many are left."""
        if not gone or not self._layers:
            return self._layers, self._count
        whole, *older = self._layers
        for layer in older:
            whole = whole.above(layer)
        kept = whole.only([text for text in whole.places if text_key(text) not in gone])
        return (kept,) if kept.places else (), len(kept.places)


def _laid(top: _Layer, layers: tuple[_Layer, ...]) -> tuple[_Layer, ...]:
    """Return layers with one on top, those together that are too thin to be apart."""
    while layers and len(layers[0].places) < _THICKER * len(top.places):
        top, layers = top.above(layers[0]), layers[1:]
    return top, *layers
