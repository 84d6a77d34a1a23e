"""What a full pass over the graph would give some active nodes."""

import numpy as np

from model.fresh.active.graph import ActiveGraph
from model.fresh.active.origin import Origin
from model.sums import add_products
from stream.dtypes import Float32s, Int64s

# Neighbours of a node, and clicks of all of them, above which it is not audited: a few
# milliseconds and megabytes. Twice as many: twice that, for nodes that drift less.
_MOST_NEIGHBOURS = 1 << 11
_MOST_CLICKS = 1 << 16


def worst_cosine(origin: Origin | None, graph: ActiveGraph, slots: Int64s) -> float:
    """Return the worst cosine between the network's vectors of active nodes and those
    that follow from whole rows of the graph, two steps far; 1 where there is nothing to
    compare.

    Args:
        origin: the generation's nodes; None: texts are all there is.
        graph: the active nodes.
        slots: ``int64 [n]``, whom to compare.
    """
    if origin is None:
        return 1.0
    worst = 1.0
    for slot in slots.tolist():
        heard = _heard(origin, graph, slot)
        if heard is not None:
            direct = graph.nodes.vectors(np.array([slot]), heard[None])
            kept = graph.nodes.vectors(np.array([slot]))
            worst = min(worst, float((direct * kept).sum()))
    return worst


def _heard(origin: Origin, graph: ActiveGraph, slot: int) -> Float32s | None:
    """Return ``float32 [num_layers, dim]``, what a node hears of all its neighbours;
    None: they are too many.
    """
    nodes, row = graph.nodes, int(graph.nodes.columns.row[slot])
    heard: Float32s = np.zeros_like(nodes.columns.heard[slot])
    found = graph.links.of(np.array([slot]))
    weight = graph.links.weights(found.link).astype(np.float32)
    for layer in range(len(heard)):
        heard[layer] += weight @ nodes.to_send(found.other, layer)
    if row < 0:
        return heard
    if int(origin.num_clicks(np.array([row]))[0]) > _MOST_NEIGHBOURS:
        return None
    clicks = origin.clicks(np.array([row]))
    asleep = np.flatnonzero(graph.rows.slots(clicks.other) < 0)
    others = clicks.other[asleep]
    if int(origin.num_clicks(others).sum()) > _MOST_CLICKS:
        return None
    weight = graph.links.weight_of(clicks.sessions[asleep]).astype(np.float32)
    for layer, sent in enumerate(_sent_asleep(origin, graph, others)):
        heard[layer] += weight @ sent
    return heard


def _sent_asleep(origin: Origin, graph: ActiveGraph, rows: Int64s) -> list[Float32s]:
    """Return what nodes that are not active send for each layer, ``float32 [n, dim]``
    each, with what active neighbours have told them in the first.
    """
    states = origin.states(rows)
    sent = [states.sent[:, layer] for layer in range(origin.num_layers)]
    if origin.num_layers < 2:  # noqa: PLR2004  # what is told comes back in the second layer
        return sent
    clicks = origin.clicks(rows)
    slots = graph.rows.slots(clicks.other)
    active = np.flatnonzero(slots >= 0)
    elders, which = np.unique(slots[active], return_inverse=True)
    before = origin.states(graph.nodes.columns.row[elders]).sent[:, 0]
    moved = graph.nodes.to_send(elders, 0) - before
    weight = graph.links.weight_of(clicks.sessions[active])
    told = np.zeros_like(sent[1])
    add_products(told, clicks.place[active], weight, moved, which)
    degree = states.weight.astype(np.float32)[:, None]
    sent[1] = sent[1] + np.divide(told, degree, out=np.zeros_like(told), where=degree > 0)
    return sent
