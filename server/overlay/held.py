"""An overlay ready to be searched beside the index of its generation."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np

from model.artifact.index.hidden import NOTHING_HIDDEN, Hidden
from model.artifact.index.scan import ScannedVectors
from model.artifact.overlay.segment import Claim, OverlayRows, no_rows
from protos.marks import is_marked
from server.live import LiveGeneration
from server.overlay.attributes import OverlayAttributes, ReadAttributes
from server.overlay.queries import HeldQueries
from stream.dtypes import Float32s, Int64s

_NOT_INDEXED = -1  # no id of an index


@dataclass(frozen=True, kw_only=True)
class HeldOverlay:
    """What changes the answers of a generation.

    Immutable, so any number of threads may share one.

    Attributes:
        sequence: the newest segment in it; 0: none is.
        writer: who wrote it.
        claim: how fresh it makes the answers.
        rows: what all segments together say of items, and what is gone; no queries.
        items: row of each item in `rows`, by id.
        queries: the queries that have a vector in a segment.
        shown: ``int64 [n]``, rows of the items that answers may have, ascending.
        scanned: their vectors.
        marked: ``int64``, rows of a probe's items, which no shopper's answer has.
        gone_items: by id, when each item went that no answer may have, UTC epoch
            milliseconds.
        gone_ids: ids of all items that no answer may have: `gone_items`, and what the
            segments say is gone.
        hidden: ids of the index that it must not answer with: gone, or in `rows`.
        attributes: what filters may ask of the items in `rows`.
    """

    sequence: int
    writer: str
    claim: Claim
    rows: OverlayRows
    items: Mapping[str, int]
    queries: HeldQueries
    shown: Int64s
    scanned: ScannedVectors
    marked: Int64s
    gone_items: Mapping[str, int]
    gone_ids: frozenset[str]
    hidden: Hidden
    attributes: OverlayAttributes

    @property
    def is_loaded(self) -> bool:
        """Whether a segment is in it."""
        return self.sequence > 0

    @property
    def gone_queries(self) -> frozenset[int]:
        """Keys of queries that the generation's vectors are not used for."""
        return self.queries.gone

    @property
    def vectors(self) -> Float32s:
        """``float32 [n, dim]``, the vectors of the items that answers may have."""
        return self.scanned.vectors

    @property
    def num_gone_items(self) -> int:
        """How many items no answer may have."""
        return len(self.gone_ids)


@dataclass(frozen=True)
class IndexPlaces:
    """Where items are in the index of a generation; each is looked up once.

    Args:
        live: the generation.
        read: attributes of overlays beside it, each read once.
    """

    live: LiveGeneration
    read: ReadAttributes = field(default_factory=ReadAttributes)
    _known: dict[str, int] = field(default_factory=dict, init=False)

    def of(self, item_ids: Iterable[str]) -> Int64s:
        """Return the index's ids of those items that it has, ``int64``, ascending."""
        found = self.of_each(item_ids)
        return np.unique(found[found != _NOT_INDEXED])

    def items_of(self, item_ids: Iterable[str]) -> Int64s:
        """Return ``int64 [n]``, the dense index of each item; -1: it is not in the
        index.
        """
        places = self.of_each(item_ids)
        indexed = np.append(self.live.generation.index_items, _NOT_INDEXED)
        return indexed[places]

    def of_each(self, item_ids: Iterable[str]) -> Int64s:
        """Return ``int64 [n]``, the index's id of each item; -1: it is not in it."""
        places = [
            self._known[id_] if id_ in self._known else self._look_up(id_) for id_ in item_ids
        ]
        return np.array(places, dtype=np.int64)

    def _look_up(self, item_id: str) -> int:
        generation = self.live.generation
        item = generation.find_item(item_id)
        place = _NOT_INDEXED
        if item is not None:
            at = int(np.searchsorted(generation.index_items, item))
            if at < len(generation.index_items) and generation.index_items[at] == item:
                place = at
        self._known[item_id] = place
        return place


def no_overlay(live: LiveGeneration, gone: Mapping[str, int], places: IndexPlaces) -> HeldOverlay:
    """Return what is held beside a generation without segments: what is gone.

    Args:
        live: the generation.
        gone: as in `hold`.
        places: of `live`.
    """
    dim = live.generation.manifest.dim
    return hold(live, no_rows(dim), Claim(), sequence=0, writer="", gone=gone, places=places)


def hold(  # noqa: PLR0913  # an overlay, and what it is beside
    live: LiveGeneration,
    rows: OverlayRows,
    claim: Claim,
    *,
    sequence: int,
    writer: str,
    gone: Mapping[str, int],
    places: IndexPlaces,
    before: HeldQueries | None = None,
) -> HeldOverlay:
    """Make an overlay ready.

    Args:
        live: the generation that it is beside.
        rows: what its segments say; of queries, those that are not in `before`.
        claim: how fresh they are.
        sequence: the newest of them.
        writer: who wrote it.
        gone: items that are gone in whichever generation is live, by id, and when they
            went; a generation whose snapshot is newer than that knows better.
        places: of `live`.
        before: what the segments before those say of queries; None: nothing.
    """
    items = {id_: row for row, id_ in enumerate(rows.item_ids)}
    queries = (before or HeldQueries()).taking(rows)
    rows = _of_items(rows)
    nothing = np.zeros(0, dtype=np.int64)
    held = HeldOverlay(
        sequence=sequence,
        writer=writer,
        claim=claim,
        rows=rows,
        items=MappingProxyType(items),
        queries=queries,
        shown=nothing,
        scanned=ScannedVectors(rows.item_vectors[nothing]),
        marked=nothing,
        gone_items=MappingProxyType({}),
        gone_ids=frozenset(),
        hidden=NOTHING_HIDDEN,
        attributes=OverlayAttributes(rows, live.generation, places.items_of, places.read),
    )
    return hide(held, live, gone, places)


def _of_items(rows: OverlayRows) -> OverlayRows:
    """Return rows without queries that have a vector."""
    return replace(rows, query_texts=(), query_clicks=(), query_vectors=rows.query_vectors[:0])


def hide(
    held: HeldOverlay, live: LiveGeneration, gone: Mapping[str, int], places: IndexPlaces
) -> HeldOverlay:
    """Return what is held, less what its rows say is gone and what else is: its items
    and queries are not looked through again.

    Args:
        held: the overlay, of the same items and queries as its rows.
        live: the generation that it is beside.
        gone: as in `hold`.
        places: of `live`.
    """
    taken_ms, rows = live.generation.manifest.snapshot.taken_ms, held.rows
    hidden_now = {id_: at_ms for id_, at_ms in gone.items() if at_ms >= taken_ms}
    is_answered = rows.item_shown.copy()
    for id_ in hidden_now.keys() & held.items.keys():
        is_answered[held.items[id_]] = False
    is_marked_row = np.array([is_marked(id_) for id_ in rows.item_ids], dtype=bool)
    shown = np.flatnonzero(is_answered & ~is_marked_row).astype(np.int64)
    is_same = np.array_equal(shown, held.shown)
    hidden = places.of((*rows.item_ids, *rows.gone_items, *hidden_now))
    return replace(
        held,
        shown=shown,
        scanned=held.scanned if is_same else ScannedVectors(rows.item_vectors[shown]),
        marked=np.flatnonzero(is_answered & is_marked_row).astype(np.int64),
        gone_items=MappingProxyType(hidden_now),
        gone_ids=frozenset((*rows.gone_items, *hidden_now)),
        hidden=Hidden(hidden, len(live.index)),
    )
