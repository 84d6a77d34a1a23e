"""The text path in plain numpy.

The text tower in numpy, which a server runs for unknown queries.

A text becomes the mean of its features' rows in one table, shared by queries and items,
and then goes through the tower of its kind: ``unit(mean + W2 relu(W1 mean + b1) +
b2)``. `model.network.text_towers.TextTowers` is its twin.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from model.artifact.pretrained.block import TextBlock
from model.beside.item_prior import PriorBlock
from model.beside.session_walk import WalkBlock
from model.beside.title_words import WordBlock
from model.errors import GenerationCorrupt
from model.sums import add_products
from protos.text import text_features
from stream.dtypes import Float32s, Int64s

Tower = Literal["query", "item"]

BAG, ROWS = "bag", "rows"
TOWER_PARTS = ("hidden_weight", "hidden_bias", "out_weight", "out_bias")
# Texts that are encoded in one go: some 20 MB of features' rows at 128 dimensions,
# where NumPy adds them. Twice as many take twice that, and no less time a text.
_BLOCK_TEXTS = 1024
_AXES_OF_A_MATRIX = 2
# A shorter vector has no direction: the rounding of its parts is longer. Twice as much
# changes nothing: trained vectors are a billion times as long.
_SMALLEST_NORM = 1e-12


def unit_rows(vectors: Float32s) -> Float32s:
    """Return `vectors` scaled to length one along the last axis.

    A zero vector becomes the first axis.
    """
    norms = np.linalg.norm(vectors, axis=-1, keepdims=True)
    first_axis = np.zeros(vectors.shape[-1], dtype=np.float32)
    first_axis[0] = 1.0
    scaled = vectors / np.maximum(norms, _SMALLEST_NORM)
    return np.where(norms < _SMALLEST_NORM, first_axis, scaled).astype(np.float32)


class TextEncoder:
    """Encodes texts with the arrays of a generation.

    Immutable, so any number of threads may share one.

    Args:
        arrays: ``bag`` ``float32 [num_rows, dim]``, ``rows`` ``int32 [num_buckets]``,
            the row of each hash bucket (without it, each bucket has the row of its
            number), and for each tower (``query``, ``item``)
            ``<tower>.hidden_weight`` ``float32 [hidden, dim]``,
            ``<tower>.hidden_bias`` ``float32 [hidden]``, ``<tower>.out_weight``
            ``float32 [dim, hidden]`` and ``<tower>.out_bias`` ``float32 [dim]``.
        cuts_words: as in `protos.text.text_features`; False for what was trained
            before words were cut.
        block: what pretrained text adds to a vector; None: nothing.
        words: what words of titles add to it; None: nothing.
        walk: what walks through sessions add to it, as far as they are guessed from
            the text; None: not even room for it.
        prior: what priors of items add to it; None: nothing.

    Raises:
        GenerationCorrupt: an array is missing or has another shape than the others
            imply.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        cuts_words: bool = True,
        block: TextBlock | None = None,
        words: WordBlock | None = None,
        walk: WalkBlock | None = None,
        prior: PriorBlock | None = None,
    ) -> None:
        _check_arrays(arrays)
        self._bag = arrays[BAG]
        self._rows = _rows_of(arrays)
        self._cuts_words = cuts_words
        self._block = block
        self._words = words
        self._walk = walk
        self._prior = prior
        self._towers = {
            tower: tuple(np.asarray(arrays[f"{tower}.{part}"]) for part in TOWER_PARTS)
            for tower in ("query", "item")
        }

    @property
    def dim(self) -> int:
        """Length of the network's vectors."""
        return int(self._bag.shape[1])

    @property
    def vector_dim(self) -> int:
        """Length of the vectors that texts get, with what pretrained text, words of
        titles, walks through sessions and priors of items add.
        """
        blocks = (self._block, self._words, self._walk, self._prior)
        return self.dim + sum(block.dim for block in blocks if block is not None)

    def encode(self, text: str) -> Float32s:
        """Return a query's unit vector ``float32 [vector_dim]``.

        The model's vector of a query without any clicks.

        A text without features (empty, or punctuation only) gets one and the same
        finite vector.
        """
        return self._encode(text, "query")

    def encode_all(self, texts: Sequence[str]) -> Float32s:
        """Return ``float32 [num_texts, vector_dim]``, what `encode` returns of each, up
        to rounding; many at once cost a fraction.
        """
        vectors = unit_rows(self.contents(texts, "query"))
        return self._extended(vectors, texts, texts, is_item=False)

    def encode_item(self, text: str, title: str | None = None) -> Float32s:
        """Return an item's unit vector ``float32 [vector_dim]``.

        The model's vector of one without any clicks.

        Args:
            text: what the text tower reads of it.
            title: its title; None: that is all of its text.
        """
        return self._encode(text, "item", title)

    def contents(self, texts: Sequence[str], tower: Tower) -> Float32s:
        """Return ``float32 [num_texts, dim]``, not scaled: what the network's channels
        start from.
        """
        blocks = [
            self._contents(texts[start : start + _BLOCK_TEXTS], tower)
            for start in range(0, len(texts), _BLOCK_TEXTS)
        ]
        return np.concatenate(blocks) if blocks else np.zeros((0, self.dim), dtype=np.float32)

    def _encode(self, text: str, tower: Tower, title: str | None = None) -> Float32s:
        hidden_weight, hidden_bias, out_weight, out_bias = self._towers[tower]
        mean = self._mean_row(text)
        hidden = np.maximum(hidden_weight @ mean + hidden_bias, 0.0)
        vector = unit_rows(mean + out_weight @ hidden + out_bias)
        titles = [text if title is None else title]
        extended = self._extended(vector[None], [text], titles, is_item=tower == "item")
        return extended.reshape(-1)

    def _extended(
        self, vectors: Float32s, texts: Sequence[str], titles: Sequence[str], *, is_item: bool
    ) -> Float32s:
        """Return ``float32 [n, vector_dim]``: the network's vectors, and what stands
        beside them.
        """
        if self._block is not None:
            vectors = self._block.extend(vectors, texts, is_item=is_item, is_known=False)
        if self._words is not None:
            extend = self._words.items if is_item else self._words.queries
            vectors = extend(vectors, self._words.directions(titles))
        if self._walk is not None:
            vectors = self._walk.without_sessions(vectors, is_item=is_item)
        if self._prior is not None:
            prior = self._prior
            vectors = prior.new_items(vectors) if is_item else prior.queries(vectors)
        return vectors

    def _contents(self, texts: Sequence[str], tower: Tower) -> Float32s:
        hidden_weight, hidden_bias, out_weight, out_bias = self._towers[tower]
        mean = self._mean_rows(texts)
        hidden = np.maximum(mean @ hidden_weight.T + hidden_bias, 0.0)
        contents: Float32s = mean + hidden @ out_weight.T + out_bias
        return contents

    def _mean_rows(self, texts: Sequence[str]) -> Float32s:
        features = [
            text_features(text, len(self._rows), cuts_words=self._cuts_words) for text in texts
        ]
        lengths = np.array([len(each) for each in features], dtype=np.int64)
        flat = np.fromiter(chain.from_iterable(features), np.int64, int(lengths.sum()))
        text = np.repeat(np.arange(len(texts)), lengths)
        means = np.zeros((len(texts), self.dim), dtype=np.float32)
        rows = self._rows[flat].astype(np.int64)
        add_products(means, text, 1.0 / lengths[text], self._bag, rows)
        return means

    def _mean_row(self, text: str) -> Float32s:
        features = text_features(text, len(self._rows), cuts_words=self._cuts_words)
        if not features:
            return np.zeros(self.dim, dtype=np.float32)
        mean: Float32s = self._bag[self._rows[features]].mean(axis=0, dtype=np.float32)
        return mean


def pack_features(vectors: Float32s, buckets: Int64s, num_buckets: int) -> dict[str, NDArray[Any]]:
    """Return ``bag`` and ``rows`` of `TextEncoder` for the features that were trained.

    All others share row 0, zeros: few of the buckets occur in the texts of a small
    shop, and only those take space.

    Args:
        vectors: ``float32 [n, dim]``.
        buckets: ``int64 [n]``, the distinct bucket of each.
        num_buckets: how many there are.
    """
    rows = np.zeros(num_buckets, dtype=np.int32)
    rows[buckets] = np.arange(1, len(buckets) + 1, dtype=np.int32)
    return {BAG: np.pad(vectors, ((1, 0), (0, 0))), ROWS: rows}


def feature_vectors(arrays: Mapping[str, NDArray[Any]], buckets: Int64s) -> Float32s:
    """Return ``float32 [len(buckets), dim]``.

    Zeros for a feature that was not trained.
    """
    vectors: Float32s = np.asarray(arrays[BAG])[_rows_of(arrays)[buckets]]
    return vectors


def num_buckets_of(arrays: Mapping[str, NDArray[Any]]) -> int:
    """Return how many buckets an encoder hashes features to."""
    return len(arrays[ROWS] if ROWS in arrays else arrays[BAG])


def _rows_of(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.int32]:
    if ROWS in arrays:
        return np.asarray(arrays[ROWS])
    return np.arange(len(arrays[BAG]), dtype=np.int32)


def _check_arrays(arrays: Mapping[str, NDArray[Any]]) -> None:
    wanted = [BAG, *(f"{tower}.{part}" for tower in ("query", "item") for part in TOWER_PARTS)]
    missing = [name for name in wanted if name not in arrays]
    if missing:
        raise GenerationCorrupt(f"the text encoder lacks {', '.join(missing)}; train again")
    if arrays[BAG].ndim != _AXES_OF_A_MATRIX or not len(arrays[BAG]):
        raise GenerationCorrupt(f"the text encoder's {BAG} has shape {arrays[BAG].shape}: no rows")
    num_rows, dim = arrays[BAG].shape
    rows = _rows_of(arrays)
    if rows.ndim != 1 or not len(rows) or rows.min() < 0 or rows.max() >= num_rows:
        raise GenerationCorrupt(f"the text encoder's {ROWS} are not among its {num_rows} vectors")
    for tower in ("query", "item"):
        hidden = arrays[f"{tower}.hidden_bias"].size
        shapes = ((hidden, dim), (hidden,), (dim, hidden), (dim,))
        for part, shape in zip(TOWER_PARTS, shapes, strict=True):
            found = arrays[f"{tower}.{part}"].shape
            if found != shape:
                raise GenerationCorrupt(
                    f"the text encoder's {tower}.{part} has shape {found}, not {shape}"
                )
