"""An explanation as lines for people, and as an object for scripts."""

from freshet.explanation.told import Link, TitledItem, Told, ToldPath
from freshet.logs.printable import printable
from freshet.terminal.output import shortened, table


def document(told: Told) -> dict[str, object]:
    """Return an explanation as a JSON object."""
    return {
        "generation": told.generation,
        "overlay": told.overlay,
        "query": told.query,
        "query_known": told.is_known,
        "query_from_overlay": told.query_is_fresh,
        "item_id": told.item.item_id,
        "item_from_overlay": told.item_is_fresh,
        "title": told.item.title,
        "shown": told.is_shown,
        "gone": told.is_gone,
        "score": told.score,
        "query_attention": _by_channel(told, told.query_attention),
        "item_attention": _by_channel(told, told.item_attention),
        "newer_clicks": dict(told.newer_clicks),
        "item_newer_sessions": told.item_newer_sessions,
        "paths": None if told.paths is None else [_path_document(path) for path in told.paths],
    }


def lines(told: Told) -> list[str]:
    """Return an explanation as paragraphs to print."""
    hidden = "" if told.is_shown else ", which is unavailable and not shown"
    if told.is_gone:
        hidden = ", which was deleted since and is in no answer"
    sides = (
        ("attention of the query", told.query_attention),
        ("attention of the item", told.item_attention),
    )
    weights = [(name, *map("{:.3f}".format, side)) for name, side in sides if side is not None]
    known = [(name, explains) for name, explains in told.channels.items() if explains]
    return [
        printable(f"'{told.query}' finds {_named(told.item)}{hidden}"),
        f"score {told.score:.3f}, generation {told.generation}{_sources(told)}\n",
        *_newer_lines(told),
        table(("", *told.channels), weights) + "\n",
        table(("channel", "what it propagates"), known) + "\n",
        *_path_lines(told),
    ]


def _by_channel(told: Told, weights: tuple[float, ...] | None) -> dict[str, float] | None:
    return None if weights is None else dict(zip(told.channels, weights, strict=True))


def _path_document(path: ToldPath) -> dict[str, object]:
    shown: dict[str, object] = {"kind": str(path.kind), "strength": path.strength}
    if path.via.item_id:
        shown["via_item"] = path.via.item_id
    if path.kind is Link.OTHER_QUERY:
        return {**shown, "other_query": path.other_query}
    shown["sessions"] = path.sessions
    if path.kind is not Link.CLICK:
        shown["sessions_complete"] = path.is_complete
    if path.hyperedges is not None:
        shown["hyperedges"] = list(path.hyperedges)
    return shown


def _sources(told: Told) -> str:
    """Return which vectors are newer than the generation, as the end of a line."""
    fresh = [
        name
        for name, is_fresh in (("query", told.query_is_fresh), ("item", told.item_is_fresh))
        if is_fresh
    ]
    if not fresh:
        return ""
    return f", vector of the {' and the '.join(fresh)} from overlay segment {told.overlay}"


def _newer_lines(told: Told) -> list[str]:
    """Return what has come since the generation and is in the score, by the overlay."""
    said: list[str] = []
    own = told.newer_clicks.get(told.item.item_id, 0)
    others = [
        f"{item} ({count:,})"
        for item, count in told.newer_clicks.items()
        if item != told.item.item_id
    ]
    if own:
        said.append(f"{_sessions(own)} that searched '{told.query}' clicked it")
    if others:
        verb = "the query moved towards others" if own else "the query moved towards others, not it"
        said.append(f"{verb} that were clicked for it, by sessions: {', '.join(others)}")
    if told.item_newer_sessions:
        said.append(f"{_sessions(told.item_newer_sessions)} had it beside others")
    if not said:
        return []
    head = "since the generation, in the score by the overlay and in no path below:"
    return [printable(line) for line in (head, *(f"  {each}" for each in said))] + [""]


def _path_lines(told: Told) -> list[str]:
    if not told.is_known:
        return ["no event had this query: its text alone answers"]
    if told.query_attention is None or told.item_attention is None:
        return ["newer than the generation: the next one has the paths between the two"]
    if told.paths is None:
        why = "the generation has no paths: an earlier version wrote it"
        return [f"{why}; the next `freshet train` adds them"]
    if not told.paths:
        if told.item.item_id in told.newer_clicks:
            then = "it is deleted" if told.is_gone else "the next one has the paths"
            return [f"first clicked since the generation: {then}"]
        return ["no click and no session links the two: text and more distant neighbours do"]
    rows = [(f"{path.strength:.2g}", _in_words(path, told.query)) for path in told.paths]
    return [table(("strength", "path"), rows)]


def _in_words(path: ToldPath, query: str) -> str:
    count = _sessions(path.sessions)
    if not path.is_complete:
        count = f"at least {count}"
    if path.kind is Link.CLICK:
        return f"{count} that searched '{query}' clicked it"
    if path.kind is Link.OTHER_QUERY:
        return f"'{path.other_query}' leads to it, too, and both queries lead to {_named(path.via)}"
    if path.kind is Link.ITEM_SESSION:
        return f"clicked for it: {_named(path.via)}, seen together in {count}"
    return f"it was seen in {count} that searched '{query}'"


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count:,} sessions"


def _named(item: TitledItem) -> str:
    return f"'{shortened(item.title)}' ({item.item_id})" if item.title else item.item_id
