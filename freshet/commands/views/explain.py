"""`freshet explain`: why an item answers a query, as the live generation has it."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from numpy.typing import NDArray

from freshet.process import CommandError
from freshet.stores.artifacts import current_generation
from freshet.terminal import options
from freshet.terminal.output import printable, table
from model.artifact.channels import CHANNELS, TEXT
from model.artifact.generation import Generation
from model.artifact.paths import (
    AnyPath,
    ClickPath,
    ItemSessionPath,
    OtherQueryPath,
    strongest_paths,
)
from protos.text import normalize_query


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Why an item answers a query.

    Attributes:
        query: the normalised text.
        is_known: the query is in the graph; otherwise its text alone answers.
        item: dense index of the item.
        score: cosine of the two vectors, by which the index ranks.
        query_attention: the weight of each of the generation's channels in the query's
            vector.
        item_attention: the same for the item's.
        paths: what links them, strongest first; None: the generation does not have the
            graph.
    """

    query: str
    is_known: bool
    item: int
    score: float
    query_attention: tuple[float, ...]
    item_attention: tuple[float, ...]
    paths: list[AnyPath] | None


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
    clicks and sessions between the two, all from the current generation. A path's
    strength is its share of what the network's channels carry between the two, before
    training weighs the channels.

    \b
    freshet explain --artifacts artifacts "red shoes" shoe-17
    """  # noqa: D301  # click takes the backspace itself for "do not wrap"
    generation = current_generation(artifacts)
    explanation = explain_hit(generation, query, item_id, limit)
    if as_json:
        click.echo(json.dumps(_as_json(generation, explanation), ensure_ascii=False))
        return
    for line in _lines(generation, explanation):
        click.echo(line)


def explain_hit(generation: Generation, text: str, item_id: str, limit: int) -> Explanation:
    """Return why an item answers a query, with at most `limit` paths.

    Raises:
        CommandError: the query has nothing to search for, or the generation does not
            have the item.
    """
    query = normalize_query(text)
    if not query:
        raise CommandError(
            "the query has no letter, digit or symbol; give the text that was searched for"
        )
    item = generation.find_item(item_id)
    if item is None:
        raise CommandError(
            f"generation {generation.id} has no item {item_id!r}; "
            "give an id of the catalogue or the events that is not deleted"
        )
    row = generation.find_query(query)
    vector, attention = _query_side(generation, query, row)
    return Explanation(
        query=query,
        is_known=row is not None,
        item=item,
        score=float(vector @ generation.item_vectors[item]),
        query_attention=attention,
        item_attention=tuple(generation.channel_attention_items[item].tolist()),
        paths=_paths(generation, row, item, limit),
    )


def _query_side(
    generation: Generation, query: str, row: int | None
) -> tuple[NDArray[np.float32], tuple[float, ...]]:
    """Return a query's vector and its attention, of the graph's or of
    the text alone.
    """
    if row is None:
        text_alone = tuple(float(name == TEXT) for name in generation.channels)
        return generation.text_encoder().encode(query), text_alone
    return generation.query_vectors[row], tuple(generation.channel_attention_queries[row].tolist())


def _paths(generation: Generation, row: int | None, item: int, limit: int) -> list[AnyPath] | None:
    if row is None:
        return []
    return None if generation.paths is None else strongest_paths(generation.paths, row, item, limit)


def _as_json(generation: Generation, explanation: Explanation) -> dict[str, object]:
    paths = explanation.paths
    return {
        "generation": generation.id,
        "query": explanation.query,
        "query_known": explanation.is_known,
        "item_id": generation.item_ids[explanation.item],
        "title": generation.item_titles[explanation.item],
        "shown": bool(generation.item_shown[explanation.item]),
        "score": explanation.score,
        "query_attention": dict(zip(generation.channels, explanation.query_attention, strict=True)),
        "item_attention": dict(zip(generation.channels, explanation.item_attention, strict=True)),
        "paths": None if paths is None else [_path_as_json(generation, path) for path in paths],
    }


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
    hidden = (
        "" if generation.item_shown[explanation.item] else ", which is unavailable and not shown"
    )
    weights = [
        ("attention of the query", *map("{:.3f}".format, explanation.query_attention)),
        ("attention of the item", *map("{:.3f}".format, explanation.item_attention)),
    ]
    return [
        printable(f"'{explanation.query}' finds {_named(generation, explanation.item)}{hidden}"),
        f"score {explanation.score:.3f}, generation {generation.id}\n",
        table(("", *generation.channels), weights) + "\n",
        *_channel_lines(generation),
        *_path_lines(generation, explanation),
    ]


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
