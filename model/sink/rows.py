"""Pure: which rows of items a generation and its overlay are, as answers have them."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import msgspec
import numpy as np

from model.artifact.generation import Generation
from model.artifact.overlay.segment import OverlayRows
from protos.marks import is_marked
from stream.dtypes import Float32s, Int64s

# Items whose attributes are looked up at once: 2 MB of numbers with some dozen
# attributes. Twice as many take twice that, and no less time.
_BLOCK_ITEMS = 1 << 13

_object = msgspec.json.Decoder(dict[str, str])


@dataclass(frozen=True, kw_only=True)
class ItemRow:
    """An item that answers may have.

    Attributes:
        item_id: external id.
        title: empty where the catalogue has none.
        attributes: what filters may ask of it.
        vector: ``float32 [dim]``, a unit vector.
        segment: the overlay segment that it is of; 0: the generation itself.
    """

    item_id: str
    title: str
    attributes: Mapping[str, str]
    vector: Float32s
    segment: int


@dataclass(frozen=True, kw_only=True)
class WantedItems:
    """The items of a generation under its overlay.

    Attributes:
        generation: the generation.
        overlay: what its segments say together.
        sequence: the newest of them; 0: there is none.
        gone: items that no generation may show, by id, and when each went, UTC epoch
            milliseconds.
    """

    generation: Generation
    overlay: OverlayRows
    sequence: int
    gone: Mapping[str, int]

    def all_rows(self) -> Iterator[ItemRow]:
        """Yield the rows of all items that answers may have, a block at a time in
        memory.
        """
        listed = {*self.overlay.item_ids, *self.overlay.gone_items, *self._hidden()}
        items = self.generation.index_items
        for start in range(0, len(items), _BLOCK_ITEMS):
            yield from (
                row
                for row in self._of_generation(items[start : start + _BLOCK_ITEMS])
                if row.item_id not in listed
            )
        yield from (row for row in self.rows_of(self.overlay.item_ids).values() if row)

    def rows_of(self, item_ids: Iterable[str]) -> dict[str, ItemRow | None]:
        """Return the row of each item as it should be; None: answers do not have it."""
        hidden, gone = self._hidden(), set(self.overlay.gone_items)
        places = {id_: row for row, id_ in enumerate(self.overlay.item_ids)}
        rows: dict[str, ItemRow | None] = {}
        plain: list[int] = []
        for item_id in item_ids:
            rows[item_id] = None
            if item_id in hidden or is_marked(item_id):
                continue
            if item_id in places:
                rows[item_id] = self._of_overlay(places[item_id])
            elif item_id not in gone:
                found = self.generation.find_item(item_id)
                if found is not None and self._is_indexed(found):
                    plain.append(found)
        rows |= {row.item_id: row for row in self._of_generation(np.array(plain, dtype=np.int64))}
        return rows

    def changed(self) -> set[str]:
        """Return ids of all items whose rows may differ from the generation's own."""
        return {*self.overlay.item_ids, *self.overlay.gone_items, *self._hidden()}

    def _hidden(self) -> set[str]:
        """Return what is gone for this generation: one whose snapshot is newer than a
        deletion knows better.
        """
        taken_ms = self.generation.manifest.snapshot.taken_ms
        return {item_id for item_id, at_ms in self.gone.items() if at_ms >= taken_ms}

    def _is_indexed(self, item: int) -> bool:
        items = self.generation.index_items
        place = int(np.searchsorted(items, item))
        return place < len(items) and int(items[place]) == item

    def _of_overlay(self, row: int) -> ItemRow | None:
        overlay = self.overlay
        if not overlay.item_shown[row]:
            return None
        item_id = overlay.item_ids[row]
        text = overlay.item_attributes[row]
        found = self.generation.find_item(item_id)
        attributes: Mapping[str, str] = {}
        if text:
            attributes = _object.decode(text)
        elif found is not None and self.generation.attributes is not None:
            attributes = self.generation.attributes.attributes_of(found)
        return ItemRow(
            item_id=item_id,
            title=overlay.item_titles[row],
            attributes=attributes,
            vector=overlay.item_vectors[row],
            segment=self.sequence,
        )

    def _of_generation(self, items: Int64s) -> Iterator[ItemRow]:
        generation, table = self.generation, self.generation.attributes
        found: list[dict[str, str]] = [{} for _ in items]
        if table is not None:
            for number, name in enumerate(table.names):
                values = table.of_items(number, items).tolist()
                for attributes, value in zip(found, values, strict=True):
                    if value >= 0:
                        attributes[name] = table.values[value]
        for item, attributes in zip(items.tolist(), found, strict=True):
            item_id = generation.item_ids[item]
            if not is_marked(item_id):
                yield ItemRow(
                    item_id=item_id,
                    title=generation.item_titles[item],
                    attributes=attributes,
                    vector=generation.item_vectors[item],
                    segment=0,
                )
