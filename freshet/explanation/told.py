"""What is told of why an item answers a query, by names alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Link(StrEnum):
    """How a path leads from a query to an item."""

    CLICK = "click"
    OTHER_QUERY = "other-query"
    ITEM_SESSION = "item-session"
    QUERY_SESSION = "query-session"


@dataclass(frozen=True, kw_only=True)
class TitledItem:
    """An item as people know it.

    Attributes:
        item_id: its id; empty: there is no item.
        title: its title; empty: it has none, or it is not known here.
    """

    item_id: str = ""
    title: str = ""


@dataclass(frozen=True, kw_only=True)
class ToldPath:
    """What links a query and an item in the generation's graph.

    Attributes:
        kind: how.
        strength: its share of what the network's channels carry between the two.
        sessions: of clicks and sessions: how many.
        is_complete: whether all sessions were looked at.
        via: the item in between.
        other_query: the query in between; empty: none is.
        hyperedges: numbers of the sessions; None: they are not known here.
    """

    kind: Link
    strength: float
    sessions: int = 0
    is_complete: bool = True
    via: TitledItem = TitledItem()
    other_query: str = ""
    hyperedges: tuple[int, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Told:
    """Why an item answers a query.

    Attributes:
        generation: id of the generation.
        overlay: the newest segment of the overlay; 0: there is none.
        query: the normalised text.
        is_known: an event had the query; otherwise its text alone answers.
        item: the item.
        is_shown: whether answers may have it.
        is_gone: whether it was deleted since.
        score: cosine of the two vectors, by which the index ranks.
        channels: what each of the generation's channels propagates, by name, in its
            order; empty: not known here.
        query_attention: the weight of each channel in the query's vector; None: the
            query is newer than the generation.
        item_attention: the same for the item's.
        paths: what links them in the generation's graph, strongest first; None: the
            generation does not have the graph.
        query_is_fresh: whether the query's vector is the overlay's.
        item_is_fresh: whether the item's is.
        newer_clicks: sessions since the generation that clicked an item for the query,
            by item, most first.
        item_newer_sessions: sessions since the generation that have the item and
            others.
    """

    generation: str
    overlay: int
    query: str
    is_known: bool
    item: TitledItem
    is_shown: bool
    is_gone: bool
    score: float
    channels: Mapping[str, str]
    query_attention: tuple[float, ...] | None
    item_attention: tuple[float, ...] | None
    paths: list[ToldPath] | None
    query_is_fresh: bool
    item_is_fresh: bool
    newer_clicks: Mapping[str, int]
    item_newer_sessions: int
