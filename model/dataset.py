"""Snapshot arrays to a training set: who is supervised, and what must be hidden from the graph for it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from model.errors import TrainingRefused
from model.learned import Learned
from model.settings import ModelSettings
from protos.text import normalize_query, text_key, text_terms
from stream.events import Action
from stream.graph import GraphArrays

_ENOUGH_EDGES = 100
_LEAST_EDGES = 20

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float32]

_EDGE_ARRAYS = ("edge_query", "edge_item", "edge_weight", "edge_sessions", "edge_first_ms", "edge_last_ms")
_FACT_ARRAYS = ("fact_session", "fact_query", "fact_item", "fact_action", "fact_ms")
_INCIDENCE_ARRAYS = ("incidence_session", "incidence_item", "incidence_ms")


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Hashed text features of nodes, by term: a word with its n-grams, or a pair of words.

    Shops say few words often, so a term's features are added up once for all texts that have it.

    Attributes:
        node: ``int64 [num_mentions]``, ascending: the node whose text
        term: ``int64 [num_mentions]``, has this term; twice where it says it twice.
        owner: ``int64 [num_features]``, ascending, the term of each feature; every term has one at least.
        feature: ``int64 [num_features]``, its row in `buckets`.
        buckets: ``int64 [num_rows]``, ascending hash buckets, those that occur.
    """

    node: Ints
    term: Ints
    owner: Ints
    feature: Ints
    buckets: Ints

    @property
    def num_terms(self) -> int:
        """How many different terms there are."""
        return int(self.owner[-1]) + 1 if len(self.owner) else 0

    def lengths(self, num_nodes: int) -> Ints:
        """Return ``int64 [num_nodes]``, how many features the text of each node has."""
        of_term = np.bincount(self.owner, minlength=self.num_terms)
        return np.bincount(self.node, weights=of_term[self.term], minlength=num_nodes).astype(np.int64)

    def flat(self) -> tuple[Ints, Ints]:
        """Return the node of each feature of each text, ascending, and the feature."""
        of_term = np.bincount(self.owner, minlength=self.num_terms)
        starts, lengths = (np.cumsum(of_term) - of_term)[self.term], of_term[self.term]
        within = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.repeat(self.node, lengths), self.feature[np.repeat(starts, lengths) + within]


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
            not have, or, where an earlier generation is gone on from, that of each click it has not learned;
            but for `recent` ones.
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
    arrays: GraphArrays, settings: ModelSettings, learned: Learned | None = None
) -> TrainingSet:
    """Split the newest facts off for validation and join edges with the sessions that made them.

    Args:
        arrays: the merged graph of a snapshot.
        settings: the share that is held out, the number of text buckets.
        learned: what the generation has learned that training goes on from; None: training is from scratch.
    """
    whole = whole_graph(arrays)
    is_held_out = _is_held_out(arrays, settings, learned)
    held_out, known = np.flatnonzero(is_held_out), np.flatnonzero(~is_held_out)
    train = (
        _part(arrays, ~is_held_out, _sessions_before(arrays, is_held_out, learned))
        if len(held_out)
        else whole
    )
    newest, recent = held_out, np.ones(len(known), dtype=np.bool_)
    if learned is not None:
        recent = learned.sessions[known] == 0
        clicks = np.maximum(0, arrays.edge_sessions - learned.sessions)
        clicks[known[recent]] = 0
        newest = np.repeat(np.arange(len(clicks)), clicks)
    validated = held_out if len(held_out) >= _LEAST_EDGES else held_out[:0]
    return TrainingSet(
        texts=hash_texts([*arrays.query_texts, *item_texts(arrays)], settings.num_buckets),
        whole=whole,
        train=train,
        supervised=np.arange(len(known), dtype=np.int64),
        newest=newest,
        recent=recent,
        validation_query=arrays.edge_query[validated],
        validation_item=arrays.edge_item[validated],
        validation_first_ms=arrays.edge_first_ms[validated],
    )


def whole_graph(arrays: GraphArrays) -> GraphPart:
    """Return the graph of all edges and sessions."""
    edges, sessions = len(arrays.edge_query), arrays.num_sessions
    return _part(arrays, np.ones(edges, dtype=np.bool_), np.ones(sessions, dtype=np.bool_))


def item_texts(arrays: GraphArrays) -> list[str]:
    """Return what the text tower reads of each item: its title, then its text."""
    return [
        f"{title} {text}" if text else title
        for title, text in zip(arrays.item_titles, arrays.item_texts, strict=True)
    ]


def hash_texts(texts: Sequence[str], num_buckets: int) -> Texts:
    """Hash the features of each text, and number the terms and the buckets that occur."""
    number: dict[tuple[int, ...], int] = {}
    terms = [
        [number.setdefault(term, len(number)) for term in text_terms(text, num_buckets)] for text in texts
    ]
    node, term = _rows_of(terms)
    owner, bucket = _rows_of(list(number))
    buckets, feature = np.unique(bucket, return_inverse=True)
    return Texts(node=node, term=term, owner=owner, feature=feature.astype(np.int64), buckets=buckets)


def _rows_of(rows: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    """Return the row of each number, and the numbers one after the other, ``int64`` both."""
    lengths = [len(row) for row in rows]
    numbers = np.fromiter(chain.from_iterable(rows), np.int64, sum(lengths))
    return np.repeat(np.arange(len(rows), dtype=np.int64), lengths), numbers


def _is_held_out(arrays: GraphArrays, settings: ModelSettings, learned: Learned | None) -> Bools:
    """Return ``bool [num_edges]``: which edges are kept from training.

    They are those first seen since the newest share of all facts began. A settled shop makes few new edges:
    then the share grows, up to half of the facts, until there are enough to judge by. A lively one makes
    many: then the newest will do. Time alone decides, so edges of one millisecond go together; where too few
    or most of all edges would go, none do. What an earlier generation has learned is not held out, and where
    no more is new to it than would be, all of that is, what came late as well.
    """
    first_ms = arrays.edge_first_ms
    is_held_out = np.zeros(len(first_ms), dtype=np.bool_)
    if not len(first_ms):
        return is_held_out
    share_ms, half_ms = np.quantile(arrays.fact_ms, [1.0 - settings.validation_share, 0.5], method="higher")
    start_ms = int(min(share_ms, max(half_ms, _nth_newest(first_ms, _ENOUGH_EDGES))))
    start_ms = max(start_ms, _nth_newest(first_ms, settings.max_validation_edges))
    is_held_out, fewest = first_ms >= start_ms, _LEAST_EDGES
    if learned is not None:
        is_new = learned.sessions == 0
        if np.count_nonzero(is_new) <= np.count_nonzero(is_held_out):
            is_held_out, fewest = is_new, 0
        else:
            is_held_out &= is_new
    if not fewest <= np.count_nonzero(is_held_out) <= len(first_ms) // 2:
        is_held_out[:] = False
    return is_held_out


def _nth_newest(times_ms: Ints, n: int) -> int:
    """Return the n-th newest time, or the oldest where there are fewer."""
    place = max(0, len(times_ms) - n)
    return int(np.partition(times_ms, place)[place])


def _sessions_before(arrays: GraphArrays, is_held_out: Bools, learned: Learned | None) -> Bools:
    """Return ``bool [num_sessions]``: ended before the held-out time began, and made no held-out edge."""
    until_ms = learned.until_ms if learned is not None else -1
    times_ms = arrays.edge_first_ms[is_held_out]
    begin_ms = times_ms[times_ms > until_ms].min(initial=np.iinfo(np.int64).max)
    before: Bools = arrays.session_last_ms < begin_ms
    before[arrays.fact_session[is_held_out[arrays.edge_of_fact]]] = False
    return before


def _part(arrays: GraphArrays, edges: Bools, sessions: Bools) -> GraphPart:
    """Return the graph of some edges and sessions."""
    num_queries = len(arrays.query_keys)
    hyperedge_of = _number_hyperedges(arrays, sessions)
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


def _propagation_weight(arrays: GraphArrays) -> Floats:
    """Sessions count, by their logarithm; age does not: an old click is the best a rare query has."""
    return np.log1p(arrays.edge_sessions).astype(np.float32)


def _number_hyperedges(arrays: GraphArrays, sessions: Bools) -> Ints:
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


def _sources(arrays: GraphArrays, hyperedge_of: Ints, edges: Bools) -> Ints:
    """Return the distinct rows (edge, hyperedge that made it), ``int64 [num_sources, 2]``, sorted."""
    dense = np.where(edges, np.cumsum(edges) - 1, -1)
    hyperedge = hyperedge_of[arrays.fact_session]
    edge = np.where(hyperedge >= 0, dense[arrays.edge_of_fact], -1)
    return _distinct_pairs(edge, hyperedge, max(1, int(hyperedge_of.max(initial=-1)) + 1))


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
