"""Who the nodes of the fresh lane are: keys, texts, catalogue states."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from model.artifact.generation import Generation
from model.fresh.active.graph import ActiveGraph
from model.fresh.active.origin import Origin
from protos.text import text_key
from stream.dtypes import Int64s
from stream.events.types import CatalogItem
from stream.graph.keysets import indexes_of

Keys = NDArray[np.uint64]


class NodeText(NamedTuple):
    """What is read of a node.

    Attributes:
        text: what the text towers read.
        title: what the node is called: a query itself, or an item's title.
    """

    text: str
    title: str


class Directory:
    """Finds nodes by key, and names them.

    A key is of a query or of an item: the two are apart, since a text may be both.

    Args:
        generation: has the names and states of its own nodes.
        origin: the generation's nodes; None: only new ones are known.
        graph: the active nodes.
    """

    def __init__(self, generation: Generation, origin: Origin | None, graph: ActiveGraph) -> None:
        self._generation = generation
        self._origin = origin
        self._graph = graph
        self._names: dict[bool, dict[int, str]] = {False: {}, True: {}}
        self._new: dict[bool, dict[int, int]] = {False: {}, True: {}}
        self._key_of_new: dict[int, int] = {}
        self._states: dict[int, CatalogItem] = {}
        self._erased: dict[bool, set[int]] = {False: set(), True: set()}

    def learn(self, queries: Mapping[int, str], items: Mapping[int, str]) -> None:
        """Note the texts of keys; what was erased and is named again is there again."""
        for is_item, names in ((False, queries), (True, items)):
            self._names[is_item].update(names)
            self._erased[is_item].difference_update(names)

    def note(self, key: int, row: int, state: CatalogItem) -> bool:
        """Note the catalogue's state of an item; return False where it is known, or a
        newer one is.

        Args:
            key: of its id.
            row: its node in the generation; -1: it has none.
            state: the state.
        """
        before = self._states.get(key)
        if before == state:
            return False
        # As `stream.graph.catalog.newest` has it: what has no time is older than what
        # has one; a deletion without one is as of the millisecond before what it found.
        if state.ts_ms < self._known_ms(key, row, state.item_id) - state.deleted:
            return False
        self._states[key] = state
        self.learn({}, {key: state.item_id})
        return True

    def forget(self, key: int, *, is_item: bool) -> None:
        """Forget the name of an erased node, and an item's state."""
        self._names[is_item].pop(key, None)
        self._erased[is_item].add(key)
        if is_item:
            self._states.pop(key, None)

    def rows(self, keys: Keys, *, is_item: bool) -> Int64s:
        """Return ``int64 [n]``, nodes of the generation; -1: it does not have it."""
        if self._origin is not None:
            return self._origin.rows_of(keys, is_item=is_item)
        if not is_item:
            return indexes_of(self._generation.query_keys, keys)
        # Without the keys of its items they are found by their ids, as far as known.
        ids = [self._names[True].get(key) for key in keys.tolist()]
        found = [self._generation.find_item(name) if name is not None else None for name in ids]
        num_queries = len(self._generation.query_keys)
        rows = [-1 if item is None else num_queries + item for item in found]
        return np.array(rows, dtype=np.int64)

    def slots(self, keys: Keys, *, is_item: bool) -> Int64s:
        """Return ``int64 [n]``, the slots of some keys; -1: not active, or not
        known.
        """
        rows = self.rows(keys, is_item=is_item)
        slots = self._graph.rows.slots(rows)
        new = self._new[is_item]
        for place in np.flatnonzero(rows < 0).tolist():
            slots[place] = new.get(int(keys[place]), -1)
        return slots

    def nameless(self, keys: Keys, *, is_item: bool) -> list[int]:
        """Return the keys, of those that neither the generation nor a slot has, whose
        names are known: they can be made nodes.
        """
        rows, slots = self.rows(keys, is_item=is_item), self.slots(keys, is_item=is_item)
        names = self._names[is_item]
        return [key for key in keys[(rows < 0) & (slots < 0)].tolist() if key in names]

    def add(self, keys: Sequence[int], slots: Int64s, *, is_item: bool) -> None:
        """Say which slots new nodes have."""
        self._new[is_item].update(zip(keys, slots.tolist(), strict=True))
        self._key_of_new.update(zip(slots.tolist(), keys, strict=True))

    def text(self, key: int, *, is_item: bool) -> str:
        """Return what the text towers read of a node that is new."""
        if not is_item:
            return self._names[False][key]
        state = self._states.get(key)
        return text_of(state) if state is not None else ""

    def new_texts(self, slots: Int64s, *, is_item: bool) -> list[NodeText | None]:
        """Return what is read of active nodes; None: what was read when the generation
        was made.
        """
        rows = self._graph.nodes.columns.row[slots].tolist()
        each = zip(slots.tolist(), rows, strict=True)
        if is_item:
            return [self._new_item_text(slot, row) for slot, row in each]
        names, keys = self._names[False], self._key_of_new
        return [None if row >= 0 else _query_text(names.get(keys[slot], "")) for slot, row in each]

    def _new_item_text(self, slot: int, row: int) -> NodeText | None:
        state = self._states.get(self.item_key(slot))
        if state is not None:
            return NodeText(text_of(state), state.title)
        return None if row >= 0 else NodeText("", "")

    def query_texts(self, slots: Int64s) -> list[str]:
        """Return the texts of queries; empty: it is erased."""
        rows = self._graph.nodes.columns.row[slots].tolist()
        names, keys = self._names[False], self._key_of_new
        return [
            self.query_text(slot) if row >= 0 else names.get(keys[slot], "")
            for slot, row in zip(slots.tolist(), rows, strict=True)
        ]

    def query_text(self, slot: int) -> str:
        """Return the text of a query; empty: it is erased."""
        row = int(self._graph.nodes.columns.row[slot])
        if row < 0:
            return self._names[False].get(self._key_of_new[slot], "")
        is_erased = int(self._generation.query_keys[row]) in self._erased[False]
        return "" if is_erased else self._generation.query_texts[row]

    def item_key(self, slot: int) -> int:
        """Return the key of an item."""
        row = int(self._graph.nodes.columns.row[slot])
        fresh = self._generation.fresh
        if row < 0 or fresh is None:
            return self._key_of_new[slot]
        return int(fresh.item_keys[row - len(self._generation.query_keys)])

    def item_id(self, slot: int) -> str:
        """Return the id of an active item; empty: it is erased, or not known."""
        key = self.item_key(slot)
        if name := self._names[True].get(key):  # of all that changed; the rest costs ten times
            return name
        item = self.item(key, int(self._graph.nodes.columns.row[slot]))
        return item.item_id if item is not None else ""

    def whole_item(self, key: int, row: int) -> CatalogItem | None:
        """Return what `item` does, with what filters may ask of it."""
        item, table = self.item(key, row), self._generation.attributes
        if item is None or key in self._states or row < 0 or table is None:
            return item
        return replace(item, attributes=table.attributes_of(row - len(self._generation.query_keys)))

    def item(self, key: int, row: int) -> CatalogItem | None:
        """Return what is known of an item: the catalogue's state since the generation,
        else id, title and whether it is shown as the generation has them, which knows
        also of items that it lacks because they were deleted before it (what filters
        may ask of its items: `whole_item`); None: it is erased, or not known.

        Args:
            key: of its id.
            row: its node in the generation; -1: it has none.
        """
        if key in self._states:
            return self._states[key]
        if key in self._erased[True]:
            return None
        if row >= 0:
            item = row - len(self._generation.query_keys)
            return CatalogItem(
                item_id=self._generation.item_ids[item],
                title=self._generation.item_titles[item],
                available=bool(self._generation.item_shown[item]),
            )
        name = self._names[True].get(key)
        if name is None:
            return None
        gone_ms = self._gone_ms(key, name)
        if gone_ms is None:
            return CatalogItem(item_id=name)
        return CatalogItem(item_id=name, available=False, deleted=True, ts_ms=gone_ms)

    def state(self, key: int) -> CatalogItem | None:
        """Return the catalogue's state of an item since the generation; None: there
        came none.
        """
        return self._states.get(key)

    def is_listed(self, key: int, row: int) -> bool:
        """Return whether the catalogue has an item, as far as is known."""
        if key in self._states:
            return not self._states[key].deleted
        if row < 0:
            return False
        item = row - len(self._generation.query_keys)
        fresh = self._generation.fresh
        has_time = fresh is not None and bool(fresh.item_catalog_ms[item])
        return has_time or bool(self._generation.item_titles[item])

    def _known_ms(self, key: int, row: int, item_id: str) -> int:
        """Return the time of the newest state of an item that is known; 0: none."""
        if key in self._states:
            return self._states[key].ts_ms
        fresh = self._generation.fresh
        if fresh is None:
            return 0
        if row >= 0:
            return int(fresh.item_catalog_ms[row - len(self._generation.query_keys)])
        return self._gone_ms(key, item_id) or 0

    def _gone_ms(self, key: int, item_id: str) -> int | None:
        """Return since when the generation's catalogue calls an item gone; 0: not said,
        None: it does not.
        """
        fresh = self._generation.fresh
        if fresh is None:
            return None
        place = bisect_left(fresh.gone_ids, key, key=text_key)
        is_gone = place < len(fresh.gone_ids) and fresh.gone_ids[place] == item_id
        return int(fresh.gone_catalog_ms[place]) if is_gone else None


def _query_text(text: str) -> NodeText:
    return NodeText(text, text)


def text_of(item: CatalogItem) -> str:
    """Return what the text tower reads of an item."""
    return f"{item.title} {item.text}" if item.text else item.title
