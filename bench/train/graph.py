"""Synthetic heavy-tailed graphs to train on, and how a training set goes to another
process.
"""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from model.data.graph import GraphPart
from model.data.texts import HashedTexts
from model.data.titles import Titles
from model.data.training_set import TrainingSet
from stream.dtypes import Int64s

# Of a hyperedge: members on average, and edges its session made; chosen by hand.
_MEMBERS, _SOURCES = 5, 2
# Of a text, of a term: about what the logs of docs/benchmarks.md have.
_TERMS, _FEATURES = 4, 7
_TEXTS_OF_TERM = 2  # texts that a term is in, on average, when there are 4 in each of them
_MOST_BUCKETS = 100_000  # feature rows; nearly as many as the model's default has (131,072)
# An entry's rank is a uniform number to this power: node r of n has a share of entries
# in r ** (-2/3).
_TAIL = 3.0
_MORE = 1.2  # pairs drawn for each that lacks, since some repeat; it only saves rounds


@dataclass(frozen=True, kw_only=True)
class Size:
    """Of a synthetic graph: half of the nodes are queries, the others items."""

    nodes: int
    edges: int
    incidences: int


def synthetic(size: Size, seed: int) -> TrainingSet:
    """Return a training set whose nodes have heavy-tailed degrees, and texts of four
    terms as real ones have.

    Sessions have five members on average and made two edges each; there is nothing to
    validate on.
    """
    rng = np.random.default_rng(seed)
    return _supervised(_texts(size.nodes, rng), _part(size, rng))


def save_set(data: TrainingSet, path: Path) -> None:
    """Write what a step needs of a training set: its texts and its training graph."""
    parts: dict[str, HashedTexts | GraphPart] = {"texts": data.texts, "train": data.train}
    arrays = {
        f"{name}.{field.name}": getattr(part, field.name)
        for name, part in parts.items()
        for field in fields(part)
    }
    np.savez(path, **arrays)


def load_set(path: Path) -> TrainingSet:
    """Read what `save_set` wrote; every edge is supervised, none is held out."""
    with np.load(path) as arrays:
        texts = HashedTexts(
            **{field.name: arrays[f"texts.{field.name}"] for field in fields(HashedTexts)}
        )
        values = {field.name: arrays[f"train.{field.name}"] for field in fields(GraphPart)}
    found: dict[str, Any] = {
        name: value if value.ndim else int(value) for name, value in values.items()
    }
    part = GraphPart(**found)
    return _supervised(texts, part)


def _supervised(texts: HashedTexts, part: GraphPart) -> TrainingSet:
    nothing = np.zeros(0, dtype=np.int64)
    return TrainingSet(
        texts=texts,
        titles=_titles(texts, part),
        whole=part,
        train=part,
        newest=nothing,
        recent=np.ones(len(part.edge_query), dtype=np.bool_),
        validation_query=nothing,
        validation_item=nothing,
        validation_first_ms=nothing,
        unseen_since_ms=np.iinfo(np.int64).max,
    )


def _titles(texts: HashedTexts, part: GraphPart) -> Titles:
    """Return the texts of items as their titles, no two of them alike."""
    items = np.arange(part.num_items)
    starts = np.searchsorted(texts.node, part.num_queries + np.arange(part.num_items + 1))
    return Titles(item=items, name=items, starts=starts - starts[0], term=texts.term[starts[0] :])


def _part(size: Size, rng: np.random.Generator) -> GraphPart:
    num_queries = size.nodes // 2
    num_items = size.nodes - num_queries
    num_hyperedges = max(1, size.incidences // _MEMBERS)
    edges = distinct_pairs(size.edges, num_queries, num_items, rng)
    incidences = distinct_pairs(size.incidences, num_hyperedges, size.nodes, rng)
    made = rng.integers(0, size.edges, _SOURCES * num_hyperedges)
    by_edge = np.argsort(made, kind="stable")
    return GraphPart(
        num_queries=num_queries,
        num_items=num_items,
        edge_query=edges[0],
        edge_item=edges[1],
        edge_weight=np.log1p(rng.geometric(0.5, size.edges)).astype(np.float32),
        num_hyperedges=num_hyperedges,
        incidence_hyperedge=incidences[0],
        incidence_node=incidences[1],
        source_edge=made[by_edge],
        source_hyperedge=by_edge % num_hyperedges,
    )


def _texts(num_nodes: int, rng: np.random.Generator) -> HashedTexts:
    num_buckets = min(_MOST_BUCKETS, max(_FEATURES, num_nodes))
    num_terms = max(_TERMS, num_nodes // _TEXTS_OF_TERM)
    return HashedTexts(
        node=np.repeat(np.arange(num_nodes, dtype=np.int64), _TERMS),
        term=heavy_tailed(num_nodes * _TERMS, num_terms, rng),
        owner=np.repeat(np.arange(num_terms, dtype=np.int64), _FEATURES),
        feature=heavy_tailed(num_terms * _FEATURES, num_buckets, rng),
        buckets=np.arange(num_buckets, dtype=np.int64),
    )


def distinct_pairs(
    count: int, num_first: int, num_second: int, rng: np.random.Generator
) -> tuple[Int64s, Int64s]:
    """Return `count` distinct pairs in ascending order; both sides are heavy-tailed."""
    if count > num_first * num_second // 2:
        raise SystemExit(
            f"{count} distinct pairs of {num_first} and {num_second} are too many; ask for more "
            "nodes"
        )
    first_of, second_of = rng.permutation(num_first), rng.permutation(num_second)
    codes = np.zeros(0, dtype=np.int64)
    while len(codes) < count:
        drawn = int(_MORE * (count - len(codes))) + 1
        first = first_of[heavy_tailed(drawn, num_first, rng)]
        second = second_of[heavy_tailed(drawn, num_second, rng)]
        codes = np.unique(np.concatenate([codes, first * num_second + second]))
    codes = np.sort(rng.permutation(codes)[:count])
    return codes // num_second, codes % num_second


def heavy_tailed(count: int, num_ranks: int, rng: np.random.Generator) -> Int64s:
    """Return random ranks from 0, the lowest most often."""
    return (num_ranks * rng.random(count) ** _TAIL).astype(np.int64)
