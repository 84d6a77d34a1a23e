"""Why an item answers a query: the strongest paths of clicks and sessions between them.

The graph that a generation was propagated over is stored with it as a `PathGraph`, in
compressed rows (`model.publishing.path_graph` builds it). A path's strength is the
product of the weights that the network's channels have on its steps: its share in what
travels between the two ends. What training learned on top, the attention between
channels and the factor that feeds the hypergraph channel into the bipartite one, is
left out.

- A step along a click has the weight ``a(q, i) = log1p(sessions) / sqrt(d_q d_i)``,
  where a node's ``d`` is the sum of ``log1p(sessions)`` over its clicks: an entry of
  D^-1/2 A D^-1/2 (LightGCN, He et al., SIGIR 2020).
- A step through sessions has ``s(u, v) = 1 / D_v(u) * sum of 1 / D_e(e)`` over the
  hyperedges `e` of both, where ``D_v`` counts a node's hyperedges and ``D_e`` a
  hyperedge's nodes: an entry of D_v^-1 H D_e^-1 H^T (Bai et al., Hypergraph convolution
  and hypergraph attention, Pattern Recognition 2021).

Imports numpy only, so that a server can answer from it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.errors import GenerationCorrupt
from stream.dtypes import Float32s, Float64s, Int64s
from stream.graph.keysets import indexes_of

# Bounds of what one explanation visits, so that a query with a million clicks costs no
# more than another: its strongest clicked items, and the newest hyperedges of a node.
# Chosen by hand. Twice as many take twice the time, and add paths weaker than these.
VISITED_ITEMS = 64
VISITED_HYPEREDGES = 512

Int32s = NDArray[np.int32]


@dataclass(frozen=True, kw_only=True)
class PathGraph:
    """The graph behind a generation, by its dense indexes.

    Nodes are numbered queries first, then items.

    Row `n` of a compressed array is ``starts[n]`` to ``starts[n + 1]``. Hyperedges
    stand for sessions and are numbered by the time of their last event, the newest
    highest; it has neither the user of a session nor its time.

    Attributes:
        click_starts: ``int64 [num_queries + 1]``.
        click_items: ``int32 [num_clicks]``, the items clicked for each query, ascending
            in a row.
        click_sessions: ``int32 [num_clicks]``, the distinct sessions of each click.
        item_starts: ``int64 [num_items + 1]``.
        item_queries: ``int32 [num_item_queries]``, for each item the queries it has its
            strongest clicks from, strongest first.
        node_weights: ``float32 [num_nodes]``, ``d`` of the bipartite graph.
        node_starts: ``int64 [num_nodes + 1]``.
        node_hyperedges: ``int32 [num_incidences]``, the kept hyperedges of each node,
            ascending in a row.
        node_degrees: ``int32 [num_nodes]``, ``D_v``: all hyperedges of each node, kept
            or not.
        hyperedge_sizes: ``int32 [num_hyperedges]``, ``D_e``: the queries and items of
            each kept hyperedge.
    """

    click_starts: Int64s
    click_items: Int32s
    click_sessions: Int32s
    item_starts: Int64s
    item_queries: Int32s
    node_weights: Float32s
    node_starts: Int64s
    node_hyperedges: Int32s
    node_degrees: Int32s
    hyperedge_sizes: Int32s

    @property
    def num_queries(self) -> int:
        """How many queries there are."""
        return len(self.click_starts) - 1

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """Return the stored arrays by name."""
        return {name: getattr(self, name) for name in ARRAY_TYPES}


ARRAY_TYPES: dict[str, type[np.generic]] = {
    "click_starts": np.int64,
    "click_items": np.int32,
    "click_sessions": np.int32,
    "item_starts": np.int64,
    "item_queries": np.int32,
    "node_weights": np.float32,
    "node_starts": np.int64,
    "node_hyperedges": np.int32,
    "node_degrees": np.int32,
    "hyperedge_sizes": np.int32,
}
"""The stored type of each array of a `PathGraph`."""


@dataclass(frozen=True, kw_only=True)
class ClickPath:
    """Query - item: the item was clicked for the query itself.

    Strength ``a(query, item)``.

    Attributes:
        strength: above 0, at most 1.
        num_sessions: distinct sessions that searched and clicked.
    """

    strength: float
    num_sessions: int


@dataclass(frozen=True, kw_only=True)
class QuerySessionPath:
    """Query - session - item: sessions with the query had the item, too.

    Strength ``s(query, item)``.

    Attributes:
        strength: above 0, at most 1.
        hyperedges: the sessions' numbers in the generation, newest first.
        is_complete: there are no more such sessions than are in `hyperedges`.
    """

    strength: float
    hyperedges: tuple[int, ...]
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class ItemSessionPath:
    """Query - item `via` - session - item: strength ``a(query, via) s(via, item)``.

    Attributes:
        strength: above 0, at most 1.
        via: the item that was clicked for the query and seen in sessions with the
            other.
        hyperedges: the sessions' numbers in the generation, newest first.
        is_complete: there are no more such sessions than are in `hyperedges`.
    """

    strength: float
    via: int
    hyperedges: tuple[int, ...]
    is_complete: bool


@dataclass(frozen=True, kw_only=True)
class OtherQueryPath:
    """Query - item `via` - query `other` - item.

    Strength ``a(query, via) a(other, via) a(other, item)``.

    Attributes:
        strength: above 0, at most 1.
        via: the item that was clicked for both queries.
        other: the query that the item was clicked for, too.
    """

    strength: float
    via: int
    other: int


AnyPath = ClickPath | QuerySessionPath | ItemSessionPath | OtherQueryPath


def strongest_paths(graph: PathGraph, query: int, item: int, limit: int) -> list[AnyPath]:
    """Return the strongest paths from a query to an item, strongest first.

    The two ends meet in the inner product of their vectors, so a path may be walked
    from both of them: one of three clicks exists with two layers of convolution, too.
    Visited are the `VISITED_ITEMS` strongest clicks of the query, the stored queries of
    the item, and for two nodes the `VISITED_HYPEREDGES` newest hyperedges of the one
    that has fewer: an item with a million clicks costs no more than one with a
    thousand. Equal strengths are in the order of the kinds above, then of the clicks.

    Args:
        graph: the generation's graph.
        query: dense index of the query.
        item: dense index of the item.
        limit: how many paths at most.
    """
    first_steps = _strongest_clicks(graph, query, but=item)
    found: list[AnyPath] = [
        *_clicks(graph, query, item),
        *_query_sessions(graph, query, item),
        *_item_sessions(graph, first_steps, item),
        *_other_queries(graph, first_steps, query, item),
    ]
    return sorted(found, key=lambda path: -path.strength)[:limit]


def check_path_graph(graph: PathGraph, num_queries: int, num_items: int) -> None:
    """Hold the lengths of the arrays against each other and against the counts of their
    generation.

    Raises:
        GenerationCorrupt: an array has another shape than the others imply; the message
            names it.
    """
    num_nodes = num_queries + num_items
    starts = {"click_starts": num_queries, "item_starts": num_items, "node_starts": num_nodes}
    lengths = {name: rows + 1 for name, rows in starts.items()}
    _check_lengths(graph, lengths)
    lengths = {
        "click_items": int(graph.click_starts[-1]),
        "click_sessions": int(graph.click_starts[-1]),
        "item_queries": int(graph.item_starts[-1]),
        "node_hyperedges": int(graph.node_starts[-1]),
        "node_weights": num_nodes,
        "node_degrees": num_nodes,
        "hyperedge_sizes": len(graph.hyperedge_sizes),
    }
    _check_lengths(graph, lengths)


def check_path_contents(graph: PathGraph) -> None:
    """Check that every row and every member of a graph of the right shapes exists.

    Raises:
        GenerationCorrupt: a number is out of range; the message names its array.
    """
    num_queries, num_items = graph.num_queries, len(graph.item_starts) - 1
    for name in ("click_starts", "item_starts", "node_starts"):
        starts = getattr(graph, name)
        if starts[0] != 0 or not (starts[1:] >= starts[:-1]).all():
            raise GenerationCorrupt(f"paths.{name}.npy does not ascend from 0")
    bounds = {
        "click_items": (0, num_items),
        "click_sessions": (1, None),
        "item_queries": (0, num_queries),
        "node_hyperedges": (0, len(graph.hyperedge_sizes)),
        "node_degrees": (0, None),
        "hyperedge_sizes": (1, None),
    }
    for name, (least, end) in bounds.items():
        values = getattr(graph, name)
        if len(values) and (values.min() < least or (end is not None and values.max() >= end)):
            raise GenerationCorrupt(f"paths.{name}.npy has a number that is out of range")
    if not (np.isfinite(graph.node_weights) & (graph.node_weights >= 0)).all():
        raise GenerationCorrupt("paths.node_weights.npy has a weight that is none")


def _check_lengths(graph: PathGraph, lengths: dict[str, int]) -> None:
    for name, length in lengths.items():
        found = getattr(graph, name).shape
        if found != (length,):
            raise GenerationCorrupt(f"paths.{name}.npy has shape {found}, not ({length},)")


@dataclass(frozen=True, kw_only=True)
class _Steps:
    """Clicks of one query, strongest first: ``int32 [n]`` items, ``float64 [n]``
    weights.
    """

    items: Int32s
    weights: Float64s


def _strongest_clicks(graph: PathGraph, query: int, *, but: int) -> _Steps:
    items = _row(graph.click_starts, graph.click_items, query)
    sessions = _row(graph.click_starts, graph.click_sessions, query)
    weights = _click_weights(graph, query, items, sessions)
    strongest = np.argsort(-weights, kind="stable")
    strongest = strongest[items[strongest] != but][:VISITED_ITEMS]
    return _Steps(items=items[strongest], weights=weights[strongest])


def _clicks(graph: PathGraph, query: int, item: int) -> Iterator[ClickPath]:
    items = np.array([item], dtype=np.int32)
    sessions = _sessions_of(graph, query, items)
    if sessions[0]:
        strength = float(_click_weights(graph, query, items, sessions)[0])
        yield ClickPath(strength=strength, num_sessions=int(sessions[0]))


def _query_sessions(graph: PathGraph, query: int, item: int) -> Iterator[QuerySessionPath]:
    shared = _shared_hyperedges(graph, query, graph.num_queries + item)
    if shared.hyperedges:
        yield QuerySessionPath(
            strength=shared.weight, hyperedges=shared.hyperedges, is_complete=shared.is_complete
        )


def _item_sessions(graph: PathGraph, steps: _Steps, item: int) -> Iterator[ItemSessionPath]:
    for via, weight in zip(steps.items.tolist(), steps.weights.tolist(), strict=True):
        shared = _shared_hyperedges(graph, graph.num_queries + via, graph.num_queries + item)
        if shared.hyperedges:
            yield ItemSessionPath(
                strength=weight * shared.weight,
                via=via,
                hyperedges=shared.hyperedges,
                is_complete=shared.is_complete,
            )


def _other_queries(
    graph: PathGraph, steps: _Steps, query: int, item: int
) -> Iterator[OtherQueryPath]:
    target = np.array([item], dtype=np.int32)
    for other in _row(graph.item_starts, graph.item_queries, item).tolist():
        if other == query:
            continue
        last = _click_weights(graph, other, target, _sessions_of(graph, other, target))[0]
        middle = _click_weights(graph, other, steps.items, _sessions_of(graph, other, steps.items))
        strengths = steps.weights * middle * last
        for place in np.flatnonzero(strengths).tolist():
            yield OtherQueryPath(
                strength=float(strengths[place]), via=int(steps.items[place]), other=other
            )


@dataclass(frozen=True, kw_only=True)
class _Shared:
    """Hyperedges of two nodes, newest first.

    `weight` is ``s`` from the first to the second.
    """

    hyperedges: tuple[int, ...]
    weight: float
    is_complete: bool


def _shared_hyperedges(graph: PathGraph, node: int, other: int) -> _Shared:
    rows = {each: _row(graph.node_starts, graph.node_hyperedges, each) for each in (node, other)}
    # Rows ascend by the hyperedge's number, which is the time of its session: the last
    # of the shorter row are its newest.
    few, many = sorted(rows.values(), key=len)
    visited = few[-VISITED_HYPEREDGES:]
    shared = visited[indexes_of(many, visited) >= 0]
    has_all = any(len(row) == graph.node_degrees[each] for each, row in rows.items())
    weight = (1.0 / graph.hyperedge_sizes[shared]).sum() / max(1, int(graph.node_degrees[node]))
    return _Shared(
        hyperedges=tuple(shared[::-1].tolist()),
        weight=float(weight),
        is_complete=has_all and len(visited) == len(few),
    )


def _click_weights(graph: PathGraph, query: int, items: Int32s, sessions: Int32s) -> Float64s:
    """Return ``float64 [n]``, ``a(query, item)`` of each item.

    0 where there are no sessions.
    """
    degrees = graph.node_weights[graph.num_queries + items].astype(np.float64)
    degrees *= float(graph.node_weights[query])
    weights = np.log1p(sessions.astype(np.float64))
    return np.divide(weights, np.sqrt(degrees), out=np.zeros_like(weights), where=sessions > 0)


def _sessions_of(graph: PathGraph, query: int, items: Int32s) -> Int32s:
    """Return ``int32 [n]``, the sessions that clicked each item for a query.

    0: none did.
    """
    row = _row(graph.click_starts, graph.click_items, query)
    places = indexes_of(row, items)
    sessions = _row(graph.click_starts, graph.click_sessions, query)
    found = np.zeros(len(items), dtype=np.int32)
    found[places >= 0] = sessions[places[places >= 0]]
    return found


def _row(starts: Int64s, values: Int32s, row: int) -> Int32s:
    return np.asarray(values[starts[row] : starts[row + 1]])
