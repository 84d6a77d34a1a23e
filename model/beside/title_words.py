"""The title words of a vector: which words of items' titles a text has, beside the
dimensions of the network and of pretrained text.

A word weighs the more the fewer titles have it, and one that no title has nothing. Each
has random signs that its hash draws (Charikar, STOC 2002; Weinberger et al., ICML
2009), and a text the direction of the weighed sum of its words' signs: the inner
product of two is about the cosine of their words, in so many numbers and without an
index of words. A query that has no word of any title has no direction.

An item's vector is ``[v, s r, f] / sqrt(1 + s^2)`` with ``s^2`` what the words count
beside the rest, and ``f = s`` where its title has no words, else 0: a query without a
direction ranks items as before. A query's is ``[v, s r, 0] / sqrt(1 + |s r|^2)``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from model.beside.joined import directions, joined, joined_alike
from model.errors import GenerationCorrupt
from protos.text import text_words
from stream.dtypes import Float32s, Int64s
from stream.mixing import mixed_words

WEIGHTS = "words.weights"
"""Name of the array of words' weights, among those of the text encoder."""

# Hexadecimal digits of pi, so that nobody chose them. Stored vectors depend on them.
_SEED = np.uint64(0xA4093822299F31D0)
_BITS = 64  # of a mixed word
# Texts whose words' signs are held at once: 10 MB at 128 numbers and ten words. Twice
# as many take twice that, and no less time a text.
_BLOCK_TEXTS = 1 << 11


@dataclass(frozen=True, kw_only=True)
class WordBlock:
    """The block of a generation.

    Immutable, so any number of threads may share one.

    Attributes:
        dim: its length: one number more than a direction has.
        scale: of a direction, in queries and in items, beside the rest of a vector,
            which has length 1.
        weights: ``float32 [num_buckets]``, of the word of each feature of
            `protos.text.text_words`; 0: no title has it.
    """

    dim: int
    scale: float
    weights: Float32s = field(compare=False, repr=False)

    def directions(self, texts: Sequence[str]) -> Float32s:
        """Return ``float32 [num_texts, dim - 1]``, rows of length one or zeros.

        Args:
            texts: queries, or titles of items.
        """
        found = np.zeros((len(texts), self.dim - 1), dtype=np.float32)
        for start in range(0, len(texts), _BLOCK_TEXTS):
            text, word = _words(texts[start : start + _BLOCK_TEXTS], len(self.weights))
            weight = self.weights[word]
            counts = np.flatnonzero(weight)
            if len(counts):
                text, weighed = text[counts], weight[counts, None] * self._signs(word[counts])
                firsts = np.flatnonzero(np.diff(text, prepend=-1))
                found[start + text[firsts]] = np.add.reduceat(weighed, firsts, axis=0)
        return directions(found)

    def queries(self, vectors: Float32s, words: Float32s) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: ``float32 [n, rest]``, unit vectors.
            words: ``float32 [n, dim - 1]``, as `directions` returns them.
        """
        return joined(vectors, words * np.float32(self.scale))

    def items(self, vectors: Float32s, words: Float32s) -> Float32s:
        """Return unit vectors ``float32 [n, rest + dim]``.

        Args:
            vectors: as in `queries`.
            words: as in `queries`.
        """
        scales = np.full(len(vectors), self.scale, dtype=np.float32)
        return joined_alike(vectors, words, scales, self.scale)

    def arrays(self) -> dict[str, Float32s]:
        """Return what `word_block` reads, by name."""
        return {WEIGHTS: self.weights}

    def _signs(self, words: Int64s) -> Float32s:
        """Return ``float32 [n, dim - 1]``, 1 or -1, of the features of words."""
        lanes = -(-(self.dim - 1) // _BITS)
        places = words[:, None] * lanes + np.arange(lanes)
        mixed = mixed_words(places.astype(np.uint64) ^ _SEED).astype("<u8")
        bits = np.unpackbits(mixed.view(np.uint8), axis=1, count=self.dim - 1)
        signs: Float32s = bits.astype(np.float32) * 2 - 1
        return signs


def word_block(arrays: Mapping[str, Float32s], *, dim: int, scale: float) -> WordBlock:
    """Return the block of some stored arrays.

    Args:
        arrays: those of the text encoder.
        dim: as `WordBlock` has it.
        scale: the same.

    Raises:
        GenerationCorrupt: the weights are missing, or of no shape that they can have.
    """
    weights = arrays.get(WEIGHTS)
    if weights is None or weights.ndim != 1 or not len(weights):
        found = "is missing" if weights is None else f"has the shape {weights.shape}"
        raise GenerationCorrupt(
            f"the array {WEIGHTS} {found}, but {dim} numbers of every vector are of words of "
            "titles; train again"
        )
    return WordBlock(dim=dim, scale=scale, weights=np.asarray(weights))


def word_weights(titles: Sequence[str], num_buckets: int) -> Float32s:
    """Return ``float32 [num_buckets]``, what the word of each feature weighs: the
    logarithm of 1 + titles over 1 + those that have it; 0 where none has it.
    """
    counts = np.zeros(num_buckets, dtype=np.int64)
    for start in range(0, len(titles), _BLOCK_TEXTS):
        _, word = _words(titles[start : start + _BLOCK_TEXTS], num_buckets)
        counts += np.bincount(word, minlength=num_buckets)
    weights = np.log1p(len(titles) / (1.0 + counts)) * (counts > 0)
    return weights.astype(np.float32)


def _words(texts: Sequence[str], num_buckets: int) -> tuple[Int64s, Int64s]:
    """Return the number of a text and the feature of a word, ``int64`` both, of each
    word of each, in order of texts; a word that a text repeats counts once.
    """
    words = [set(text_words(text, num_buckets)) for text in texts]
    lengths = np.array([len(each) for each in words], dtype=np.int64)
    flat = np.fromiter((word for each in words for word in sorted(each)), np.int64, lengths.sum())
    return np.repeat(np.arange(len(texts)), lengths), flat
