"""Vectors of what changed since a generation, recomputed round by round."""

import json
from collections.abc import Mapping, Sequence

import numpy as np

from model.artifact.encoder import unit_rows
from model.artifact.generation import Generation
from model.fresh.changes import GraphChanges
from model.fresh.limits import RoundLimits
from model.fresh.result import RoundResult
from stream.events.types import CatalogItem


class FreshState:
    """What changed since a generation, and the vectors of it, in memory.

    Args:
        generation: the generation; read, never changed.
        min_sessions: distinct sessions below which an edge does not count.
        limits: what bounds the work of a round.
    """

    def __init__(
        self, generation: Generation, *, min_sessions: int = 1, limits: RoundLimits | None = None
    ) -> None:
        self._generation = generation
        self._encoder = generation.text_encoder()
        self._min_sessions = min_sessions
        self._limits = limits or RoundLimits()
        self._num_items = 0

    @property
    def num_items(self) -> int:
        """Items that have a vector other than the generation's."""
        return self._num_items

    def apply(
        self,
        changes: Sequence[GraphChanges],
        asked: Mapping[str, float] | None = None,  # noqa: ARG002  # nothing is carried over
    ) -> RoundResult:
        """Take changes in and recompute what they move.

        Args:
            changes: in the order of their writes; none: what was carried over alone.
            asked: how often each normalised query text is asked, for what is carried
                over.
        """
        catalog = {key: item for each in changes for key, item in each.catalog.items()}
        listed = [item for item in catalog.values() if item.available and not item.deleted]
        gone = [item for item in catalog.values() if not item.available or item.deleted]
        self._num_items += len(listed)
        return RoundResult(
            item_ids=tuple(item.item_id for item in listed),
            item_titles=tuple(item.title for item in listed),
            item_attributes=tuple(json.dumps(item.attributes) for item in listed),
            item_texts=tuple(item.text for item in listed),
            item_shown=np.ones(len(listed), dtype=np.bool_),
            item_catalog_ms=np.array([item.ts_ms for item in listed], dtype=np.int64),
            item_vectors=unit_rows(
                self._encoder.contents([text_of(item) for item in listed], "item")
            ),
            query_texts=(),
            query_vectors=np.zeros((0, self._encoder.dim), dtype=np.float32),
            gone_items=tuple(item.item_id for item in gone),
            gone_item_ms=np.array([item.ts_ms for item in gone], dtype=np.int64),
            gone_queries=np.zeros(0, dtype=np.uint64),
            recomputed=len(listed),
            carried=0,
            withheld=0.0,
            poisoned=0,
        )

    def audit(self, count: int) -> float:  # noqa: ARG002  # a text's vector is exact
        """Compare some vectors with what a full pass gives them; return the worst
        cosine, 1 where there is nothing to compare.

        Args:
            count: vectors to compare.
        """
        return 1.0


def text_of(item: CatalogItem) -> str:
    """Return what the text tower reads of an item."""
    return f"{item.title} {item.text}" if item.text else item.title
