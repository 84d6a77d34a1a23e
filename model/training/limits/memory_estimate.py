"""Pure: how many bytes training takes at its peak, part by part, from counts and
settings.

The factors are how many vectors of a node, and how many bytes of a score, are alive at
once. They were read off torch's own record of what it allocates;
`tests/model/training/limits/test_memory_estimate.py` holds the sum to that record.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.artifact.channels import CHANNELS, channels_on, has_fused_step
from model.artifact.index.engine import estimate_index
from model.artifact.pretrained.encoder import block_dim
from model.data.graph_size import GraphSize, largest_batch
from model.data.titles import num_drawn
from model.data.training_set import TrainingSet
from model.settings import ModelSettings

# Bytes of a number and of an index.
_FLOAT, _INDEX = 4, 8

# The factors below were read off torch's record of its allocations. Each is a part of a
# sum that is held to 0.85 to 1.3 of that record: twice as much of one, and graphs that
# fit would be sampled; half as much, and training could run out of memory.

# Bytes of an entry of a sparse pattern: 32-bit columns and order both ways, and what a
# step makes of its values.
_BYTES_OF_ENTRY = 52
# The same in compressed rows on the host: 64-bit row, column, place, and a value.
_HOST_BYTES_OF_ENTRY = 32
# Bytes of a query's score of a candidate while gradients flow, and those that the loss
# of text alone adds; bytes of a title's score.
_BYTES_OF_SCORE, _MORE_OF_SCORE_BY_TEXT, _BYTES_OF_TITLES_SCORE = 12, 8, 16
# Vectors alive for each compared node while its channels are joined.
_JOINED_VECTORS = 18
# Pre-training: bytes of a pair's score, and vectors of a node in two views.
_BYTES_OF_PAIR, _JOINED_VECTORS_OF_VIEWS = 18, 14
# Vectors of a title that are kept for its gradient.
_TITLE_VECTORS = 4
# Vectors of a node that the text path keeps for its gradient.
_TEXT_VECTORS = 3
# Vectors of a node that are alive for a while in the backward pass through the plain
# network, through the fused propagation, and through the fused towers.
_BACKWARD_VECTORS = 4.2
_BACKWARD_VECTORS_OF_FEW, _LIFTED_VECTORS = 3, 2
# Vectors of a node while all are exported over the host's graph.
_EXPORTED_VECTORS = 8
# Of a node: as published, as the held-out edges are judged by, and its id vector. Of an
# item, without the deleted ones and without the unavailable ones.
_PUBLISHED_VECTORS, _PICKED_VECTORS = 3, 2
_UNIT = 1024  # bytes, as the units below are binary
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes by part.

    Attributes:
        parts: name and bytes of each part, in the order in which training needs them.
    """

    parts: tuple[tuple[str, int], ...]

    @property
    def total_bytes(self) -> int:
        """The sum of all parts."""
        return sum(size for _, size in self.parts)

    def __str__(self) -> str:
        """Return the parts and their sum, as text."""
        parts = " + ".join(f"{name} {readable_bytes(size)}" for name, size in self.parts if size)
        return f"{parts} = {readable_bytes(self.total_bytes)}"


def estimate_full(data: TrainingSet, settings: ModelSettings) -> MemoryEstimate:
    """Return what a step over the whole graph takes, or one of pre-training if that is
    more.
    """
    settings = data.loss_settings(settings)
    counts = GraphSize.of(data.whole, data.texts)
    patterns = _pattern_bytes(counts, len(data.texts.buckets)) + _supervision_bytes(data)
    lasting = (*_state(data, settings), ("patterns", patterns))
    step_parts = _step_of_few if has_fused_step(settings) else _step
    titles = _title_parts(data, settings)
    step = MemoryEstimate(parts=(*lasting, *step_parts(counts, data, settings), *titles))
    if not settings.pretrain_passes:
        return step
    pretraining = MemoryEstimate(parts=(*lasting, *_pretraining_step(counts, data, settings)))
    return max(step, pretraining, key=lambda each: each.total_bytes)


def estimate_sampled(
    data: TrainingSet,
    batch: GraphSize,
    settings: ModelSettings,
    *,
    on_host: bool,
    num_ranks: int = 1,
) -> MemoryEstimate:
    """Return what a step takes that propagates over what its batch reaches, or the
    export if that is more.

    Args:
        data: what is learned from.
        batch: the size of what a batch reaches.
        settings: of the network and of the step.
        on_host: the device is the CPU: the graph to sample from, and the vectors of all
            nodes that an export makes, take of the same memory.
        num_ranks: over which id vectors are partitioned; the first rank also has those
            of all nodes while it exports.
    """
    settings = data.loss_settings(settings)
    state = (*_state(data, settings, num_ranks), ("edges", _supervision_bytes(data)))
    patterns = _pattern_bytes(batch, len(data.texts.buckets)) + _INDEX * len(data.texts.owner)
    step_parts = (*_step(batch, data, settings), *_title_parts(data, settings))
    if not on_host:
        return MemoryEstimate(parts=(*state, ("patterns", patterns), *step_parts))
    state = (*state, ("graph to sample from", _host_graph_bytes(data)))
    step = MemoryEstimate(parts=(*state, ("patterns", patterns), *step_parts))
    gathered = data.whole.num_nodes if num_ranks > 1 else 0
    rows = _EXPORTED_VECTORS * data.whole.num_nodes + data.whole.num_hyperedges + gathered
    export = MemoryEstimate(parts=(*state, ("vectors of all nodes", _FLOAT * settings.dim * rows)))
    return max(step, export, key=lambda each: each.total_bytes)


def estimate_publishing(data: TrainingSet, settings: ModelSettings) -> MemoryEstimate:
    """Return what of a generation grows with the catalogue while it is written.

    That is on the host, once training is over.
    """
    part = data.whole
    vectors = _PUBLISHED_VECTORS * part.num_nodes + _PICKED_VECTORS * part.num_items
    block = block_dim(settings.pretrained_text, settings.pretrained_dim)
    words, walk = settings.most_words_dim, settings.most_walk_dim
    dim = settings.dim + block + words + walk + settings.most_prior_dim
    cost = estimate_index(settings.index_engine, part.num_items, dim, settings)
    # The block's directions, and vectors without them beside those with them.
    pretrained = _FLOAT * part.num_nodes * (block + dim) if block else 0
    # The walk's directions by the sessions before the holdout and by all, what finds
    # those of items, and vectors without them.
    walks = _FLOAT * (part.num_nodes * (2 * walk + dim) + 4 * part.num_items * walk) if walk else 0
    return MemoryEstimate(
        parts=(
            ("vectors of all nodes", _FLOAT * dim * vectors),
            ("pretrained text", pretrained),
            ("title words", _FLOAT * part.num_nodes * (words + dim) if words else 0),
            ("session walks", walks),
            ("index", cost.build_bytes),
        )
    )


def readable_bytes(size: float) -> str:
    """Return a size in the largest unit of which there is one."""
    for unit in _UNITS[:-1]:
        if size < _UNIT:
            return f"{size:.3g} {unit}"
        size /= _UNIT
    return f"{size:.3g} {_UNITS[-1]}"


def _state(
    data: TrainingSet, settings: ModelSettings, num_ranks: int = 1
) -> tuple[tuple[str, int], ...]:
    """Return the parameters and what is kept beside each: two moments, average
    and best, a gradient.
    """
    ids, features = _table_sizes(data, settings)
    parameters = _FLOAT * (math.ceil(ids / num_ranks) + features + _shared_size(settings))
    return (
        ("parameters", parameters),
        ("Adam's two moments", 2 * parameters),
        ("running average and best state", 2 * parameters),
        ("gradients of parameters", parameters),
    )


def _table_sizes(data: TrainingSet, settings: ModelSettings) -> tuple[int, int]:
    """Return how many numbers id vectors have, and how many the vectors of text
    features.
    """
    return data.whole.num_nodes * settings.dim, len(data.texts.buckets) * settings.dim


def _shared_size(settings: ModelSettings) -> int:
    """Return how many numbers the text towers and the attention have, each for queries
    and for items.
    """
    dim, hidden, channels = settings.dim, settings.hidden, len(CHANNELS)
    tower = 2 * dim * hidden + dim + hidden
    attention = dim * dim + dim + channels * dim + channels + channels * channels
    return 2 * (tower + attention) + 2


def _step_of_few(
    counts: GraphSize, data: TrainingSet, settings: ModelSettings
) -> tuple[tuple[str, int], ...]:
    """Return the same as `_step`, where gradients are written out.

    That is in `model.network.fused_channels` and `model.network.fused_towers`.
    """
    vectors = _FLOAT * counts.num_nodes * settings.dim
    middles = _FLOAT * _largest_middles(counts) * settings.dim
    tower = _FLOAT * max(data.whole.num_queries, data.whole.num_items) * settings.hidden
    propagated, lifted = (
        _BACKWARD_VECTORS_OF_FEW * vectors + middles,
        _LIFTED_VECTORS * vectors + tower,
    )
    moved = _FLOAT * max(_table_sizes(data, settings))
    terms = vectors + _FLOAT * counts.num_terms * settings.dim
    return (
        ("text activations", vectors + _FLOAT * counts.num_nodes * settings.hidden),
        ("hypergraph activations", vectors),
        (
            "candidates' scores or gradients of activations",
            max(_score_bytes(data, settings), propagated, lifted, terms, moved),
        ),
    )


def _step(
    counts: GraphSize, data: TrainingSet, settings: ModelSettings
) -> tuple[tuple[str, int], ...]:
    """Return the activations kept for the way back, and what is largest of what comes
    and goes in a step.
    """
    vectors = _FLOAT * counts.num_nodes * settings.dim
    backward = math.ceil(_BACKWARD_VECTORS * vectors)
    middles = _FLOAT * _largest_middles(counts) * settings.dim + 2 * vectors
    moved = _FLOAT * max(_table_sizes(data, settings))
    terms = vectors + _FLOAT * counts.num_terms * settings.dim
    transient = max(_score_bytes(data, settings), backward, middles, terms, moved)
    return (
        *_activations(counts, settings),
        ("candidates' scores or gradients of activations", transient),
    )


def _activations(counts: GraphSize, settings: ModelSettings) -> tuple[tuple[str, int], ...]:
    vectors = _FLOAT * counts.num_nodes * settings.dim
    text = _TEXT_VECTORS * vectors + _FLOAT * counts.num_nodes * settings.hidden
    of_channels = (
        (f"{channel.name} activations", channel.kept_vectors * vectors)
        for channel in CHANNELS
        if channel.kept_vectors and channel.name in channels_on(settings)
    )
    return (("text activations", text), *of_channels)


def _largest_middles(counts: GraphSize) -> int:
    """Return the most rows that a channel has between its nodes: one at a time."""
    return max((size.middles for size in counts.channels.values()), default=0)


def _pretraining_step(
    counts: GraphSize, data: TrainingSet, settings: ModelSettings
) -> tuple[tuple[str, int], ...]:
    """Return what two views of all nodes take.

    There is no best state yet, but moments of their own.
    """
    tables = _FLOAT * sum(_table_sizes(data, settings))
    joined = _FLOAT * _JOINED_VECTORS_OF_VIEWS * counts.num_nodes * settings.dim
    return (
        ("moments of pre-training", tables),
        (
            "activations of two views",
            2 * sum(size for _, size in _activations(counts, settings)) + joined,
        ),
        (
            "scores between the views",
            _BYTES_OF_PAIR * min(settings.batch_size, counts.num_nodes) ** 2,
        ),
    )


def _score_bytes(data: TrainingSet, settings: ModelSettings) -> int:
    """Return what it takes to score candidates for the queries of a batch and for
    titles, as many as are expected.
    """
    train, batch = data.train, largest_batch(data, settings)
    clicks = np.bincount(train.edge_item, minlength=train.num_items)
    catalogue = np.union1d(np.flatnonzero(clicks), data.titles.item)
    queries = _expected_distinct(np.bincount(train.edge_query), batch)
    ranked = _expected_drawn(settings.num_negatives, len(catalogue))
    ranked += _expected_distinct(clicks, batch) * (1.0 - ranked / max(1, len(catalogue)))
    titles = _expected_drawn(num_drawn(data.titles, settings), len(data.titles.item))
    candidates = ranked + titles * (1.0 - ranked / max(1, len(catalogue)))
    each = _BYTES_OF_SCORE + _MORE_OF_SCORE_BY_TEXT * (settings.content_loss > 0)
    joined = _FLOAT * _JOINED_VECTORS * settings.dim * (queries + candidates)
    scores = each * queries * ranked + _BYTES_OF_TITLES_SCORE * titles * candidates
    return math.ceil(scores + joined)


def _title_parts(data: TrainingSet, settings: ModelSettings) -> tuple[tuple[str, int], ...]:
    """Return what reading titles takes beside the texts of nodes: their own gradient of
    all text features, and the rows of a step's titles.
    """
    drawn = num_drawn(data.titles, settings)
    if not drawn:
        return ()
    titles = _expected_drawn(drawn, len(data.titles.item))
    mentions = titles * len(data.titles.term) / len(data.titles.item)
    rows = _TITLE_VECTORS * titles + min(mentions, data.texts.num_terms)
    table = _table_sizes(data, settings)[1]
    return (("titles", math.ceil(_FLOAT * (table + settings.dim * rows))),)


def _expected_drawn(wanted: int, among: int) -> float:
    """Return how many different ones uniform draws are to give."""
    return among * (1.0 - (1.0 - 1.0 / among) ** wanted) if among else 0.0


def _expected_distinct(counts: NDArray[np.int64], num_drawn: int) -> float:
    """Return how many different ones draws by these counts are to give."""
    seen = counts[counts > 0]
    missed: NDArray[np.float64] = (1.0 - seen / float(seen.sum())) ** num_drawn
    return float((1.0 - missed).sum())


def _pattern_bytes(counts: GraphSize, num_buckets: int) -> int:
    texts = _BYTES_OF_ENTRY * counts.num_features
    texts += _INDEX * (counts.num_nodes + 2 * counts.num_terms + num_buckets)
    return texts + sum(
        (_BYTES_OF_ENTRY + channel.step_bytes_of_entry) * size.entries
        + _INDEX * (counts.num_nodes + size.middles)
        for channel in CHANNELS
        if (size := counts.channels.get(channel.name))
    )


def _supervision_bytes(data: TrainingSet) -> int:
    """Return what it takes to know which edge was made by which session, what a step
    hides, and what items are called.
    """
    part, titles = data.whole, data.titles
    hidden = _FLOAT * (len(part.edge_query) + part.num_hyperedges + part.num_nodes)
    return (
        _INDEX * (2 * len(part.source_edge) + 3 * len(part.edge_query) + 2 * part.num_nodes)
        + _INDEX * (len(titles.term) + 2 * len(titles.item) + part.num_items)
        + 2 * hidden
    )


def _host_graph_bytes(data: TrainingSet) -> int:
    """Return what compressed rows take: of each channel by both ends, of texts."""
    features = int(data.texts.lengths(data.whole.num_nodes).sum())
    sizes = GraphSize.of(data.whole, data.texts).channels.values()
    return _HOST_BYTES_OF_ENTRY * (features + sum(2 * size.entries for size in sizes))
