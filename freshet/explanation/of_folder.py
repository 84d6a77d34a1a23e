"""Explains a hit from the files of a generation and its overlay."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from freshet.explanation.told import Link, TitledItem, Told, ToldPath
from freshet.process import CommandError
from freshet.stores.overlays import CurrentOverlay
from model.artifact.channels import CHANNELS, TEXT
from model.artifact.generation import Generation
from model.artifact.overlay.encoding import read_clicks
from model.artifact.overlay.segment import OverlayRows
from model.artifact.paths import (
    AnyPath,
    ClickPath,
    ItemSessionPath,
    OtherQueryPath,
    strongest_paths,
)
from protos.text import normalize_query, text_key

_EXPLAINED = {channel.name: channel.explains for channel in CHANNELS}


def explain_hit(
    generation: Generation, overlay: CurrentOverlay, text: str, item_id: str, limit: int
) -> Told:
    """Return why an item answers a query, with at most `limit` paths.

    Raises:
        CommandError: the query has nothing to search for, or neither generation nor
            overlay has the item.
    """
    query = normalize_query(text)
    if not query:
        raise CommandError(
            "the query has no letter, digit or symbol; give the text that was searched for"
        )
    item, row = generation.find_item(item_id), generation.find_query(query)
    if text_key(query) in overlay.rows.gone_queries:
        row = None
    fresh_item = _place(overlay.rows.item_ids, item_id)
    fresh_query = _place(overlay.rows.query_texts, query)
    if item is None and fresh_item is None:
        raise CommandError(
            f"generation {generation.id} has no item {item_id!r}, nor has its overlay; "
            "give an id of the catalogue or the events that is not deleted"
        )
    query_vector, query_attention = _query_side(generation, query, row)
    if fresh_query is not None:
        query_vector = overlay.rows.query_vectors[fresh_query]
        query_attention = None if row is None else query_attention
    item_vector, title, is_shown = _item_side(generation, item, overlay.rows, fresh_item)
    attention = None if item is None else tuple(generation.channel_attention_items[item].tolist())
    is_gone = item_id in overlay.gone
    return Told(
        generation=generation.id,
        overlay=overlay.sequence,
        query=query,
        is_known=row is not None or fresh_query is not None,
        item=TitledItem(item_id=item_id, title=title),
        is_shown=is_shown and not is_gone,
        is_gone=is_gone,
        score=float(query_vector @ item_vector),
        channels={name: _EXPLAINED.get(name, "") for name in generation.channels},
        query_attention=query_attention,
        item_attention=attention,
        paths=[] if item is None else _paths(generation, row, item, limit),
        query_is_fresh=fresh_query is not None,
        item_is_fresh=fresh_item is not None,
        newer_clicks=_newer_clicks(overlay, fresh_query, item_id),
        item_newer_sessions=(
            0 if fresh_item is None else int(overlay.rows.item_sessions[fresh_item])
        ),
    )


def _newer_clicks(overlay: CurrentOverlay, fresh_query: int | None, asked: str) -> dict[str, int]:
    if fresh_query is None:
        return {}
    clicks = read_clicks(overlay.rows.query_clicks[fresh_query])
    return {
        item: sessions
        for item, sessions in clicks.items()
        if item == asked or item not in overlay.gone
    }


def _query_side(
    generation: Generation, query: str, row: int | None
) -> tuple[NDArray[np.float32], tuple[float, ...] | None]:
    """Return a query's vector and its attention, of the generation's or of the text
    alone.
    """
    if row is None:
        text_alone = tuple(float(name == TEXT) for name in generation.channels)
        return generation.text_encoder().encode(query), text_alone
    return generation.query_vectors[row], tuple(generation.channel_attention_queries[row].tolist())


def _item_side(
    generation: Generation, item: int | None, rows: OverlayRows, fresh_item: int | None
) -> tuple[NDArray[np.float32], str, bool]:
    """Return an item's vector, title, and whether answers may have it."""
    if fresh_item is not None:
        is_shown = bool(rows.item_shown[fresh_item])
        return rows.item_vectors[fresh_item], rows.item_titles[fresh_item], is_shown
    row = 0 if item is None else item  # one of the two has it
    return (
        generation.item_vectors[row],
        generation.item_titles[row],
        bool(generation.item_shown[row]),
    )


def _place(names: Sequence[str], name: str) -> int | None:
    return names.index(name) if name in names else None


def _paths(generation: Generation, row: int | None, item: int, limit: int) -> list[ToldPath] | None:
    if row is None:
        return []
    if generation.paths is None:
        return None
    return [_told(generation, path) for path in strongest_paths(generation.paths, row, item, limit)]


def _told(generation: Generation, path: AnyPath) -> ToldPath:
    if isinstance(path, ClickPath):
        return ToldPath(kind=Link.CLICK, strength=path.strength, sessions=path.num_sessions)
    if isinstance(path, OtherQueryPath):
        return ToldPath(
            kind=Link.OTHER_QUERY,
            strength=path.strength,
            via=_titled(generation, path.via),
            other_query=generation.query_texts[path.other],
        )
    through = isinstance(path, ItemSessionPath)
    return ToldPath(
        kind=Link.ITEM_SESSION if through else Link.QUERY_SESSION,
        strength=path.strength,
        sessions=len(path.hyperedges),
        is_complete=path.is_complete,
        via=_titled(generation, path.via) if isinstance(path, ItemSessionPath) else TitledItem(),
        hyperedges=tuple(path.hyperedges),
    )


def _titled(generation: Generation, item: int) -> TitledItem:
    return TitledItem(item_id=generation.item_ids[item], title=generation.item_titles[item])
