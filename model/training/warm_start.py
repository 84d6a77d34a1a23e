"""Warm start: a generation's weights, stored with it, as those that a later training
starts from.

Nodes are found again by id, never by row.
"""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.artifact.channels import CHANNEL_NAMES
from model.artifact.encoder import (
    BAG,
    TOWER_PARTS,
    feature_vectors,
    num_buckets_of,
    pack_features,
)
from model.artifact.generation import Generation
from model.data.parent import LearnedClicks, ParentRows, learned_by, rows_in
from model.data.texts import HashedTexts
from model.network.attention import ChannelAttention
from model.network.network import DualChannelNetwork
from model.settings import ModelSettings
from protos.text import text_features
from stream.dtypes import Float32s
from stream.graph.arrays import GraphArrays

logger = logging.getLogger(__name__)


QUERY_IDS = "query_ids"
ITEM_IDS = "item_ids"
_FED = "fed_bipartite"
_WEIGHT = "weight."
_PART_OF_LAYER = {
    "hidden_weight": "0.weight",
    "hidden_bias": "0.bias",
    "out_weight": "2.weight",
    "out_bias": "2.bias",
}


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The parent's weights, checked to fit the settings.

    Attributes:
        generation: where they come from.
        arrays: its ``warm.*`` arrays by name.
        rows: of today's nodes in it.
        learned: what it has learned of today's edges.
    """

    generation: Generation
    arrays: dict[str, Float32s]
    rows: ParentRows
    learned: LearnedClicks


def open_warm_start(
    generation: Generation, graph: GraphArrays, settings: ModelSettings
) -> WarmStart | None:
    """Return what to start from, or None (with a warning) where it does not fit or
    holds NaN.
    """
    arrays = generation.warm
    problem = _problem(generation, arrays, settings) or _problem_of_texts(generation, graph)
    if problem:
        logger.warning("warm start ignored generation=%s reason=%s", generation.id, problem)
        return None
    rows = rows_in(generation, graph.query_keys, graph.item_ids)
    return WarmStart(
        generation=generation, arrays=arrays, rows=rows, learned=learned_by(generation, graph, rows)
    )


def apply_warm_start(warm: WarmStart, network: DualChannelNetwork, texts: HashedTexts) -> None:
    """Set the network's weights.

    Shared ones are copied, id embeddings by id, text features by bucket. What is new
    keeps what the network was created with: a node zeros, a feature random numbers. Id
    embeddings of a network that holds only some of them stay as they are: see
    `warm_ids`.
    """
    generation = warm.generation
    with torch.no_grad():
        for name, parameter in _weights(network):
            if _WEIGHT + name in warm.arrays:
                parameter.copy_(_tensor(warm.arrays[_WEIGHT + name]).reshape(parameter.shape))
        for kind in ("query", "item"):
            for part, layer in _PART_OF_LAYER.items():
                parameter = network.content.towers.get_parameter(f"{kind}.{layer}")
                parameter.copy_(_tensor(generation.encoder[f"{kind}.{part}"]))
        rows = feature_vectors(generation.encoder, texts.buckets)
        known = np.flatnonzero(rows.any(axis=1))
        network.content.bag[torch.from_numpy(known)] = _tensor(rows[known]).to(network.ids.device)
        if len(network.ids) == network.num_nodes:
            network.ids.copy_(torch.from_numpy(warm_ids(warm)))


def warm_ids(warm: WarmStart) -> Float32s:
    """Return ``float32 [num_nodes, dim]``, the id vectors that training begins with:
    found by id; those of new nodes are zeros.
    """
    rows = warm.rows
    num_queries = len(rows.query)
    ids = np.zeros((num_queries + len(rows.item), warm.arrays[ITEM_IDS].shape[1]), dtype=np.float32)
    for first, old, name in ((0, rows.query, QUERY_IDS), (num_queries, rows.item, ITEM_IDS)):
        known = np.flatnonzero(old >= 0)
        ids[first + known] = warm.arrays[name][old[known]]
    return ids


def export_warm_start(network: DualChannelNetwork, num_queries: int) -> dict[str, Float32s]:
    """Return the arrays to store.

    Id vectors ``float32 [n, dim]`` of queries and items, shared weights.
    """
    ids = _array(network.id_table.whole(network.ids))
    shared = {
        _WEIGHT + name: _array(parameter)
        for name, parameter in _weights(network)
        if name != "ids" and not name.startswith("content.")
    }
    return {QUERY_IDS: ids[:num_queries], ITEM_IDS: ids[num_queries:], **shared}


def export_encoder(
    network: DualChannelNetwork, texts: HashedTexts, num_buckets: int
) -> dict[str, NDArray[Any]]:
    """Return the arrays of `TextEncoder`."""
    features = pack_features(_array(network.content.bag), texts.buckets, num_buckets)
    towers = {
        f"{kind}.{part}": _array(
            network.content.towers.get_parameter(f"{kind}.{_PART_OF_LAYER[part]}")
        )
        for kind in ("query", "item")
        for part in TOWER_PARTS
    }
    return {**features, **towers}


def _weights(network: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield all weights by name: those that steps learn, and the others."""
    yield from network.named_parameters()
    yield from network.named_buffers()


def _problem_of_texts(generation: Generation, graph: GraphArrays) -> str:
    """Return why its text features are not those of today; empty: they are."""
    if not generation.has_spaced_words:
        return ""
    num_buckets = num_buckets_of(generation.encoder)
    texts = chain(graph.query_texts, graph.item_titles, graph.item_texts)
    is_cut = any(
        text_features(text, num_buckets) != text_features(text, num_buckets, cuts_words=False)
        for text in texts
        if not text.isascii()
    )
    return "its words are not cut where a script has no spaces" if is_cut else ""


def _problem(generation: Generation, arrays: dict[str, Float32s], settings: ModelSettings) -> str:
    """Return why a generation's weights do not fit the network; empty: they do."""
    if generation.channels != CHANNEL_NAMES:
        had, has = (", ".join(names) for names in (generation.channels, CHANNEL_NAMES))
        return f"its channels are {had}, this version has {has}"
    manifest, encoder, dim = generation.manifest, generation.encoder, settings.dim
    of_features = (num_buckets_of(encoder), *encoder[BAG].shape[1:]) if BAG in encoder else None
    needed: dict[str, tuple[tuple[int, ...] | None, tuple[int, ...]]] = {
        "the query id embeddings": (_shape(arrays, QUERY_IDS), (manifest.num_queries, dim)),
        "the item id embeddings": (_shape(arrays, ITEM_IDS), (manifest.num_items, dim)),
        "the text features": (of_features, (settings.num_buckets, dim)),
        "the query tower": (_shape(encoder, "query.hidden_bias"), (settings.hidden,)),
        "the item tower": (_shape(encoder, "item.hidden_bias"), (settings.hidden,)),
    }
    # A weight that the generation's network did not have keeps what it begins with, but
    # for that without which the channels feed each other the other way round.
    for name, shape in _shared_shapes(settings).items():
        if _WEIGHT + name in arrays or name == _FED:
            needed[name] = _shape(arrays, _WEIGHT + name), shape
    for name, (found, shape) in needed.items():
        if found is None:
            return f"{name}: not stored"
        if found != shape:
            return f"{name}: shape {found}, the network of these settings has {shape}"
    if not all(np.isfinite(array).all() for array in (*arrays.values(), *encoder.values())):
        return "it holds values that are not finite"
    return ""


def _shape(arrays: Mapping[str, NDArray[Any]], name: str) -> tuple[int, ...] | None:
    return arrays[name].shape if name in arrays else None


def _shared_shapes(settings: ModelSettings) -> dict[str, tuple[int, ...]]:
    """Return the shapes that the shared weights of a network are stored in, by name.

    How many channels the attention joins is one of them. Scalars are stored as one
    value.
    """
    with torch.device("meta"):
        attention = ChannelAttention(settings.dim)
    return {
        **{
            f"attention.{kind}.{name}": tuple(parameter.shape)
            for kind in ("query", "item")
            for name, parameter in _weights(attention)
        },
        _FED: (1,),
        "log_temperature": (1,),
    }


def _array(parameter: torch.Tensor) -> Float32s:
    array: Float32s = parameter.detach().float().cpu().numpy().copy()
    return array


def _tensor(array: Float32s) -> torch.Tensor:
    return torch.from_numpy(np.array(array))
