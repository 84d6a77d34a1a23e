"""Small graphs to find paths in, from clicks and hyperedges as rows."""

from collections.abc import Sequence

import numpy as np

from model.artifact.paths import PathGraph
from stream.dtypes import Int64s


def path_graph(
    num_queries: int,
    num_items: int,
    clicks: Sequence[tuple[int, int, int]],
    hyperedges: Sequence[Sequence[int]],
) -> PathGraph:
    """Return the graph of a generation; all of it is kept.

    Args:
        num_queries: of the generation.
        num_items: of the generation.
        clicks: query, item, number of sessions.
        hyperedges: nodes of each, queries first and then items, oldest session first.
    """
    num_nodes = num_queries + num_items
    forth = sorted(clicks)
    weights = np.zeros(num_nodes, dtype=np.float32)
    for query, item, sessions in forth:
        weights[[query, num_queries + item]] += np.log1p(sessions)
    back = sorted(
        forth,
        key=lambda click: (click[1], -np.log1p(click[2]) / np.sqrt(weights[click[0]]), click[0]),
    )
    incidences = sorted((node, number) for number, nodes in enumerate(hyperedges) for node in nodes)
    nodes = [node for node, _ in incidences]
    return PathGraph(
        click_starts=_starts([query for query, _, _ in forth], num_queries),
        click_items=np.array([item for _, item, _ in forth], dtype=np.int32),
        click_sessions=np.array([sessions for _, _, sessions in forth], dtype=np.int32),
        item_starts=_starts([item for _, item, _ in back], num_items),
        item_queries=np.array([query for query, _, _ in back], dtype=np.int32),
        node_weights=weights,
        node_starts=_starts(nodes, num_nodes),
        node_hyperedges=np.array([number for _, number in incidences], dtype=np.int32),
        node_degrees=np.bincount(np.array(nodes, dtype=np.int64), minlength=num_nodes).astype(
            np.int32
        ),
        hyperedge_sizes=np.array([len(each) for each in hyperedges], dtype=np.int32),
    )


def _starts(rows: Sequence[int], num_rows: int) -> Int64s:
    counts = np.bincount(np.array(rows, dtype=np.int64), minlength=num_rows)
    return np.cumsum([0, *counts]).astype(np.int64)
