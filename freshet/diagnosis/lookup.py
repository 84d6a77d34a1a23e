"""What became of a query, an item or a generation, from the artifacts folder."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from freshet.stores.artifacts import existing_artifacts
from model.artifact.generation import Generation, open_generation
from model.artifact.overlay.chain import read_chain
from model.artifact.overlay.folder import OverlayFolder
from model.artifact.overlay.gone import read_gone
from model.artifact.overlay.merge import merge_rows
from model.artifact.overlay.segment import OverlayRows, Segment, no_rows
from model.artifact.store import ArtifactStore
from model.errors import ModelError
from protos.text import normalize_query, text_key
from stream.dtypes import Float32s

# Items of a first page of results, which an item is to be among: the default of a
# request (`server.default_k`). Twice as many: a second page, which few look at.
FIRST_PAGE = 10


@dataclass(frozen=True, kw_only=True)
class Since:
    """Where something is, and since when.

    Attributes:
        place: ``generation`` or ``overlay``.
        id: of the generation, or the number of the segment.
        at_ms: when that was made, UTC epoch milliseconds.
        is_first: whether nothing older is kept, so that it may be there for longer.
    """

    place: str
    id: str
    at_ms: int
    is_first: bool


@dataclass(frozen=True, kw_only=True)
class Found:
    """What became of a query or an item.

    Attributes:
        name: the normalised query, or the item's id.
        title: of an item; may be empty.
        since: where it is, newest place first; empty: nowhere.
        hidden: why no answer has it; empty: answers may.
        asked: what it was looked for by: the query, or else its own title; empty:
            nothing.
        rank: its place among all items, by an exact scan; None: not asked for.
    """

    name: str
    title: str = ""
    since: tuple[Since, ...] = ()
    hidden: str = ""
    asked: str = ""
    rank: int | None = None

    @property
    def is_found(self) -> bool:
        """Whether it is on a first page of results."""
        return self.rank is not None and self.rank <= FIRST_PAGE


@dataclass(frozen=True, kw_only=True)
class Shelf:
    """What the artifacts folder answers with now.

    Attributes:
        store: the folder.
        generation: what `CURRENT` names.
        segments: those of its overlay that count, oldest first.
        rows: what they say together.
        gone_ms: when each item went that no answer has, by id.
    """

    store: ArtifactStore
    generation: Generation
    segments: tuple[Segment, ...]
    rows: OverlayRows
    gone_ms: dict[str, int]


def open_shelf(artifacts: Path) -> Shelf:
    """Open what the artifacts folder answers with.

    Raises:
        CommandError: there is no such folder.
        ModelError: nothing is current, or it cannot be read.
        OSError: a file cannot be read.
    """
    store = existing_artifacts(artifacts)
    current = store.current_id()
    if current is None:
        raise ModelError(f"{artifacts} has no current generation; look at the tuner")
    generation = open_generation(store.generation_path(current), verify=False)
    folder, dim = OverlayFolder.of(artifacts), generation.manifest.dim
    newest = folder.newest(current)
    segments = [] if newest is None else read_chain(folder, newest, after=0, dim=dim)[0]
    taken_ms = generation.manifest.snapshot.taken_ms
    gone = {id_: one.at_ms for id_, one in read_gone(folder.gone_path).items()}
    return Shelf(
        store=store,
        generation=generation,
        segments=tuple(segments),
        rows=merge_rows([no_rows(dim), *(segment.rows for segment in segments)]),
        gone_ms={id_: at_ms for id_, at_ms in gone.items() if at_ms >= taken_ms},
    )


def look_up_query(shelf: Shelf, text: str) -> Found:
    """Return where a query has a vector of its own, and since when."""
    query = normalize_query(text)
    segments = [each for each in shelf.segments if query in each.rows.query_texts]
    is_gone = text_key(query) in shelf.rows.gone_queries
    generations = [] if is_gone else _holding(shelf, lambda each: each.find_query(query))
    return Found(name=query, since=(*_in_overlay(shelf, segments), *generations), asked=query)


def look_up_item(shelf: Shelf, item_id: str, text: str = "") -> Found:
    """Return where an item is, since when, and at which rank it would be found.

    Args:
        shelf: where to look.
        item_id: its id.
        text: the query to look for it by; empty: its own title.
    """
    generation, rows = shelf.generation, shelf.rows
    fresh = rows.item_ids.index(item_id) if item_id in rows.item_ids else None
    row = generation.find_item(item_id)
    segments = [each for each in shelf.segments if item_id in each.rows.item_ids]
    since = (*_in_overlay(shelf, segments), *_holding(shelf, lambda each: each.find_item(item_id)))
    hidden = _hidden(shelf, item_id, row, fresh)
    if fresh is None and row is None:
        return Found(name=item_id, hidden=hidden)
    if fresh is None:
        title, vector = generation.item_titles[row or 0], generation.item_vectors[row or 0]
    else:
        title, vector = rows.item_titles[fresh], rows.item_vectors[fresh]
    asked = normalize_query(text or title)
    rank = None if hidden or not asked else _rank(shelf, asked, vector)
    return Found(name=item_id, title=title, since=since, hidden=hidden, asked=asked, rank=rank)


def _holding(shelf: Shelf, find: Callable[[Generation], int | None]) -> list[Since]:
    """Return the oldest generation from which on all kept ones have something; empty:
    the current one does not.
    """
    if find(shelf.generation) is None:
        return []
    oldest, is_first = shelf.generation, True
    for each in _before(shelf):
        if find(each) is None:
            is_first = False
            break
        oldest = each
    made_ms = oldest.manifest.created_ms
    return [Since(place="generation", id=oldest.id, at_ms=made_ms, is_first=is_first)]


def _before(shelf: Shelf) -> Iterator[Generation]:
    """Yield the kept generations before the current one, newest first, that can be
    read and that the gate let answer.
    """
    for generation_id in reversed(shelf.store.generation_ids()):
        if generation_id < shelf.generation.id:
            try:
                found = open_generation(shelf.store.generation_path(generation_id), verify=False)
            except ModelError:
                continue
            if found.manifest.gate.passed:
                yield found


def _in_overlay(shelf: Shelf, segments: list[Segment]) -> list[Since]:
    if not segments:
        return []
    first = segments[0]
    is_first = first.sequence == shelf.segments[0].sequence
    return [
        Since(place="overlay", id=str(first.sequence), at_ms=first.created_ms, is_first=is_first)
    ]


def _hidden(shelf: Shelf, item_id: str, row: int | None, fresh: int | None) -> str:
    if item_id in shelf.gone_ms or item_id in shelf.rows.gone_items:
        return "it was deleted from the catalogue since, and is in no answer"
    if row is None and fresh is None:
        return "neither the generation nor the overlay has it"
    shown = shelf.generation.item_shown[row or 0] if fresh is None else shelf.rows.item_shown[fresh]
    return "" if shown else "the catalogue says that it is unavailable, so no answer has it"


def _rank(shelf: Shelf, query: str, vector: Float32s) -> int:
    """Return the place of a vector among all that answers can have."""
    generation, rows = shelf.generation, shelf.rows
    wanted = _query_vector(shelf, query)
    own = float(vector @ wanted) + float(np.finfo(np.float32).eps) * len(vector)
    replaced = {*rows.item_ids, *rows.gone_items, *shelf.gone_ms}
    places = {generation.find_item(item_id) for item_id in replaced}
    is_open = generation.item_shown.copy()
    is_open[[place for place in places if place is not None]] = False
    above = int((generation.item_vectors @ wanted > own)[is_open].sum())
    is_gone = np.array([item_id in shelf.gone_ms for item_id in rows.item_ids], dtype=np.bool_)
    is_shown = rows.item_shown & ~is_gone
    return 1 + above + int((rows.item_vectors @ wanted > own)[is_shown].sum())


def _query_vector(shelf: Shelf, query: str) -> Float32s:
    rows, generation = shelf.rows, shelf.generation
    vector: Float32s
    if query in rows.query_texts:
        vector = rows.query_vectors[rows.query_texts.index(query)]
        return vector
    row = generation.find_query(query)
    if row is not None and text_key(query) not in rows.gone_queries:
        vector = generation.query_vectors[row]
        return vector
    return generation.text_encoder().encode(query)
