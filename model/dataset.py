"""Snapshot arrays to a training set: who is supervised, and what must be hidden from the graph for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from model.errors import TrainingRefused
from model.settings import ModelSettings
from protos.text import normalize_query, text_features, text_key
from stream.events import Action
from stream.graph import GraphArrays

_ENOUGH_EDGES = 100
_LEAST_EDGES = 20

Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_EDGE_ARRAYS = ("edge_query", "edge_item", "edge_weight", "edge_sessions", "edge_first_ms", "edge_last_ms")
_FACT_ARRAYS = ("fact_session", "fact_query", "fact_item", "fact_action", "fact_ms")
_INCIDENCE_ARRAYS = ("incidence_session", "incidence_item", "incidence_ms")


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Hashed text features of nodes, in compressed rows over the buckets that occur.

    Attributes:
        node: ``int64 [num_features]``, the node of each feature, ascending.
        feature: ``int64 [num_features]``, its row in `buckets`.
        buckets: ``int64 [num_rows]``, ascending hash buckets.
    """

    node: Ints
    feature: Ints
    buckets: Ints


@dataclass(frozen=True, kw_only=True)
class GraphPart:
    """A set of edges and hyperedges to propagate over, and which hyperedges go with which edge.

    Nodes are numbered queries first, then items.

    Attributes:
        num_queries: number of queries.
        num_items: number of items.
        edge_query: ``int64 [num_edges]``.
        edge_item: ``int64 [num_edges]``.
        edge_weight: ``float32 [num_edges]``, positive.
        num_hyperedges: number of hyperedges.
        incidence_hyperedge: ``int64 [num_incidences]``.
        incidence_node: ``int64 [num_incidences]``, the items of the session and its queries.
        source_edge: ``int64 [num_sources]``, ascending: this edge was made, among others,
        source_hyperedge: ``int64 [num_sources]``, by the session of this hyperedge.
    """

    num_queries: int
    num_items: int
    edge_query: Ints
    edge_item: Ints
    edge_weight: Floats
    num_hyperedges: int
    incidence_hyperedge: Ints
    incidence_node: Ints
    source_edge: Ints
    source_hyperedge: Ints

    @property
    def num_nodes(self) -> int:
        """Queries and items together."""
        return self.num_queries + self.num_items

    @property
    def seen(self) -> NDArray[np.bool_]:
        """``bool [num_nodes]``: has an edge or is in a hyperedge, so that an id vector can be learnt."""
        seen = np.zeros(self.num_nodes, dtype=np.bool_)
        seen[self.edge_query] = True
        seen[self.num_queries + self.edge_item] = True
        seen[self.incidence_node] = True
        return seen


@dataclass(frozen=True, kw_only=True)
class TrainingSet:
    """What one training run learns from.

    Attributes:
        texts: text features of all nodes.
        whole: the graph of all facts, which the exported vectors are propagated over.
        train: the graph without the newest facts; its edges are supervised.
        supervised: ``int64 [num_supervised]``, the edges of `train` that each pass may draw.
        newest: ``int64 [num_newest]``, the edges of `whole` that training ends with: those that `train` does
            not have, or, where an earlier generation is gone on from, that of each click since then.
        recent: ``bool [num_supervised]``, those no earlier generation has learned: each pass goes over all of
            these and a sample of the others.
        validation_query: ``int64 [num_validation]``, query of each held-out edge.
        validation_item: ``int64 [num_validation]``, item of each held-out edge.
        validation_first_ms: ``int64 [num_validation]``, when each held-out edge was first seen.
    """

    texts: Texts
    whole: GraphPart
    train: GraphPart
    supervised: Ints
    newest: Ints
    recent: NDArray[np.bool_]
    validation_query: Ints
    validation_item: Ints
    validation_first_ms: Ints


def build_training_set(
    arrays: GraphArrays, settings: ModelSettings, *, recent_after_ms: int | None = None
) -> TrainingSet:
    """Split the newest facts off for validation and join edges with the sessions that made them.

    Args:
        arrays: the merged graph of a snapshot.
        settings: the share that is held out, the number of text buckets.
        recent_after_ms: warm training: edges first seen after this time are recent; None: all are.
    """
    whole = whole_graph(arrays)
    cut_ms = _newest_from_ms(arrays, settings, recent_after_ms)
    train = _part(arrays, cut_ms=cut_ms) if cut_ms is not None else whole
    is_known = _before(arrays.edge_first_ms, cut_ms)
    unknown = np.flatnonzero(~is_known)
    held_out = unknown if len(unknown) >= _LEAST_EDGES else unknown[:0]
    newest, recent = unknown, np.ones(len(train.edge_query), dtype=np.bool_)
    if recent_after_ms is not None:
        newest = _edge_of_each_fact(arrays)[~_before(arrays.fact_ms, cut_ms)]
        recent = arrays.edge_first_ms[is_known] > recent_after_ms
    return TrainingSet(
        texts=hash_texts([*arrays.query_texts, *item_texts(arrays)], settings.num_buckets),
        whole=whole,
        train=train,
        supervised=np.arange(len(train.edge_query), dtype=np.int64),
        newest=newest,
        recent=recent,
        validation_query=arrays.edge_query[held_out],
        validation_item=arrays.edge_item[held_out],
        validation_first_ms=arrays.edge_first_ms[held_out],
    )


def whole_graph(arrays: GraphArrays) -> GraphPart:
    """Return the graph of all edges and sessions."""
    return _part(arrays, cut_ms=None)


def item_texts(arrays: GraphArrays) -> list[str]:
    """Return what the text tower reads of each item: its title, then its text."""
    return [
        f"{title} {text}" if text else title
        for title, text in zip(arrays.item_titles, arrays.item_texts, strict=True)
    ]


def hash_texts(texts: Sequence[str], num_buckets: int) -> Texts:
    """Hash the features of each text and number the buckets that occur."""
    hashed = [text_features(text, num_buckets) for text in texts]
    lengths = [len(features) for features in hashed]
    flat = np.fromiter(chain.from_iterable(hashed), np.int64, sum(lengths))
    buckets, feature = np.unique(flat, return_inverse=True)
    return Texts(
        node=np.repeat(np.arange(len(texts), dtype=np.int64), lengths),
        feature=feature.astype(np.int64),
        buckets=buckets,
    )


def _newest_from_ms(arrays: GraphArrays, settings: ModelSettings, recent_after_ms: int | None) -> int | None:
    """Return when the edges that are kept from training begin; None: none are.

    They are those first seen since the newest share of all facts began. A settled shop makes few new edges:
    then the share grows, up to half of the facts, until there are enough to judge by. A lively one makes
    many: then the newest will do. Time alone decides, so edges of one millisecond go together; where too few
    or most of all edges would go, none do. What an earlier generation has learned is not kept from anyone.
    """
    first_ms = arrays.edge_first_ms
    if not len(first_ms):
        return None
    newest = np.sort(first_ms)[::-1]
    share_ms, half_ms = np.quantile(arrays.fact_ms, [1.0 - settings.validation_share, 0.5], method="higher")
    enough_ms = newest[min(len(newest), _ENOUGH_EDGES) - 1]
    start_ms = int(min(share_ms, max(half_ms, enough_ms)))
    if len(newest) > settings.max_validation_edges:
        start_ms = max(start_ms, int(newest[settings.max_validation_edges - 1]))
    fewest = _LEAST_EDGES
    if recent_after_ms is not None and recent_after_ms >= start_ms:
        start_ms, fewest = recent_after_ms + 1, 0
    return start_ms if fewest <= np.count_nonzero(first_ms >= start_ms) <= len(first_ms) // 2 else None


def _part(arrays: GraphArrays, *, cut_ms: int | None) -> GraphPart:
    """Return the graph of all edges and sessions, or of those from before `cut_ms`."""
    edges = _before(arrays.edge_first_ms, cut_ms)
    num_queries = len(arrays.query_keys)
    hyperedge_of = _number_hyperedges(arrays, _before(arrays.session_last_ms, cut_ms))
    members = _members(arrays, hyperedge_of)
    sources = _sources(arrays, hyperedge_of, edges)
    return GraphPart(
        num_queries=num_queries,
        num_items=len(arrays.item_keys),
        edge_query=arrays.edge_query[edges],
        edge_item=arrays.edge_item[edges],
        edge_weight=_propagation_weight(arrays)[edges],
        num_hyperedges=int(hyperedge_of.max(initial=-1)) + 1,
        incidence_hyperedge=members[:, 0],
        incidence_node=members[:, 1],
        source_edge=sources[:, 0],
        source_hyperedge=sources[:, 1],
    )


def _before(times_ms: Ints, cut_ms: int | None) -> NDArray[np.bool_]:
    return np.ones(len(times_ms), dtype=np.bool_) if cut_ms is None else times_ms < cut_ms


def _propagation_weight(arrays: GraphArrays) -> Floats:
    """Sessions count, by their logarithm; age does not: an old click is the best a rare query has."""
    return np.log1p(arrays.edge_sessions).astype(np.float32)


def _number_hyperedges(arrays: GraphArrays, sessions: NDArray[np.bool_]) -> Ints:
    """Return ``int64 [num_sessions]``: the dense hyperedge of a session, or -1."""
    has_items = np.zeros(arrays.num_sessions, dtype=np.bool_)
    has_items[arrays.incidence_session] = True
    wanted = has_items & sessions
    return np.where(wanted, np.cumsum(wanted) - 1, -1).astype(np.int64)


def _members(arrays: GraphArrays, hyperedge_of: Ints) -> Ints:
    """Return the distinct rows (hyperedge, item or query), ``int64 [num_incidences, 2]``, sorted."""
    num_queries = len(arrays.query_keys)
    session = np.concatenate([arrays.incidence_session, arrays.fact_session])
    node = np.concatenate([num_queries + arrays.incidence_item, arrays.fact_query])
    return _distinct_pairs(hyperedge_of[session], node, num_queries + len(arrays.item_keys))


def _sources(arrays: GraphArrays, hyperedge_of: Ints, edges: NDArray[np.bool_]) -> Ints:
    """Return the distinct rows (edge, hyperedge that made it), ``int64 [num_sources, 2]``, sorted."""
    fact_edge = _edge_of_each_fact(arrays)
    dense = np.where(edges, np.cumsum(edges) - 1, -1)
    hyperedge = hyperedge_of[arrays.fact_session]
    edge = np.where(hyperedge >= 0, dense[fact_edge] if len(dense) else fact_edge, -1)
    return _distinct_pairs(edge, hyperedge, max(1, int(hyperedge_of.max(initial=-1)) + 1))


def _edge_of_each_fact(arrays: GraphArrays) -> Ints:
    """Return ``int64 [num_facts]``."""
    num_items = max(1, len(arrays.item_keys))
    edge_code = arrays.edge_query * num_items + arrays.edge_item
    order = np.argsort(edge_code, kind="stable")
    fact_code = arrays.fact_query * num_items + arrays.fact_item
    found: Ints = order[np.searchsorted(edge_code, fact_code, sorter=order)] if len(order) else fact_code
    return found


def _distinct_pairs(first: Ints, second: Ints, num_second: int) -> Ints:
    """Return the distinct pairs with ``first >= 0``, sorted."""
    wanted = first >= 0
    codes = np.unique(first[wanted] * num_second + second[wanted])
    return np.stack([codes // num_second, codes % num_second], axis=1)


@dataclass(frozen=True, kw_only=True)
class Learnable:
    """Arrays that can be learned from.

    Attributes:
        arrays: without what deleted items took part in.
        titles_as_queries: the log has no queries; those of `arrays` are item titles, to be dropped again.
    """

    arrays: GraphArrays
    titles_as_queries: bool


def learnable(arrays: GraphArrays) -> Learnable:
    """Leave deleted items out; where no query was ever clicked from, let the titles of items stand in.

    Raises:
        TrainingRefused: there is neither a click from a search nor a session of two items with titles.
    """
    kept = _without_deleted(arrays)
    if len(kept.edge_query):
        return Learnable(arrays=kept, titles_as_queries=False)
    with_titles = _titles_as_queries(kept)
    if not len(with_titles.edge_query):
        raise TrainingRefused(
            "nothing to learn from: no click from a search, and no session of two items with titles; "
            "feed events with `freshet stream` first"
        )
    return Learnable(arrays=with_titles, titles_as_queries=True)


def _without_deleted(arrays: GraphArrays) -> GraphArrays:
    deleted = arrays.item_deleted
    if not deleted.any():
        return arrays
    edges = ~deleted[arrays.edge_item]
    facts = ~deleted[arrays.fact_item]
    incidences = ~deleted[arrays.incidence_item]
    return replace(
        arrays,
        **{name: getattr(arrays, name)[edges] for name in _EDGE_ARRAYS},
        **{name: getattr(arrays, name)[facts] for name in _FACT_ARRAYS},
        **{name: getattr(arrays, name)[incidences] for name in _INCIDENCE_ARRAYS},
    )


def _titles_as_queries(arrays: GraphArrays) -> GraphArrays:
    """Make facts (session, title of an item, item) of each item of a session and its neighbours in it."""
    titles = [normalize_query(title) for title in arrays.item_titles]
    texts = sorted({title for title in titles if title}, key=text_key)
    number = {text: query for query, text in enumerate(texts)}
    title_of = np.array([number.get(title, -1) for title in titles], dtype=np.int64)
    session, item, ms = arrays.incidence_session, arrays.incidence_item, arrays.incidence_ms
    near = np.flatnonzero(session[1:] == session[:-1])
    all_ = np.arange(len(session))
    at = np.concatenate([all_, near, near + 1])
    clicked = np.concatenate([all_, near + 1, near])
    named = title_of[item[at]] >= 0
    at, clicked = at[named], clicked[named]
    return _with_facts(arrays, texts, (session[at], title_of[item[at]], item[clicked], ms[clicked]))


def _with_facts(
    arrays: GraphArrays, query_texts: list[str], facts: tuple[Ints, Ints, Ints, Ints]
) -> GraphArrays:
    """Return `arrays` with other queries and with clicks (session, query, item, time) in place of its own."""
    session, query, item, ms = facts
    num_items = max(1, len(arrays.item_keys))
    codes, edge = np.unique(query * num_items + item, return_inverse=True)
    made_by = np.unique(edge * max(1, arrays.num_sessions) + session) // max(1, arrays.num_sessions)
    first_ms = np.full(len(codes), np.iinfo(np.int64).max)
    last_ms = np.zeros(len(codes), dtype=np.int64)
    np.minimum.at(first_ms, edge, ms)
    np.maximum.at(last_ms, edge, ms)
    sessions = np.bincount(made_by, minlength=len(codes)).astype(np.int32)
    return replace(
        arrays,
        query_keys=np.array([text_key(text) for text in query_texts], dtype=np.uint64),
        query_texts=query_texts,
        edge_query=codes // num_items,
        edge_item=codes % num_items,
        edge_weight=sessions.astype(np.float32),
        edge_sessions=sessions,
        edge_first_ms=first_ms,
        edge_last_ms=last_ms,
        fact_session=session,
        fact_query=query,
        fact_item=item,
        fact_action=np.full(len(session), int(Action.CLICK), dtype=np.int8),
        fact_ms=ms,
    )
