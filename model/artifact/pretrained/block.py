"""The pretrained block of a vector: what a frozen text encoder adds beside the
dimensions of the network.

A node's vector is ``[v, s r] / sqrt(1 + s^2)``: the network's unit vector ``v``, and
beside it ``r``, the direction of ``M (p - mean)`` for the encoder's vector ``p`` of its
text. The scale ``s`` goes by the node's kind and by whether it has been clicked: the
less is known of it, the more its words count. So the inner product of a query and an
item is the network's and the encoder's, weighed. A text without a word has no ``r``,
and the vector ``[v, 0]``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model.artifact.pretrained.encoder import PretrainedEncoder
from model.errors import GenerationCorrupt
from stream.dtypes import Bools, Float32s

PREFIX = "pretrained."
_MEAN, _MAP, _SCALES = (f"{PREFIX}{name}" for name in ("mean", "map", "scales"))
# How much of the spread of each direction is evened out, an exponent: 0 leaves it, 0.5
# makes all alike. Of 0, 0.25 and 0.5 the best on two logs (docs/experiments.md).
_EVENING = 0.25
# Texts whose encoded vectors are held at once: 8 MB at 256 dimensions. Twice as many
# take twice that, and no less time a text.
_BLOCK_TEXTS = 1 << 13
# Shorter, and a vector has no direction: rounding is a hundredth of that. Twice as much
# changes nothing.
_SMALLEST_NORM = 1e-5


@dataclass(frozen=True, kw_only=True)
class Scales:
    """What the block counts beside the network's vector, which has length 1.

    Attributes:
        query: of queries that have been clicked for.
        new_query: of others.
        item: of items that have been clicked.
        new_item: of others.
    """

    query: float
    new_query: float
    item: float
    new_item: float

    @property
    def is_off(self) -> bool:
        """Whether the block adds nothing to any score."""
        return not (self.query and self.item)

    def of(self, *, is_item: bool | Bools, is_known: bool | Bools) -> Float32s:
        """Return each node's scale, ``float32`` of the shape of the arguments."""
        known = np.where(is_item, self.item, self.query)
        new = np.where(is_item, self.new_item, self.new_query)
        return np.where(is_known, known, new).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Projection:
    """From an encoder's vectors to the block's.

    Attributes:
        mean: ``float32 [encoder_dim]``.
        matrix: ``float32 [encoder_dim, dim]``.
    """

    mean: Float32s
    matrix: Float32s

    @property
    def dim(self) -> int:
        """Length of the block."""
        return int(self.matrix.shape[1])

    def directions(self, encoded: Float32s) -> Float32s:
        """Return ``float32 [n, dim]``, rows of length one or zeros.

        Args:
            encoded: ``float32 [n, encoder_dim]``, rows of length one or zeros.
        """
        has_words = encoded.any(axis=1)
        projected = (encoded - self.mean) @ self.matrix
        lengths = np.linalg.norm(projected, axis=1)
        has_direction = has_words & (lengths > _SMALLEST_NORM)
        lengths = np.where(has_direction, lengths, np.inf).astype(np.float32)
        directions: Float32s = projected / lengths[:, None]
        return directions


def fitted(encoded: Float32s, dim: int) -> Projection:
    """Return the projection to the directions in which texts differ most.

    Principal components, with what is frequent in all of them evened out in part.

    Args:
        encoded: ``float32 [n, encoder_dim]``, rows of length one or zeros.
        dim: length of the block, at most that of the encoder's vectors.
    """
    with_words = encoded[encoded.any(axis=1)]
    mean = with_words.mean(axis=0) if len(with_words) else encoded.sum(axis=0)
    centred = with_words - mean
    spread, directions = np.linalg.eigh(centred.T @ centred / np.float32(max(1, len(centred))))
    # Ascending: the largest come last.
    spread = np.maximum(spread[::-1][:dim], _SMALLEST_NORM**2)
    matrix = directions[:, ::-1][:, :dim] * (spread**-_EVENING)
    return Projection(mean=mean.astype(np.float32), matrix=matrix.astype(np.float32))


def extended(vectors: Float32s, directions: Float32s, scales: Float32s) -> Float32s:
    """Return unit vectors ``float32 [n, network_dim + dim]``.

    Args:
        vectors: ``float32 [n, network_dim]``, unit vectors.
        directions: ``float32 [n, dim]``, of `Projection.directions`.
        scales: ``float32 [n]``, of `Scales.of`.
    """
    block = directions * scales[:, None]
    lengths = np.sqrt(1.0 + np.einsum("nd,nd->n", block, block))[:, None]
    vectors = np.concatenate([vectors, block], axis=1) / lengths
    return vectors.astype(np.float32)


class TextBlock:
    """The block of a generation: extends the network's vectors by texts.

    Immutable, so any number of threads may share one.

    Args:
        encoder: what the generation was made with.
        projection: of the encoder's vectors.
        scales: what the block counts.

    Attributes:
        projection: of the encoder's vectors.
        scales: what the block counts.
    """

    def __init__(self, encoder: PretrainedEncoder, projection: Projection, scales: Scales) -> None:
        self._encoder = encoder
        self.projection = projection
        self.scales = scales

    @property
    def dim(self) -> int:
        """Length of the block."""
        return self.projection.dim

    def directions(self, texts: Sequence[str]) -> Float32s:
        """Return ``float32 [num_texts, dim]``, rows of length one or zeros."""
        directions = np.zeros((len(texts), self.dim), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK_TEXTS):
            block = slice(start, start + _BLOCK_TEXTS)
            directions[block] = self.projection.directions(self._encoder.encode(texts[block]))
        return directions

    def extend(
        self, vectors: Float32s, texts: Sequence[str], *, is_item: bool, is_known: bool | Bools
    ) -> Float32s:
        """Return unit vectors ``float32 [n, network_dim + dim]``.

        Args:
            vectors: ``float32 [n, network_dim]``, the network's unit vectors.
            texts: of each.
            is_item: whether they are items.
            is_known: whether each has been clicked, ``bool [n]``.
        """
        scales = np.broadcast_to(self.scales.of(is_item=is_item, is_known=is_known), len(texts))
        return extended(vectors, self.directions(texts), scales)

    def arrays(self) -> dict[str, Float32s]:
        """Return what `text_block` reads, by name."""
        scales = self.scales
        return {
            _MEAN: self.projection.mean,
            _MAP: self.projection.matrix,
            _SCALES: np.array(
                [scales.query, scales.new_query, scales.item, scales.new_item], dtype=np.float32
            ),
        }


def text_block(arrays: Mapping[str, Float32s], encoder: PretrainedEncoder) -> TextBlock:
    """Return the block of some stored arrays.

    Raises:
        GenerationCorrupt: one is missing or has another shape than the encoder implies.
    """
    found = [arrays.get(name) for name in (_MEAN, _MAP, _SCALES)]
    shapes = [None if array is None else array.shape for array in found]
    dim = shapes[1][1] if shapes[1] is not None and len(shapes[1]) > 1 else 0
    if shapes != [(encoder.dim,), (encoder.dim, dim), (4,)]:
        raise GenerationCorrupt(
            f"the arrays {_MEAN}, {_MAP} and {_SCALES} have the shapes {shapes}, which do not "
            f"fit an encoder of {encoder.dim} dimensions; train again"
        )
    mean, matrix, scales = (np.asarray(array) for array in found)
    query, new_query, item, new_item = map(float, scales)
    return TextBlock(
        encoder,
        Projection(mean=mean, matrix=matrix),
        Scales(query=query, new_query=new_query, item=item, new_item=new_item),
    )
