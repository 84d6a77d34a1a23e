"""What an overlay segment holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from model.errors import SegmentRefused
from stream.dtypes import Bools, Float32s, Int64s

UInt64s = NDArray[np.uint64]


class SegmentFault(StrEnum):
    """Why a segment, or the pointer to the newest one, cannot be used."""

    MISSING = "missing"
    TORN = "torn"
    CORRUPT = "corrupt"
    VERSION = "version"
    GENERATION = "generation"
    DIM = "dim"
    COUNTS = "counts"
    VECTORS = "vectors"
    SEQUENCE = "sequence"
    WRITER = "writer"
    POINTER = "pointer"


@dataclass(frozen=True, slots=True)
class Mark:
    """A write of a shard: all up to it is reflected.

    Attributes:
        writer: id of the shard's writer, hexadecimal; empty: not known.
        sequence: number of the write.
    """

    writer: str
    sequence: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """When an event passed each stage, UTC epoch milliseconds; 0: not known.

    Attributes:
        event_ms: it happened, by its own time.
        record_ms: its record reached the broker.
        durable_ms: it was in the graph.
    """

    event_ms: int = 0
    record_ms: int = 0
    durable_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """How fresh an overlay is, its segments up to one taken together.

    Attributes:
        reflected_ms: every record that had reached the topics by then, in broker time,
            is in it; UTC epoch milliseconds, 0: not known.
        catalog_reflected_ms: every state of the catalogue that had is in it; never
            before `reflected_ms`, and the same where it is not given.
        watermark_ms: event time up to which everything is reflected; 0: no event was.
        marks: by shard, the newest write that is in it.
        reason: why it is behind, one line for people; empty: it is not.
    """

    reflected_ms: int = 0
    catalog_reflected_ms: int = 0
    watermark_ms: int = 0
    marks: Mapping[int, Mark] = field(default_factory=lambda: MappingProxyType({}))
    reason: str = ""

    def __post_init__(self) -> None:
        catalog_ms = max(self.catalog_reflected_ms, self.reflected_ms)
        object.__setattr__(self, "catalog_reflected_ms", catalog_ms)


@dataclass(frozen=True, kw_only=True)
class OverlayRows:
    """Queries and items with new vectors, and those that are gone.

    No item is named twice, nor a query; none that has a vector is gone.

    Attributes:
        item_ids: external ids.
        item_titles: titles; empty where the catalogue has none.
        item_attributes: JSON objects of strings, what filters may ask of each item now;
            empty: what the generation has of it.
        item_shown: ``bool [num_items]``; False: unavailable, not in answers.
        item_catalog_ms: ``int64 [num_items]``, time of the catalogue state; 0: none.
        item_sessions: ``int64 [num_items]``, sessions since the generation that have
            the item and others.
        item_vectors: ``float32 [num_items, dim]`` unit vectors.
        query_texts: normalised texts.
        query_clicks: JSON objects, the items that were clicked for each query since the
            generation and in how many sessions, most first, the first ten; empty: none.
        query_vectors: ``float32 [num_queries, dim]`` unit vectors.
        gone_items: ids of items that are in no answer any more.
        gone_item_ms: ``int64 [len(gone_items)]``, catalogue time of each deletion; 0:
            it has none.
        gone_queries: ``uint64 [n]`` `protos.text.text_key` of queries whose vectors
            are not used any more.
    """

    item_ids: tuple[str, ...]
    item_titles: tuple[str, ...]
    item_attributes: tuple[str, ...]
    item_shown: Bools
    item_catalog_ms: Int64s
    item_sessions: Int64s
    item_vectors: Float32s
    query_texts: tuple[str, ...]
    query_clicks: tuple[str, ...]
    query_vectors: Float32s
    gone_items: tuple[str, ...]
    gone_item_ms: Int64s
    gone_queries: UInt64s

    @property
    def dim(self) -> int:
        """Length of the vectors."""
        return int(self.item_vectors.shape[1])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is in it."""
        return not (self.item_ids or self.query_texts or self.gone_items or len(self.gone_queries))


def no_rows(dim: int) -> OverlayRows:
    """Return rows that change nothing, for vectors of length `dim`."""
    return OverlayRows(
        item_ids=(),
        item_titles=(),
        item_attributes=(),
        item_shown=np.zeros(0, dtype=np.bool_),
        item_catalog_ms=np.zeros(0, dtype=np.int64),
        item_sessions=np.zeros(0, dtype=np.int64),
        item_vectors=np.zeros((0, dim), dtype=np.float32),
        query_texts=(),
        query_clicks=(),
        query_vectors=np.zeros((0, dim), dtype=np.float32),
        gone_items=(),
        gone_item_ms=np.zeros(0, dtype=np.int64),
        gone_queries=np.zeros(0, dtype=np.uint64),
    )


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A segment: rows, and where they belong.

    Attributes:
        generation_id: the generation that they change.
        sequence: its number, ascending within the generation.
        writer: who wrote it, drawn at each start.
        is_full: whether it replaces all before it; else it changes what the segment of
            `sequence` - 1, by the same writer, left.
        created_ms: when it was written, UTC epoch milliseconds.
        claim: how fresh it is, with all before it; its reason is not stored.
        oldest: stages of the oldest writes that it is the first to have.
        newest: of the newest.
        rows: what changed.
    """

    generation_id: str
    sequence: int
    writer: str
    is_full: bool
    created_ms: int
    claim: Claim
    oldest: StageTimes
    newest: StageTimes
    rows: OverlayRows

    def check_follows(self, sequence: int, writer: str) -> None:
        """Check that it can be taken after another one.

        Args:
            sequence: the other's; 0: there is none.
            writer: the other's.

        Raises:
            SegmentRefused: it is a delta on something else.
        """
        if self.is_full:
            return
        if self.sequence != sequence + 1 or not sequence:
            raise SegmentRefused(
                SegmentFault.SEQUENCE,
                f"segment {self.sequence} of {self.generation_id} is a delta on "
                f"{self.sequence - 1}, and {sequence or 'none'} is loaded",
            )
        if self.writer != writer:
            raise SegmentRefused(
                SegmentFault.WRITER,
                f"segment {self.sequence} of {self.generation_id} is a delta by "
                f"{self.writer}, the one before it is by {writer}",
            )
