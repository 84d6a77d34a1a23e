"""What training returns: plain arrays, so that nothing after it needs torch."""

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from model.artifact.encoder import TextEncoder
from model.artifact.pretrained.block import TextBlock
from model.artifact.pretrained.encoder import EncoderIdentity
from model.beside.item_prior import PriorBlock
from model.beside.session_walk import WalkBlock
from model.beside.title_words import WordBlock
from model.settings import ModelSettings
from stream.dtypes import Float16s, Float32s, Int64s


@dataclass(frozen=True, kw_only=True)
class TrainingProgress:
    """Progress of a training, after a pass.

    Attributes:
        passes: passes done.
        max_passes: most passes there may be.
        loss: mean loss of the pass.
        mrr: validation MRR after it, or None where nothing is held out.
        seconds: since training began.
    """

    passes: int
    max_passes: int
    loss: float
    mrr: float | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class HoldoutEdges:
    """Edges that training did not see, and the vectors that did not see them.

    Attributes:
        query: ``int64 [num_edges]``.
        item: ``int64 [num_edges]``.
        first_ms: ``int64 [num_edges]``, when each was first seen.
        query_vectors: ``float32 [num_queries, dim]``, propagated over the training
            graph alone.
        item_vectors: ``float32 [num_items, dim]``, the same.
        begin_ms: no session since then is in that graph; the end of time where it is
            the whole one.
    """

    query: Int64s
    item: Int64s
    first_ms: Int64s
    query_vectors: Float32s
    item_vectors: Float32s
    begin_ms: int


@dataclass(frozen=True, kw_only=True)
class LayerStates:
    """What the layers of the network made of each node, for the fresh lane.

    Attributes:
        own: ``float16 [num_nodes, dim]``, queries first: text and id vector.
        hypergraph: ``float16 [num_nodes, dim]``, the hypergraph channel.
        layers: ``float16 [num_nodes, dim]`` for each layer of the bipartite channel.
    """

    own: Float16s
    hypergraph: Float16s
    layers: tuple[Float16s, ...]


@dataclass(frozen=True, kw_only=True)
class PretrainedText:
    """What pretrained text adds to vectors.

    Attributes:
        identity: of the encoder.
        block: of the vectors.
    """

    identity: EncoderIdentity
    block: TextBlock


@dataclass(frozen=True, kw_only=True)
class TrainedModel:
    """A trained model as plain arrays, by the dense indexes of the snapshot's arrays.

    Attributes:
        query_vectors: ``float32 [num_queries, dim]`` unit vectors, propagated over all
            facts; with what pretrained text adds to them.
        item_vectors: ``float32 [num_items, dim]`` unit vectors.
        query_attention: ``float32 [num_queries, 3]``: text, bipartite, hypergraph; rows
            sum to 1.
        item_attention: ``float32 [num_items, 3]``.
        encoder: the arrays of `model.artifact.encoder.TextEncoder`.
        warm: what a later run starts from, besides the encoder.
        held_out: for the gate.
        evaluation: figures for the manifest.
        states: what the fresh lane continues from; None: it was not asked for, or there
            are no queries.
        pretrained: what pretrained text adds to vectors; None: nothing.
        words: what words of titles add to them; None: nothing.
        walk: what walks through sessions add to them; None: nothing.
        prior: what priors of items add to them; None: nothing.
        parent: the generation it was warm-started from; empty: none.
        settings: what it was trained with.
    """

    query_vectors: Float32s
    item_vectors: Float32s
    query_attention: Float32s
    item_attention: Float32s
    encoder: dict[str, NDArray[Any]]
    warm: dict[str, Float32s]
    states: LayerStates | None
    held_out: HoldoutEdges
    evaluation: dict[str, float]
    parent: str
    settings: ModelSettings
    pretrained: PretrainedText | None = None
    words: WordBlock | None = None
    walk: WalkBlock | None = None
    prior: PriorBlock | None = None

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.item_vectors.shape[1])

    def text_encoder(self) -> TextEncoder:
        """Return what encodes texts as a server of this model would."""
        block = self.pretrained.block if self.pretrained is not None else None
        return TextEncoder(
            self.encoder, block=block, words=self.words, walk=self.walk, prior=self.prior
        )
