"""Pure: why an item answers a query, as generation and overlay tell."""

import sys
from dataclasses import dataclass

import numpy as np

from model.artifact.channels import CHANNELS, TEXT
from model.artifact.overlay.encoding import read_clicks
from model.artifact.paths import (
    AnyPath,
    ClickPath,
    ItemSessionPath,
    OtherQueryPath,
    QuerySessionPath,
    strongest_paths,
)
from protos import retrieval_v1_pb2 as retrieval_pb
from protos.text import text_key
from server.errors import ItemUnknown, QueryRefused
from server.methods.similar import check_item_id, source_of, unknown_item
from server.overlay.view import LiveView
from server.retrieve import QueryPath, parse_request, query_vector
from server.settings import ServerSettings
from stream.dtypes import Float32s

# Paths of an answer that does not say how many: a screenful. Twice as many are weaker.
_DEFAULT_PATHS = 10
# At most, some 100 bytes each. Twice as many: hardly any pair has them.
_MOST_PATHS = 100

_EXPLAINED = {channel.name: channel.explains for channel in CHANNELS}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainQuery:
    """A valid request.

    Attributes:
        query: normalised, not empty.
        item_id: as the catalogue has it.
        max_paths: at least 1.
    """

    query: str
    item_id: str
    max_paths: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an item answers a query: what a message of it has, but for the receipt.

    Attributes:
        path: where the query's vector came from.
        message: the rest, in the words of the contract.
    """

    path: QueryPath
    message: retrieval_pb.ExplainResponse


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ends:
    """Where query and item are in the generation; None: it does not have them."""

    query: int | None
    item: int | None


def parse_explain(
    query: str, item_id: str, max_paths: int, settings: ServerSettings
) -> ExplainQuery:
    """Check a request against the limits.

    Raises:
        QueryRefused: the query, the id or `max_paths` is outside them.
    """
    check_item_id(item_id, settings)
    if max_paths > _MOST_PATHS:
        raise QueryRefused(
            f"max_paths is {max_paths}; it must be from 1 to {_MOST_PATHS}, or 0 for "
            f"{_DEFAULT_PATHS}",
            request_field="max_paths",
        )
    return ExplainQuery(
        query=parse_request(query, 0, settings).query,
        item_id=item_id,
        max_paths=max_paths or _DEFAULT_PATHS,
    )


def explain(view: LiveView, query: ExplainQuery) -> Explanation:
    """Return why an item answers a query.

    What was erased or deleted since the generation is in no path.

    Raises:
        ItemUnknown: neither generation nor overlay has the item.
    """
    generation, overlay = view.live.generation, view.overlay
    path, vector = query_vector(view, query.query)
    ends = _Ends(query=_known_row(view, query.query), item=generation.find_item(query.item_id))
    fresh_row = overlay.items.get(query.item_id)
    if ends.item is None and fresh_row is None:
        raise ItemUnknown(unknown_item(view, query.item_id))
    item_vector, title, is_shown = _item_side(view, ends.item, fresh_row)
    is_gone = query.item_id in overlay.gone_ids
    state = retrieval_pb.ITEM_STATE_SHOWN if is_shown else retrieval_pb.ITEM_STATE_UNAVAILABLE
    newer = _newer_clicks(view, query.query, query.item_id)
    evidence, paths = _evidence(view, path, ends, query.max_paths)
    if evidence == retrieval_pb.EVIDENCE_NO_LINK and query.item_id in newer:
        evidence = retrieval_pb.EVIDENCE_NEWER
    message = retrieval_pb.ExplainResponse(
        normalized_query=query.query,
        item_id=query.item_id,
        title=title,
        score=float(np.clip(vector @ item_vector, -1.0, 1.0)),
        item_source=source_of(view, query.item_id),
        item_state=retrieval_pb.ITEM_STATE_GONE if is_gone else state,
        channels=_channels(view, path, ends),
        evidence=evidence,
        paths=[_path_message(view, each) for each in paths],
        newer_clicks=[
            retrieval_pb.NewerClicks(item_id=item_id, num_sessions=sessions)
            for item_id, sessions in newer.items()
        ],
        item_newer_sessions=0 if fresh_row is None else overlay.rows.item_sessions[fresh_row],
    )
    return Explanation(path=path, message=message)


def _newer_clicks(view: LiveView, query: str, asked: str) -> dict[str, int]:
    """Return what was clicked for a query since the generation, sessions by item, most
    first: of what is gone only the item that is asked for.
    """
    overlay = view.overlay
    clicks = read_clicks(overlay.queries.clicks(query))
    return {
        item: sessions
        for item, sessions in clicks.items()
        if item == asked or item not in overlay.gone_ids
    }


def _known_row(view: LiveView, query: str) -> int | None:
    """Return a query's row in the generation; None: it has none, or it was erased."""
    row = view.live.generation.find_query(query)
    return None if row is None or text_key(query) in view.overlay.gone_queries else row


def _item_side(
    view: LiveView, item: int | None, fresh_row: int | None
) -> tuple[Float32s, str, bool]:
    """Return an item's vector, title, and whether it is available."""
    if fresh_row is not None:
        rows = view.overlay.rows
        return (
            rows.item_vectors[fresh_row],
            rows.item_titles[fresh_row],
            bool(rows.item_shown[fresh_row]),
        )
    generation, row = view.live.generation, 0 if item is None else item  # one of the two has it
    return (
        np.asarray(generation.item_vectors[row]),
        generation.item_titles[row],
        bool(generation.item_shown[row]),
    )


def _channels(view: LiveView, path: QueryPath, ends: _Ends) -> list[retrieval_pb.ChannelAttention]:
    """Return the shares of the generation's channels on both sides; an unseen query is
    all text.
    """
    generation = view.live.generation
    names = generation.channels
    query: list[float] | None = None
    if ends.query is not None:
        query = generation.channel_attention_queries[ends.query].tolist()
    elif path is QueryPath.ENCODED:
        query = [float(name == TEXT) for name in names]
    item = None if ends.item is None else generation.channel_attention_items[ends.item].tolist()
    return [
        retrieval_pb.ChannelAttention(
            channel=name,
            propagates=_EXPLAINED.get(name, ""),
            query=None if query is None else query[at],
            item=None if item is None else item[at],
        )
        for at, name in enumerate(names)
    ]


def _evidence(
    view: LiveView, path: QueryPath, ends: _Ends, limit: int
) -> tuple[retrieval_pb.Evidence, list[AnyPath]]:
    """Return what links query and item in the generation's graph, strongest first."""
    if path is QueryPath.ENCODED:
        return retrieval_pb.EVIDENCE_QUERY_UNKNOWN, []
    if ends.query is None or ends.item is None:
        return retrieval_pb.EVIDENCE_NEWER, []
    graph = view.live.generation.paths
    if graph is None:
        return retrieval_pb.EVIDENCE_NOT_STORED, []
    # All within its bounds are found anyway; cut once what was withdrawn is out.
    found = strongest_paths(graph, ends.query, ends.item, limit=sys.maxsize)
    paths = [each for each in found if not _is_withdrawn(view, each)][:limit]
    return (retrieval_pb.EVIDENCE_PATHS if paths else retrieval_pb.EVIDENCE_NO_LINK), paths


def _is_withdrawn(view: LiveView, path: AnyPath) -> bool:
    """Whether a path leads through what was erased or deleted since."""
    generation, overlay = view.live.generation, view.overlay
    if isinstance(path, OtherQueryPath) and overlay.gone_queries:
        other = generation.query_texts[path.other]
        if text_key(other) in overlay.gone_queries:
            return True
    if isinstance(path, OtherQueryPath | ItemSessionPath):
        return bool(overlay.gone_ids) and generation.item_ids[path.via] in overlay.gone_ids
    return False


def _path_message(view: LiveView, path: AnyPath) -> retrieval_pb.Path:
    generation = view.live.generation
    if isinstance(path, ClickPath):
        click = retrieval_pb.ClickPath(num_sessions=path.num_sessions)
        return retrieval_pb.Path(strength=path.strength, click=click)
    if isinstance(path, OtherQueryPath):
        other = retrieval_pb.OtherQueryPath(
            via_item_id=generation.item_ids[path.via], query=generation.query_texts[path.other]
        )
        return retrieval_pb.Path(strength=path.strength, other_query=other)
    return retrieval_pb.Path(strength=path.strength, session=_session_path(view, path))


def _session_path(
    view: LiveView, path: QuerySessionPath | ItemSessionPath
) -> retrieval_pb.SessionPath:
    via = path.via if isinstance(path, ItemSessionPath) else None
    return retrieval_pb.SessionPath(
        via_item_id="" if via is None else view.live.generation.item_ids[via],
        num_sessions=len(path.hyperedges),
        is_lower_bound=not path.is_complete,
    )
