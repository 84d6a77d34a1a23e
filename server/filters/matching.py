"""Which items of a live view a filter lets into an answer."""

from dataclasses import dataclass

import numpy as np

from model.artifact.attributes.table import AttributeTable
from model.artifact.generation import Generation
from server.errors import NoAttributes, QueryRefused
from server.filters.accepted import (
    Indexes,
    Int32s,
    accepted_of_generation,
    contains,
    rows_of_overlay,
    without,
)
from server.filters.conditions import Condition, Filter, NumberRange
from server.overlay.attributes import OverlayColumn
from server.overlay.view import LiveView
from stream.dtypes import Bools, Int64s

_NOTHING = np.zeros(0, dtype=np.int32)

_SHOWN_CHARS = 40  # of a value in a message: longer than nearly any


@dataclass(frozen=True, kw_only=True)
class Matching:
    """The items that may be in an answer.

    Attributes:
        items: ``int32``, those of the generation by dense index, ascending; None: all
            that it shows but `removed`.
        removed: items that it shows and that may not be in the answer, as they are
            gone, in the overlay or excluded; ascending.
        num_items: how many of the generation may be in the answer.
        places: ``int64``, ascending: which of the shown rows of the overlay may be.
        unknown: names of attributes that are asked for and that no item has.
    """

    items: Indexes | None
    removed: Indexes
    num_items: int
    places: Int64s
    unknown: tuple[str, ...]

    def has(self, items: Indexes) -> Bools:
        """Return ``bool [n]``, which of some items that the generation shows match."""
        if self.items is None:
            return ~contains(self.removed, items)
        return contains(self.items, items)

    def all_items(self, generation: Generation) -> Indexes:
        """Return the matching items of the generation, ascending."""
        if self.items is not None:
            return self.items
        return without(generation.index_items, self.removed)


def match(view: LiveView, wanted: Filter) -> Matching:
    """Return which items a filter lets into an answer.

    Args:
        view: generation and overlay.
        wanted: the filter.

    Raises:
        NoAttributes: it asks for attributes, and the generation is from before they
            were stored.
        QueryRefused: it asks for numbers where an attribute has none.
    """
    generation, overlay = view.live.generation, view.overlay
    table = generation.attributes
    if table is None and wanted.attributes:
        raise NoAttributes(
            f"generation {generation.id} is from before generations held attributes, so nothing "
            f"can be asked of {', '.join(map(repr, wanted.attributes))}; train again (the next "
            "generation of freshet tune has them), or ask without"
        )
    columns = {name: overlay.attributes.column(name) for name in wanted.attributes}
    items: Indexes | None = None
    removed = _removed(view, wanted)
    if table is not None and wanted.conditions:
        _check_numbers(table, columns, wanted)
        items, without_them = _items(generation, table, wanted)
        removed = np.union1d(removed, without_them) if len(without_them) else removed
    if items is not None:
        items = without(items, removed)
    return Matching(
        items=items,
        removed=removed,
        num_items=len(generation.index_items) - len(removed) if items is None else len(items),
        places=_places(view, columns, wanted),
        unknown=tuple(
            name
            for name, column in columns.items()
            if not column.is_there and (table is None or name not in table.number_of_name)
        ),
    )


def _items(
    generation: Generation, table: AttributeTable, wanted: Filter
) -> tuple[Int32s | None, Indexes]:
    """Return the shown items of a generation that all conditions hold for, ascending;
    None where they are all but the items that come second.

    Those of the positive condition that fewest items meet are looked up, and the other
    conditions asked of them.
    """
    asked = []
    for condition in wanted.conditions:
        name = table.number_of_name.get(condition.attribute)
        if name is not None:
            asked.append((condition, accepted_of_generation(table, name, condition.test)))
        elif not condition.is_negated:
            return _NOTHING, _NOTHING
    positive = [place for place, (condition, _) in enumerate(asked) if not condition.is_negated]
    if not positive:
        excluded = [_shown(generation, accepted.items()) for _, accepted in asked]
        return None, np.unique(np.concatenate([_NOTHING, *excluded]))
    _, first = asked.pop(min(positive, key=lambda place: asked[place][1].num_items()))
    items = _shown(generation, first.items())
    for condition, accepted in asked:
        items = items[accepted.holds_for(items) != condition.is_negated]
    return items, _NOTHING


def _shown(generation: Generation, items: Int32s) -> Int32s:
    if len(generation.index_items) == len(generation.item_shown):
        return items
    return items[generation.item_shown[items]]


def _removed(view: LiveView, wanted: Filter) -> Int64s:
    """Return the shown items of the generation that may not be in an answer, whatever
    the conditions say, ascending.
    """
    generation, overlay = view.live.generation, view.overlay
    hidden = generation.index_items[overlay.hidden.ids]
    found = (generation.find_item(item_id) for item_id in wanted.excluded_ids)
    excluded = [item for item in found if item is not None and generation.item_shown[item]]
    return np.union1d(hidden, np.array(excluded, dtype=np.int64)) if excluded else hidden


def _places(view: LiveView, columns: dict[str, OverlayColumn], wanted: Filter) -> Int64s:
    """Return which of the shown rows of the overlay may be in an answer, ascending."""
    overlay, shown = view.overlay, view.overlay.shown
    excluded = [overlay.items[id_] for id_ in wanted.excluded_ids if id_ in overlay.items]
    is_in = ~contains(np.array(sorted(excluded), dtype=np.int64), shown)
    for condition in wanted.conditions:
        holds = rows_of_overlay(columns[condition.attribute], condition.test)
        is_in &= holds[shown] != condition.is_negated
    return np.flatnonzero(is_in)


def _check_numbers(
    table: AttributeTable, columns: dict[str, OverlayColumn], wanted: Filter
) -> None:
    for condition in wanted.conditions:
        if isinstance(condition.test, NumberRange):
            value = _no_number(table, columns[condition.attribute], condition)
            if value:
                raise QueryRefused(
                    f"the attribute {condition.attribute!r} has no numbers, only values such as "
                    f"{value[:_SHOWN_CHARS]!r}; ask for them with equals or any_of, or write "
                    "decimal numbers into the catalogue",
                    request_field="filter",
                )


def _no_number(table: AttributeTable, column: OverlayColumn, condition: Condition) -> str:
    """Return a value of an attribute that has no numbers; empty: it has some, or no
    value at all.
    """
    if len(column.numbers):
        return ""
    name = table.number_of_name.get(condition.attribute)
    if name is None:
        return column.texts[0] if column.texts else ""
    first, _ = table.values_of(name)
    return "" if table.numeric_end(name) > first else table.values[first]
