"""Counts of a graph and its batches, from which memory and sampling follow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from model.data.batches import num_batches, num_refresh_batches
from model.data.graph import GraphPart
from model.data.texts import HashedTexts
from model.data.training_set import TrainingSet
from model.settings import ModelSettings


@dataclass(frozen=True, kw_only=True)
class ChannelSize:
    """The size of what one channel propagates over.

    Attributes:
        entries: of its sparse matrices, each of which is gone over there and back; of a
            batch, messages in all layers.
        middles: rows between one node and another, such as sessions.
    """

    entries: int
    middles: int = 0


@dataclass(frozen=True, kw_only=True)
class GraphSize:
    """The size of what is propagated over.

    A whole graph, or what a batch reaches of it.

    Attributes:
        num_nodes: queries and items.
        num_terms: terms that texts are made of; of a batch none: its texts are read
            feature by feature.
        num_features: terms of all texts, and features of all terms; of a batch,
            features of all texts.
        channels: the size of each channel, by its name in `model.artifact.channels`.
    """

    num_nodes: int
    num_terms: int
    num_features: int
    channels: Mapping[str, ChannelSize]

    @staticmethod
    def of(part: GraphPart, texts: HashedTexts) -> "GraphSize":
        """Count a graph and the texts of its nodes."""
        return GraphSize(
            num_nodes=part.num_nodes,
            num_terms=texts.num_terms,
            num_features=len(texts.node) + len(texts.owner),
            channels={
                "bipartite": ChannelSize(entries=len(part.edge_query)),
                "hypergraph": ChannelSize(
                    entries=len(part.incidence_node), middles=part.num_hyperedges
                ),
            },
        )


def largest_batch(data: TrainingSet, settings: ModelSettings) -> int:
    """Return how many edges the largest batch of a pass supervises, one over the newest
    included.
    """
    recent = np.count_nonzero(data.recent)
    drawn = recent + settings.replay_share * np.count_nonzero(~data.recent) if recent else 0
    final = 2 * len(data.newest)
    return max(
        math.ceil(drawn / num_batches(int(drawn), settings.batch_size)),
        math.ceil(final / num_refresh_batches(final, settings.batch_size)),
    )
