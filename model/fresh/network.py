"""The network of a generation with its weights as they are, in numpy.

The formulas are those of `model.network.network`; a test holds the two to each other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from model.artifact.channels import CHANNEL_NAMES, FIRST_CHANNELS
from model.artifact.encoder import Tower, unit_rows
from model.artifact.generation import Generation
from model.errors import GenerationCorrupt
from model.sums import norms
from stream.dtypes import Bools, Float32s, Float64s, Int64s

# A number whose square float32 still has. Twice as much: the same; trained vectors have
# lengths near 1.
_LARGEST = 1e15
# Nodes of a block: 1 MB a channel at 128 dimensions, which stays in a core's cache.
# Four times as many take a quarter more time.
_BLOCK_ROWS = 2048
# A shorter sum of channels has no direction; it is then as movable as one of this
# length, as a generation's nodes are. Trained channels have lengths near 1.
_SMALLEST_LENGTH = 1e-3


@dataclass(frozen=True, kw_only=True)
class ChannelRows:
    """The channels of some nodes, and their degrees in them.

    Attributes:
        text: ``float32 [n, dim]``, text and id vector.
        bipartite: ``float32 [n, dim]``, the sum over layers.
        hypergraph: ``float32 [n, dim]``.
        weights: ``float64 [n]``, degree in the bipartite channel; 0: it is silent.
        hyperedges: ``float64 [n]``, degree in the hypergraph channel; 0: it is silent.
    """

    text: Float32s
    bipartite: Float32s
    hypergraph: Float32s
    weights: Float64s
    hyperedges: Float64s


class Joined(NamedTuple):
    """Nodes whose channels are joined.

    Attributes:
        vectors: ``float32 [n, dim]`` unit vectors; NaN where there is no finite one.
        bipartite: ``float32 [n]``, by how many radians each moves, at most, as its
            bipartite channel moves by one: that one's attention over the length of what
            all channels add up to (as `FreshArrays.sensitivity` has it).
        hypergraph: ``float32 [n]``, the same of the hypergraph channel.
    """

    vectors: Float32s
    bipartite: Float32s
    hypergraph: Float32s


@dataclass(frozen=True, kw_only=True)
class _Attention:
    """The weights of the attention of one kind of node; as `ChannelAttention`."""

    project: Float32s
    project_bias: Float32s
    score: Float32s
    bias: Float32s
    degree: Float32s
    offset: Float32s


class FrozenNetwork:
    """A generation's text towers, share of the hypergraph channel, and attention.

    Args:
        generation: where the weights are.

    Attributes:
        fed_bipartite: the bipartite channel's share in what the hypergraph one carries;
            None: the generation is from before it carried any.
        has_bipartite: whether the bipartite channel is switched on.
        has_hypergraph: the same of the hypergraph channel.

    Raises:
        GenerationCorrupt: a weight is missing, or the channels are not those of this
            code.
    """

    def __init__(self, generation: Generation) -> None:
        if generation.channels != FIRST_CHANNELS or CHANNEL_NAMES != FIRST_CHANNELS:
            raise GenerationCorrupt(
                f"generation {generation.id} has the channels {', '.join(generation.channels)}; "
                f"the fresh lane computes {', '.join(FIRST_CHANNELS)}"
            )
        self._encoder = generation.text_encoder()
        self._attention = {kind: _attention_of(generation, kind) for kind in ("query", "item")}
        fed = generation.warm.get("weight.fed_bipartite")
        self.fed_bipartite = None if fed is None else float(np.asarray(fed).reshape(-1)[0])
        self.has_bipartite = generation.manifest.model.get("use_bipartite", "True") == "True"
        self.has_hypergraph = generation.manifest.model.get("use_hypergraph", "True") == "True"

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return self._encoder.dim

    def contents(self, texts: Sequence[str], tower: Tower) -> Float32s:
        """Return ``float32 [num_texts, dim]``, what the text channel makes of texts."""
        return self._encoder.contents(texts, tower)

    def join(self, channels: ChannelRows, is_item: Bools) -> Joined:
        """Return the vectors of some nodes, and how far their channels move them.

        Args:
            channels: of the nodes.
            is_item: ``bool [n]``; False: a query.
        """
        count = len(channels.text)
        vectors = np.empty_like(channels.text)
        bipartite, hypergraph = np.empty(count, np.float32), np.empty(count, np.float32)
        for kind, mask in (("query", ~is_item), ("item", is_item)):
            rows = np.flatnonzero(mask)
            for start in range(0, len(rows), _BLOCK_ROWS):
                block = rows[start : start + _BLOCK_ROWS]
                joined = self._join(channels, block, self._attention[kind])
                vectors[block], bipartite[block], hypergraph[block] = joined
        return Joined(vectors, bipartite, hypergraph)

    def _join(self, channels: ChannelRows, rows: Int64s, attention: _Attention) -> Joined:
        each = channels.text[rows], channels.bipartite[rows], channels.hypergraph[rows]
        degrees = np.stack(
            [
                np.ones(len(rows)),
                channels.weights[rows] * self.has_bipartite,
                channels.hyperedges[rows] * self.has_hypergraph,
            ],
            axis=1,
        ).astype(np.float32)
        with np.errstate(invalid="ignore", over="ignore"):
            scores = np.log1p(degrees) @ attention.degree + (attention.bias + attention.offset)
            # A channel at a time: nothing larger than one is written on the way.
            for number, channel in enumerate(each):
                hidden = channel @ attention.project.T
                hidden += attention.project_bias
                np.tanh(hidden, out=hidden)
                scores[:, number] += hidden @ attention.score[number]
            scores[degrees == 0] = -np.inf
            shares = np.exp(scores - scores.max(axis=1, keepdims=True))
            shares /= shares.sum(axis=1, keepdims=True)
            joined = np.zeros_like(each[0])
            for number, channel in enumerate(each):
                joined += shares[:, number, None] * channel
            has_vector = np.abs(joined).max(axis=1) < _LARGEST
            length = np.maximum(norms(joined), _SMALLEST_LENGTH)
        vectors = unit_rows(np.where(has_vector[:, None], joined, 0.0))
        vectors[~has_vector] = np.nan
        moves = np.where(has_vector[:, None], shares / length[:, None], 1.0)
        return Joined(vectors, moves[:, 1], moves[:, 2])


def _attention_of(generation: Generation, kind: str) -> _Attention:
    weights = {
        name: _weight(generation, f"attention.{kind}.{name}")
        for name in ("project.weight", "project.bias", "score", "bias", "degree")
    }
    return _Attention(
        project=weights["project.weight"],
        project_bias=weights["project.bias"],
        score=weights["score"],
        bias=weights["bias"],
        degree=weights["degree"],
        offset=_offset(generation, kind),
    )


def _offset(generation: Generation, kind: str) -> Float32s:
    """Return what channels are let in with; as they are, in a generation from before
    that was chosen.
    """
    name = f"attention.{kind}.offset"
    if f"weight.{name}" not in generation.warm:
        return np.zeros(len(CHANNEL_NAMES), dtype=np.float32)
    return _weight(generation, name)


def _weight(generation: Generation, name: str) -> Float32s:
    array = generation.warm.get(f"weight.{name}")
    if array is None:
        raise GenerationCorrupt(f"generation {generation.id} lacks warm.weight.{name}; train again")
    return np.array(array, dtype=np.float32)
