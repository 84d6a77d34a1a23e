"""Why an item answers a query, in our own frozen types."""

from dataclasses import dataclass
from enum import StrEnum

from freshet_client.answers import QueryPath, Receipt, query_path_of, receipt_of
from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb


class VectorSource(StrEnum):
    """Where a vector came from."""

    GENERATION = "generation"
    OVERLAY = "overlay"
    """Recomputed since the generation, or new."""


class ItemState(StrEnum):
    """Whether answers may have an item."""

    SHOWN = "shown"
    UNAVAILABLE = "unavailable"
    GONE = "gone"


class Evidence(StrEnum):
    """What a server can say of the clicks and sessions that link query and item."""

    PATHS = "paths"
    """`Explanation.paths` has the strongest."""

    NO_LINK = "no_link"
    """No click and no session links them: text and more distant neighbours do."""

    QUERY_UNKNOWN = "query_unknown"
    """No event had the query: its text alone answers."""

    NEWER = "newer"
    """One of them, or the first click between the two, is newer than the generation:
    `Explanation.newer_clicks` has the clicks, the next generation their paths.
    """

    NOT_STORED = "not_stored"
    """An earlier version wrote the generation, without the graph."""


class PathKind(StrEnum):
    """How a path leads from a query to an item."""

    CLICK = "click"
    """Sessions with the query clicked the item."""

    SESSION = "session"
    """Sessions with the query, or with an item clicked for it (`via_item_id`), had the
    item, too.
    """

    OTHER_QUERY = "other_query"
    """Another query leads to the item, and both queries to `via_item_id`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelAttention:
    """How far a channel makes up the vectors of both sides.

    Attributes:
        channel: its name.
        propagates: what it carries, for people.
        query: its share of the query's vector; None: the query is newer than the
            generation.
        item: its share of the item's vector; None: the item is.
    """

    channel: str
    propagates: str
    query: float | None
    item: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExplainedPath:
    """A way from query to item through clicks and sessions.

    Attributes:
        kind: of what it is made.
        strength: its share of what the network's channels carry between the two.
        num_sessions: of clicks and sessions: how many; 0 for another query.
        is_lower_bound: there are more sessions than were looked at.
        via_item_id: the item in between; empty: none is.
        other_query: the query in between; empty: none is.
    """

    kind: PathKind
    strength: float
    num_sessions: int = 0
    is_lower_bound: bool = False
    via_item_id: str = ""
    other_query: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewerClicks:
    """Clicks since the generation on an item for the query.

    Attributes:
        item_id: the item.
        num_sessions: how many sessions clicked it.
    """

    item_id: str
    num_sessions: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """Why an item answers a query, or does not.

    Attributes:
        normalized_query: as the server read it.
        item_id: the item.
        title: its title; empty where the catalogue has none.
        score: cosine of the two vectors, outside any session.
        query_path: where the query's vector came from; None: newer than this client.
        item_source: where the item's came from; None: likewise.
        item_state: whether answers may have it; None: likewise.
        channels: of the generation's network.
        evidence: what the server can say of their links; None: likewise.
        paths: strongest first.
        receipt: how fresh this is.
        newer_clicks: what was clicked for the query since the generation, most sessions
            first; empty where the server is older than this.
        item_newer_sessions: sessions since the generation that have the item and
            others.
    """

    normalized_query: str
    item_id: str
    title: str
    score: float
    query_path: QueryPath | None
    item_source: VectorSource | None
    item_state: ItemState | None
    channels: tuple[ChannelAttention, ...]
    evidence: Evidence | None
    paths: tuple[ExplainedPath, ...]
    receipt: Receipt
    newer_clicks: tuple[NewerClicks, ...] = ()
    item_newer_sessions: int = 0


_SOURCES: dict[int, VectorSource] = {
    retrieval_pb.VECTOR_SOURCE_GENERATION: VectorSource.GENERATION,
    retrieval_pb.VECTOR_SOURCE_OVERLAY: VectorSource.OVERLAY,
}
_STATES: dict[int, ItemState] = {
    retrieval_pb.ITEM_STATE_SHOWN: ItemState.SHOWN,
    retrieval_pb.ITEM_STATE_UNAVAILABLE: ItemState.UNAVAILABLE,
    retrieval_pb.ITEM_STATE_GONE: ItemState.GONE,
}
_EVIDENCE: dict[int, Evidence] = {
    retrieval_pb.EVIDENCE_PATHS: Evidence.PATHS,
    retrieval_pb.EVIDENCE_NO_LINK: Evidence.NO_LINK,
    retrieval_pb.EVIDENCE_QUERY_UNKNOWN: Evidence.QUERY_UNKNOWN,
    retrieval_pb.EVIDENCE_NEWER: Evidence.NEWER,
    retrieval_pb.EVIDENCE_NOT_STORED: Evidence.NOT_STORED,
}


def vector_source_of(value: int) -> VectorSource | None:
    """Return where a vector came from; None: what only a newer client knows."""
    return _SOURCES.get(value)


def explanation_of(message: retrieval_pb.ExplainResponse) -> Explanation:
    """Return the explanation that a message holds; kinds of paths that only a newer
    client knows are left out.
    """
    paths = (_path_of(path) for path in message.paths)
    return Explanation(
        normalized_query=message.normalized_query,
        item_id=message.item_id,
        title=message.title,
        score=message.score,
        query_path=query_path_of(message.query_path),
        item_source=vector_source_of(message.item_source),
        item_state=_STATES.get(message.item_state),
        channels=tuple(
            ChannelAttention(
                channel=each.channel,
                propagates=each.propagates,
                query=each.query if each.HasField("query") else None,
                item=each.item if each.HasField("item") else None,
            )
            for each in message.channels
        ),
        evidence=_EVIDENCE.get(message.evidence),
        paths=tuple(path for path in paths if path is not None),
        receipt=receipt_of(message.receipt),
        newer_clicks=tuple(
            NewerClicks(item_id=each.item_id, num_sessions=each.num_sessions)
            for each in message.newer_clicks
        ),
        item_newer_sessions=message.item_newer_sessions,
    )


def _path_of(path: retrieval_pb.Path) -> ExplainedPath | None:
    kind = path.WhichOneof("kind")
    if kind == "click":
        return ExplainedPath(
            kind=PathKind.CLICK, strength=path.strength, num_sessions=path.click.num_sessions
        )
    if kind == "session":
        return ExplainedPath(
            kind=PathKind.SESSION,
            strength=path.strength,
            num_sessions=path.session.num_sessions,
            is_lower_bound=path.session.is_lower_bound,
            via_item_id=path.session.via_item_id,
        )
    if kind == "other_query":
        return ExplainedPath(
            kind=PathKind.OTHER_QUERY,
            strength=path.strength,
            via_item_id=path.other_query.via_item_id,
            other_query=path.other_query.query,
        )
    return None
