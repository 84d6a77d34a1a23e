"""`freshet explain`: why an item answers a query, as generation and overlay have it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from freshet.process import CommandError
from freshet.stores.artifacts import current_generation
from freshet.stores.overlays import CurrentOverlay, current_overlay
from freshet.terminal import options
from freshet.terminal.output import printable, table
from model.artifact.channels import CHANNELS, TEXT
from model.artifact.generation import Generation
from model.artifact.overlay.segment import OverlayRows
from model.artifact.paths import (
    AnyPath,
    ClickPath,
    ItemSessionPath,
    OtherQueryPath,
    strongest_paths,
)
from protos.text import normalize_query, text_key


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why an item answers a query.

    Attributes:
        query: the normalised text.
        is_known: the query is in the graph; otherwise its text alone answers.
        item_id: id of the item.
        title: its title; may be empty.
        is_shown: whether answers may have it.
        score: cosine of the two vectors, by which the index ranks.
        query_attention: the weight of each of the generation's channels in the query's
            vector; None: the query is newer than the generation.
        item_attention: the same for the item's.
        paths: what links them in the generation's graph, strongest first; None: the
            generation does not have the graph.
        overlay: the newest segment of the overlay; 0: there is none.
        query_is_fresh: whether the query's vector is the overlay's.
        item_is_fresh: whether the item's is.
        is_gone: whether the item was deleted since.
    """

    query: str
    is_known: bool
    item_id: str
    title: str
    is_shown: bool
    score: float
    query_attention: tuple[float, ...] | None
    item_attention: tuple[float, ...] | None
    paths: list[AnyPath] | None
    overlay: int
    query_is_fresh: bool
    item_is_fresh: bool
    is_gone: bool


@click.command()
@click.argument("query")
@click.argument("item_id")
@options.artifacts_option
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=10,
    show_default=True,
    help="Number of paths, strongest first.",
)
@options.json_option
def explain(*, query: str, item_id: str, artifacts: Path, limit: int, as_json: bool) -> None:
    """Explain why an item answers a query.

    It shows their score, the attention between channels, and the strongest paths of
    clicks and sessions between the two. The score is of the vectors that a server
    answers with, those of the overlay where it has some; attention and paths are of the
    current generation. A path's strength is its share of what the network's channels
    carry between the two, before training weighs the channels.

    \b
    freshet explain --artifacts artifacts "red shoes" shoe-17
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    generation = current_generation(artifacts)
    overlay = current_overlay(artifacts, generation)
    explanation = explain_hit(generation, overlay, query, item_id, limit)
    if as_json:
        click.echo(json.dumps(_as_json(generation, explanation), ensure_ascii=False))
        return
    for line in _lines(generation, explanation):
        click.echo(line)


def explain_hit(
    generation: Generation, overlay: CurrentOverlay, text: str, item_id: str, limit: int
) -> Explanation:
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
    return Explanation(
        query=query,
        is_known=row is not None or fresh_query is not None,
        item_id=item_id,
        title=title,
        is_shown=is_shown and not is_gone,
        score=float(query_vector @ item_vector),
        query_attention=query_attention,
        item_attention=attention,
        paths=[] if item is None else _paths(generation, row, item, limit),
        overlay=overlay.sequence,
        query_is_fresh=fresh_query is not None,
        item_is_fresh=fresh_item is not None,
        is_gone=is_gone,
    )


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


def _paths(generation: Generation, row: int | None, item: int, limit: int) -> list[AnyPath] | None:
    if row is None:
        return []
    return None if generation.paths is None else strongest_paths(generation.paths, row, item, limit)


def _as_json(generation: Generation, explanation: Explanation) -> dict[str, object]:
    paths = explanation.paths
    return {
        "generation": generation.id,
        "overlay": explanation.overlay,
        "query": explanation.query,
        "query_known": explanation.is_known,
        "query_from_overlay": explanation.query_is_fresh,
        "item_id": explanation.item_id,
        "item_from_overlay": explanation.item_is_fresh,
        "title": explanation.title,
        "shown": explanation.is_shown,
        "gone": explanation.is_gone,
        "score": explanation.score,
        "query_attention": _by_channel(generation, explanation.query_attention),
        "item_attention": _by_channel(generation, explanation.item_attention),
        "paths": None if paths is None else [_path_as_json(generation, path) for path in paths],
    }


def _by_channel(
    generation: Generation, weights: tuple[float, ...] | None
) -> dict[str, float] | None:
    return None if weights is None else dict(zip(generation.channels, weights, strict=True))


def _path_as_json(generation: Generation, path: AnyPath) -> dict[str, object]:
    if isinstance(path, ClickPath):
        return {"kind": "click", "strength": path.strength, "sessions": path.num_sessions}
    if isinstance(path, OtherQueryPath):
        return {
            "kind": "other-query",
            "strength": path.strength,
            "via_item": generation.item_ids[path.via],
            "other_query": generation.query_texts[path.other],
        }
    via = {"via_item": generation.item_ids[path.via]} if isinstance(path, ItemSessionPath) else {}
    return {
        "kind": "item-session" if via else "query-session",
        "strength": path.strength,
        **via,
        "sessions": len(path.hyperedges),
        "sessions_complete": path.is_complete,
        "hyperedges": list(path.hyperedges),
    }


def _lines(generation: Generation, explanation: Explanation) -> list[str]:
    named = f"'{explanation.title}' ({explanation.item_id})"
    item = named if explanation.title else explanation.item_id
    hidden = "" if explanation.is_shown else ", which is unavailable and not shown"
    if explanation.is_gone:
        hidden = ", which was deleted since and is in no answer"
    sides = (
        ("attention of the query", explanation.query_attention),
        ("attention of the item", explanation.item_attention),
    )
    weights = [(name, *map("{:.3f}".format, side)) for name, side in sides if side is not None]
    return [
        printable(f"'{explanation.query}' finds {item}{hidden}"),
        f"score {explanation.score:.3f}, generation {generation.id}{_sources(explanation)}\n",
        table(("", *generation.channels), weights) + "\n",
        *_channel_lines(generation),
        *_path_lines(generation, explanation),
    ]


def _sources(explanation: Explanation) -> str:
    """Return which vectors are newer than the generation, as the end of a line."""
    fresh = [
        name
        for name, is_fresh in (
            ("query", explanation.query_is_fresh),
            ("item", explanation.item_is_fresh),
        )
        if is_fresh
    ]
    if not fresh:
        return ""
    return f", vector of the {' and the '.join(fresh)} from overlay segment {explanation.overlay}"


def _channel_lines(generation: Generation) -> list[str]:
    """Return a table of what each channel propagates, for the channels that this
    version knows.
    """
    known = [channel for channel in CHANNELS if channel.name in generation.channels]
    rows = [(channel.name, channel.explains) for channel in known]
    return [table(("channel", "what it propagates"), rows) + "\n"]


def _path_lines(generation: Generation, explanation: Explanation) -> Sequence[str]:
    if not explanation.is_known:
        return ["no event had this query: its text alone answers"]
    if explanation.query_attention is None or explanation.item_attention is None:
        return ["newer than the generation: the next one has the paths between the two"]
    if explanation.paths is None:
        why = "the generation has no paths: an earlier version wrote it"
        return [f"{why}; the next `freshet train` adds them"]
    if not explanation.paths:
        return ["no click and no session links the two: text and more distant neighbours do"]
    rows = [
        (f"{path.strength:.2g}", _in_words(generation, path, explanation.query))
        for path in explanation.paths
    ]
    return [table(("strength", "path"), rows)]


def _in_words(generation: Generation, path: AnyPath, query: str) -> str:
    if isinstance(path, ClickPath):
        return f"{_sessions(path.num_sessions)} that searched '{query}' clicked it"
    if isinstance(path, OtherQueryPath):
        other, via = generation.query_texts[path.other], _named(generation, path.via)
        return f"'{other}' leads to it, too, and both queries lead to {via}"
    count = _sessions(len(path.hyperedges))
    if not path.is_complete:
        count = f"at least {count}"
    if isinstance(path, ItemSessionPath):
        return f"clicked for it: {_named(generation, path.via)}, seen together in {count}"
    return f"it was seen in {count} that searched '{query}'"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"


def _named(generation: Generation, item: int) -> str:
    title, item_id = generation.item_titles[item], generation.item_ids[item]
    return f"'{title}' ({item_id})" if title else item_id
