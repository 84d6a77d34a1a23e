"""May this generation go live? Pure checks of what was written,
against what is live.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact.encoder import TextEncoder
from model.artifact.generation import Generation
from model.artifact.index.engines import AUTO
from model.bootstrap import interval
from model.data.parent import ParentRows, has_learned, rows_in
from model.publishing.drift import drift
from model.publishing.own_titles import own_title_recall
from model.ranking import edge_ranks, figures_by_query
from model.settings import ModelSettings
from stream.dtypes import Bools, Float32s, Float64s, Int64s

OWN_TITLE_RECALL = "own_title_recall_10"
"""The manifest's figure: share of items without clicks that their titles find."""

# Largest error of a vector's length: a thousand float32 roundings. Twice as much would
# still find a vector that was never scaled.
_NORM_TOLERANCE = 1e-3
# Items and edges below which a mean over them is too noisy, and is not judged. Twice as
# many: shops of up to forty items go unjudged.
_LEAST_ITEMS = 20
_LEAST_KNOWN_EDGES = 50
# The worst mean rank of clicked items for their queries, as a share of the catalogue:
# in shuffled rows it is 0.5, in the small shop of the tests, soundly trained, below
# 0.2. Twice as much refuses nothing.
_LARGEST_KNOWN_RANK = 0.35
# Clicks that the known edges are judged by, each ranked among all items: some 20 s of a
# core at a million items of 128 dimensions. Twice as many take twice that.
_SAMPLE = 2000
# Clicks learned before that a refresh is compared on: from this many up to twice as
# many, since every n-th is taken. Twice the number: 0.7 of the noise in an MRR.
_KEPT_SAMPLE = 500
# Queries below which an MRR is not compared: it is a mean over queries, and clicks on a
# handful of them say nothing of the rest, however many. Below it a bootstrap does not
# hold its level. Twice as many: shops of up to forty asked queries go unjudged.
_LEAST_QUERIES = 20


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """The generation that may go live.

    Attributes:
        dim: its dimension by the settings.
        query_keys: ``uint64 [num_queries]``.
        query_texts: normalised, by query index.
        query_vectors: ``float32 [num_queries, dim]``.
        item_ids: by item index.
        item_vectors: ``float32 [num_items, dim]``.
        encoder: its text encoder.
        titles: normalised, by item index; empty: the item has none.
        shown: ``bool [num_items]``: the item is in the index.
        hidden_ids: ids that the catalogue calls deleted or unavailable: they are absent
            for a reason.
        index_recall: share of the true ten nearest items that its index finds, of the
            questions where it is least.
        parent: the generation it was warm-started from; empty: none.
        known: query and item of edges it was trained on, ``int64 [n]`` each.
        known_first_ms: ``int64 [n]``, when each of those was first seen.
        held_out: query and item of edges it was not trained on, ``int64 [n]`` each.
        held_out_first_ms: ``int64 [n]``, when each of those was first seen.
        held_out_query_vectors: ``float32 [num_queries, dim]``, from a graph without the
            held-out edges.
        held_out_item_vectors: ``float32 [num_items, dim]``, the same.
    """

    dim: int
    query_keys: NDArray[np.uint64]
    query_texts: list[str]
    query_vectors: Float32s
    item_ids: list[str]
    item_vectors: Float32s
    encoder: TextEncoder
    titles: list[str]
    shown: Bools
    hidden_ids: frozenset[str]
    index_recall: float
    parent: str
    known: tuple[Int64s, Int64s]
    known_first_ms: Int64s
    held_out: tuple[Int64s, Int64s]
    held_out_first_ms: Int64s
    held_out_query_vectors: Float32s
    held_out_item_vectors: Float32s


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The gate's answer.

    Attributes:
        reasons: why not, one sentence each; empty: it may go live.
        figures: what was measured on the way.
    """

    reasons: tuple[str, ...]
    figures: dict[str, float]

    @property
    def passed(self) -> bool:
        """Whether the generation may go live."""
        return not self.reasons


def judge(candidate: Candidate, current: Generation | None, settings: ModelSettings) -> Verdict:
    """Check a generation on its own, then against the live one where there is one."""
    reasons = [
        *_check_vectors("item vectors", candidate.item_vectors, candidate.dim),
        *_check_vectors("query vectors", candidate.query_vectors, candidate.dim),
    ]
    figures: dict[str, float] = {}
    if not reasons:
        reasons += _check_spread(candidate, settings, figures)
        reasons += _check_known_edges(candidate, figures)
        reasons += _check_index(candidate, settings)
        reasons += _check_own_titles(candidate, current, settings, figures)
        if current is not None:
            rows = rows_in(current, candidate.query_keys, candidate.item_ids)
            live = _Live(generation=current, rows=rows)
            reasons += _check_coverage(candidate, current, settings)
            reasons += _check_quality(candidate, live, settings, figures)
            reasons += _check_kept(candidate, live, settings, figures)
            figures |= drift(
                current,
                rows,
                candidate.query_vectors,
                (candidate.item_vectors, candidate.shown),
                is_warm=candidate.parent == current.id,
            )
    return Verdict(reasons=tuple(reasons), figures=figures)


def _check_vectors(name: str, vectors: Float32s, dim: int) -> list[str]:
    if vectors.ndim != 2 or vectors.shape[1] != dim:  # noqa: PLR2004
        return [f"{name} have shape {vectors.shape}, the dimension is {dim}"]
    bad = int((~np.isfinite(vectors).all(axis=1)).sum())
    if bad:
        return [f"{bad} of {len(vectors)} {name} are not finite"]
    off = int((np.abs(np.linalg.norm(vectors, axis=1) - 1.0) > _NORM_TOLERANCE).sum())
    return [f"{off} of {len(vectors)} {name} do not have length 1"] if off else []


def _check_spread(
    candidate: Candidate, settings: ModelSettings, figures: dict[str, float]
) -> list[str]:
    """Vectors have collapsed when any two of them point the same way."""
    num_items = len(candidate.item_vectors)
    if num_items < _LEAST_ITEMS:
        return []
    mean = candidate.item_vectors.mean(axis=0, dtype=np.float64)
    mean_cosine = float((num_items * (mean @ mean) - 1.0) / (num_items - 1))
    figures["mean_cosine"] = mean_cosine
    # 0.9 by default. No cosine is above 1, so that 1 switches this off; twice the
    # default is refused when settings are read.
    if mean_cosine > settings.gate_max_mean_cosine:
        limit = settings.gate_max_mean_cosine
        found = f"item vectors have collapsed: mean cosine {mean_cosine:.3f} is above {limit:g}"
        return [f"{found} (model.gate_max_mean_cosine)"]
    return []


def _check_known_edges(candidate: Candidate, figures: dict[str, float]) -> list[str]:
    """Clicked items must rank well for their queries.

    Where rows were shuffled they rank anywhere.
    """
    query, item = _sample(candidate.known)
    num_items = len(candidate.item_vectors)
    if len(query) < _LEAST_KNOWN_EDGES or num_items < _LEAST_ITEMS:
        return []
    nothing = np.zeros(0, dtype=np.int64)
    ranks = edge_ranks(
        candidate.query_vectors, candidate.item_vectors, (query, item), (nothing, nothing)
    )
    mean_rank = float((ranks.mean() - 1.0) / (num_items - 1))
    figures["known_edges_mean_rank"] = mean_rank
    if mean_rank > _LARGEST_KNOWN_RANK:
        where = f"clicked items rank at {mean_rank:.0%} of the catalogue on average (chance is 50%)"
        return [f"vectors do not belong to their ids: {where}"]
    return []


def _check_index(candidate: Candidate, settings: ModelSettings) -> list[str]:
    recall, floor = candidate.index_recall, settings.recall_at_10
    if recall >= floor:
        return []
    found = f"the index finds {recall:.3f} of the nearest items, less than {floor:g}"
    return [f"{found}; {_more_recall(settings)}"]


def _more_recall(settings: ModelSettings) -> str:
    """Return what the operator should do, an imperative; following it helps."""
    if settings.index_search_k:
        return (
            f"set model.index_search_k (now {settings.index_search_k}) to 0, so that it is chosen "
            "by measurement"
        )
    return f"set model.index_engine (now {settings.index_engine}) to {AUTO}"


def _check_own_titles(
    candidate: Candidate,
    current: Generation | None,
    settings: ModelSettings,
    figures: dict[str, float],
) -> list[str]:
    """Items that nobody has clicked yet must be found by their own titles.

    A refresh is let through where its parent was no better: it makes nothing worse.
    """
    clicked = np.zeros(len(candidate.item_ids), dtype=np.bool_)
    clicked[candidate.known[1]] = True
    shown = np.flatnonzero(candidate.shown)
    titles = [candidate.titles[item] for item in shown]
    asked, recall = own_title_recall(
        candidate.encoder, titles, candidate.item_vectors[shown], clicked[shown]
    )
    if asked < _LEAST_ITEMS:
        return []
    figures[OWN_TITLE_RECALL] = recall
    floor = settings.gate_min_own_titles
    if current is not None and candidate.parent == current.id:
        floor = min(floor, current.manifest.evaluation.get(OWN_TITLE_RECALL, 0.0))
    if recall < floor:
        found = f"{recall:.0%} of {asked} items without clicks are found by their exact title"
        advice = "raise model.num_titles, or model.budget_seconds where passes were cut short"
        return [f"{found}, less than {floor:.0%}; {advice}"]
    return []


class _Live(NamedTuple):
    """The live generation, and where it has the candidate's queries and items."""

    generation: Generation
    rows: ParentRows


def _check_coverage(
    candidate: Candidate, current: Generation, settings: ModelSettings
) -> list[str]:
    """Items may leave with the catalogue, not because a store was lost or mixed up."""
    present = set(candidate.item_ids) | candidate.hidden_ids
    current_ids = list(current.item_ids)
    shown = [current_ids[index] for index in current.index_items.tolist()]
    lost = sum(item_id not in present for item_id in shown)
    if lost > (1.0 - settings.gate_min_coverage) * len(shown):
        found = f"{lost} of the {len(shown)} items that are live are not in the snapshot at all"
        return [f"{found} (model.gate_min_coverage is {settings.gate_min_coverage:g})"]
    return []


def _check_quality(
    candidate: Candidate, live: _Live, settings: ModelSettings, figures: dict[str, float]
) -> list[str]:
    """Compare on edges that neither has seen, over the items that both have."""
    unseen = ~has_learned(*live, *candidate.held_out, candidate.held_out_first_ms)
    vectors = candidate.held_out_query_vectors, candidate.held_out_item_vectors
    edges = _rows(candidate.held_out, np.flatnonzero(unseen))
    compared = _compare(candidate, live, edges, vectors, settings.gate_min_edges)
    figures["compared_edges"] = float(compared.num_edges)
    figures["compared_queries"] = float(compared.num_queries)
    if compared.mrr is None:
        return []
    figures["candidate_mrr"], figures["current_mrr"] = compared.mrr
    return _drop("newest unseen clicks", compared, settings)


def _check_kept(
    candidate: Candidate, live: _Live, settings: ModelSettings, figures: dict[str, float]
) -> list[str]:
    """A refresh may learn and must not forget.

    Compares the published vectors on edges that the live generation was trained on.
    """
    if candidate.parent != live.generation.id:
        return []
    learned = np.flatnonzero(has_learned(*live, *candidate.known, candidate.known_first_ms))
    edges = _rows(candidate.known, learned[:: max(1, len(learned) // _KEPT_SAMPLE)])
    vectors = candidate.query_vectors, candidate.item_vectors
    compared = _compare(candidate, live, edges, vectors, settings.gate_min_edges)
    if compared.mrr is None:
        return []
    figures["kept_candidate_mrr"], figures["kept_current_mrr"] = compared.mrr
    return _drop("clicks learned before", compared, settings)


class _Compared(NamedTuple):
    """Two generations on the same edges.

    Attributes:
        num_edges: of them.
        num_queries: that they are of.
        mine: ``float64 [num_queries]``, the candidate's reciprocal ranks; empty: there
            are too few.
        theirs: likewise, the live generation's.
    """

    num_edges: int
    num_queries: int = 0
    mine: Float64s = np.zeros(0)
    theirs: Float64s = np.zeros(0)

    @property
    def mrr(self) -> tuple[float, float] | None:
        """That of the candidate and of the live generation; None: not compared."""
        return (float(self.mine.mean()), float(self.theirs.mean())) if len(self.mine) else None


def _compare(
    candidate: Candidate,
    live: _Live,
    edges: tuple[Int64s, Int64s],
    vectors: tuple[Float32s, Float32s],
    least_edges: int,
) -> _Compared:
    """Rank the items of edges among those that both have.

    Args:
        candidate: the generation that may go live.
        live: the live one.
        edges: query and item of each.
        vectors: the candidate's of queries and of items.
        least_edges: fewer are not compared, nor edges of a handful of queries.
    """
    current, item_row = live.generation, live.rows.item
    if current.manifest.dim == 0 or not len(current.item_ids):
        return _Compared(0)
    query, item = _rows(edges, np.flatnonzero(item_row[edges[1]] >= 0))
    num_queries = len(np.unique(query))
    if len(query) < least_edges or num_queries < _LEAST_QUERIES:
        return _Compared(len(query), num_queries)
    both = np.flatnonzero(item_row >= 0)
    place = np.searchsorted(both, item)
    queries, row = np.unique(query, return_inverse=True)
    nothing = np.zeros(0, dtype=np.int64)
    sides = [
        (vectors[0][queries], vectors[1][both]),
        (_live_vectors(candidate, live, queries), current.item_vectors[item_row[both]]),
    ]
    mine, theirs = (
        figures_by_query(edge_ranks(*each, (row, place), (nothing, nothing)), row)["mrr"]
        for each in sides
    )
    return _Compared(len(query), num_queries, mine, theirs)


def _drop(where: str, compared: _Compared, settings: ModelSettings) -> list[str]:
    """Return that the candidate is worse than it may be; nothing where it may be by
    chance of the few queries that the clicks are of.
    """
    kept = 1.0 - settings.gate_max_quality_drop
    short = compared.mine - kept * compared.theirs
    if short.mean() >= 0.0 or interval(short[None])[1] >= 0.0:
        return []
    mine, theirs = float(compared.mine.mean()), float(compared.theirs.mean())
    found = (
        f"MRR on {compared.num_edges} {where}, of {compared.num_queries} queries, is {mine:.4f}, "
        f"the live generation has {theirs:.4f}"
    )
    bound = f"model.gate_max_quality_drop is {settings.gate_max_quality_drop:g}"
    return [f"{found}, which is no chance ({bound})"]


def _rows(edges: tuple[Int64s, Int64s], rows: Int64s) -> tuple[Int64s, Int64s]:
    return edges[0][rows], edges[1][rows]


def _live_vectors(candidate: Candidate, live: _Live, queries: Int64s) -> Float32s:
    """Return what the live generation answers these queries with.

    A known vector, else its text encoder's.
    """
    current, row = live.generation, live.rows.query[queries]
    encoder = current.text_encoder()
    vectors = np.empty((len(queries), current.manifest.dim), dtype=np.float32)
    vectors[row >= 0] = current.query_vectors[row[row >= 0]]
    new = np.flatnonzero(row < 0)
    vectors[new] = encoder.encode_all([candidate.query_texts[query] for query in queries[new]])
    return vectors


def _sample(edges: tuple[Int64s, Int64s]) -> tuple[Int64s, Int64s]:
    step = max(1, len(edges[0]) // _SAMPLE)
    return edges[0][::step], edges[1][::step]
