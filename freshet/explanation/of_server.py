"""Explains a hit as a running server does."""

from freshet.explanation.told import Link, TitledItem, Told, ToldPath
from freshet_client import (
    Evidence,
    ExplainedPath,
    Explanation,
    ItemState,
    PathKind,
    QueryPath,
    RetrievalClient,
    VectorSource,
)

# What the server takes: the most paths of one answer.
MOST_PATHS = 100


def ask_server(client: RetrievalClient, query: str, item_id: str, limit: int) -> Told:
    """Return why an item is in a server's answers, with at most `limit` paths.

    Raises:
        ClientError: the server gives no answer, or has no such item.
    """
    why = client.explain(query, item_id, max_paths=min(limit, MOST_PATHS))
    return told_by(why)


def told_by(why: Explanation) -> Told:
    """Return what a server's explanation tells."""
    receipt = why.receipt
    return Told(
        generation=receipt.generation,
        overlay=receipt.overlay_sequence,
        query=why.normalized_query,
        is_known=why.query_path is not QueryPath.ENCODED,
        item=TitledItem(item_id=why.item_id, title=why.title),
        is_shown=why.item_state is ItemState.SHOWN,
        is_gone=why.item_state is ItemState.GONE,
        score=why.score,
        channels={each.channel: each.propagates for each in why.channels},
        query_attention=_shares([each.query for each in why.channels]),
        item_attention=_shares([each.item for each in why.channels]),
        paths=None if why.evidence is Evidence.NOT_STORED else [_told(path) for path in why.paths],
        query_is_fresh=why.query_path is QueryPath.FRESH,
        item_is_fresh=why.item_source is VectorSource.OVERLAY,
        newer_clicks={each.item_id: each.num_sessions for each in why.newer_clicks},
        item_newer_sessions=why.item_newer_sessions,
    )


def _shares(values: list[float | None]) -> tuple[float, ...] | None:
    """Return the shares of one side; None: it is newer than the generation."""
    known = [value for value in values if value is not None]
    return tuple(known) if len(known) == len(values) else None


def _told(path: ExplainedPath) -> ToldPath:
    kinds = {PathKind.CLICK: Link.CLICK, PathKind.OTHER_QUERY: Link.OTHER_QUERY}
    in_sessions = Link.ITEM_SESSION if path.via_item_id else Link.QUERY_SESSION
    return ToldPath(
        kind=kinds.get(path.kind, in_sessions),
        strength=path.strength,
        sessions=path.num_sessions,
        is_complete=not path.is_lower_bound,
        via=TitledItem(item_id=path.via_item_id),
        other_query=path.other_query,
    )
