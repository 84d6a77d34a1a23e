"""Graphs that grow: what changed by definition, and what a full pass gives."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch

from model.artifact.encoder import feature_vectors
from model.artifact.generation import Generation
from model.beside.joined import directions
from model.data.graph import whole_graph
from model.data.texts import item_texts
from model.data.training_set import build_training_set
from model.network.network import DualChannelNetwork
from model.network.whole_graph import Graph
from model.settings import ModelSettings
from model.training.layer_states import LayerKeeper
from model.training.result import HoldoutEdges, TrainedModel
from model.training.warm_start import (
    apply_warm_start,
    export_encoder,
    export_warm_start,
    open_warm_start,
)
from protos.text import text_key
from stream.actions import Action
from stream.dtypes import Float32s
from stream.events.types import CatalogItem, Interaction
from stream.feed.changes import EdgeChanges, KeyedTexts, SessionChanges, ShardChanges
from stream.graph.arrays import GraphArrays
from stream.graph.facts import MAX_HYPEREDGE_ITEMS, MIN_HYPEREDGE_ITEMS

CPU = torch.device("cpu")


def changes_between(
    before: Sequence[Interaction],
    after: Sequence[Interaction],
    catalog: Iterable[CatalogItem] = (),
    *,
    gone_queries: Sequence[str] = (),
    gone_items: Sequence[str] = (),
) -> ShardChanges:
    """Return what a write changed that made the events `after` of the events
    `before`, in plain Python.

    Names of all events are given: more than a shard would.
    """
    old, new = _pairs(before), _pairs(after)
    edges = {
        pair: len(new.get(pair, ())) - len(old.get(pair, ())) for pair in old.keys() | new.keys()
    }
    changed = sorted((pair, count) for pair, count in edges.items() if count)
    return ShardChanges(
        shard=0,
        sequence=1,
        edges=EdgeChanges(
            np.array([text_key(query) for (query, _), _ in changed], dtype=np.uint64),
            np.array([text_key(item) for (_, item), _ in changed], dtype=np.uint64),
            np.array([count for _, count in changed], dtype=np.int64),
        ),
        sessions=_sessions(_hyperedges(before), _hyperedges(after)),
        query_names=_named({event.query for event in after if event.query}),
        item_names=_named({event.item_id for event in after}),
        catalog={text_key(item.item_id): item for item in catalog},
        gone_queries=np.array([text_key(text) for text in gone_queries], dtype=np.uint64),
        gone_items=np.array([text_key(item) for item in gone_items], dtype=np.uint64),
    )


def full_pass(
    generation: Generation, arrays: GraphArrays, settings: ModelSettings, since: GraphArrays
) -> tuple[dict[str, Float32s], dict[str, Float32s]]:
    """Return the unit vectors of all queries by text, and of all items by id, as they
    are published: those of `network_pass`, what pretrained text and walks add to them,
    and queries moved by the clicks that are new since the generation's graph.
    """
    queries, items = network_pass(generation, arrays, settings)
    of_queries, of_items = _with_blocks(generation, arrays, since, queries, items)
    queries = dict(zip(arrays.query_texts, of_queries, strict=True))
    items = dict(zip(arrays.item_ids, of_items, strict=True))
    edges = _edges(arrays)
    for query, clicked in _new_clicks(arrays, since).items():
        count, share = sum(clicked.values()), sum(map(math.log1p, clicked.values()))
        parts = [math.log1p(each) / share * items[item] for item, each in clicked.items()]
        mean = np.sum(parts, axis=0)
        shift = generation.feedback_weight * math.log1p(count)
        if any(generation.find_item(item) is None for item in clicked):
            weights = {
                item: math.log1p(sessions) for (of, item), sessions in edges.items() if of == query
            }
            most = sum(weights[item] for item in clicked) / sum(weights.values())
            shift = max(shift, _shift_to(queries[query], mean, generation.first_page_cosine, most))
        moved = queries[query] + shift * mean
        queries[query] = (moved / np.linalg.norm(moved)).astype(np.float32)
    return queries, items


def _shift_to(query: Float32s, mean: Float32s, cosine: float, most: float) -> float:
    """Return the least of some shifts along a mean that brings a query as near to it as
    is wanted, or that may be at most.
    """
    length = float(np.linalg.norm(mean))
    shifts = np.linspace(0.0, most / length, 20_001)
    moved = query + shifts[:, None] * mean
    near = moved @ mean / (np.linalg.norm(moved, axis=1) * length)
    return float(shifts[np.argmax(near >= cosine)]) if near.max() >= cosine else most / length


def network_pass(
    generation: Generation, arrays: GraphArrays, settings: ModelSettings
) -> tuple[dict[str, Float32s], dict[str, Float32s]]:
    """Return the unit vectors of all queries by text, and of all items by id, that the
    network gives them over a graph with the weights of a generation.
    """
    warm = open_warm_start(generation, arrays, settings)
    assert warm is not None
    data = build_training_set(arrays, settings)
    network = DualChannelNetwork(data.texts, settings, arrays.num_queries, arrays.num_items, CPU)
    apply_warm_start(warm, network, data.texts)
    with torch.no_grad():
        # A feature that the generation does not know is zeros to its encoder.
        known = feature_vectors(generation.encoder, data.texts.buckets).any(axis=1)
        network.content.bag[torch.from_numpy(~known)] = 0.0
        vectors = network(Graph(data.whole, CPU).reach_all())
    return (
        dict(zip(arrays.query_texts, vectors.query.numpy(), strict=True)),
        dict(zip(arrays.item_ids, vectors.item.numpy(), strict=True)),
    )


def _with_blocks(
    generation: Generation,
    arrays: GraphArrays,
    since: GraphArrays,
    queries: Mapping[str, Float32s],
    items: Mapping[str, Float32s],
) -> tuple[Float32s, Float32s]:
    """Return the vectors of all queries and items of a graph, with what pretrained text
    words of titles, walks through sessions and priors of items add to them.
    """
    of_queries = np.array([queries[text] for text in arrays.query_texts])
    of_items = np.array([items[item_id] for item_id in arrays.item_ids])
    has_query = np.isin(np.arange(arrays.num_queries), arrays.edge_query)
    has_click = np.isin(np.arange(arrays.num_items), arrays.edge_item)
    if (block := generation.text_block()) is not None:
        of_queries = block.extend(of_queries, arrays.query_texts, is_item=False, is_known=has_query)
        of_items = block.extend(of_items, item_texts(arrays), is_item=True, is_known=has_click)
    if (words := generation.word_block) is not None:
        of_queries = words.queries(of_queries, words.directions(arrays.query_texts))
        of_items = words.items(of_items, words.directions(arrays.item_titles))
    if (walk := generation.walk_block) is not None:
        walks = _walks(generation, arrays, since)
        of_queries = walk.queries(of_queries, walks[0])
        of_items = walk.items(of_items, walks[1], has_click)
    if (prior := generation.prior_block) is not None:
        stored = prior.shares_of(np.asarray(generation.item_vectors)).tolist()
        share_of = dict(zip(generation.item_ids, stored, strict=True))
        shares = [share_of.get(item_id, prior.new_share) for item_id in arrays.item_ids]
        of_queries = prior.queries(of_queries)
        of_items = prior.items(of_items, np.array(shares, dtype=np.float32))
    return of_queries, of_items


def _walks(
    generation: Generation, arrays: GraphArrays, since: GraphArrays
) -> tuple[Float32s, Float32s]:
    """Return the directions of all queries and items of a graph, by those of a
    generation's items: one definition after the other, in plain Python.
    """
    block = generation.walk_block
    assert block is not None
    stored = block.directions_of(generation.item_vectors[:, : generation.dim_before_prior])
    ids = [generation.item_ids[row] for row in range(len(generation.item_ids))]
    of_generation = dict(zip(ids, stored, strict=True))
    nothing = np.zeros(stored.shape[1], dtype=np.float32)
    kept = [of_generation.get(item_id, nothing) for item_id in arrays.item_ids]
    had_session = {since.item_ids[item] for item in since.incidence_item.tolist()}
    queries = np.zeros((arrays.num_queries, stored.shape[1]), dtype=np.float32)
    edges = (arrays.edge_query.tolist(), arrays.edge_item.tolist(), arrays.edge_sessions.tolist())
    for query, item, sessions in zip(*edges, strict=True):
        queries[query] += math.log1p(sessions) * kept[item]
    items = np.array(kept)
    part = whole_graph(arrays)
    for hyperedge in range(part.num_hyperedges):
        nodes = part.incidence_node[part.incidence_hyperedge == hyperedge]
        members = (nodes[nodes >= arrays.num_queries] - arrays.num_queries).tolist()
        total = sum((kept[item] for item in members), nothing) / len(nodes)
        for item in members:
            if arrays.item_ids[item] not in had_session:
                items[item] += total
    return directions(queries), directions(items)


def _new_clicks(arrays: GraphArrays, since: GraphArrays) -> dict[str, dict[str, int]]:
    """Return how many more sessions clicked each item for each query."""
    before, after = _edges(since), _edges(arrays)
    clicks: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for (query, item), sessions in after.items():
        if (more := sessions - before.get((query, item), 0)) > 0:
            clicks[query][item] = more
    return clicks


def _edges(arrays: GraphArrays) -> dict[tuple[str, str], int]:
    columns = (arrays.edge_query.tolist(), arrays.edge_item.tolist(), arrays.edge_sessions.tolist())
    return {
        (arrays.query_texts[query], arrays.item_ids[item]): sessions
        for query, item, sessions in zip(*columns, strict=True)
    }


def untrained(arrays: GraphArrays, settings: ModelSettings) -> TrainedModel:
    """Return a model with random text towers, no id vectors, and channels that count
    alike, but for one of items; nothing is held out.
    """
    torch.manual_seed(settings.seed)
    data = build_training_set(arrays, settings)
    network = DualChannelNetwork(data.texts, settings, arrays.num_queries, arrays.num_items, CPU)
    network.attention_of("item").set_share("hypergraph", 0.3)
    keeper = LayerKeeper()
    with torch.no_grad():
        nodes = network(Graph(data.whole, CPU).reach_all(), keeper.keep)
    query_vectors, item_vectors = nodes.query.numpy(), nodes.item.numpy()
    nothing = np.zeros(0, dtype=np.int64)
    return TrainedModel(
        query_vectors=query_vectors,
        item_vectors=item_vectors,
        query_attention=nodes.query_attention.numpy(),
        item_attention=nodes.item_attention.numpy(),
        encoder=export_encoder(network, data.texts, settings.num_buckets),
        warm=export_warm_start(network, arrays.num_queries),
        states=keeper.states(),
        held_out=HoldoutEdges(
            query=nothing,
            item=nothing,
            first_ms=nothing,
            query_vectors=query_vectors,
            item_vectors=item_vectors,
            begin_ms=int(np.iinfo(np.int64).max),
        ),
        evaluation={},
        parent="",
        settings=settings,
    )


def _named(texts: Iterable[str]) -> KeyedTexts:
    ordered = sorted(texts)
    return KeyedTexts(np.array([text_key(text) for text in ordered], dtype=np.uint64), ordered)


def _pairs(events: Iterable[Interaction]) -> Mapping[tuple[str, str], set[str]]:
    """Return the distinct sessions of each edge."""
    sessions: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for event in events:
        if event.query and event.action != Action.VIEW:
            sessions[event.query, event.item_id].add(event.session_id)
    return sessions


def _hyperedges(events: Iterable[Interaction]) -> dict[str, tuple[set[str], set[str]]]:
    """Return the items and the queries of each session's hyperedge."""
    first_ms: defaultdict[str, dict[str, int]] = defaultdict(dict)
    queries: defaultdict[str, set[str]] = defaultdict(set)
    for event in events:
        items = first_ms[event.session_id]
        items[event.item_id] = min(event.ts_ms, items.get(event.item_id, event.ts_ms))
        if event.query and event.action != Action.VIEW:
            queries[event.session_id].add(event.query)
    return {
        session: (_earliest(items), queries[session])
        for session, items in first_ms.items()
        if len(items) >= MIN_HYPEREDGE_ITEMS
    }


def _earliest(first_ms: Mapping[str, int]) -> set[str]:
    by_time = sorted(first_ms, key=lambda item: (first_ms[item], item))
    return set(by_time[:MAX_HYPEREDGE_ITEMS])


def _sessions(
    before: Mapping[str, tuple[set[str], set[str]]], after: Mapping[str, tuple[set[str], set[str]]]
) -> SessionChanges:
    nobody: tuple[set[str], set[str]] = (set(), set())
    changed = [
        session
        for session in sorted(before.keys() | after.keys())
        if before.get(session, nobody) != after.get(session, nobody)
    ]
    rows: list[tuple[int, bool, bool, bool]] = []
    starts = [0]
    for session in changed:
        old, new = before.get(session, nobody), after.get(session, nobody)
        for kind, is_query in ((0, False), (1, True)):
            rows += [
                (text_key(name), is_query, name in old[kind], name in new[kind])
                for name in sorted(old[kind] | new[kind])
            ]
        starts.append(len(rows))
    columns = list(zip(*rows, strict=True)) or [(), (), (), ()]
    return SessionChanges(
        starts=np.array(starts, dtype=np.int64),
        is_partial=np.zeros(len(changed), dtype=np.bool_),
        member=np.array(columns[0], dtype=np.uint64),
        is_query=np.array(columns[1], dtype=np.bool_),
        was_in=np.array(columns[2], dtype=np.bool_),
        is_in=np.array(columns[3], dtype=np.bool_),
    )
