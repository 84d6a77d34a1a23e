"""The generations that a server has on disk, in our own frozen types."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from freshet_client.protos import retrieval_v1_pb2 as retrieval_pb


class GenerationState(StrEnum):
    """What a server makes of a generation."""

    IDLE = "idle"
    """On disk, and not asked for."""

    LIVE = "live"
    """Answers are of it."""

    LOADING = "loading"

    WAITING = "waiting"
    """Loaded, and waits until it is as fresh as the live one."""

    REFUSED = "refused"
    """`CURRENT` names it, and it was not taken."""

    UNREADABLE = "unreadable"
    """Its manifest cannot be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationInfo:
    """A generation on disk; times are UTC epoch milliseconds.

    Attributes:
        generation_id: its id.
        state: what the server makes of it; None: what only a newer client knows.
        reason: why it is refused or unreadable; empty otherwise.
        created_ms: when it was written.
        parent: what it was trained on from; empty: from scratch.
        snapshot_ms: when the snapshot of the graph behind it was taken.
        watermark_ms: event time up to which that reflects everything.
        num_items: items in it.
        num_queries: queries in it.
        num_indexed: items that answers may have.
        gate_passed: whether the gate let it through.
        gate_reasons: why not.
        evaluation: the figures it was judged by.
        index_engine: its index.
    """

    generation_id: str
    state: GenerationState | None
    reason: str
    created_ms: int
    parent: str
    snapshot_ms: int
    watermark_ms: int
    num_items: int
    num_queries: int
    num_indexed: int
    gate_passed: bool
    gate_reasons: tuple[str, ...]
    evaluation: Mapping[str, float]
    index_engine: str


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationsResult:
    """The generations on disk.

    Attributes:
        generations: newest first.
        current: what `CURRENT` names; empty: nothing that is an id.
        pinned: what is pinned; empty: nothing.
        pinned_since_ms: since when; 0: nothing is, or that is not known.
    """

    generations: tuple[GenerationInfo, ...]
    current: str
    pinned: str
    pinned_since_ms: int


_STATES: dict[int, GenerationState] = {
    retrieval_pb.GENERATION_STATE_IDLE: GenerationState.IDLE,
    retrieval_pb.GENERATION_STATE_LIVE: GenerationState.LIVE,
    retrieval_pb.GENERATION_STATE_LOADING: GenerationState.LOADING,
    retrieval_pb.GENERATION_STATE_WAITING: GenerationState.WAITING,
    retrieval_pb.GENERATION_STATE_REFUSED: GenerationState.REFUSED,
    retrieval_pb.GENERATION_STATE_UNREADABLE: GenerationState.UNREADABLE,
}


def generations_of(message: retrieval_pb.ListGenerationsResponse) -> GenerationsResult:
    """Return the generations that a message holds."""
    return GenerationsResult(
        generations=tuple(_info_of(each) for each in message.generations),
        current=message.current,
        pinned=message.pinned,
        pinned_since_ms=message.pinned_since_ms,
    )


def _info_of(message: retrieval_pb.GenerationInfo) -> GenerationInfo:
    return GenerationInfo(
        generation_id=message.generation_id,
        state=_STATES.get(message.state),
        reason=message.reason,
        created_ms=message.created_ms,
        parent=message.parent,
        snapshot_ms=message.snapshot_ms,
        watermark_ms=message.watermark_ms,
        num_items=message.num_items,
        num_queries=message.num_queries,
        num_indexed=message.num_indexed,
        gate_passed=message.gate_passed,
        gate_reasons=tuple(message.gate_reasons),
        evaluation=dict(message.evaluation),
        index_engine=message.index_engine,
    )
